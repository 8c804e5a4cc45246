//! What instances need so that they believe the https of other services' public URLs, as on Render,
//! where everybody does.
//!
//! Nothing is taken from them: languages that can read one more file or directory are told of ours,
//! and what can only be replaced is replaced by all that was trusted before and ours.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use edge::Authority;
use engine::Mount;

use crate::config::{self, Config};
use crate::error::Error;
use crate::platform::Platform;

/// Where an isolated instance sees the directory.
const INSIDE: &str = "/etc/gable-trust";
/// Our authority alone, under the name by which OpenSSL looks for its subject in a directory.
const HASHED_FILE: &str = "e67d3232.0";
/// What Node.js is to trust besides its own list.
const ADDED_FILE: &str = "added.pem";
/// Everybody whom this machine trusts, and our authority.
const WHOLE_FILE: &str = "whole.pem";
/// Where systems keep whom they trust in one file.
const SYSTEM_FILES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];
/// A bundle is a few hundred KiB.
const MAX_BUNDLE_BYTES: u64 = 16 * 1024 * 1024;

/// Makes the authority, unless it is there, and what instances are shown of it.
///
/// # Errors
/// When the state directory cannot be written.
pub(crate) fn prepare(config: &Config) -> Result<(), Error> {
    let authority = Authority::ensure(&config::authority_dir(&config.state_dir))?;
    let operators = |key: &str| {
        let set = config.operator_env.iter().find(|(name, _)| name == key);
        set.and_then(|(_, path)| read(Path::new(path)))
    };
    let own = authority.certificate();
    let system = || SYSTEM_FILES.iter().find_map(|path| read(Path::new(path)));
    let added = operators("NODE_EXTRA_CA_CERTS").unwrap_or_default() + own;
    let whole = operators("SSL_CERT_FILE").or_else(system).map(|before| before + own);
    let write = || -> io::Result<()> {
        let directory = config.trust_dir();
        fs::create_dir_all(&directory)?;
        replace(&directory.join(HASHED_FILE), own)?;
        replace(&directory.join(ADDED_FILE), &added)?;
        match &whole {
            Some(whole) => replace(&directory.join(WHOLE_FILE), whole),
            None => Ok(()),
        }
    };
    write().map_err(Error::host(format!("write {}", config.trust_dir().display())))
}

fn read(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_BUNDLE_BYTES).read_to_string(&mut text).ok()?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Some(text)
}

/// Everybody may read it. Replaced only when it differs: running instances have it mounted.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

/// Has an instance trust the authority. `env` is its whole environment: what its author or its
/// image say of this is left as it is.
pub(crate) fn add(
    platform: &Platform,
    is_container: bool,
    env: &mut Vec<(String, String)>,
    mounts: &mut Vec<Mount>,
) {
    let directory = platform.config.trust_dir();
    if !directory.join(ADDED_FILE).exists() {
        return;
    }
    let has_whole = directory.join(WHOLE_FILE).exists();
    let seen_at = match platform.driver.isolates_network() {
        true => {
            let target = PathBuf::from(INSIDE);
            mounts.push(Mount::Bind { source: directory, target: target.clone(), read_only: true });
            target
        }
        false => directory,
    };
    let operator_env = platform.operator_env();
    for (key, value) in variables(&seen_at, !is_container && has_whole) {
        let before = env.iter_mut().find(|(name, _)| name == key);
        match before {
            None => env.push((key.to_owned(), value)),
            Some(before) if operator_env.contains(before) => before.1 = value,
            Some(_) => {}
        }
    }
}

fn variables(seen_at: &Path, with_whole: bool) -> Vec<(&'static str, String)> {
    let file = |name: &str| seen_at.join(name).display().to_string();
    let mut variables = vec![
        ("NODE_EXTRA_CA_CERTS", file(ADDED_FILE)),
        ("SSL_CERT_DIR", format!("/etc/ssl/certs:{}", seen_at.display())),
    ];
    if with_whole {
        // These programs have a list of their own in place of the system's, or read one file only.
        variables.push(("REQUESTS_CA_BUNDLE", file(WHOLE_FILE)));
        variables.push(("CURL_CA_BUNDLE", file(WHOLE_FILE)));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn instances_trust_the_authority_and_nothing_that_is_said_of_trust_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let extra = folder.path().join("extra.pem");
        fs::write(&extra, "the proxy's").unwrap();
        let operators = ("NODE_EXTRA_CA_CERTS".to_owned(), extra.display().to_string());
        let platform = crate::testing::platform(folder.path());
        let config = Config { operator_env: vec![operators.clone()], ..platform.config.clone() };
        prepare(&config).unwrap();
        platform.set_operator_env(vec![operators.clone()]);
        let added = fs::read_to_string(config.trust_dir().join(ADDED_FILE)).unwrap();
        assert!(added.starts_with("the proxy's\n-----BEGIN CERTIFICATE-----"), "{added}");
        let keys = config::authority_dir(&config.state_dir);
        assert!(!keys.starts_with(config.trust_dir()), "instances must not see the key");

        let authors = ("REQUESTS_CA_BUNDLE".to_owned(), "/app/ca.pem".to_owned());
        let mut env = vec![operators, authors.clone()];
        let mut mounts = Vec::new();
        add(&platform, false, &mut env, &mut mounts);
        let value = |key: &str| {
            let found = env.iter().find(|(name, _)| name == key);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        assert!(
            value("NODE_EXTRA_CA_CERTS").ends_with(ADDED_FILE),
            "what was the operator's is in it"
        );
        assert!(value("SSL_CERT_DIR").starts_with("/etc/ssl/certs:"));
        assert_eq!(value("REQUESTS_CA_BUNDLE"), authors.1);
    }
}
