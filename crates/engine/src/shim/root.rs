//! What an instance sees as `/`.
//!
//! The base is mounted here, in the shim's own mount namespace, where every path is fresh. What is
//! mounted on top of it at places that the user names is left to libcontainer, which resolves them
//! inside the root whatever links they hold.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use serde_json::{Value, json};

use crate::order::{Link, Order};
use crate::shim::etc::{Own, SHARED};
use crate::shim::inside::{Inside, path_of};
use crate::shim::overlay::{self, Overlay};
use crate::shim::{Doing, Refusal, volumes};
use crate::spec::{Mount, PlacedFile, Root, TOOLS_DIR};
use crate::sys;

/// A root that is ready for libcontainer: the directory `root` of the instance's own.
pub(super) struct Prepared {
    pub(super) is_read_only: bool,
    /// Mounts on top of it, in the words of the OCI runtime specification.
    pub(super) mounts: Vec<Value>,
}

/// Directories of programs and libraries. Most are links into `/usr` on present systems.
const USERLAND: [&str; 7] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr"];
/// Directories that are there, empty, to be mounted on or because programs expect them.
const EMPTY: [&str; 14] = [
    "dev",
    "etc",
    "home",
    "mnt",
    "opt",
    "proc",
    "run",
    "srv",
    "sys",
    "tmp",
    "var",
    "var/cache",
    "var/lib",
    "var/log",
];
/// Names in `/opt` that are Gable's.
const OWN_OPT: [&str; 2] = ["gable", "render"];

/// Builds the root of an instance below its directory.
pub(super) fn prepare(
    directory: &Path,
    order: &Order,
    link: &Link,
    more_etc: &[String],
) -> Result<Prepared, Refusal> {
    let root = directory.join("root");
    let workshop = Workshop { directory, order };
    let own = Own {
        hostname: &order.spec.hostname,
        user: &order.spec.user,
        address: link.address,
        gateway: link.gateway,
        extra_hosts: &order.spec.container.extra_hosts,
    };
    fs::create_dir_all(&root).doing(|| "make the root directory".to_owned())?;
    let mut mounts = Vec::new();
    let is_read_only = match &order.spec.root {
        Root::HostUserland => {
            build_userland(&root, &own, more_etc)
                .doing(|| "put together the root from the host's userland".to_owned())?;
            true
        }
        Root::Layers(layers) => {
            let lower = layers.iter().rev().map(PathBuf::as_path).collect();
            workshop.overlay("root", lower, &root, 0)?;
            for (name, text) in own.network_files() {
                let target = Path::new("/etc").join(name);
                let file = PlacedFile::readable(&target, text);
                mounts.push(bind(&workshop.file(name, &file)?, &target, true));
            }
            order.spec.container.is_read_only
        }
    };
    if matches!(order.spec.root, Root::HostUserland) {
        mounts.extend(workshop.writable_places()?);
    }
    mounts.extend(workshop.mounts()?);
    if matches!(order.spec.root, Root::Layers(_)) {
        workshop
            .make_cwd()
            .doing(|| format!("make the working directory {}", order.spec.cwd.display()))?;
    }
    Ok(Prepared { is_read_only, mounts })
}

fn build_userland(root: &Path, own: &Own<'_>, more_etc: &[String]) -> io::Result<()> {
    for name in EMPTY {
        make_directory(&root.join(name), 0o755)?;
    }
    make_directory(&root.join("root"), 0o700)?;
    symlink("/tmp", root.join("var/tmp"))?;
    symlink("/run", root.join("var/run"))?;
    for name in USERLAND {
        show(&Path::new("/").join(name), &root.join(name))?;
    }
    for entry in fs::read_dir("/opt").into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !OWN_OPT.iter().any(|own| name == *own) {
            show(&entry.path(), &root.join("opt").join(&name))?;
        }
    }
    build_tools(&root.join(TOOLS_DIR.trim_start_matches('/')))?;
    let etc = root.join("etc");
    for name in SHARED.iter().copied().chain(more_etc.iter().map(String::as_str)) {
        show_etc(name, &etc)?;
    }
    own.write(&etc)
}

/// Names that users type and the host does not have.
fn build_tools(tools: &Path) -> io::Result<()> {
    fs::create_dir_all(tools)?;
    let host = ["/usr/local/bin", "/usr/bin", "/bin"];
    let find = |name: &str| host.iter().map(|d| Path::new(d).join(name)).find(|p| p.exists());
    for (alias, program) in [("python", "python3"), ("pip", "pip3")] {
        if let (None, Some(target)) = (find(alias), find(program)) {
            symlink(target, tools.join(alias))?;
        }
    }
    Ok(())
}

