//! Static sites.
//!
//! A path is looked up below the published directory by the kernel itself (`openat2` with
//! `RESOLVE_BENEATH`): neither `..` nor a symbolic link leads out of it. A directory stands for its
//! `index.html`, and `/about` for `about.html` where there is no such file or directory. Everything
//! that is published is served, but never a `.git` directory: a site may be published from the root
//! of its checkout.

mod compress;
mod read;

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use tracing::warn;

pub(crate) use compress::Cache;
pub(crate) use read::FileBody;

use crate::body::Body;
use compress::Encoding;

/// The kernel may ask to try again when directories are renamed at the same time.
const OPEN_RETRIES: usize = 8;
/// Browsers ask each time whether their copy is still good: a deploy is seen at once.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=0, must-revalidate");

/// A published directory. It is opened once, so a site is served whole from one release.
#[derive(Debug)]
pub(crate) struct Site {
    root: PathBuf,
    directory: OnceLock<Option<OwnedFd>>,
}

/// A file that was found.
#[derive(Debug)]
struct Found {
    file: Arc<OwnedFd>,
    stat: Stat,
    content_type: HeaderValue,
    /// What a compressed copy would be called.
    path: PathBuf,
}

/// What makes one state of a file different from every other on this machine. The change time is
/// part of it, because build tools set modification times to fixed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Stat {
    device: u64,
    inode: u64,
    size: u64,
    modified_ns: i128,
    changed_ns: i128,
}

enum Opened {
    File(OwnedFd, Stat),
    Directory,
}

impl Site {
    pub(crate) fn new(root: &str) -> Self {
        Self { root: PathBuf::from(root), directory: OnceLock::new() }
    }

    /// The answer for a raw path, if there is such a file.
    pub(crate) async fn get(
        &self,
        path: &str,
        head: &Parts,
        cache: &Cache,
    ) -> Option<Response<Body>> {
        let relative = relative(path)?;
        let wants_directory = path.ends_with('/');
        let found = match self.open(&relative) {
            Some(Opened::File(file, stat)) if !wants_directory => Found::new(file, stat, relative),
            Some(Opened::Directory) => {
                let index = relative.join("index.html");
                let Some(Opened::File(file, stat)) = self.open(&index) else { return None };
                if !wants_directory {
                    return Some(to_directory());
                }
                Found::new(file, stat, index)
            }
            None if !wants_directory => {
                let mut page = relative.into_os_string();
                page.push(".html");
                let Some(Opened::File(file, stat)) = self.open(Path::new(&page)) else {
                    return None;
                };
                Found::new(file, stat, page.into())
            }
            Some(Opened::File(..)) | None => return None,
        };
        Some(self.answer(found, head, cache).await)
    }

    /// The site's own page for paths that it does not have.
    pub(crate) async fn not_found(&self, head: &Parts, cache: &Cache) -> Option<Response<Body>> {
        let path = PathBuf::from("404.html");
        let Some(Opened::File(file, stat)) = self.open(&path) else { return None };
        let found = Found::new(file, stat, path);
        // Conditions are about the page that was asked for.
        let mut headers = HeaderMap::new();
        if let Some(accept) = head.headers.get(header::ACCEPT_ENCODING) {
            headers.insert(header::ACCEPT_ENCODING, accept.clone());
        }
        let mut response = self.whole(found, &headers, cache).await;
        *response.status_mut() = StatusCode::NOT_FOUND;
        response.headers_mut().remove(header::ETAG);
        response.headers_mut().remove(header::LAST_MODIFIED);
        response.headers_mut().remove(header::ACCEPT_RANGES);
        Some(response)
    }

