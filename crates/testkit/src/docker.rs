//! Docker as a peer in benchmarks: an engine of its own, with its own data, bridge and socket, that
//! ends with this value. Nothing of a Docker that this machine runs is touched, and no rule of its
//! firewall is changed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::process;

/// The image that [`Docker::start`] makes: a static shell and nothing else.
pub const IMAGE: &str = "tiny";
const BRIDGE: &str = "gable-peer";
const BRIDGE_ADDRESS: &str = "10.78.111.1/24";
const START_TIME_MAX: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(50);

/// A Docker engine that runs until this is dropped.
pub struct Docker {
    folder: TempDir,
    program: PathBuf,
    daemon: u32,
}

impl Docker {
    /// Starts one; `None` when Docker or a static busybox is not installed.
    ///
    /// # Errors
    /// When it is installed and does not start, with what it said.
    pub fn start() -> Result<Option<Self>> {
        let (Some(program), Some(daemon), Some(busybox)) =
            (find("docker"), find("dockerd"), find("busybox"))
        else {
            return Ok(None);
        };
        let folder = tempfile::Builder::new().prefix("gable-docker-").tempdir()?;
        make_bridge()?;
        let path = |name: &str| folder.path().join(name);
        let log = std::fs::File::create(path("log"))?;
        let process = Command::new(daemon)
            .arg("--data-root")
            .arg(path("data"))
            .arg("--exec-root")
            .arg(path("exec"))
            .arg("--pidfile")
            .arg(path("pid"))
            .arg("--host")
            .arg(format!("unix://{}", path("socket").display()))
            .args(["--bridge", BRIDGE, "--iptables=false", "--ip-masq=false"])
            .args(["--log-level", "error"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("failed to start dockerd")?;
        let docker = Self { folder, program, daemon: process.id() };
        docker.wait()?;
        docker.import(&busybox)?;
        Ok(Some(docker))
    }

    fn wait(&self) -> Result<()> {
        let began = Instant::now();
        while self.run(["version"]).is_err() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            ensure!(began.elapsed() < START_TIME_MAX, "dockerd does not answer: {log}");
            std::thread::sleep(POLL_EVERY);
        }
        Ok(())
    }

    /// An image of one static program under the names that are used here.
    fn import(&self, busybox: &Path) -> Result<()> {
        let root = self.folder.path().join("root");
        let bin = root.join("bin");
        std::fs::create_dir_all(&bin)?;
        std::fs::copy(busybox, bin.join("busybox"))?;
        for name in ["sh", "true", "sleep"] {
            std::os::unix::fs::symlink("busybox", bin.join(name))?;
        }
        let archive = self.folder.path().join("root.tar");
        let tar =
            Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status()?;
        ensure!(tar.success(), "tar failed");
        self.run([OsStr::new("import"), archive.as_os_str(), OsStr::new(IMAGE)]).map(drop)
    }

    /// The directory that the image was made of: a layer for whoever runs it otherwise.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Runs the command-line client, and returns what it printed.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        let output = Command::new(&self.program)
            .env("DOCKER_HOST", format!("unix://{}", self.folder.path().join("socket").display()))
            .env("DOCKER_CONFIG", self.folder.path())
            .args(arguments)
            .output()?;
        ensure!(output.status.success(), "docker: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Memory of the engine's own processes in bytes: daemon, containerd, and one shim for each
    /// container. Pages that several share count in parts.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let mark = self.folder.path().display().to_string();
        process::carrying(&mark)
            .into_iter()
            .filter(|id| process::arguments(*id).is_some_and(|arguments| arguments.contains(&mark)))
            .filter_map(process::memory_bytes)
            .sum()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if let Ok(ids) = self.run(["ps", "--quiet", "--no-trunc"])
            && !ids.is_empty()
        {
            drop(self.run(["kill"].into_iter().chain(ids.lines())));
        }
        process::end(&[self.daemon]);
        process::end(&process::carrying(&self.folder.path().display().to_string()));
        process::unmount_below(self.folder.path());
        drop(Command::new("ip").args(["link", "delete", BRIDGE]).stderr(Stdio::null()).status());
    }
}

fn make_bridge() -> Result<()> {
    let ip = |arguments: &[&str]| -> Result<()> {
        let output = Command::new("ip").args(arguments).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() || said.contains("exists"), "ip: {said}");
        Ok(())
    };
    ip(&["link", "add", BRIDGE, "type", "bridge"])?;
    ip(&["address", "add", BRIDGE_ADDRESS, "dev", BRIDGE])?;
    ip(&["link", "set", BRIDGE, "up"])
}

fn find(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/bin", "/sbin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
}
