//! The certificate that PostgreSQL shows: self-signed, enough for `sslmode=require`.

use std::path::Path;

use rcgen::{CertificateParams, DnType, KeyPair};

use crate::{Error, files};

pub(super) const CERTIFICATE: &str = "server.crt";
pub(super) const KEY: &str = "server.key";

/// Makes certificate and key, unless both are there. The key is written first, so that a crash
/// between the two makes a new pair.
pub(super) fn ensure(directory: &Path, uid: u32, name: &str) -> Result<(), Error> {
    let (certificate, key) = (directory.join(CERTIFICATE), directory.join(KEY));
    if certificate.exists() && key.exists() {
        return files::own(&key, uid);
    }
    let (certificate_text, key_text) = generate(name)
        .map_err(|error| Error::host("make a certificate")(std::io::Error::other(error)))?;
    files::remove_file(&certificate)?;
    files::replace(&key, &key_text, 0o600, Some(uid))?;
    files::replace(&certificate, &certificate_text, 0o644, None)
}

fn generate(name: &str) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned(), "localhost".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2120, 1, 1);
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}
