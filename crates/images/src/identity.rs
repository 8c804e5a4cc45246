//! Who an image's processes run as: its own `/etc/passwd` and `/etc/group`, read through the
//! layers as the kernel would show them, without mounting anything.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, lgetxattr};

use crate::unpack::OPAQUE_XATTR;
use crate::{Error, Image};

const LINKS_MAX: usize = 40;
/// Far above any honest list of users.
const FILE_LIMIT_BYTES: u64 = 4 << 20;
/// Groups that the kernel takes for one process.
const GROUPS_MAX: usize = 65_536;

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's number.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
    /// Further groups, sorted, without `gid`.
    pub groups: Vec<u32>,
    /// The user's name; its number where the image has none for it.
    pub name: String,
    /// Its home directory; `/` where the image says none.
    pub home: PathBuf,
}

/// A line of `/etc/passwd`.
struct User {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

/// A line of `/etc/group`.
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

impl Image {
    /// Who its processes run as: `user` or, where that is `None`, the image's own; in both cases
    /// `name`, `uid`, `name:group` or `uid:gid`, empty for root. `groups` are further groups by
    /// name or number. As with Docker, those that list the user in `/etc/group` count unless a
    /// group was given.
    ///
    /// # Errors
    /// When the image has no such user or group, or its files cannot be read.
    pub fn identity(&self, user: Option<&str>, groups: &[String]) -> Result<Identity, Error> {
        let asked = user.unwrap_or(&self.config.user).trim();
        let (asked_user, asked_group) = match asked.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (asked, None),
        };
        let asked_user = if asked_user.is_empty() { "0" } else { asked_user };
        let users = users(&self.read("etc/passwd")?);
        let all_groups = groups_of(&self.read("etc/group")?);
        let user = find_user(&users, asked_user)?;
        let gid = match asked_group {
            Some(group) => find_group(&all_groups, group)?,
            None => user.gid,
        };
        let mut further = Vec::new();
        if asked_group.is_none() {
            let has_user = |group: &&Group| group.members.contains(&user.name);
            further.extend(all_groups.iter().filter(has_user).map(|group| group.gid));
        }
        for group in groups {
            further.push(find_group(&all_groups, group)?);
        }
        further.retain(|other| *other != gid);
        further.sort_unstable();
        further.dedup();
        further.truncate(GROUPS_MAX);
        let home = if user.home.starts_with('/') { user.home } else { "/".to_owned() };
        Ok(Identity { uid: user.uid, gid, groups: further, name: user.name, home: home.into() })
    }

    /// A file of the image as text; empty when there is none.
    fn read(&self, path: &str) -> Result<String, Error> {
        let read = || {
            let Some(path) = find(&self.layers, Path::new(path))? else { return Ok(String::new()) };
            let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
            let file = OpenOptions::new()
                .read(true)
                .custom_flags(i32::try_from(flags).unwrap_or(0))
                .open(path)?;
            if !file.metadata()?.is_file() {
                return Ok(String::new());
            }
            let mut bytes = Vec::new();
            file.take(FILE_LIMIT_BYTES).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().map_err(|source: io::Error| Error::io(format!("read /{path} of the image"), source))
    }
}

fn find_user(users: &[User], asked: &str) -> Result<User, Error> {
    let number: Option<u32> = asked.parse().ok().filter(|uid| *uid != u32::MAX);
    let found = users.iter().find(|user| user.name == asked || Some(user.uid) == number);
    if let Some(User { name, uid, gid, home }) = found {
        return Ok(User { name: name.clone(), uid: *uid, gid: *gid, home: home.clone() });
    }
    let uid = number.ok_or_else(|| Error::UserMissing { kind: "user", name: asked.to_owned() })?;
    let name = if uid == 0 { "root".to_owned() } else { uid.to_string() };
    let home = if uid == 0 { "/root" } else { "/" };
    Ok(User { name, uid, gid: 0, home: home.to_owned() })
}

fn find_group(groups: &[Group], asked: &str) -> Result<u32, Error> {
    let number: Option<u32> = asked.parse().ok().filter(|gid| *gid != u32::MAX);
    let found = groups.iter().find(|group| group.name == asked).map(|group| group.gid);
    found.or(number).ok_or_else(|| Error::UserMissing { kind: "group", name: asked.to_owned() })
}

fn users(text: &str) -> Vec<User> {
    let user = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        let home = fields.get(5).copied().unwrap_or_default().to_owned();
        Some(User { name: fields[0].to_owned(), uid, gid, home })
    };
    text.lines().filter_map(user).collect()
}

fn groups_of(text: &str) -> Vec<Group> {
    let group = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let gid = fields.get(2)?.parse().ok()?;
        let members = fields.get(3).copied().unwrap_or_default();
        let members = members.split(',').map(|name| name.trim().to_owned()).collect();
        Some(Group { name: fields[0].to_owned(), gid, members })
    };
    text.lines().filter_map(group).collect()
}

/// Where the file that processes see at `path` lies, if there is one. `layers` are lowest first.
fn find(layers: &[PathBuf], path: &Path) -> io::Result<Option<PathBuf>> {
    let root: Vec<PathBuf> = layers.iter().rev().cloned().collect();
    let mut ahead: VecDeque<OsString> = path.iter().map(OsStr::to_owned).collect();
    // The directories from the root to here; each is a stack of directories, highest first.
    let mut behind: Vec<Vec<PathBuf>> = Vec::new();
    let mut links = 0;
    while let Some(part) = ahead.pop_front() {
        if part == ".." {
            behind.pop();
            continue;
        }
        let here = behind.last().unwrap_or(&root);
        match look_up(here, &part)? {
            Seen::Nothing => return Ok(None),
            Seen::Directory(stack) => behind.push(stack),
            Seen::Other(path) => {
                let Ok(target) = fs::read_link(&path) else {
                    return Ok(ahead.is_empty().then_some(path));
                };
                links += 1;
                if links > LINKS_MAX {
                    return Ok(None);
                }
                let target = target.into_os_string().into_vec();
                if target.starts_with(b"/") {
                    behind.clear();
                }
                let steps = target.split(|byte| *byte == b'/');
                for step in steps.filter(|step| !matches!(*step, b"" | b".")).rev() {
                    ahead.push_front(OsStr::from_bytes(step).to_owned());
                }
            }
        }
    }
    Ok(None)
}

/// What a name means in a directory that several layers make up.
enum Seen {
    Nothing,
    Directory(Vec<PathBuf>),
    Other(PathBuf),
}

fn look_up(dirs: &[PathBuf], name: &OsStr) -> io::Result<Seen> {
    let mut stack = Vec::new();
    for dir in dirs {
        let path = dir.join(name);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if metadata.is_dir() {
            let mut value = [0; 1];
            let is_opaque = lgetxattr(&path, OPAQUE_XATTR, &mut value) == Ok(1) && value == *b"y";
            stack.push(path);
            if is_opaque {
                break;
            }
        } else if stack.is_empty()
            && !(metadata.file_type().is_char_device() && metadata.rdev() == 0)
        {
            return Ok(Seen::Other(path));
        } else {
            // Deleted, or hidden by the directory above it.
            break;
        }
    }
    Ok(if stack.is_empty() { Seen::Nothing } else { Seen::Directory(stack) })
}
