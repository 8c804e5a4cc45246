//! `volumes` and `tmpfs`.

use model::{Image, Volume, VolumeSource};

use crate::code::Code;

use super::compile::Project;
use super::node::View;
use super::paths::Location;
use super::reader::Reader;
use super::scalars::{parse_bytes, written_node};

/// Most mounts of one service.
const COUNT_LIMIT: usize = 500;
/// Files of the host that only tell the time zone.
const TIME_ZONE: &[&str] = &["/etc/localtime", "/etc/timezone", "/usr/share/zoneinfo"];
/// Where Docker's daemon listens.
const DOCKER_SOCKETS: &[&str] = &["/var/run/docker.sock", "/run/docker.sock"];

/// A mount with its parts as text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mount {
    kind: Kind,
    source: String,
    pub(crate) target: String,
    is_read_only: bool,
    tmpfs_bytes: Option<u64>,
    subpath: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Named,
    Anonymous,
    Bind,
    Image,
    Tmpfs,
}

impl Reader<'_> {
    /// Everything that is mounted, in file order; of mounts at one place the last one counts.
    pub(crate) fn volumes(&mut self, project: &Project<'_>, service: &View<'_>) -> Vec<Volume> {
        let mut volumes: Vec<Volume> = Vec::new();
        let mut add = |volume: Volume| {
            let same = |known: &&mut Volume| {
                known.target.trim_end_matches('/') == volume.target.trim_end_matches('/')
            };
            match volumes.iter_mut().find(same) {
                Some(known) => *known = volume,
                None => volumes.push(volume),
            }
        };
        for (other, is_read_only) in self.volumes_from(project, service) {
            for (item, mount) in self.mounts(&other).into_iter().take(COUNT_LIMIT) {
                if let Some(mut volume) = self.volume(project, &item, mount) {
                    volume.is_read_only |= is_read_only;
                    add(volume);
                }
            }
        }
        let own = self.mounts(service);
        if let Some((item, _)) = own.get(COUNT_LIMIT) {
            let message = format!("a service mounts {COUNT_LIMIT} things at most");
            self.bad(item, message, "mount what is needed");
            return Vec::new();
        }
        for (item, mount) in own {
            if let Some(volume) = self.volume(project, &item, mount) {
                add(volume);
            }
        }
        if let Some(view) = service.get("tmpfs") {
            for text in self.texts(&view) {
                add(tmpfs(&text));
            }
        }
        volumes
    }

    fn volumes_from<'n>(
        &mut self,
        project: &Project<'n>,
        service: &View<'n>,
    ) -> Vec<(View<'n>, bool)> {
        let Some(view) = service.get("volumes_from") else { return Vec::new() };
        let mut others = Vec::new();
        for text in self.texts(&view).into_iter().take(COUNT_LIMIT) {
            let (name, mode) = text.split_once(':').unwrap_or((&text, "rw"));
            let other = project.active.iter().find(|(known, _)| *known == name);
            others.extend(other.map(|(_, view)| (view.clone(), mode == "ro")));
        }
        others
    }

    /// The entries of `volumes`, each with what it says.
    pub(crate) fn mounts<'n>(&mut self, service: &View<'n>) -> Vec<(View<'n>, Mount)> {
        let Some(view) = service.get("volumes") else { return Vec::new() };
        if view.node.list().is_none() {
            self.shape(&view, "a list");
            return Vec::new();
        }
        let mut mounts = Vec::new();
        for item in view.items() {
            let mount = match item.node.scalar() {
                Some(scalar) => self.short_mount(&item, &scalar.text),
                None => self.long_mount(&item),
            };
            let Some(mount) = mount else { continue };
            if mount.target.starts_with('/') {
                mounts.push((item, mount));
            } else {
                let message = format!(
                    "`{}` does not say where the container sees it",
                    written_node(item.node)
                );
                self.bad(&item, message, "write `source:/path/in/the/container`");
            }
        }
        mounts
    }

    /// `[source:]target[:mode]`.
    fn short_mount(&mut self, view: &View<'_>, text: &str) -> Option<Mount> {
        if text.trim_start().starts_with(':') && self.blames_unset(view, "the mount has no source")
        {
            return None;
        }
        let parts = split(text.trim());
        let (source, target, mode) = match parts.as_slice() {
            [target] => ("", *target, ""),
            [source, target] if target.starts_with('/') => (*source, *target, ""),
            [target, mode] if target.starts_with('/') => ("", *target, *mode),
            [source, target, mode] => (*source, *target, *mode),
            _ => ("", "", ""),
        };
        let mut kind = kind_of(source);
        let mut source = source.to_owned();
        if kind == Kind::Named && source.contains('/') {
            let message = format!("`{}` names a directory; read as `./{0}`", written_source(view));
            self.add(Code::ValueSpelling, &view.node.at, &view.path, message)
                .hint("let a path of the project begin with `./`");
            source.insert_str(0, "./");
            kind = Kind::Bind;
        }
        let modes: Vec<&str> = mode.split(',').collect();
        let is_label = |mode: &&str| !matches!(*mode, "" | "ro" | "rw");
        if modes.iter().any(is_label) {
            let message =
                "`volumes`: of the options behind a mount, only `ro` and `rw` mean something here";
            self.group(Code::FieldNotApplicable, &view.node.at, &view.path, message.to_owned());
        }
        Some(Mount {
            kind,
            source,
            target: target.to_owned(),
            is_read_only: modes.contains(&"ro"),
            tmpfs_bytes: None,
            subpath: None,
        })
    }

    fn long_mount(&mut self, view: &View<'_>) -> Option<Mount> {
        if view.node.map().is_none() {
            self.shape(view, "a text or a mapping");
            return None;
        }
        let mut part = |key| view.get(key).and_then(|view| self.text(&view)).unwrap_or_default();
        let (type_, source, target) = (part("type"), part("source"), part("target"));
        let kind = match type_.as_str() {
            "bind" => Kind::Bind,
            "tmpfs" => Kind::Tmpfs,
            "image" => Kind::Image,
            "volume" | "" if source.is_empty() => Kind::Anonymous,
            "volume" => Kind::Named,
            "" => kind_of(&source),
            other => {
                let message = format!(
                    "`volumes`: mounts of type `{}` do not exist here",
                    if is_word(other) { other } else { "…" }
                );
                self.add(Code::FieldRefused, &view.node.at, &view.path, message)
                    .hint("mount a volume or a directory of the project");
                return None;
            }
        };
        let read_only = view.get("read_only").and_then(|view| self.boolean(&view));
        let size = view.get("tmpfs").and_then(|view| view.get("size"));
        Some(Mount {
            kind,
            source,
            target,
            is_read_only: read_only.unwrap_or_default(),
            tmpfs_bytes: size.and_then(|view| self.bytes(&view)),
            subpath: self.subpath(view, kind),
        })
    }

    /// The part of a volume that is asked for. Docker refuses the same.
    fn subpath(&mut self, view: &View<'_>, kind: Kind) -> Option<String> {
        let section = if kind == Kind::Image { "image" } else { "volume" };
        let part = view.get(section).and_then(|view| view.get("subpath"))?;
        let text = self.text(&part)?;
        let leads_out = text.starts_with('/') || text.split('/').any(|name| name == "..");
        let has_parts = matches!(kind, Kind::Named | Kind::Image);
        if !has_parts || leads_out {
            let message = match kind {
                Kind::Named | Kind::Image => "a part of a volume lies inside it".to_owned(),
                _ => "only a named volume has parts to mount".to_owned(),
            };
            self.bad(
                &part,
                message,
                "write the path relative to a volume with a name: `sub/directory`",
            );
            return None;
        }
        Some(text).filter(|text| !text.is_empty())
    }

    fn volume(&mut self, project: &Project<'_>, view: &View<'_>, mount: Mount) -> Option<Volume> {
        let source = match mount.kind {
            Kind::Anonymous => VolumeSource::Anonymous,
            Kind::Tmpfs => VolumeSource::Tmpfs { size_bytes: mount.tmpfs_bytes },
            Kind::Bind => {
                let source = self.bind(view, &mount.source)?;
                if matches!(source, VolumeSource::Project(_)) && !mount.is_read_only {
                    let message = "`volumes`: files of the project are those of the release; what an instance writes there ends with it".to_owned();
                    self.group(Code::FieldTranslated, &view.node.at, &view.path, message);
                }
                source
            }
            Kind::Image => self.image_volume(view, mount.source)?,
            Kind::Named => self.named(project, view, &mount.source)?,
        };
        let is_read_only = mount.is_read_only || mount.kind == Kind::Image;
        Some(Volume { source, target: mount.target, is_read_only, subpath: mount.subpath })
    }

    /// What an image holds.
    fn image_volume(&mut self, view: &View<'_>, url: String) -> Option<VolumeSource> {
        if url.is_empty() {
            let message = "a mount of type `image` names no image".to_owned();
            self.bad(view, message, "add `source: name:tag`");
            return None;
        }
        Some(VolumeSource::Image(Image {
            url,
            digest: None,
            platform: None,
            registry_credential: None,
        }))
    }

    /// A volume that the file declares.
    fn named(
        &mut self,
        project: &Project<'_>,
        view: &View<'_>,
        name: &str,
    ) -> Option<VolumeSource> {
        let Some(declared) = project.declared("volumes", name) else {
            let known = project.names("volumes");
            let (path, at) = (view.path.clone(), view.node.at.clone());
            self.not_declared(
                &at,
                &path,
                ("volume", &written_name(view, name)),
                ("volumes", &known),
            );
            return None;
        };
        let per_replica = declared.as_ref().and_then(|view| view.get("x-per-replica"));
        if per_replica.and_then(|view| self.boolean(&view)) == Some(true) {
            return Some(VolumeSource::PerReplica(name.to_owned()));
        }
        let options = declared.and_then(|view| view.get("driver_opts"));
        let Some(options) = options else { return Some(VolumeSource::Named(name.to_owned())) };
        let mut option =
            |key| options.get(key).and_then(|view| self.text(&view)).unwrap_or_default();
        let (type_, flags) = (option("type"), option("o"));
        if type_ == "tmpfs" {
            return Some(VolumeSource::Tmpfs { size_bytes: None });
        }
        let is_bind = flags.split(',').any(|flag| matches!(flag, "bind" | "rbind"));
        match options.get("device") {
            Some(device) if is_bind => {
                let path = self.text(&device)?;
                self.bind(&device, &path)
            }
            _ => Some(VolumeSource::Named(name.to_owned())),
        }
    }

    /// A file or directory of the project; of the host, where the operator allows it.
    pub(crate) fn bind(&mut self, view: &View<'_>, path: &str) -> Option<VolumeSource> {
        let outside = match self.locate(&view.node.at, path) {
            Location::Inside(path) => return Some(VolumeSource::Project(path)),
            Location::Outside(absolute) => absolute,
        };
        let is_at = |places: &[&str]| outside.as_deref().is_some_and(|path| places.contains(&path));
        if is_at(TIME_ZONE) {
            let message = "the host's time zone is not mounted: instances run in UTC unless `TZ` says otherwise";
            self.group(Code::FieldNotApplicable, &view.node.at, &view.path, message.to_owned());
            return None;
        }
        if self.input.allow_host_paths
            && let Some(path) = outside
        {
            return Some(VolumeSource::Host(path));
        }
        if is_at(DOCKER_SOCKETS) {
            let message =
                "the socket of Docker's daemon cannot be mounted: there is no such daemon here";
            self.add(Code::HostPath, &view.node.at, &view.path, message.to_owned())
                .hint("remove the service if it exists to manage containers; Gable's edge routes and its own commands show what runs. If Docker runs beside Gable, `--allow-host-paths` mounts its socket");
            return None;
        }
        let message = "a bind of a path of the host that lies outside the project".to_owned();
        self.add(Code::HostPath, &view.node.at, &view.path, message).hint(
            "use a named volume or a path of the project, or allow it with `--allow-host-paths`",
        );
        None
    }
}

