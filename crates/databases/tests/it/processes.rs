//! A driver of plain processes, for the path without namespaces: loopback, host paths, our user.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use engine::{Driver, Error, ExecRequest, InstanceSpec, Listener, Network, Seen};
use model::{EnvironmentId, Exit, InstanceId, InstanceState};
use tokio::process::{Child, Command};
use tokio::sync::watch;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What is known of each instance.
#[derive(Default)]
pub(crate) struct Processes {
    known: Mutex<HashMap<InstanceId, Known>>,
}

#[derive(Clone)]
struct Known {
    pid: u32,
    env: Vec<(String, String)>,
    state: watch::Receiver<InstanceState>,
}

impl Processes {
    fn known(&self, id: &InstanceId) -> Result<Known, Error> {
        let known = self.known.lock().unwrap().get(id).cloned();
        known.ok_or_else(|| Error::NotFound(id.clone()))
    }
}

/// A signal to every process of an instance.
fn signal(pid: u32, name: &str) {
    let status = std::process::Command::new("/bin/kill")
        .args([&format!("-{name}"), "--", &format!("-{pid}")])
        .stderr(Stdio::null())
        .status();
    assert!(status.is_ok());
}

fn exit_of(status: ExitStatus) -> Exit {
    Exit {
        code: status.code(),
        signal: status.signal(),
        out_of_memory: false,
        limit: None,
        start_error: None,
        at: jiff::Timestamp::UNIX_EPOCH,
    }
}

#[async_trait::async_trait]
impl Driver for Processes {
    fn isolates_network(&self) -> bool {
        false
    }

    async fn ensure_network(&self, _: &EnvironmentId) -> Result<Network, Error> {
        Ok(Network { gateway: LOOPBACK })
    }

    async fn remove_network(&self, _: &EnvironmentId) -> Result<(), Error> {
        Ok(())
    }

    async fn start(&self, spec: &InstanceSpec) -> Result<InstanceState, Error> {
        if let Some(state) = self.observe(&spec.id).await {
            return Ok(state);
        }
        assert!(spec.mounts.is_empty(), "plain processes have no mounts: {:?}", spec.mounts);
        fs::create_dir_all(spec.log.parent().unwrap()).unwrap();
        let log = fs::File::create(&spec.log).unwrap();
        let mut child: Child = Command::new(&spec.command[0])
            .args(&spec.command[1..])
            .env_clear()
            .envs(spec.env.clone())
            .current_dir(&spec.cwd)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| Error::Host { doing: format!("run {}", spec.command[0]), source })?;
        let running =
            InstanceState::Running { address: LOOPBACK, started_at: jiff::Timestamp::UNIX_EPOCH };
        let (sender, state) = watch::channel(running.clone());
        let known = Known { pid: child.id().unwrap(), env: spec.env.clone(), state };
        self.known.lock().unwrap().insert(spec.id.clone(), known);
        tokio::spawn(async move {
            let exit = exit_of(child.wait().await.unwrap());
            sender.send_replace(InstanceState::Exited(exit));
        });
        Ok(running)
    }

    async fn recover(&self) -> Result<Vec<Seen>, Error> {
        Ok(Vec::new())
    }

    async fn observe(&self, id: &InstanceId) -> Option<InstanceState> {
        Some(self.known(id).ok()?.state.borrow().clone())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    async fn wait(&self, id: &InstanceId) -> Result<Exit, Error> {
        let mut state = self.known(id)?.state;
        let ended = state.wait_for(|state| matches!(state, InstanceState::Exited(_))).await;
        match ended.map(|state| state.clone()) {
            Ok(InstanceState::Exited(exit)) => Ok(exit),
            other => unreachable!("{other:?}"),
        }
    }

    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), Error> {
        let known = self.known(id)?;
        if matches!(*known.state.borrow(), InstanceState::Exited(_)) {
            return Ok(());
        }
        signal(known.pid, "TERM");
        if tokio::time::timeout(grace, self.wait(id)).await.is_err() {
            signal(known.pid, "KILL");
        }
        self.wait(id).await.map(drop)
    }

    async fn input(&self, id: &InstanceId) -> Result<std::os::fd::OwnedFd, Error> {
        Err(Error::NotRunning(id.clone()))
    }

    async fn remove(&self, id: &InstanceId) -> Result<(), Error> {
        self.known.lock().unwrap().remove(id);
        Ok(())
    }

    async fn listeners(&self, _: &InstanceId) -> Result<Vec<Listener>, Error> {
        Ok(Vec::new())
    }

    async fn memory_bytes(&self, _: &InstanceId) -> Option<u64> {
        None
    }

    async fn limit_cpu(&self, _: &InstanceId, _: Option<u32>) -> Result<(), Error> {
        Ok(())
    }

    async fn exec(&self, id: &InstanceId, request: ExecRequest) -> Result<i32, Error> {
        let known = self.known(id)?;
        let [stdin, stdout, stderr] = request.stdio;
        let status = Command::new(&request.command[0])
            .args(&request.command[1..])
            .env_clear()
            .envs(known.env.into_iter().chain(request.env))
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .status()
            .await
            .map_err(|source| Error::Host { doing: "exec".to_owned(), source })?;
        Ok(status.code().unwrap_or(128))
    }
}
