//! What kind of value a field has.

use super::Field;

/// The kind of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    List,
    Map,
    Number,
    Switch,
    /// Any scalar.
    Text,
}

const LISTS: &[&str] = &[
    "buildSources",
    "databases",
    "domains",
    "envVarGroups",
    "envVars",
    "environments",
    "headers",
    "ignoredPaths",
    "ipAllowList",
    "paths",
    "projects",
    "readReplicas",
    "routes",
    "services",
];
const MAPS: &[&str] = &[
    "buildFilter",
    "disk",
    "fromDatabase",
    "fromRegistryCreds",
    "fromService",
    "highAvailability",
    "maintenanceMode",
    "networking",
    "permissions",
    "previews",
    "registryCredential",
    "scaling",
    "ungrouped",
];
const NUMBERS: &[&str] = &[
    "diskSizeGB",
    "expireAfterDays",
    "maxInstances",
    "maxShutdownDelaySeconds",
    "minInstances",
    "numInstances",
    "port",
    "previewsExpireAfterDays",
    "sizeGB",
    "targetCPUPercent",
    "targetMemoryPercent",
];
const SWITCHES: &[&str] = &["autoDeploy", "enabled", "generateValue", "previewsEnabled", "sync"];

/// The kind of value that a field has. `None` where it has several.
pub(crate) fn kind_of(field: &Field) -> Option<Kind> {
    let is_in = |names: &[&str]| names.contains(&field.name);
    match field.name {
        // `image` is a mapping of its own fields and, in older files, a reference.
        "image" | "repo" | "version" => None,
        _ if is_in(LISTS) => Some(Kind::List),
        _ if is_in(MAPS) => Some(Kind::Map),
        _ if is_in(NUMBERS) => Some(Kind::Number),
        _ if is_in(SWITCHES) => Some(Kind::Switch),
        _ => Some(Kind::Text),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{LISTS, MAPS, NUMBERS, SWITCHES};
    use crate::catalog::known_fields;

    #[test]
    fn every_name_here_is_that_of_a_field() {
        let names: BTreeSet<&str> = known_fields().map(|field| field.name).collect();
        let unknown: Vec<_> = [LISTS, MAPS, NUMBERS, SWITCHES]
            .concat()
            .into_iter()
            .filter(|name| !names.contains(name))
            .collect();
        assert_eq!(unknown, Vec::<&str>::new());
    }
}
