//! Cgroups of instances, versions 1 and 2. libcontainer makes them and sets their limits; here they
//! are read, joined and removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::spec::Limits;

/// Where the kernel's cgroup hierarchies are, by convention of every distribution.
pub(crate) const ROOT: &str = "/sys/fs/cgroup";

/// The time over which a limit of processor time is kept: the kernel's default.
const CPU_PERIOD_MICROS: u64 = 100_000;

/// What programs may open of all devices, in the words of cgroup version 1: null, zero, full,
/// random, urandom, tty, console, ptmx and the terminals of its kind. The last is no device: by it
/// older kernels note in an overlay that a file is gone.
const DEVICES: [&str; 10] = [
    "c 1:3 rw",
    "c 1:5 rw",
    "c 1:7 rw",
    "c 1:8 rw",
    "c 1:9 rw",
    "c 5:0 rw",
    "c 5:1 rw",
    "c 5:2 rw",
    "c 136:* rw",
    "c 0:0 m",
];

/// Controllers of version 1 that runtimes read their limits from.
const SHOWN: [&str; 6] = ["blkio", "cpu", "cpuacct", "cpuset", "memory", "pids"];

/// The cgroup hierarchies of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cgroups {
    /// One hierarchy for each controller.
    V1 { hierarchies: Vec<PathBuf> },
    /// One hierarchy.
    V2 { root: PathBuf },
    /// None is mounted.
    Absent,
}

impl Cgroups {
    /// Finds out what is mounted below `root`.
    pub(crate) fn find(root: &Path) -> Self {
        if root.join("cgroup.controllers").exists() {
            return Self::V2 { root: root.to_owned() };
        }
        let Ok(entries) = fs::read_dir(root) else { return Self::Absent };
        let is_hierarchy = |path: &PathBuf| {
            // `cpu` and `cpuacct` are often links to one directory; `unified` is a version 2 tree
            // without controllers beside the others.
            !path.is_symlink()
                && path.join("cgroup.procs").exists()
                && !path.join("cgroup.controllers").exists()
        };
        let mut hierarchies: Vec<_> =
            entries.flatten().map(|entry| entry.path()).filter(is_hierarchy).collect();
        hierarchies.sort();
        if hierarchies.is_empty() { Self::Absent } else { Self::V1 { hierarchies } }
    }

    /// How often the kernel ended a process of this cgroup for want of memory.
    pub(crate) fn out_of_memory_kills(&self, cgroup: &Path) -> u64 {
        let file = match self {
            Self::V1 { .. } => self.in_controller("memory", cgroup, "memory.oom_control"),
            Self::V2 { .. } => self.in_controller("memory", cgroup, "memory.events"),
            Self::Absent => None,
        };
        file.and_then(|file| field(&file, "oom_kill")).unwrap_or(0)
    }

    /// How often a process or thread of this cgroup was refused, because there were too many.
    pub(crate) fn refused_processes(&self, cgroup: &Path) -> u64 {
        let file = self.in_controller("pids", cgroup, "pids.events");
        file.and_then(|file| field(&file, "max")).unwrap_or(0)
    }

    /// Makes a cgroup with these limits of memory and processes. One of the same name that is there
    /// and empty is made anew.
    pub(crate) fn make(&self, cgroup: &Path, limits: &Limits) -> io::Result<()> {
        self.remove(cgroup)?;
        for controller in ["memory", "pids"] {
            let Some(directory) = self.in_controller(controller, cgroup, "") else { continue };
            let parent = directory.parent().unwrap_or(&directory);
            fs::create_dir_all(parent)?;
            if let Self::V2 { root } = self {
                // What is given on already is refused, and that is fine: limits that cannot be set
                // are an error below.
                for above in [root.as_path(), parent] {
                    let _ =
                        fs::write(above.join("cgroup.subtree_control"), format!("+{controller}"));
                }
            }
            fs::create_dir_all(&directory)?;
        }
        let set = |controller: &str, file: &str, value: String| {
            match self.in_controller(controller, cgroup, file) {
                Some(path) if path.exists() => fs::write(path, value),
                // Not every kernel counts swap.
                _ => Ok(()),
            }
        };
        if let Some(bytes) = limits.memory_bytes {
            let (memory, swap, swap_bytes) = match self {
                Self::V1 { .. } => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", bytes),
                Self::V2 { .. } | Self::Absent => ("memory.max", "memory.swap.max", 0),
            };
            set("memory", memory, bytes.to_string())?;
            set("memory", swap, swap_bytes.to_string())?;
        }
        if let Some(count) = limits.pids {
            set("pids", "pids.max", count.to_string())?;
        }
        Ok(())
    }