fn show_etc(pattern: &str, etc: &Path) -> io::Result<()> {
    let Some(prefix) = pattern.strip_suffix('*') else {
        let target = etc.join(pattern);
        if let Some(parent) = target.parent() {
            // The parent of `ssl/certs` is made only where the host has it.
            if Path::new("/etc").join(pattern).exists() {
                fs::create_dir_all(parent)?;
            }
        }
        return show(&Path::new("/etc").join(pattern), &target);
    };
    for entry in fs::read_dir("/etc")?.flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(prefix)) {
            show(&entry.path(), &etc.join(&name))?;
        }
    }
    Ok(())
}

/// Makes something of the host's visible, read-only: links as links, the rest by a bind mount.
/// What the host does not have is left out.
fn show(source: &Path, target: &Path) -> io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(source) else { return Ok(()) };
    if metadata.is_symlink() {
        let link = fs::read_link(source)?;
        return match symlink(link, target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        };
    }
    if metadata.is_dir() {
        make_directory(target, 0o755)?;
    } else if metadata.is_file() {
        fs::write(target, "")?;
    } else {
        return Ok(());
    }
    bind_here(source, target)?;
    sys::make_read_only(target)?;
    Ok(())
}

fn bind_here(source: &Path, target: &Path) -> nix::Result<()> {
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
}

/// Makes the places of one instance: its own files, overlays and writable directories.
struct Workshop<'a> {
    directory: &'a Path,
    order: &'a Order,
}

impl Workshop<'_> {
    /// Places that every instance with the host's userland may write to. They are on the disk:
    /// memory is for programs.
    fn writable_places(&self) -> Result<Vec<Value>, Refusal> {
        let user = &self.order.spec.user;
        let temporary = self.scratch("tmp", user.uid, user.gid)?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o1777))
            .doing(|| "open the private /tmp".to_owned())?;
        let mut mounts = vec![
            bind(&temporary, Path::new("/tmp"), false),
            bind(&self.scratch("run", user.uid, user.gid)?, Path::new("/run"), false),
        ];
        let is_covered = |home: &Path| {
            home.parent().is_none()
                || self.order.spec.mounts.iter().any(|mount| mount.target() == home)
        };
        if !is_covered(&user.home) {
            mounts.push(bind(&self.scratch("home", user.uid, user.gid)?, &user.home, false));
        }
        Ok(mounts)
    }

    fn mounts(&self) -> Result<Vec<Value>, Refusal> {
        let spec = &self.order.spec;
        let mut mounts = Vec::new();
        for (number, mount) in spec.mounts.iter().enumerate() {
            self.prepare_mount(number, mount)?;
            let read_only = matches!(
                mount,
                Mount::Bind { read_only: true, .. }
                    | Mount::Volume { read_only: true, .. }
                    | Mount::Part { read_only: true, .. }
                    | Mount::Image { .. }
            );
            mounts.push(match (self.place(number, mount), mount) {
                (Some(source), _) => bind(&source, mount.target(), read_only),
                (None, Mount::Tmpfs { target, size_bytes }) => tmpfs(target, *size_bytes),
                (None, _) => continue,
            });
        }
        for (number, file) in spec.files.iter().enumerate() {
            let source = self.file(&format!("file-{number}"), file)?;
            mounts.push(bind(&source, &file.target, true));
        }
        Ok(mounts)
    }

    /// The directory or file of the host that an instance sees at a mount; none for memory.
    fn place(&self, number: usize, mount: &Mount) -> Option<PathBuf> {
        Some(match mount {
            Mount::Bind { source, .. } | Mount::Volume { source, .. } => source.clone(),
            Mount::Part { .. } | Mount::Image { subpath: Some(_), .. } => {
                self.directory.join("mounts").join(format!("part-{number}"))
            }
            Mount::Image { .. } => self.directory.join("mounts").join(format!("image-{number}")),
            Mount::Scratch { .. } => self.order.scratch.join(format!("scratch-{number}")),
            Mount::Overlay { .. } => {
                self.directory.join("mounts").join(format!("overlay-{number}"))
            }
            Mount::Tmpfs { .. } => return None,
        })
    }

    fn prepare_mount(&self, number: usize, mount: &Mount) -> Result<(), Refusal> {
        let user = &self.order.spec.user;
        match mount {
            Mount::Bind { source, .. } => {
                fs::metadata(source).doing(|| format!("mount {}", source.display()))?;
            }
            Mount::Volume { source, target, .. } => {
                fs::metadata(source).doing(|| format!("mount {}", source.display()))?;
                if matches!(self.order.spec.root, Root::Layers(_)) {
                    volumes::fill(&self.directory.join("root"), target, source)
                        .doing(|| format!("fill the volume at {}", target.display()))?;
                }
            }
            Mount::Part { volume, subpath, .. } => {
                let place = self.place(number, mount).unwrap_or_default();
                mount_part(volume, subpath, &place)
                    .doing(|| format!("mount `{}` of a volume", subpath.display()))
                    .map_err(|refusal| Refusal { is_the_specs: true, ..refusal })?;
            }
            Mount::Image { layers, subpath, target } => {
                let name = format!("image-{number}");
                let whole = self.directory.join("mounts").join(&name);
                fs::create_dir_all(&whole).doing(|| "make a mount point".to_owned())?;
                let layers = layers.iter().rev().map(PathBuf::as_path).collect();
                self.overlay(&name, layers, &whole, 0)?;
                if let Some(subpath) = subpath {
                    let place = self.place(number, mount).unwrap_or_default();
                    mount_part(&whole, subpath, &place).doing(|| {
                        format!(
                            "mount `{}` of the image at {}",
                            subpath.display(),
                            target.display()
                        )
                    })?;
                }
            }
            Mount::Scratch { .. } => {
                self.scratch(&format!("scratch-{number}"), user.uid, user.gid)?;
            }
            Mount::Overlay { lower, .. } => {
                let name = format!("overlay-{number}");
                let merged = self.directory.join("mounts").join(&name);
                fs::create_dir_all(&merged).doing(|| "make a mount point".to_owned())?;
                self.overlay(&name, vec![lower], &merged, user.uid)?;
            }
            Mount::Tmpfs { .. } => {}
        }
        Ok(())
    }

    /// Images may name a working directory that they do not have.
    fn make_cwd(&self) -> io::Result<()> {
        let spec = &self.order.spec;
        let covering = spec
            .mounts
            .iter()
            .enumerate()
            .filter(|(_, mount)| spec.cwd.starts_with(mount.target()))
            .max_by_key(|(number, mount)| (mount.target().components().count(), *number));
        let (place, rest) = match covering {
            None => (self.directory.join("root"), spec.cwd.as_path()),
            Some((number, mount)) => match self.place(number, mount) {
                Some(place) => (place, spec.cwd.strip_prefix(mount.target()).unwrap_or(&spec.cwd)),
                // Memory that is not there yet: only its own directory can be worked in.
                None => return Ok(()),
            },
        };
        if rest.as_os_str().is_empty() {
            return Ok(());
        }
        Ok(Inside::of(&place)?.make_directories(rest)?)
    }

    /// An empty directory on the disk that ends with the instance.
    fn scratch(&self, name: &str, uid: u32, gid: u32) -> Result<PathBuf, Refusal> {
        let path = self.order.scratch.join(name);
        make_directory(&path, 0o755)
            .and_then(|()| chown(&path, Some(uid), Some(gid)))
            .doing(|| format!("make the directory {}", path.display()))?;
        Ok(path)
    }

    /// A small file in memory that its user can read.
    fn file(&self, name: &str, file: &PlacedFile) -> Result<PathBuf, Refusal> {
        let path = self.directory.join("files").join(name);
        let user = &self.order.spec.user;
        fs::create_dir_all(self.directory.join("files"))
            .and_then(|()| fs::write(&path, &file.text))
            .and_then(|()| chown(&path, Some(user.uid), Some(user.gid)))
            .and_then(|()| {
                fs::set_permissions(&path, fs::Permissions::from_mode(file.mode & 0o777))
            })
            .doing(|| format!("write the file {}", file.target.display()))?;
        Ok(path)
    }

    /// A writable view of directories, topmost first.
    fn overlay(&self, name: &str, lower: Vec<&Path>, at: &Path, owner: u32) -> Result<(), Refusal> {
        let listed = overlay::listed(&lower);
        let upper = self.scratch(&format!("{name}-upper"), owner, owner)?;
        let work = self.scratch(&format!("{name}-work"), 0, 0)?;
        Overlay { lower, upper: &upper, work: &work }
            .mount(at, &overlay::names(self.directory, name))
            .doing(|| format!("mount a writable view of {listed}"))
    }
}

