//! SvelteKit's node adapter, which takes `https` and the port of the URL for granted.
//!
//! Behind plain HTTP it would refuse every form: the page's origin is `http`, and the one that it
//! expects is not. It believes a proxy's headers when it is told their names.

use crate::wiring::{Origin, Phase, Variable};

const ADAPTER: &str = "@sveltejs/adapter-node";
/// By this the author says the origin, and no header is needed.
const ORIGIN: &str = "ORIGIN";
/// Variables of the adapter's, and the headers of ours.
const HEADERS: [(&str, &str); 2] =
    [("PROTOCOL_HEADER", "x-forwarded-proto"), ("HOST_HEADER", "x-forwarded-host")];

/// What a service has to be told whose `package.json` is this. Nothing that its author set is
/// changed.
#[must_use]
pub fn variables(package_json: &[u8], variables: &[Variable]) -> Vec<Variable> {
    let is_set = |key: &str| variables.iter().any(|variable| variable.key == key);
    if is_set(ORIGIN) || !has_adapter(package_json) {
        return Vec::new();
    }
    let missing = HEADERS.iter().filter(|(key, _)| !is_set(key));
    missing
        .map(|(key, header)| Variable {
            key: (*key).to_owned(),
            value: Some((*header).to_owned().into()),
            origin: Origin::Platform,
            is_secret: false,
            phase: Phase::Run,
        })
        .collect()
}

fn has_adapter(package_json: &[u8]) -> bool {
    let Ok(package) = serde_json::from_slice::<serde_json::Value>(package_json) else {
        return false;
    };
    ["dependencies", "devDependencies"]
        .iter()
        .any(|list| package.get(list).and_then(|list| list.get(ADAPTER)).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: &str) -> Variable {
        Variable {
            key: key.to_owned(),
            value: Some("x".to_owned().into()),
            origin: Origin::Literal,
            is_secret: false,
            phase: Phase::Both,
        }
    }

    #[test]
    fn the_node_adapter_is_told_our_headers_unless_its_author_said_otherwise() {
        let with = br#"{"devDependencies":{"@sveltejs/adapter-node":"^5"}}"#;
        let keys = |package: &[u8], env: &[Variable]| -> Vec<String> {
            variables(package, env).into_iter().map(|variable| variable.key).collect()
        };
        assert_eq!(keys(with, &[]), ["PROTOCOL_HEADER", "HOST_HEADER"]);
        assert_eq!(keys(with, &[set("HOST_HEADER")]), ["PROTOCOL_HEADER"]);
        assert!(keys(with, &[set("ORIGIN")]).is_empty());
        assert!(keys(br#"{"dependencies":{"@sveltejs/adapter-auto":"6"}}"#, &[]).is_empty());
        assert!(keys(b"no json", &[]).is_empty());
    }
}
