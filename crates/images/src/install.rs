//! The way of an image into the directory, wherever it comes from.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::stream::{self, StreamExt as _};
use tokio::sync::{OwnedMutexGuard, OwnedRwLockReadGuard, watch};

use crate::config;
use crate::images::Inner;
use crate::import::Source;
use crate::layers;
use crate::manifest::{Descriptor, Manifest};
use crate::registry::Session;
use crate::stream::Allowance;
use crate::{Digest, Error, Platform, Progress};

/// Layers that are downloaded and unpacked at the same time.
const CONCURRENT: usize = 3;

pub(crate) type Heard<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// Where the content of an image comes from.
pub(crate) enum Origin<'a> {
    Registry(&'a Session),
    Files(Arc<Source>),
}

/// An image that is about to be installed.
pub(crate) struct Parcel<'a> {
    /// The image, for messages.
    pub(crate) name: String,
    /// Its manifest: digest and bytes.
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
    pub(crate) manifest: Manifest,
    pub(crate) config_bytes: Vec<u8>,
    /// The index that it was chosen from.
    pub(crate) index: Option<(Digest, Vec<u8>)>,
    pub(crate) origin: Origin<'a>,
}

/// One lock for each content, so that two pulls never do the same work at the same time.
#[derive(Default)]
pub(crate) struct Locks(Mutex<HashMap<Digest, Weak<tokio::sync::Mutex<()>>>>);

impl Locks {
    async fn lock(&self, digest: &Digest) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| lock.strong_count() > 0);
            match locks.get(digest).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::new(tokio::sync::Mutex::new(()));
                    locks.insert(digest.clone(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}

/// Tells everybody who works on an image that it was given up; also when nobody waits any more.
struct Stop {
    flag: Arc<AtomicBool>,
    sender: watch::Sender<bool>,
}

impl Stop {
    fn new() -> Self {
        Self { flag: Arc::new(AtomicBool::new(false)), sender: watch::Sender::new(false) }
    }

    fn now(&self) {
        self.flag.store(true, Ordering::Relaxed);
        self.sender.send_replace(true);
    }

    async fn came(&self) {
        let mut receiver = self.sender.subscribe();
        // The sender lives as long as `self`.
        let _ = receiver.wait_for(|stopped| *stopped).await;
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.now();
    }
}

/// The work on one image.
struct Work<'a> {
    inner: &'a Arc<Inner>,
    parcel: &'a Parcel<'a>,
    layers: Vec<(Digest, Descriptor)>,
    progress: Heard<'a>,
    total_bytes: u64,
    done_bytes: AtomicU64,
    /// What all layers together may still unpack to.
    image_bytes: Arc<AtomicU64>,
    stop: Stop,
    gate: Arc<OwnedRwLockReadGuard<()>>,
}

/// Brings all layers, then the manifest, so that a manifest that is here means a whole image.
pub(crate) async fn install(
    inner: &Arc<Inner>,
    platform: &Platform,
    parcel: Parcel<'_>,
    gate: OwnedRwLockReadGuard<()>,
    progress: Heard<'_>,
) -> Result<(), Error> {
    let read = config::read(&parcel.config_bytes, &parcel.name)?;
    check_platform(&parcel.name, platform, read.platform.as_ref())?;
    let descriptors = &parcel.manifest.layers;
    if read.diff_ids.len() != descriptors.len() {
        let (contents, blobs) = (read.diff_ids.len(), descriptors.len());
        let reason = format!("its configuration names {contents} layers, its manifest {blobs}");
        return Err(Error::damaged(&parcel.name, reason));
    }
    for descriptor in descriptors {
        if descriptor.size_bytes > inner.limits.blob_bytes {
            let what = format!("blob {}", descriptor.digest);
            return Err(Error::TooLarge { what, limit: inner.limits.blob_bytes, unit: "bytes" });
        }
    }
    let mut layers: Vec<(Digest, Descriptor)> = Vec::new();
    for (diff_id, descriptor) in read.diff_ids.into_iter().zip(descriptors) {
        if !layers.iter().any(|(other, _)| *other == diff_id) {
            layers.push((diff_id, descriptor.clone()));
        }
    }
    let sizes = layers.iter().map(|(_, descriptor)| descriptor.size_bytes);
    let work = Work {
        inner,
        total_bytes: sizes.fold(0, u64::saturating_add),
        layers,
        progress,
        done_bytes: AtomicU64::new(0),
        image_bytes: Arc::new(AtomicU64::new(inner.limits.image_bytes)),
        stop: Stop::new(),
        gate: Arc::new(gate),
        parcel: &parcel,
    };
    work.all_layers().await?;
    let inner = Arc::clone(inner);
    let Parcel { name: _, digest, bytes, manifest, config_bytes, index, origin: _ } = parcel;
    blocking(move || {
        inner.layout.keep_blob(&manifest.config.digest, &config_bytes)?;
        if let Some((digest, bytes)) = &index {
            inner.layout.keep_blob(digest, bytes)?;
        }
        inner.layout.keep_blob(&digest, &bytes)
    })
    .await
}

