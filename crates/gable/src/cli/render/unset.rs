//! Variables without a value, one line for each service.

use std::collections::HashMap;

use wire::Missing;

/// What one service lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unset {
    /// `api.KEY`, or `api` and a list of keys.
    pub(crate) what: String,
    /// Why, where it is the same for all.
    pub(crate) why: String,
    /// Whether it is more than one.
    pub(crate) is_many: bool,
}

/// One entry for each service, in the order of the list.
pub(crate) fn unset(missing: &[Missing]) -> Vec<Unset> {
    let mut environments: Vec<&str> =
        missing.iter().map(|value| value.environment.as_str()).collect();
    environments.sort_unstable();
    environments.dedup();
    let mut services: Vec<(&str, &str)> = Vec::new();
    let mut own: HashMap<(&str, &str), Vec<&Missing>> = HashMap::new();
    for value in missing {
        let service = (value.environment.as_str(), value.service.as_str());
        let values = own.entry(service).or_default();
        if values.is_empty() {
            services.push(service);
        }
        values.push(value);
    }
    services
        .into_iter()
        .map(|(environment, service)| {
            let name = match environments.len() {
                0 | 1 => service.to_owned(),
                _ if service.is_empty() => environment.to_owned(),
                _ => format!("{environment}/{service}"),
            };
            of_service(&name, &own[&(environment, service)])
        })
        .collect()
}

/// The key that stands for all variables of a group that nobody declares.
pub(crate) const ANY_KEY: &str = "*";

/// How a variable is named on the command line: `api.KEY`, or `KEY` where compose files name it.
pub(crate) fn full_key(missing: &Missing) -> String {
    match missing.service.as_str() {
        "" => missing.key.clone(),
        service => format!("{service}.{}", missing.key),
    }
}

/// The words that give a variable a value, as a shell takes them.
pub(super) fn set_with(missing: &Missing) -> String {
    let name = full_key(missing);
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:@%+,".contains(letter);
    match name.chars().all(is_plain) {
        true => format!("--set {name}=…"),
        false => format!("--set '{}=…'", name.replace('\'', "'\\''")),
    }
}

/// The key in a list.
fn shown(key: &str) -> &str {
    if key == ANY_KEY { "all of a group" } else { key }
}

fn of_service(name: &str, missing: &[&Missing]) -> Unset {
    let why = missing.first().map(|first| first.why.clone()).unwrap_or_default();
    let is_same = missing.iter().all(|value| value.why == why);
    match missing {
        [one] if name.is_empty() => Unset { what: one.key.clone(), why, is_many: false },
        [one] if one.key == ANY_KEY => {
            Unset { what: format!("{name}: {}", shown(&one.key)), why, is_many: false }
        }
        [one] => Unset { what: format!("{name}.{}", one.key), why, is_many: false },
        many => {
            let keys = many.iter().map(|value| match is_same {
                true => shown(&value.key).to_owned(),
                false => format!("{} ({})", shown(&value.key), value.why),
            });
            let keys = keys.collect::<Vec<_>>().join(", ");
            let what = if name.is_empty() { keys } else { format!("{name}: {keys}") };
            Unset { what, why: if is_same { why } else { String::new() }, is_many: true }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(missing: &[(&str, &str, &str, &str)], expected: &[(&str, &str)]) {
        let missing: Vec<Missing> = missing
            .iter()
            .map(|(environment, service, key, why)| Missing {
                environment: (*environment).to_owned(),
                service: (*service).to_owned(),
                key: (*key).to_owned(),
                why: (*why).to_owned(),
                hint: None,
            })
            .collect();
        let found = unset(&missing);
        let found: Vec<(&str, &str)> =
            found.iter().map(|one| (one.what.as_str(), one.why.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_service_has_one_line_with_its_keys() {
        check(
            &[
                ("p", "api", "A", "nobody gave it"),
                ("p", "web", "A", "nobody gave it"),
                ("p", "api", "B", "nobody gave it"),
            ],
            &[("api: A, B", "nobody gave it"), ("web.A", "nobody gave it")],
        );
        check(
            &[("p", "api", "A", "one"), ("p", "api", "B", "other")],
            &[("api: A (one), B (other)", "")],
        );
        check(
            &[("p", "api", "A", "x"), ("q", "api", "A", "x")],
            &[("p/api.A", "x"), ("q/api.A", "x")],
        );
        check(
            &[("p", "", "A", "the file names it"), ("p", "", "B", "the file names it")],
            &[("A, B", "the file names it")],
        );
        check(&[("p", "", "A", "x"), ("p", "api", "A", "y")], &[("A", "x"), ("api.A", "y")]);
        check(&[("p", "api", "*", "no `g`")], &[("api: all of a group", "no `g`")]);
        check(&[], &[]);
    }
}