/// Makes a part of a volume visible at a place of ours. What is mounted is what was found, whatever
/// other instances make of its name meanwhile.
fn mount_part(volume: &Path, subpath: &Path, place: &Path) -> io::Result<()> {
    let found = Inside::of(volume)?.entry(subpath)?.ok_or_else(|| {
        io::Error::other("the volume has nothing there; what writes it has to start first")
    })?;
    let source = path_of(&found);
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    if fs::metadata(&source)?.is_dir() {
        make_directory(place, 0o755)?;
    } else {
        fs::write(place, "")?;
    }
    let flags = MsFlags::MS_BIND;
    Ok(mount(Some(&source), place, None::<&str>, flags, None::<&str>)?)
}

fn tmpfs(target: &Path, size_bytes: Option<u64>) -> Value {
    let mut options: Vec<String> =
        ["nosuid", "nodev", "noexec", "mode=1777"].map(str::to_owned).to_vec();
    options.extend(size_bytes.map(|bytes| format!("size={bytes}")));
    json!({ "destination": target, "type": "tmpfs", "source": "tmpfs", "options": options })
}

fn bind(source: &Path, target: &Path, read_only: bool) -> Value {
    let mut options = vec!["rbind", "nosuid", "nodev"];
    if read_only {
        options.push("rro");
    }
    json!({ "destination": target, "type": "bind", "source": source, "options": options })
}

fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}