    /// Memory in use without the page cache that the kernel would give up first, in bytes.
    pub(crate) fn memory_bytes(&self, cgroup: &Path) -> Option<u64> {
        let (usage, inactive) = match self {
            Self::V1 { .. } => ("memory.usage_in_bytes", "total_inactive_file"),
            Self::V2 { .. } => ("memory.current", "inactive_file"),
            Self::Absent => return None,
        };
        let used = fs::read_to_string(self.in_controller("memory", cgroup, usage)?).ok()?;
        let used: u64 = used.trim().parse().ok()?;
        let statistics = self.in_controller("memory", cgroup, "memory.stat")?;
        Some(used.saturating_sub(field(&statistics, inactive).unwrap_or(0)))
    }

    /// Changes how much processor time the processes of a cgroup may use together, in thousandths
    /// of a core; `None` is no limit.
    pub(crate) fn limit_cpu(&self, cgroup: &Path, cpu_millis: Option<u32>) -> io::Result<()> {
        let quota = cpu_millis.map(|millis| u64::from(millis) * CPU_PERIOD_MICROS / 1000);
        let write = |name: &str, text: String| match self.in_controller("cpu", cgroup, name) {
            Some(file) => fs::write(file, text),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        match self {
            Self::V1 { .. } => {
                write("cpu.cfs_period_us", CPU_PERIOD_MICROS.to_string())?;
                write("cpu.cfs_quota_us", quota.map_or("-1".to_owned(), |it| it.to_string()))
            }
            Self::V2 { .. } => {
                let quota = quota.map_or("max".to_owned(), |it| it.to_string());
                write("cpu.max", format!("{quota} {CPU_PERIOD_MICROS}"))
            }
            Self::Absent => Ok(()),
        }
    }

    /// Adds to a new cgroup what libcontainer leaves open: memory that is swapped out counts as
    /// memory, and only the devices that every program may use can be opened. Version 2 knows devices
    /// by programs alone; there, nothing in an instance may make a node of one.
    pub(crate) fn close(&self, cgroup: &Path, memory_bytes: Option<u64>) -> io::Result<()> {
        let write = |controller: &str, name: &str, text: &str| {
            match self.in_controller(controller, cgroup, name) {
                Some(file) if file.exists() => fs::write(file, text),
                // Kernels that do not count swap, and machines without the controller.
                _ => Ok(()),
            }
        };
        if let Some(bytes) = memory_bytes {
            write("memory", "memory.memsw.limit_in_bytes", &bytes.to_string())?;
            write("memory", "memory.swap.max", "0")?;
        }
        write("devices", "devices.deny", "a")?;
        for device in DEVICES {
            match write("devices", "devices.allow", device) {
                // Gable itself may be kept from one of them, and with it all that it runs.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// What an instance is shown below its own `/sys/fs/cgroup`: directories of the host, and the
    /// names by which runtimes look for them. They are there once libcontainer has made the cgroup.
    pub(crate) fn views(&self, cgroup: &Path) -> Vec<(PathBuf, PathBuf)> {
        let relative = cgroup.strip_prefix("/").unwrap_or(cgroup);
        match self {
            Self::V1 { hierarchies } => hierarchies
                .iter()
                .filter_map(|root| Some((root, root.file_name()?.to_str()?)))
                .filter(|(_, name)| name.split(',').all(|one| SHOWN.contains(&one)))
                .flat_map(|(root, name)| {
                    // `cpu,cpuacct` is looked for by each of the two as well.
                    let alone = name.split(',').filter(move |one| *one != name);
                    std::iter::once(name)
                        .chain(alone)
                        .map(|name| (root.join(relative), PathBuf::from(name)))
                })
                .collect(),
            Self::V2 { root } => vec![(root.join(relative), PathBuf::new())],
            Self::Absent => Vec::new(),
        }
    }

    /// Moves the calling process into a cgroup, in every hierarchy that has it.
    pub(crate) fn join(&self, cgroup: &Path) -> io::Result<()> {
        for directory in self.directories(cgroup) {
            if directory.exists() {
                fs::write(directory.join("cgroup.procs"), "0")?;
            }
        }
        Ok(())
    }

    /// Has the kernel prepare for a process that is about to move between cgroups: it waits for a
    /// grace period of some 10 ms before the first move, and not again for moves soon after. A move
    /// of this process to where it is already is as good as any, and changes nothing.
    pub(crate) fn prepare_move(&self) {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let procs = own.lines().find_map(|line| {
            // `4:memory:/path`, and `0::/path` for version 2.
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            match self {
                Self::V1 { .. } if controllers.is_empty() => None,
                Self::V1 { .. } => {
                    let controller = controllers.split(',').next()?;
                    self.in_controller(controller, Path::new(path), "cgroup.procs")
                }
                Self::V2 { .. } if controllers.is_empty() => {
                    self.in_controller("", Path::new(path), "cgroup.procs")
                }
                Self::V2 { .. } | Self::Absent => None,
            }
        });
        if let Some(procs) = procs {
            // Refused where the server may not write to its own cgroup; then starts take longer.
            let _ = fs::write(procs, "0");
        }
    }

    /// Removes a cgroup that has no process any more.
    pub(crate) fn remove(&self, cgroup: &Path) -> io::Result<()> {
        for directory in self.directories(cgroup) {
            match fs::remove_dir(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Names of the cgroups below one, in any hierarchy.
    pub(crate) fn children(&self, cgroup: &Path) -> Vec<String> {
        let mut names: Vec<_> = self
            .directories(cgroup)
            .into_iter()
            .filter_map(|directory| fs::read_dir(directory).ok())
            .flat_map(|entries| entries.flatten())
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Names of the controllers that limits need and that are not there.
    pub(crate) fn missing_controllers(&self) -> Vec<&'static str> {
        const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];
        let present = match self {
            Self::V1 { hierarchies } => hierarchies
                .iter()
                .filter_map(|path| path.file_name()?.to_str())
                .flat_map(|name| name.split(','))
                .map(str::to_owned)
                .collect(),
            Self::V2 { root } => fs::read_to_string(root.join("cgroup.controllers"))
                .map(|text| text.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
            Self::Absent => Vec::new(),
        };
        NEEDED.into_iter().filter(|name| !present.iter().any(|one| one == name)).collect()
    }

    fn directories(&self, cgroup: &Path) -> Vec<PathBuf> {
        let relative = cgroup.strip_prefix("/").unwrap_or(cgroup);
        match self {
            Self::V1 { hierarchies } => {
                hierarchies.iter().map(|root| root.join(relative)).collect()
            }
            Self::V2 { root } => vec![root.join(relative)],
            Self::Absent => Vec::new(),
        }
    }

    fn in_controller(&self, controller: &str, cgroup: &Path, file: &str) -> Option<PathBuf> {
        let relative = cgroup.strip_prefix("/").unwrap_or(cgroup);
        let root = match self {
            Self::V1 { hierarchies } => hierarchies.iter().find(|path| {
                path.file_name()
                    .and_then(|name| name.to_str())
                    .is_some_and(|name| name.split(',').any(|one| one == controller))
            })?,
            Self::V2 { root } => root,
            Self::Absent => return None,
        };
        Some(root.join(relative).join(file))
    }
}

/// A number of a file of lines `name number`.
fn field(file: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_two_is_read_and_removed_on_a_fake_tree() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path();
        fs::write(root.join("cgroup.controllers"), "cpuset cpu io memory\n").unwrap();
        let cgroups = Cgroups::find(root);
        assert_eq!(cgroups, Cgroups::V2 { root: root.to_owned() });
        assert_eq!(cgroups.missing_controllers(), ["pids"]);

        let path = Path::new("/gable-0/ins-1");
        let directory = root.join("gable-0/ins-1");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("memory.events"), "low 0\nhigh 3\noom 2\noom_kill 2\n").unwrap();
        fs::write(directory.join("memory.current"), "5000\n").unwrap();
        fs::write(directory.join("memory.stat"), "anon 1\ninactive_file 1000\n").unwrap();
        assert_eq!(cgroups.out_of_memory_kills(path), 2);
        assert_eq!(cgroups.memory_bytes(path), Some(4000));
        assert_eq!(cgroups.children(Path::new("/gable-0")), ["ins-1"]);

        cgroups.join(path).unwrap();
        assert_eq!(fs::read_to_string(directory.join("cgroup.procs")).unwrap(), "0");
        for file in ["memory.events", "memory.current", "memory.stat", "cgroup.procs"] {
            // The kernel's own files vanish with the directory.
            fs::remove_file(directory.join(file)).unwrap();
        }
        cgroups.remove(path).unwrap();
        assert!(!directory.exists());
        cgroups.remove(path).unwrap();
    }

    #[test]
    fn version_one_has_a_directory_in_each_hierarchy_of_a_fake_tree() {
        let tree = tempfile::tempdir().unwrap();
        for name in ["cpu,cpuacct", "memory", "pids", "unified"] {
            fs::create_dir_all(tree.path().join(name)).unwrap();
            fs::write(tree.path().join(name).join("cgroup.procs"), "").unwrap();
        }
        fs::write(tree.path().join("unified/cgroup.controllers"), "").unwrap();
        let cgroups = Cgroups::find(tree.path());
        assert!(matches!(&cgroups, Cgroups::V1 { hierarchies } if hierarchies.len() == 3));
        assert!(cgroups.missing_controllers().is_empty());
        let memory = tree.path().join("memory/x");
        fs::create_dir(&memory).unwrap();
        fs::write(memory.join("memory.oom_control"), "under_oom 0\noom_kill 1\n").unwrap();
        assert_eq!(cgroups.out_of_memory_kills(Path::new("/x")), 1);
    }

    #[test]
    fn processor_time_is_limited_and_freed_on_fake_trees() {
        let tree = tempfile::tempdir().unwrap();
        let path = Path::new("/x");
        let (one, two) = (tree.path().join("1"), tree.path().join("2"));
        fs::create_dir_all(one.join("cpu,cpuacct/x")).unwrap();
        fs::write(one.join("cpu,cpuacct/cgroup.procs"), "").unwrap();
        fs::create_dir_all(two.join("x")).unwrap();
        fs::write(two.join("cgroup.controllers"), "cpu\n").unwrap();

        let read = |file: PathBuf| fs::read_to_string(file).unwrap();
        let quota = || read(one.join("cpu,cpuacct/x/cpu.cfs_quota_us"));
        Cgroups::find(&one).limit_cpu(path, Some(250)).unwrap();
        assert_eq!(quota(), "25000");
        Cgroups::find(&one).limit_cpu(path, None).unwrap();
        assert_eq!(quota(), "-1");
        Cgroups::find(&two).limit_cpu(path, Some(1500)).unwrap();
        assert_eq!(read(two.join("x/cpu.max")), "150000 100000");
        Cgroups::find(&two).limit_cpu(path, None).unwrap();
        assert_eq!(read(two.join("x/cpu.max")), "max 100000");
    }

    #[test]
    fn what_an_instance_is_shown_is_its_own_cgroup_under_every_usual_name() {
        let tree = tempfile::tempdir().unwrap();
        let path = Path::new("/gable-0/x");
        let (one, two) = (tree.path().join("1"), tree.path().join("2"));
        for name in ["cpu,cpuacct", "memory", "devices", "systemd"] {
            fs::create_dir_all(one.join(name)).unwrap();
            fs::write(one.join(name).join("cgroup.procs"), "").unwrap();
        }
        fs::create_dir_all(&two).unwrap();
        fs::write(two.join("cgroup.controllers"), "cpu memory\n").unwrap();
        let shown: Vec<_> = Cgroups::find(&one)
            .views(path)
            .into_iter()
            .map(|(source, name)| {
                let source = source.strip_prefix(&one).unwrap().display().to_string();
                (source, name.display().to_string())
            })
            .collect();
        let both = "cpu,cpuacct/gable-0/x".to_owned();
        let expected = [(&both, "cpu,cpuacct"), (&both, "cpu"), (&both, "cpuacct")]
            .map(|(source, name)| (source.clone(), name.to_owned()));
        assert_eq!(shown[..3], expected);
        assert_eq!(shown[3..], [("memory/gable-0/x".to_owned(), "memory".to_owned())]);
        assert_eq!(Cgroups::find(&two).views(path), [(two.join("gable-0/x"), PathBuf::new())]);
    }

    #[test]
    fn swap_is_closed_where_the_kernel_counts_it_and_devices_where_it_knows_them() {
        let tree = tempfile::tempdir().unwrap();
        let path = Path::new("/x");
        let (one, two) = (tree.path().join("1"), tree.path().join("2"));
        for (controller, files) in [
            ("memory", &["memory.memsw.limit_in_bytes"][..]),
            ("devices", &["devices.deny", "devices.allow"]),
        ] {
            fs::create_dir_all(one.join(controller).join("x")).unwrap();
            fs::write(one.join(controller).join("cgroup.procs"), "").unwrap();
            files
                .iter()
                .for_each(|file| fs::write(one.join(controller).join("x").join(file), "").unwrap());
        }
        fs::create_dir_all(two.join("x")).unwrap();
        fs::write(two.join("cgroup.controllers"), "memory\n").unwrap();
        fs::write(two.join("x/memory.swap.max"), "max").unwrap();
        let read = |file: PathBuf| fs::read_to_string(file).unwrap();
        Cgroups::find(&one).close(path, Some(4096)).unwrap();
        assert_eq!(read(one.join("memory/x/memory.memsw.limit_in_bytes")), "4096");
        assert_eq!(read(one.join("devices/x/devices.deny")), "a");
        Cgroups::find(&two).close(path, None).unwrap();
        assert_eq!(read(two.join("x/memory.swap.max")), "max", "no limit, no swap to count");
        Cgroups::find(&two).close(path, Some(4096)).unwrap();
        assert_eq!(read(two.join("x/memory.swap.max")), "0");
        // A kernel that counts no swap.
        fs::remove_file(two.join("x/memory.swap.max")).unwrap();
        Cgroups::find(&two).close(path, Some(4096)).unwrap();
        assert!(!two.join("x/memory.swap.max").exists());
    }

    #[test]
    fn a_tree_without_cgroups_is_no_error() {
        let tree = tempfile::tempdir().unwrap();
        assert_eq!(Cgroups::find(tree.path()), Cgroups::Absent);
        assert_eq!(Cgroups::find(&tree.path().join("nowhere")), Cgroups::Absent);
        assert_eq!(Cgroups::Absent.memory_bytes(Path::new("/x")), None);
    }
}
