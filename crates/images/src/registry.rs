//! The reading half of the distribution protocol: manifests and blobs, from mirrors and registries.
//!
//! This speaks HTTP itself rather than through a client library, because every answer here has a
//! limit: a registry may send manifests, tokens and error pages of any length, and none of them
//! is ever held whole before it was measured. A connection that breaks in a blob goes on where it
//! broke. Redirects are followed, but never from TLS to plain HTTP.

mod auth;
mod blob;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderValue, RANGE, WWW_AUTHENTICATE};
use reqwest::{Client, Response, StatusCode, redirect};
use tokio::sync::Mutex;
use tracing::warn;

use crate::manifest::ACCEPTED;
use crate::registries::{is_loopback, split_mirror};
use crate::{Credential, Digest, Error, Reference, Registries};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time without a single byte after which a connection counts as broken.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const REDIRECTS_MAX: usize = 5;
const USER_AGENT: &str = concat!("gable/", env!("CARGO_PKG_VERSION"));

/// The HTTP clients. They are made when they are first needed: a machine without any trusted
/// certificate can still run what it has.
#[derive(Default)]
pub(crate) struct Http {
    proxied: OnceLock<Client>,
    direct: OnceLock<Client>,
}

impl Http {
    fn client(&self, host: &str) -> Result<&Client, Error> {
        let is_direct = is_loopback(host);
        let place = if is_direct { &self.direct } else { &self.proxied };
        if let Some(client) = place.get() {
            return Ok(client);
        }
        let builder = || {
            let builder = Client::builder()
                .user_agent(USER_AGENT)
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(READ_TIMEOUT)
                .redirect(redirect::Policy::custom(follow));
            // A proxy of the operator's leads to other machines, not to this one.
            if is_direct { builder.no_proxy() } else { builder }
        };
        let client = match builder().build() {
            // A machine that trusts nobody can still ask itself.
            Err(_) if is_direct => builder().tls_certs_only([]).build(),
            result => result,
        };
        let client = client.map_err(|error| unreachable(host, &error))?;
        Ok(place.get_or_init(|| client))
    }
}

fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let is_downgrade = attempt.url().scheme() != "https"
        && attempt.previous().last().is_some_and(|from| from.scheme() == "https");
    if is_downgrade {
        attempt.error("a redirect from TLS to plain HTTP is not followed")
    } else if attempt.previous().len() > REDIRECTS_MAX {
        attempt.error("too many redirects")
    } else {
        attempt.follow()
    }
}

/// One conversation about one repository with everybody who may have it.
pub(crate) struct Session {
    http: Arc<Http>,
    /// The image, for messages.
    image: String,
    /// Mirrors first, the registry itself last.
    endpoints: Vec<Endpoint>,
}

/// A registry or a mirror.
struct Endpoint {
    host: String,
    /// `https://host/v2/<repository>`.
    base: String,
    is_plain: bool,
    repository: String,
    credential: Option<Credential>,
    /// The `Authorization` that it wanted last.
    authorization: Mutex<Option<HeaderValue>>,
    /// Whether it failed in this conversation, so that it is asked after the others.
    is_down: AtomicBool,
}

/// A manifest as it came: what it says of itself, and its bytes.
pub(crate) struct Raw {
    pub(crate) media_type: Option<String>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
}

impl Session {
    pub(crate) fn new(
        http: Arc<Http>,
        registries: &Registries,
        reference: &Reference,
        credential: Option<&Credential>,
    ) -> Self {
        let origin = reference.registry();
        let by_host = |host: &str| registries.credentials_by_host.get(host).cloned();
        let mut endpoints = Vec::new();
        for mirror in registries.mirrors.get(origin).into_iter().flatten() {
            let (host, prefix) = split_mirror(mirror);
            let repository = match prefix {
                "" => reference.repository().to_owned(),
                prefix => format!("{prefix}/{}", reference.repository()),
            };
            // The credential of an image is for its registry. Mirrors have their own.
            let is_plain = registries.is_plain_http(host);
            endpoints.push(Endpoint::new(host, is_plain, repository, by_host(host)));
        }
        // The name that people write is not the name of the machine that answers.
        let host = if origin == "docker.io" { "registry-1.docker.io" } else { origin };
        let credential = credential.cloned().or_else(|| by_host(origin));
        let repository = reference.repository().to_owned();
        endpoints.push(Endpoint::new(
            host,
            registries.is_plain_http(origin),
            repository,
            credential,
        ));
        Self { http, image: reference.to_string(), endpoints }
    }

    /// Those that have not failed, then those that have; otherwise in the order of the settings.
    fn in_order(&self) -> Vec<&Endpoint> {
        let mut endpoints: Vec<&Endpoint> = self.endpoints.iter().collect();
        endpoints.sort_by_key(|endpoint| endpoint.is_down.load(Ordering::Relaxed));
        endpoints
    }

