//! Blobs on their way to the disk.

use std::path::Path;
use std::time::Duration;

use reqwest::StatusCode;
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tracing::debug;

use super::{Endpoint, Session, unreachable};
use crate::manifest::Descriptor;
use crate::{Digest, Error};

/// How often a connection may break in one blob from one registry.
const ATTEMPTS: u32 = 4;
/// Multiplied by the number of attempts made.
const PAUSE: Duration = Duration::from_millis(300);

/// The bytes of a blob that have come so far.
struct Partial<'a> {
    file: File,
    hasher: Sha256,
    done_bytes: u64,
    /// Hears how many bytes came; a negative number when they have to come again.
    heard: &'a (dyn Fn(i64) + Send + Sync),
}

impl Session {
    /// Writes a blob to a new file, verified and synced. What a failure leaves is the caller's to
    /// remove.
    pub(crate) async fn blob(
        &self,
        descriptor: &Descriptor,
        path: &Path,
        heard: &(dyn Fn(i64) + Send + Sync),
    ) -> Result<(), Error> {
        // Made at once: an asynchronous open that nobody waits for any more would still make it,
        // after it was removed.
        let file = std::fs::File::create_new(path).map_err(Error::at("create", path))?;
        let file = File::from_std(file);
        let mut partial = Partial { file, hasher: Sha256::new(), done_bytes: 0, heard };
        let mut failure = None;
        for endpoint in self.in_order() {
            match self.blob_from(endpoint, descriptor, &mut partial).await {
                Ok(()) => {
                    return partial.file.sync_all().await.map_err(Error::at("sync", path));
                }
                Err(error) => failure = Some(self.note(endpoint, error)?),
            }
            partial.start_again().await?;
        }
        Err(failure.expect("there is at least the registry itself"))
    }

    async fn blob_from(
        &self,
        endpoint: &Endpoint,
        descriptor: &Descriptor,
        partial: &mut Partial<'_>,
    ) -> Result<(), Error> {
        for attempt in 1.. {
            let result = self.rest_of_blob(endpoint, descriptor, partial).await;
            match result {
                Err(Error::Unreachable { reason, .. }) if attempt < ATTEMPTS => {
                    debug!("{} broke off: {reason}", endpoint.host);
                    tokio::time::sleep(PAUSE * attempt).await;
                }
                result => {
                    result?;
                    break;
                }
            }
        }
        let came = Digest::finish(partial.hasher.clone());
        if came == descriptor.digest {
            return Ok(());
        }
        let reason = format!("{} sent other bytes, with the digest {came}", endpoint.host);
        Err(Error::damaged(format!("blob {}", descriptor.digest), reason))
    }

    async fn rest_of_blob(
        &self,
        endpoint: &Endpoint,
        descriptor: &Descriptor,
        partial: &mut Partial<'_>,
    ) -> Result<(), Error> {
        if partial.done_bytes == descriptor.size_bytes && partial.done_bytes > 0 {
            return Ok(());
        }
        let url = format!("{}/blobs/{}", endpoint.base, descriptor.digest);
        let mut response = self.get(endpoint, &url, partial.done_bytes).await?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            partial.start_again().await?;
        }
        loop {
            let chunk =
                response.chunk().await.map_err(|error| unreachable(&endpoint.host, &error))?;
            let Some(chunk) = chunk else { break };
            if partial.done_bytes + chunk.len() as u64 > descriptor.size_bytes {
                let reason =
                    format!("it is longer than the {} bytes declared", descriptor.size_bytes);
                return Err(Error::damaged(format!("blob {}", descriptor.digest), reason));
            }
            partial.push(&chunk).await?;
        }
        if partial.done_bytes < descriptor.size_bytes {
            let declared = descriptor.size_bytes;
            let reason = format!("it ends after {} of {declared} bytes", partial.done_bytes);
            return Err(Error::damaged(format!("blob {}", descriptor.digest), reason));
        }
        Ok(())
    }
}

impl Partial<'_> {
    async fn push(&mut self, chunk: &[u8]) -> Result<(), Error> {
        let write = self.file.write_all(chunk).await;
        write.map_err(|source| Error::io("write a blob of an image", source))?;
        self.hasher.update(chunk);
        self.done_bytes += chunk.len() as u64;
        (self.heard)(i64::try_from(chunk.len()).unwrap_or(i64::MAX));
        Ok(())
    }

    async fn start_again(&mut self) -> Result<(), Error> {
        if self.done_bytes == 0 {
            return Ok(());
        }
        let result = async {
            self.file.flush().await?;
            self.file.set_len(0).await?;
            self.file.rewind().await
        };
        result.await.map_err(|source| Error::io("write a blob of an image", source))?;
        (self.heard)(-i64::try_from(self.done_bytes).unwrap_or(i64::MAX));
        self.hasher = Sha256::new();
        self.done_bytes = 0;
        Ok(())
    }
}
