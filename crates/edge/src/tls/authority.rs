//! An authority that browsers can be told to believe, and that can speak for nobody but this
//! machine: its own certificate limits it to `.localhost` and to loopback addresses, so that not
//! even its stolen key is good for any other host.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
};
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::error::Error;

/// The authority's certificate, in its directory. Everybody may have it.
pub const CERTIFICATE_FILE: &str = "authority.crt";
/// The authority's key, for its owner only.
const KEY_FILE: &str = "authority.key";
/// Clocks differ.
const BACKDATED: Duration = Duration::from_secs(24 * 60 * 60);

/// This machine's own authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// The key stays out of logs.
impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// The authority in this directory, which is made if it is not there. Safe to repeat, and for
    /// several processes at once: the directory exists only whole.
    ///
    /// # Errors
    /// When the directory can be neither read nor made.
    pub fn ensure(directory: &Path) -> Result<Self, Error> {
        if !directory.exists() {
            make(directory).map_err(Error::authority("make", directory))?;
        }
        Self::load(directory)
    }

    /// The authority in this directory.
    ///
    /// # Errors
    /// When it is not there, or damaged.
    pub fn load(directory: &Path) -> Result<Self, Error> {
        let load = || {
            let certificate = fs::read_to_string(directory.join(CERTIFICATE_FILE))?;
            let key = fs::read_to_string(directory.join(KEY_FILE))?;
            let key = KeyPair::from_pem(&key).map_err(io::Error::other)?;
            Ok(Self { issuer: Issuer::new(params(), key), certificate })
        };
        load().map_err(Error::authority("read", directory))
    }

    /// Its certificate as PEM, for those who are to believe it.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate for a host until `ends`, and its key (PKCS #8).
    pub(super) fn leaf(
        &self,
        host: &str,
        ends: SystemTime,
    ) -> Result<(CertificateDer<'static>, Vec<u8>), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        if host == "localhost" {
            params.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
            params.subject_alt_names.push(SanType::IpAddress(Ipv6Addr::LOCALHOST.into()));
        }
        params.distinguished_name.push(DnType::CommonName, "Gable on this machine");
        params.not_before = (SystemTime::now() - BACKDATED).into();
        params.not_after = ends.into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.der().clone(), key.serialize_der()))
    }
}

/// What the authority is. All of its certificates say the same and differ by their keys.
fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Gable local authority");
    params.distinguished_name.push(DnType::OrganizationName, "Gable on this machine");
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2049, 1, 1);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".to_owned()),
            GeneralSubtree::IpAddress(CidrSubnet::V4([127, 0, 0, 0], [255, 0, 0, 0])),
            GeneralSubtree::IpAddress(CidrSubnet::V6(Ipv6Addr::LOCALHOST.octets(), [255; 16])),
        ],
        excluded_subtrees: Vec::new(),
    });
    params
}

fn make(directory: &Path) -> io::Result<()> {
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = params().self_signed(&key).map_err(io::Error::other)?;
    let new = new_name(directory);
    match fs::remove_dir_all(&new) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    fs::DirBuilder::new().mode(0o700).create(&new)?;
    write(&new.join(KEY_FILE), &key.serialize_pem(), 0o600)?;
    write(&new.join(CERTIFICATE_FILE), &certificate.pem(), 0o644)?;
    File::open(&new)?.sync_all()?;
    match fs::rename(&new, directory) {
        // Another process was faster, and its authority is as good.
        Err(_) if directory.join(KEY_FILE).exists() => fs::remove_dir_all(&new)?,
        renamed => renamed?,
    }
    match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

/// A name of this process's own; what a dead one left under it is removed.
fn new_name(directory: &Path) -> PathBuf {
    let mut name = directory.as_os_str().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    name.into()
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_authority_is_made_once_and_its_key_is_for_its_owner_only() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("authority");
        let made = Authority::ensure(&directory).unwrap();
        let again = Authority::ensure(&directory).unwrap();
        assert_eq!(made.certificate(), again.certificate());
        let mode =
            |name: &str| fs::metadata(directory.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(KEY_FILE), mode(CERTIFICATE_FILE)), (0o600, 0o644));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "nothing is left behind");
        fs::write(directory.join(KEY_FILE), "no key").unwrap();
        let refused = Authority::ensure(&directory).unwrap_err();
        assert!(refused.to_string().contains("authority"), "{refused}");
    }
}