    /// Asks everybody for a manifest by tag or digest until one has it whole.
    pub(crate) async fn manifest(&self, asked: &str, limit_bytes: u64) -> Result<Raw, Error> {
        let mut failure = None;
        for endpoint in self.in_order() {
            match self.manifest_from(endpoint, asked, limit_bytes).await {
                Ok(raw) => return Ok(raw),
                Err(error) => failure = Some(self.note(endpoint, error)?),
            }
        }
        Err(failure.expect("there is at least the registry itself"))
    }

    /// The error to report when nobody else does better; `Err` when nobody else need be asked.
    fn note(&self, endpoint: &Endpoint, error: Error) -> Result<Error, Error> {
        if !error.is_worth_another_place() {
            return Err(error);
        }
        endpoint.is_down.store(true, Ordering::Relaxed);
        if self.endpoints.len() > 1 {
            warn!(registry.host = %endpoint.host, "{} did not have {}: {error}", endpoint.host, self.image);
        }
        Ok(error)
    }

    async fn manifest_from(
        &self,
        endpoint: &Endpoint,
        asked: &str,
        limit_bytes: u64,
    ) -> Result<Raw, Error> {
        let url = format!("{}/manifests/{asked}", endpoint.base);
        let mut response = self.get(endpoint, &url, 0).await?;
        let media_type = response
            .headers()
            .get(reqwest::header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(|value| value.split(';').next().unwrap_or_default().trim().to_owned());
        let what = || format!("the manifest of {}", self.image);
        let bytes = bounded(&mut response, limit_bytes)
            .await
            .map_err(|error| unreachable(&endpoint.host, &error))?
            .ok_or_else(|| Error::TooLarge { what: what(), limit: limit_bytes, unit: "bytes" })?;
        let digest = Digest::of(&bytes);
        if asked.contains(':') && digest.as_str() != asked {
            return Err(Error::damaged(
                what(),
                format!("{} sent {digest} for {asked}", endpoint.host),
            ));
        }
        Ok(Raw { media_type, bytes, digest })
    }

    /// Asks one endpoint, logging in where it wants that. Every answer but success is an error.
    async fn get(&self, endpoint: &Endpoint, url: &str, offset: u64) -> Result<Response, Error> {
        let client = self.http.client(&endpoint.host)?;
        let ask = |authorization: Option<HeaderValue>| {
            let mut request = client.get(url).header(ACCEPT, ACCEPTED);
            if offset > 0 {
                request = request.header(RANGE, format!("bytes={offset}-"));
            }
            if let Some(authorization) = authorization {
                request = request.header(reqwest::header::AUTHORIZATION, authorization);
            }
            request.send()
        };
        let unreachable = |error| unreachable(&endpoint.host, &error);
        let known = endpoint.authorization.lock().await.clone();
        let mut response = ask(known.clone()).await.map_err(unreachable)?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let challenges = response.headers().get_all(WWW_AUTHENTICATE);
            let challenges: Vec<String> = challenges
                .iter()
                .filter_map(|value| value.to_str().ok().map(str::to_owned))
                .collect();
            let mut authorization = endpoint.authorization.lock().await;
            // Another request may have logged in meanwhile.
            if *authorization == known {
                *authorization = Some(auth::log_in(self, client, endpoint, &challenges).await?);
            }
            let fresh = authorization.clone();
            drop(authorization);
            response = ask(fresh).await.map_err(unreachable)?;
        }
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(self.refusal(endpoint, status)),
        }
    }

    fn refusal(&self, endpoint: &Endpoint, status: StatusCode) -> Error {
        let (image, registry) = (self.image.clone(), endpoint.host.clone());
        match status {
            StatusCode::NOT_FOUND => Error::NotFound { image, registry },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let with_credential = endpoint.credential.is_some();
                Error::Unauthorized { image, registry, with_credential }
            }
            status => Error::Answer { image, registry, status: status.as_u16() },
        }
    }
}

impl Endpoint {
    fn new(host: &str, is_plain: bool, repository: String, credential: Option<Credential>) -> Self {
        let scheme = if is_plain { "http" } else { "https" };
        Self {
            host: host.to_owned(),
            base: format!("{scheme}://{host}/v2/{repository}"),
            is_plain,
            repository,
            credential,
            authorization: Mutex::new(None),
            is_down: AtomicBool::new(false),
        }
    }
}

/// A whole body, or `None` when it is longer than `limit_bytes`.
async fn bounded(response: &mut Response, limit_bytes: u64) -> reqwest::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if (bytes.len() + chunk.len()) as u64 > limit_bytes {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

/// The whole chain of causes, but no address: a redirect's may hold a signature.
fn unreachable(registry: &str, error: &reqwest::Error) -> Error {
    let mut reasons = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        reasons.push(error.to_string());
        cause = error.source();
    }
    if reasons.is_empty() {
        reasons.push("the connection broke".to_owned());
    }
    if error.is_timeout() {
        reasons.push("it took too long".to_owned());
    }
    Error::Unreachable { registry: registry.to_owned(), reason: reasons.join(": ") }
}