    fn directory(&self) -> Option<&OwnedFd> {
        let opened = self.directory.get_or_init(|| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(CWD, &self.root, flags, Mode::empty());
            if let Err(cause) = &opened {
                warn!(
                    root = %self.root.display(),
                    error = cause as &dyn std::error::Error,
                    "the directory of a static site cannot be opened"
                );
            }
            opened.ok()
        });
        opened.as_ref()
    }

    fn open(&self, path: &Path) -> Option<Opened> {
        let directory = self.directory()?;
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        // Not blocking: a FIFO must not stop a core.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let file = (0..OPEN_RETRIES)
            .map(|_| rustix::fs::openat2(directory, path, flags, Mode::empty(), resolve))
            .find(|opened| !matches!(opened, Err(rustix::io::Errno::AGAIN)))?
            .ok()?;
        let stat = rustix::fs::fstat(&file).ok()?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Some(Opened::File(file, Stat::new(&stat))),
            FileType::Directory => Some(Opened::Directory),
            _ => None,
        }
    }

    async fn answer(&self, found: Found, head: &Parts, cache: &Cache) -> Response<Body> {
        let headers = &head.headers;
        if let Some(range) = headers.get(header::RANGE).filter(|_| found.range_is_valid(headers)) {
            match read::range(range, found.stat.size) {
                read::Range::Part(first, last) => return found.part(first, last),
                read::Range::Unsatisfiable => return found.unsatisfiable(),
                read::Range::Whole => {}
            }
        }
        self.whole(found, headers, cache).await
    }

    /// The whole file, compressed if that is wanted and pays, or 304.
    async fn whole(&self, found: Found, headers: &HeaderMap, cache: &Cache) -> Response<Body> {
        let compressible = compress::pays(&found.content_type, found.stat.size);
        let wanted = if compressible { compress::accepted(headers) } else { vec![] };
        // What the client has is still good in whichever form it was sent.
        let known: Vec<String> = wanted
            .iter()
            .map(|encoding| found.stat.etag(Some(*encoding)))
            .chain([found.stat.etag(None)])
            .collect();
        if let Some(etag) = found.not_modified(headers, &known) {
            return found.describe(StatusCode::NOT_MODIFIED, Body::empty(), &etag, compressible);
        }
        for encoding in wanted {
            let etag = found.stat.etag(Some(encoding));
            let body = match self.precompressed(&found, encoding) {
                Some(body) => Body::File(body),
                None => match cache.get(&found, encoding).await {
                    Some(bytes) => Body::from(bytes),
                    None => continue,
                },
            };
            let mut response = found.describe(StatusCode::OK, body, &etag, true);
            response
                .headers_mut()
                .insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
            return response;
        }
        let etag = found.stat.etag(None);
        let body = Body::File(FileBody::new(Arc::clone(&found.file), 0, found.stat.size));
        found.describe(StatusCode::OK, body, &etag, compressible)
    }

    /// `app.js.br` beside `app.js`, if the build made one.
    fn precompressed(&self, found: &Found, encoding: Encoding) -> Option<FileBody> {
        let mut path = found.path.clone().into_os_string();
        path.push(encoding.suffix());
        match self.open(Path::new(&path))? {
            Opened::File(file, stat) if stat.modified_ns >= found.stat.modified_ns => {
                Some(FileBody::new(Arc::new(file), 0, stat.size))
            }
            _ => None,
        }
    }
}

impl Found {
    fn new(file: OwnedFd, stat: Stat, path: PathBuf) -> Self {
        Self { file: Arc::new(file), stat, content_type: content_type(&path), path }
    }

    fn describe(
        &self,
        status: StatusCode,
        body: Body,
        etag: &str,
        compressible: bool,
    ) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if status != StatusCode::NOT_MODIFIED {
            headers.insert(header::CONTENT_TYPE, self.content_type.clone());
            headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
        headers.insert(header::CACHE_CONTROL, CACHE_CONTROL);
        if let Ok(etag) = HeaderValue::from_str(etag) {
            headers.insert(header::ETAG, etag);
        }
        if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(self.stat.last_modified()))
        {
            headers.insert(header::LAST_MODIFIED, date);
        }
        if compressible {
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        response
    }

