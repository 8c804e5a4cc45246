//! Variables of one service: what they are, where they come from, who reads them; and values that
//! a person gives.

use jiff::Timestamp;
use model::text::check_variable_name;
use model::{Deploy, EnvOwner, Problem, ServiceId, ValueOrigin};
use reconcile::wiring::Origin;
use secrecy::SecretString;

use crate::environments;
use crate::error::Error;
use crate::ops::blueprints::{self, Redeploy};
use crate::ops::deploys;
use crate::platform::Platform;

/// One variable.
pub struct Entry {
    /// Its name.
    pub key: String,
    /// Its value; see [`Entry::shown`].
    pub value: Option<String>,
    /// Whether it should not be shown.
    pub is_secret: bool,
    /// `build`, `run` or `both`.
    pub phase: String,
    /// Where it comes from, in words.
    pub origin: String,
    /// Other services that copy it, as `service.KEY`.
    pub readers: Vec<String>,
    /// Whether a person has set it.
    pub is_set_by_hand: bool,
}

impl Entry {
    /// The value as it may be shown: masked if it is secret, unless it is to be revealed.
    #[must_use]
    pub fn shown(&self, is_revealed: bool) -> Option<String> {
        let value = self.value.as_deref()?;
        Some(if self.is_secret && !is_revealed { mask(value) } else { value.to_owned() })
    }
}

/// What is shown in place of a secret.
#[must_use]
pub fn mask(secret: &str) -> String {
    reconcile::wiring::mask(secret).to_owned()
}

/// The variables of a service's newest release.
///
/// # Errors
/// When there is no such service, or it was never deployed.
pub fn list(platform: &Platform, id: &ServiceId) -> Result<Vec<Entry>, Error> {
    let row = deploys::service(platform, id)?;
    let Some(deploy) = store::deploys::latest(&platform.store, id)? else {
        return Err(Problem::new(
            "never-deployed",
            format!("{} was never deployed, so nothing is resolved yet", row.definition.name),
        )
        .hint("`gable up`")
        .into());
    };
    let mut entries = Vec::new();
    for variable in environments::variables_of(platform, &deploy.release_id)? {
        entries.push(Entry {
            readers: readers(platform, &row, &variable.key)?,
            value: environments::plain_value(&variable),
            // Releases of earlier versions say of hand-set values that they are none.
            is_secret: variable.is_secret || variable.origin == Origin::Operator,
            phase: variable.phase.to_string(),
            origin: variable.origin.to_string(),
            is_set_by_hand: variable.origin == Origin::Operator,
            key: variable.key,
        });
    }
    Ok(entries)
}

/// Who copies a variable: read from the newest releases of its environment.
fn readers(
    platform: &Platform,
    row: &store::services::ServiceRow,
    key: &str,
) -> Result<Vec<String>, Error> {
    let mut readers = Vec::new();
    for other in store::services::list(&platform.store, &row.environment_id)? {
        let copies = other.definition.env.iter().filter(|variable| {
            matches!(&variable.source,
                model::EnvSource::FromService { name, reference: model::ServiceReference::EnvVar(copied) }
                    if *name == row.definition.name && copied == key)
        });
        readers.extend(copies.map(|copy| format!("{}.{}", other.definition.name, copy.key)));
    }
    Ok(readers)
}

/// Values given by a person.
pub struct Change {
    /// Keys and values.
    pub set: Vec<(String, SecretString)>,
    /// Keys that go back to what is declared.
    pub unset: Vec<String>,
    /// Whether to deploy at once.
    pub deploy: bool,
}

/// What a change brought about.
pub struct Changed {
    /// Whether anything is different now.
    pub has_changed: bool,
    /// The deploys that it asked for.
    pub deploys: Vec<Deploy>,
}

/// Keeps values for a service, and deploys it with them if asked to.
///
/// # Errors
/// When there is no such service, or the deploy is refused.
pub async fn change(platform: &Platform, id: &ServiceId, change: Change) -> Result<Changed, Error> {
    let row = deploys::service(platform, id)?;
    for (key, _) in &change.set {
        check_variable(key)?;
    }
    let owner = EnvOwner::Service(row.definition.name.clone());
    let slot =
        |key| store::values::Slot { environment_id: &row.environment_id, owner: &owner, key };
    let now = Timestamp::now();
    let mut has_changed = !change.set.is_empty();
    for (key, value) in &change.set {
        store::values::set(&platform.store, slot(key), value, ValueOrigin::Operator, now)?;
    }
    for key in &change.unset {
        has_changed |= store::values::unset(&platform.store, slot(key))?;
    }
    let mut deploys = Vec::new();
    if change.deploy && has_changed {
        deploys.push(blueprints::redeploy(platform, id, Redeploy::default()).await?);
    }
    Ok(Changed { has_changed, deploys })
}

/// That a process can be given a variable of this name.
///
/// # Errors
/// When it cannot, without the name: a value may stand there by mistake.
pub(crate) fn check_variable(key: &str) -> Result<(), Error> {
    check_variable_name(key).map_err(|fault| {
        Problem::new("bad-name", format!("this cannot be the name of a variable: {fault}"))
            .hint("names of variables hold no blank, no line break, no quote and no `=`")
            .into()
    })
}