impl Work<'_> {
    async fn all_layers(&self) -> Result<(), Error> {
        let results: Vec<Result<(), Error>> = stream::iter(0..self.layers.len())
            .map(|number| async move {
                let result = self.layer(number).await;
                if result.is_err() {
                    self.stop.now();
                }
                result
            })
            .buffer_unordered(CONCURRENT)
            .collect()
            .await;
        let mut failures: Vec<Error> = results.into_iter().filter_map(Result::err).collect();
        // Those that were stopped were stopped because of another.
        let cause = failures.iter().position(|error| !matches!(error, Error::Stopped { .. }));
        match failures.is_empty() {
            true => Ok(()),
            false => Err(failures.swap_remove(cause.unwrap_or(0))),
        }
    }

    async fn layer(&self, number: usize) -> Result<(), Error> {
        let (diff_id, descriptor) = &self.layers[number];
        let stopped = || Error::Stopped { what: format!("layer {diff_id}") };
        // Always in this order. The second matters when an image lies about what a blob holds.
        let locks = async {
            let content = self.inner.content_locks.lock(diff_id).await;
            (content, self.inner.blob_locks.lock(&descriptor.digest).await)
        };
        let locks = tokio::select! {
            locks = locks => locks,
            () = self.stop.came() => return Err(stopped()),
        };
        if self.stop.flag.load(Ordering::Relaxed) {
            return Err(stopped());
        }
        if let Some(layer) = layers::find(&self.inner.layout, diff_id)? {
            // A kill between unpacking it and removing its blob leaves both.
            self.inner.layout.drop_blob(&descriptor.digest)?;
            return self.count_present(&layer, descriptor);
        }
        if let Origin::Registry(session) = &self.parcel.origin {
            let path = self.inner.layout.blob_path(&descriptor.digest);
            if tokio::fs::try_exists(&path).await.unwrap_or(false) {
                self.heard(i64::try_from(descriptor.size_bytes).unwrap_or(i64::MAX));
            } else {
                tokio::select! {
                    result = self.download(session, descriptor) => result?,
                    () = self.stop.came() => return Err(stopped()),
                }
            }
        }
        (self.progress)(Progress::Unpacking { layer: number + 1, layers: self.layers.len() });
        self.unpack(diff_id, descriptor, locks).await
    }

    fn count_present(&self, layer: &layers::Layer, descriptor: &Descriptor) -> Result<(), Error> {
        self.heard(i64::try_from(descriptor.size_bytes).unwrap_or(i64::MAX));
        let take = |rest: u64| rest.checked_sub(layer.size_bytes);
        match self.image_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::TooLarge {
                what: self.parcel.name.clone(),
                limit: self.inner.limits.image_bytes,
                unit: "bytes when unpacked",
            }),
        }
    }

    async fn download(&self, session: &Session, descriptor: &Descriptor) -> Result<(), Error> {
        self.heard(0);
        let unfinished = self.inner.layout.unfinished();
        session.blob(descriptor, unfinished.path(), &|bytes| self.heard(bytes)).await?;
        let (inner, digest) = (Arc::clone(self.inner), descriptor.digest.clone());
        blocking(move || inner.layout.publish(&unfinished, &inner.layout.blob_path(&digest))).await
    }

    async fn unpack(
        &self,
        diff_id: &Digest,
        descriptor: &Descriptor,
        locks: (OwnedMutexGuard<()>, OwnedMutexGuard<()>),
    ) -> Result<(), Error> {
        let allowance = Allowance {
            layer_bytes: self.inner.limits.layer_bytes,
            image_bytes: Arc::clone(&self.image_bytes),
            stop: Arc::clone(&self.stop.flag),
        };
        let files = match &self.parcel.origin {
            Origin::Registry(_) => None,
            Origin::Files(source) => Some(Arc::clone(source)),
        };
        let (inner, gate) = (Arc::clone(self.inner), Arc::clone(&self.gate));
        let (diff_id, descriptor) = (diff_id.clone(), descriptor.clone());
        blocking(move || {
            // Held here, because this goes on for a moment when nobody waits any more.
            let _guards = (locks, gate);
            let compressed: Box<dyn Read> = match &files {
                Some(source) => source.verified(&descriptor, &allowance)?,
                None => {
                    let path = inner.layout.blob_path(&descriptor.digest);
                    Box::new(File::open(&path).map_err(Error::at("open", &path))?)
                }
            };
            let made =
                layers::make(&inner.layout, &diff_id, compressed, (&inner.limits, allowance));
            if files.is_none() && !matches!(made, Err(Error::Stopped { .. })) {
                // Unpacked, it takes room twice; refused, it is of no use to anybody.
                inner.layout.drop_blob(&descriptor.digest)?;
            }
            made
        })
        .await
    }

    /// Tells the person who waits, after so many more bytes.
    fn heard(&self, bytes: i64) {
        let change = bytes.unsigned_abs();
        let before = if bytes < 0 {
            self.done_bytes.fetch_sub(change, Ordering::Relaxed).saturating_sub(change)
        } else {
            self.done_bytes.fetch_add(change, Ordering::Relaxed).saturating_add(change)
        };
        (self.progress)(Progress::Downloading {
            done_bytes: before,
            total_bytes: self.total_bytes,
        });
    }
}

fn check_platform(
    name: &str,
    platform: &Platform,
    said: Option<&(String, String)>,
) -> Result<(), Error> {
    match said {
        Some((os, architecture))
            if *os != platform.os || *architecture != platform.architecture =>
        {
            Err(Error::PlatformMissing {
                image: name.to_owned(),
                wanted: platform.to_string(),
                available: vec![format!("{os}/{architecture}")],
            })
        }
        _ => Ok(()),
    }
}

/// Runs work with files beside the asynchronous work.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::io("work with files", std::io::Error::other(error))))
}
