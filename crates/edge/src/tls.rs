//! TLS with certificates of this machine's own authority.

mod authority;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::server::TlsStream;

pub use authority::{Authority, CERTIFICATE_FILE};

use crate::error::Error;

/// What a server says that speaks HTTP/2, in ALPN.
pub(crate) const HTTP2: &[u8] = b"h2";
/// The first byte of everything that begins a TLS connection.
const HANDSHAKE: u8 = 22;
/// What is said to a client that speaks something else.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 59\r\nconnection: close\r\n\r\n\
    This port speaks https: the URL has to begin with https://\n";
/// How long a certificate is valid. It is short, and nobody has to renew it by hand.
const LIFE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// A certificate that is valid for less than this is replaced when it is asked for.
const LEAST_REST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Certificates that are kept. Anybody may ask for any name below `.localhost`.
const MAX_KEPT: usize = 1024;
/// Longest host name (RFC 1035).
const MAX_HOST_BYTES: usize = 253;

/// Accepts TLS with certificates of the authority.
#[derive(Clone)]
pub(crate) struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// With the authority in a directory.
    pub(crate) fn new(directory: &Path) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certificates = Certificates {
            authority: Authority::load(directory)?,
            provider: Arc::clone(&provider),
            kept: Mutex::default(),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| Error::authority("use", directory)(io::Error::other(cause)))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Does the handshake. `None` for a client that does not speak TLS, which is told so.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<Option<TlsStream<TcpStream>>> {
        let mut first = [0; 1];
        let length = stream.peek(&mut first).await?;
        if length == 0 || first[0] == HANDSHAKE {
            return Ok(Some(self.0.accept(stream).await?));
        }
        // It is closed whether or not this can be said.
        let _ = stream.try_write(NOT_TLS);
        Ok(None)
    }
}

/// The certificates that were asked for, each made when it was.
#[derive(Debug)]
struct Certificates {
    authority: Authority,
    provider: Arc<CryptoProvider>,
    kept: Mutex<HashMap<String, Kept>>,
}

#[derive(Debug, Clone)]
struct Kept {
    certificate: Arc<CertifiedKey>,
    ends: SystemTime,
}

impl Certificates {
    /// The certificate of a host; `None` for one that the authority may not speak for.
    fn of(&self, host: &str, now: SystemTime) -> Option<Arc<CertifiedKey>> {
        let host = host.to_ascii_lowercase();
        let is_local = host == "localhost" || host.ends_with(".localhost");
        if !is_local || host.len() > MAX_HOST_BYTES {
            return None;
        }
        // What is behind the lock is whole after every statement.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get(&host).filter(|known| known.ends > now + LEAST_REST) {
            return Some(Arc::clone(&known.certificate));
        }
        let ends = now + LIFE;
        let made = self.make(&host, ends);
        let certificate = made.inspect_err(|cause| tracing::warn!(host, "no certificate: {cause}"));
        let certificate = Arc::new(certificate.ok()?);
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(host, Kept { certificate: Arc::clone(&certificate), ends });
        Some(certificate)
    }

    fn make(
        &self,
        host: &str,
        ends: SystemTime,
    ) -> Result<CertifiedKey, Box<dyn std::error::Error>> {
        let (certificate, key) = self.authority.leaf(host, ends)?;
        let key = PrivateKeyDer::Pkcs8(key.into());
        let key = self.provider.key_provider.load_private_key(key)?;
        Ok(CertifiedKey::new(vec![certificate], key))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Whoever asks for an address names no host.
        self.of(hello.server_name().unwrap_or("localhost"), SystemTime::now())
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::RootCertStore;
    use tokio_rustls::rustls::client::WebPkiServerVerifier;
    use tokio_rustls::rustls::client::danger::ServerCertVerifier;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};

    use super::*;

    #[test]
    fn certificates_are_kept_renewed_in_time_and_made_for_this_machine_only() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("authority");
        let certificates = Certificates {
            authority: Authority::ensure(&directory).unwrap(),
            provider: Arc::new(aws_lc_rs::default_provider()),
            kept: Mutex::default(),
        };
        let now = SystemTime::now();
        let der = |host: &str, at| certificates.of(host, at).unwrap().cert[0].clone();
        let first = der("shop.localhost", now);
        assert_eq!(der("SHOP.localhost", now + LIFE - LEAST_REST - Duration::from_secs(9)), first);
        assert_ne!(der("shop.localhost", now + LIFE - LEAST_REST), first);
        assert_ne!(der("api.localhost", now), first);
        for stranger in ["example.com", "localhost.example.com", "xlocalhost", ""] {
            assert!(certificates.of(stranger, now).is_none(), "{stranger}");
        }
        for number in 0..2 * MAX_KEPT {
            der(&format!("h{number}.localhost"), now);
        }
        assert!(certificates.kept.lock().unwrap().len() <= MAX_KEPT);
    }

    #[test]
    fn the_authority_cannot_speak_for_any_other_host() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::ensure(&directory.path().join("authority")).unwrap();
        let mut roots = RootCertStore::empty();
        let pem = authority.certificate().as_bytes();
        roots.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let is_believed = |host: &str| {
            let (leaf, _) = authority.leaf(host, SystemTime::now() + LIFE).unwrap();
            let name = ServerName::try_from(host.to_owned()).unwrap();
            verifier.verify_server_cert(&leaf, &[], &name, &[], UnixTime::now()).is_ok()
        };
        for own in ["localhost", "shop.localhost", "a.b.localhost", "127.0.0.1", "::1"] {
            assert!(is_believed(own), "{own}");
        }
        for stranger in ["example.com", "localhost.example.com", "192.0.2.1", "::2"] {
            assert!(!is_believed(stranger), "{stranger}");
        }
    }
}
