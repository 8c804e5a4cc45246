//! The operator's settings of registries, in the words of buildah: one `registries.json` says where
//! images come from, for those that are run and for those that are built on.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use images::Registries;

/// Hosts that speak HTTP without TLS, whatever their port.
const LOOPBACK: &[&str] = &["localhost", "127.0.0.1"];
/// What Docker does with a name that has no registry.
const SHORT_NAMES: &str =
    "unqualified-search-registries = [\"docker.io\"]\nshort-name-mode = \"disabled\"\n";

/// The text of a `registries.conf`. Logins are no part of it.
pub(super) fn conf(registries: &Registries) -> String {
    let mirrored = registries.mirrors.keys().map(String::as_str);
    let plain = registries.plain_http.iter().map(String::as_str);
    let hosts: BTreeSet<&str> = LOOPBACK.iter().copied().chain(mirrored).chain(plain).collect();
    let mut text = SHORT_NAMES.to_owned();
    for host in hosts {
        add(&mut text, "registry", host, registries.is_plain_http(host));
        for mirror in registries.mirrors.get(host).into_iter().flatten() {
            let mirror = mirror.trim_end_matches('/');
            let of_mirror = mirror.split('/').next().unwrap_or(mirror);
            add(&mut text, "registry.mirror", mirror, registries.is_plain_http(of_mirror));
        }
    }
    text
}

fn add(text: &mut String, table: &str, location: &str, is_plain_http: bool) {
    // A string of JSON is one of TOML.
    let location = serde_json::Value::from(location);
    write!(text, "[[{table}]]\nlocation = {location}\ninsecure = {is_plain_http}\n")
        .expect("a text takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: &str, expected: &str) {
        let registries: Registries = serde_json::from_str(settings).unwrap();
        let text = conf(&registries);
        let shown = text.strip_prefix(SHORT_NAMES).unwrap();
        let shown = shown.replace("location = ", "").replace("insecure = ", "").replace('\n', " ");
        assert_eq!(shown.trim_end(), expected);
    }

    #[test]
    fn the_loopback_alone_needs_no_tls() {
        check("{}", r#"[[registry]] "127.0.0.1" true [[registry]] "localhost" true"#);
    }

    #[test]
    fn mirrors_come_in_their_order_and_say_whether_they_speak_tls() {
        check(
            r#"{"mirrors": {"docker.io": ["one.example/hub/", "two.example:80", "127.0.0.1:5000"]},
                "plain_http": ["two.example:80"]}"#,
            r#"[[registry]] "127.0.0.1" true [[registry]] "docker.io" false [[registry.mirror]] "one.example/hub" false [[registry.mirror]] "two.example:80" true [[registry.mirror]] "127.0.0.1:5000" true [[registry]] "localhost" true [[registry]] "two.example:80" true"#,
        );
    }

    #[test]
    fn no_text_of_the_operators_ends_a_string() {
        check(
            r#"{"mirrors": {"docker.io": ["one.example/a\"\nb"]}}"#,
            r#"[[registry]] "127.0.0.1" true [[registry]] "docker.io" false [[registry.mirror]] "one.example/a\"\nb" false [[registry]] "localhost" true"#,
        );
    }
}