/// A memory file system in the short form: `/path[:options]`.
fn tmpfs(text: &str) -> Volume {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let size = options.split(',').find_map(|option| option.strip_prefix("size="));
    Volume {
        source: VolumeSource::Tmpfs { size_bytes: size.and_then(parse_bytes) },
        target: target.to_owned(),
        is_read_only: options.split(',').any(|option| option == "ro"),
        subpath: None,
    }
}

/// Splits at colons, but not behind the letter of a Windows drive.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(':') {
        let is_drive = at == start + 1
            && text.as_bytes()[start].is_ascii_alphabetic()
            && text.as_bytes().get(at + 1).is_some_and(|byte| matches!(byte, b'\\'));
        if !is_drive {
            parts.push(&text[start..at]);
            start = at + 1;
        }
    }
    parts.push(&text[start..]);
    parts
}

fn kind_of(source: &str) -> Kind {
    if source.is_empty() {
        Kind::Anonymous
    } else if source.starts_with(['.', '/', '~', '\\']) || source.contains(":\\") {
        Kind::Bind
    } else {
        Kind::Named
    }
}

fn is_word(text: &str) -> bool {
    text.len() < 20 && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// The source of a short mount as the author wrote it.
fn written_source(view: &View<'_>) -> String {
    let text = written_node(view.node);
    text.split(':').next().unwrap_or_default().to_owned()
}

/// A volume's name; as the author wrote it where variables are in it.
fn written_name(view: &View<'_>, name: &str) -> String {
    let scalar = view.node.scalar();
    if scalar.is_some_and(|scalar| scalar.written.is_some()) {
        written_source(view)
    } else {
        name.to_owned()
    }
}

impl Mount {
    /// The path of the project or host that it binds.
    pub(crate) fn bound(&self) -> Option<&str> {
        (self.kind == Kind::Bind).then_some(self.source.as_str())
    }
}