    /// The tag that the client already has, or the current one when only its date says so.
    fn not_modified(&self, headers: &HeaderMap, known: &[String]) -> Option<String> {
        if let Some(tags) = headers.get(header::IF_NONE_MATCH) {
            let mut tags = tags.to_str().ok()?.split(',').map(str::trim);
            return tags.find_map(|tag| {
                let tag = tag.strip_prefix("W/").unwrap_or(tag);
                if tag == "*" {
                    return known.last().cloned();
                }
                known.iter().find(|known| *known == tag).cloned()
            });
        }
        let since = headers.get(header::IF_MODIFIED_SINCE)?.to_str().ok()?;
        let since = httpdate::parse_http_date(since).ok()?;
        (self.stat.last_modified() <= since).then(|| known.first().cloned())?
    }

    /// A range is of one state of the file: the one that the client has a part of.
    fn range_is_valid(&self, headers: &HeaderMap) -> bool {
        match headers.get(header::IF_RANGE).map(|value| value.to_str().unwrap_or_default()) {
            None => true,
            Some(tag) if tag.starts_with('"') => tag == self.stat.etag(None),
            Some(date) => {
                httpdate::parse_http_date(date).is_ok_and(|date| date == self.stat.last_modified())
            }
        }
    }

    fn part(&self, first: u64, last: u64) -> Response<Body> {
        let length = last - first + 1;
        let body = Body::File(FileBody::new(Arc::clone(&self.file), first, length));
        let etag = self.stat.etag(None);
        let mut response = self.describe(StatusCode::PARTIAL_CONTENT, body, &etag, false);
        let range = format!("bytes {first}-{last}/{}", self.stat.size);
        if let Ok(range) = HeaderValue::from_str(&range) {
            response.headers_mut().insert(header::CONTENT_RANGE, range);
        }
        response
    }

    fn unsatisfiable(&self) -> Response<Body> {
        let mut response = Response::new(Body::from(Bytes::new()));
        *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
        if let Ok(range) = HeaderValue::from_str(&format!("bytes */{}", self.stat.size)) {
            response.headers_mut().insert(header::CONTENT_RANGE, range);
        }
        response
    }
}

impl Stat {
    fn new(stat: &rustix::fs::Stat) -> Self {
        let nanoseconds = |seconds: i128, nanoseconds: i128| seconds * 1_000_000_000 + nanoseconds;
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified_ns: nanoseconds(stat.st_mtime.into(), stat.st_mtime_nsec.into()),
            changed_ns: nanoseconds(stat.st_ctime.into(), stat.st_ctime_nsec.into()),
        }
    }

    /// Strong: two different contents never have the same tag.
    fn etag(&self, encoding: Option<Encoding>) -> String {
        let suffix = encoding.map_or("", |encoding| encoding.suffix());
        format!(
            "\"{:x}-{:x}-{:x}-{:x}{suffix}\"",
            self.device,
            self.inode,
            self.size,
            self.modified_ns ^ (self.changed_ns << 1)
        )
    }

    /// Whole seconds, as HTTP has it.
    fn last_modified(&self) -> SystemTime {
        let latest_ns = self.modified_ns.max(self.changed_ns);
        let seconds = u64::try_from(latest_ns / 1_000_000_000).unwrap_or(0);
        UNIX_EPOCH + Duration::from_secs(seconds)
    }
}

/// A raw path as one below the root; `None` for those that no file can have.
fn relative(path: &str) -> Option<PathBuf> {
    let mut relative = PathBuf::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        let decoded: Vec<u8> = percent_decode_str(segment).collect();
        let refused = matches!(decoded.as_slice(), b"." | b".." | b".git");
        if refused || decoded.contains(&b'/') || decoded.contains(&0) {
            return None;
        }
        relative.push(OsStr::from_bytes(&decoded));
    }
    Some(relative)
}

/// The caller knows the whole path and fills it in.
fn to_directory() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/"));
    response
}

fn content_type(path: &Path) -> HeaderValue {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    let essence = guess.essence_str();
    let is_text = essence.starts_with("text/")
        || matches!(
            essence,
            "application/javascript" | "application/json" | "application/xml" | "image/svg+xml"
        );
    let text = if is_text { format!("{essence}; charset=utf-8") } else { essence.to_owned() };
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}
