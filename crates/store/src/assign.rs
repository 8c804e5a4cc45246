//! What a new service or data store gets assigned: names, a user, a port.

use std::collections::HashSet;

use model::EnvironmentId;
use rusqlite::{Connection, params};

use crate::Error;
use crate::row::{execute, first};
use crate::slug::{RESERVED_HOSTS, numbered, slug};

/// The first user id that is given away. Ids below it are free for others, such as the builder.
pub const FIRST_UID: u32 = 900_000;

/// The first port that is given away where instances share the host's network.
pub const FIRST_PORT: u16 = 20_000;

/// What is called so in private DNS beside the name itself.
const DISCOVERY: &str = "-discovery";

/// A user id that was never given away before: files of the one who had it may still be there.
pub(crate) fn uid(connection: &Connection) -> Result<u32, Error> {
    let first_uid = i64::from(FIRST_UID);
    let next = crate::generations::count(connection, "uid")?;
    u32::try_from(first_uid + next - 1)
        .map_err(|_| Error::not_found("free user id after", FIRST_UID))
}

/// Ports that nobody has, the lowest first. Looked up once for all that one transaction assigns.
pub(crate) struct Ports {
    taken: Option<HashSet<u16>>,
    next: u16,
}

impl Ports {
    /// Nothing is looked up before the first is needed.
    pub(crate) fn new() -> Self {
        Self { taken: None, next: FIRST_PORT }
    }

    /// The lowest that nobody has.
    pub(crate) fn take(&mut self, connection: &Connection) -> Result<u16, Error> {
        const TAKEN: &str = "SELECT port_hint FROM services UNION SELECT port_hint FROM databases
            UNION SELECT port_hint FROM key_values";
        if self.taken.is_none() {
            let all = crate::row::all(connection, TAKEN, [], |row| Ok(row.get::<_, u16>(0)?))?;
            self.taken = Some(all.into_iter().collect());
        }
        let taken = self.taken.get_or_insert_default();
        let free = (self.next..=u16::MAX).find(|port| !taken.contains(port));
        let port = free.ok_or_else(|| Error::not_found("free port after", FIRST_PORT))?;
        taken.insert(port);
        self.next = port;
        Ok(port)
    }
}

/// Takes a name in the private network for something that is called `name`.
pub(crate) fn hostname(
    connection: &Connection,
    environment_id: &EnvironmentId,
    owner_id: &str,
    name: &str,
) -> Result<String, Error> {
    for candidate in numbered(&slug(name)) {
        let discovery = format!("{candidate}{DISCOVERY}");
        let is_taken = first(
            connection,
            "SELECT 1 FROM hostnames WHERE environment_id = ?1 AND label IN (?2, ?3)",
            params![environment_id.as_str(), candidate, discovery],
            |_| Ok(()),
        )?;
        if is_taken.is_some() {
            continue;
        }
        for label in [&candidate, &discovery] {
            execute(
                connection,
                "INSERT INTO hostnames (environment_id, label, owner_id) VALUES (?1, ?2, ?3)",
                params![environment_id.as_str(), label, owner_id],
            )?;
        }
        return Ok(candidate);
    }
    unreachable!("numbers do not end")
}

/// Gives the names back.
pub(crate) fn release_hostnames(connection: &Connection, owner_id: &str) -> Result<(), Error> {
    execute(connection, "DELETE FROM hostnames WHERE owner_id = ?1", [owner_id])?;
    Ok(())
}

/// A label that no other public service of this machine has: the slug alone, with the project,
/// with both project and environment, with a number.
pub(crate) fn public_host(
    connection: &Connection,
    environment_id: &EnvironmentId,
    own: &str,
) -> Result<String, Error> {
    let (project, environment): (String, String) = first(
        connection,
        "SELECT projects.name AS project, environments.name AS environment
         FROM environments JOIN projects ON projects.id = project_id WHERE environments.id = ?1",
        [environment_id.as_str()],
        |row| Ok((row.get("project")?, row.get("environment")?)),
    )?
    .ok_or_else(|| Error::not_found("environment", environment_id))?;
    let with_project = slug_of(&[own, &project]);
    let with_both = slug_of(&[own, &project, &environment]);
    let candidates = [own.to_owned(), with_project].into_iter().chain(numbered(&with_both));
    for candidate in candidates {
        let is_taken = first(
            connection,
            "SELECT 1 FROM services WHERE public_host = ?1",
            [&candidate],
            |_| Ok(()),
        )?;
        if is_taken.is_none() && !RESERVED_HOSTS.contains(&candidate.as_str()) {
            return Ok(candidate);
        }
    }
    unreachable!("numbers do not end")
}

fn slug_of(parts: &[&str]) -> String {
    slug(&parts.join("-"))
}
