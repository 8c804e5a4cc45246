//! A driver with a world around it, and what the tests do to servers behind its back.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use databases::{Running, ensure_postgres, stop_postgres};
use engine::{Driver, ExecRequest};
use model::{InstanceId, InstanceState};

use crate::world::{Declared, Steps, World, free_port, new_instance};

/// User ids of stores in tests, one each, so that their processes can be told apart.
static NEXT_UID: AtomicU32 = AtomicU32::new(930_000);

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) steps: Steps,
}

impl Stage {
    pub(crate) fn new(driver: Arc<dyn Driver>, world: World) -> Self {
        Self { world, driver, steps: Steps::default() }
    }

    pub(crate) fn uid(&self) -> u32 {
        if self.driver.isolates_network() {
            NEXT_UID.fetch_add(1, Ordering::Relaxed)
        } else {
            fs::metadata("/proc/self").unwrap().uid()
        }
    }

    pub(crate) fn port(&self, usual: u16) -> u16 {
        if self.driver.isolates_network() { usual } else { free_port() }
    }

    pub(crate) fn declare(&self, name: &str, major: u8) -> Declared {
        Declared::new(name, major, self.uid(), self.port(databases::POSTGRES_PORT))
    }

    pub(crate) async fn try_ensure(
        &self,
        declared: &Declared,
    ) -> Result<Running, databases::Error> {
        let request = declared.request(&self.world);
        ensure_postgres(&self.world.config, &*self.driver, &request, &self.steps).await
    }

    pub(crate) async fn ensure(&self, declared: &Declared) -> Running {
        self.try_ensure(declared).await.map_err(|error| error.problem()).unwrap()
    }

    pub(crate) async fn stop(&self, declared: &Declared) {
        let request = declared.request(&self.world);
        let grace = Duration::from_secs(20);
        stop_postgres(&self.world.config, &*self.driver, &request, grace).await.unwrap();
        self.driver.remove(&declared.instance_id).await.unwrap();
    }

    /// KILL to the server's first process, as the kernel does when memory is short.
    pub(crate) async fn kill(&self, declared: &mut Declared) {
        // Backends change their command line; the first process keeps its own.
        let pid = self.find(declared.uid, "config_file=", declared.id.as_str());
        kill_and_wait(&*self.driver, pid, &declared.instance_id).await;
        declared.instance_id = new_instance();
    }

    /// The process of this user whose command line holds `word`, and where processes share a user
    /// also `own`.
    pub(crate) fn find(&self, uid: u32, word: &str, own: &str) -> u32 {
        let isolated = self.driver.isolates_network();
        let fits = |pid: u32| -> Option<bool> {
            let metadata = fs::metadata(format!("/proc/{pid}")).ok()?;
            let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let line = String::from_utf8_lossy(&bytes);
            let is_server = line.contains(word) && !line.contains("flock");
            Some(metadata.uid() == uid && is_server && (isolated || line.contains(own)))
        };
        let pids = fs::read_dir("/proc").unwrap().flatten();
        let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.find(|pid| fits(*pid) == Some(true)).expect("the server runs")
    }

    /// Runs a command inside and returns its exit code and what it said.
    pub(crate) async fn exec(
        &self,
        declared: &Declared,
        client: databases::Client,
    ) -> (i32, String) {
        let output = tempfile::NamedTempFile::new().unwrap();
        let write = || output.reopen().unwrap().into();
        let stdio = [fs::File::open("/dev/null").unwrap().into(), write(), write()];
        let request = ExecRequest {
            command: client.command,
            cwd: None,
            env: client.env,
            stdio,
            terminal: false,
            time: None,
        };
        let code = self.driver.exec(&declared.instance_id, request).await.unwrap();
        (code, fs::read_to_string(output.path()).unwrap())
    }
}

pub(crate) async fn kill_and_wait(driver: &dyn Driver, pid: u32, id: &InstanceId) {
    assert!(
        Command::new("/bin/kill").args(["-KILL", &pid.to_string()]).status().unwrap().success()
    );
    driver.wait(id).await.unwrap();
    assert!(matches!(driver.observe(id).await, Some(InstanceState::Exited(_))));
}
