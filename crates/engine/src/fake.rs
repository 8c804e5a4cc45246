//! A driver that runs nothing: tests of other crates say what becomes of each instance.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use model::{EnvironmentId, Exit, InstanceId, InstanceState};
use tokio::sync::watch;

use crate::driver::{Driver, Error, ExecRequest, Listener, Network, Seen};
use crate::fleet::lock;
use crate::spec::InstanceSpec;

/// Does what its script says, and remembers what it was asked.
#[derive(Debug)]
pub struct FakeDriver {
    script: Box<dyn Script>,
    instances: Mutex<BTreeMap<InstanceId, Fake>>,
    calls: Mutex<Vec<Call>>,
    changes: watch::Sender<u64>,
}

/// Decides what becomes of instances. Time comes from here too: a fake has no clock.
pub trait Script: std::fmt::Debug + Send + Sync + 'static {
    /// What becomes of a start. An error is the host's.
    ///
    /// # Errors
    /// As the test wants it.
    fn start(&self, spec: &InstanceSpec) -> Result<Outcome, Error>;

    /// The time of the script.
    fn now(&self) -> Timestamp;
}

/// What becomes of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It runs and listens on these.
    Runs(Vec<Listener>),
    /// It has ended with this code.
    Exits(i32),
    /// It could not begin.
    CannotStart(String),
}

/// What a fake driver was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// [`Driver::start`] of an instance that was not there.
    Start(InstanceId),
    /// [`Driver::stop`] of one that ran.
    Stop(InstanceId),
    /// [`Driver::remove`] of one that was there.
    Remove(InstanceId),
}

/// The script in which every instance runs, and listens on port 10000.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllRun;

impl Script for AllRun {
    fn start(&self, _spec: &InstanceSpec) -> Result<Outcome, Error> {
        let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Ok(Outcome::Runs(vec![Listener { address, port: 10_000 }]))
    }

    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

#[derive(Debug)]
struct Fake {
    state: InstanceState,
    listeners: Vec<Listener>,
}

impl FakeDriver {
    /// A driver that follows a script.
    #[must_use]
    pub fn new(script: impl Script) -> Self {
        Self {
            script: Box::new(script),
            instances: Mutex::default(),
            calls: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// What it was asked so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }

    /// Lets a running instance end. Nothing happens if it does not run.
    pub fn end(&self, id: &InstanceId, exit: Exit) {
        if let Some(fake) = lock(&self.instances).get_mut(id)
            && matches!(fake.state, InstanceState::Running { .. })
        {
            fake.state = InstanceState::Exited(exit);
            fake.listeners.clear();
        }
        self.wake();
    }

    /// An exit at the script's time: `code`, or `signal`.
    #[must_use]
    pub fn exit(&self, code: Option<i32>, signal: Option<i32>) -> Exit {
        Exit {
            code,
            signal,
            out_of_memory: false,
            limit: None,
            start_error: None,
            at: self.script.now(),
        }
    }

    fn wake(&self) {
        self.changes.send_modify(|number| *number += 1);
    }

    fn running(&self, id: &InstanceId) -> Result<Vec<Listener>, Error> {
        let instances = lock(&self.instances);
        let fake = instances.get(id).ok_or_else(|| Error::NotFound(id.clone()))?;
        match fake.state {
            InstanceState::Running { .. } => Ok(fake.listeners.clone()),
            _ => Err(Error::NotRunning(id.clone())),
        }
    }
}

#[async_trait]
impl Driver for FakeDriver {
    fn isolates_network(&self) -> bool {
        true
    }

    async fn ensure_network(&self, _environment: &EnvironmentId) -> Result<Network, Error> {
        Ok(Network { gateway: IpAddr::V4(Ipv4Addr::LOCALHOST) })
    }

    async fn remove_network(&self, _environment: &EnvironmentId) -> Result<(), Error> {
        Ok(())
    }

    async fn start(&self, spec: &InstanceSpec) -> Result<InstanceState, Error> {
        if let Some(fake) = lock(&self.instances).get(&spec.id) {
            return Ok(fake.state.clone());
        }
        lock(&self.calls).push(Call::Start(spec.id.clone()));
        let outcome = self.script.start(spec)?;
        let (state, listeners) = match outcome {
            Outcome::Runs(listeners) => {
                let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
                (InstanceState::Running { address, started_at: self.script.now() }, listeners)
            }
            Outcome::Exits(code) => {
                (InstanceState::Exited(self.exit(Some(code), None)), Vec::new())
            }
            Outcome::CannotStart(why) => {
                let exit = Exit { start_error: Some(why), ..self.exit(None, None) };
                (InstanceState::Exited(exit), Vec::new())
            }
        };
        lock(&self.instances).insert(spec.id.clone(), Fake { state: state.clone(), listeners });
        self.wake();
        Ok(state)
    }

    async fn recover(&self) -> Result<Vec<Seen>, Error> {
        let instances = lock(&self.instances);
        Ok(instances
            .iter()
            .map(|(id, fake)| Seen { id: id.clone(), state: fake.state.clone() })
            .collect())
    }

    async fn observe(&self, id: &InstanceId) -> Option<InstanceState> {
        lock(&self.instances).get(id).map(|fake| fake.state.clone())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn wait(&self, id: &InstanceId) -> Result<Exit, Error> {
        let mut changes = self.changes.subscribe();
        loop {
            match self.observe(id).await {
                None => return Err(Error::NotFound(id.clone())),
                Some(InstanceState::Exited(exit)) => return Ok(exit),
                Some(_) if changes.changed().await.is_err() => {
                    return Err(Error::NotRunning(id.clone()));
                }
                Some(_) => {}
            }
        }
    }

    async fn stop(&self, id: &InstanceId, _grace: Duration) -> Result<(), Error> {
        match self.running(id) {
            Ok(_) => {
                /// The number of the signal TERM.
                const TERM: i32 = 15;
                lock(&self.calls).push(Call::Stop(id.clone()));
                self.end(id, self.exit(None, Some(TERM)));
                Ok(())
            }
            Err(Error::NotRunning(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn input(&self, id: &InstanceId) -> Result<OwnedFd, Error> {
        self.running(id)?;
        let null = std::fs::File::options().write(true).open("/dev/null");
        let doing = || format!("open the input of instance {id}");
        null.map(OwnedFd::from).map_err(|source| Error::Host { doing: doing(), source })
    }

    async fn remove(&self, id: &InstanceId) -> Result<(), Error> {
        if self.running(id).is_ok() {
            return Err(Error::Refused {
                doing: format!("remove instance {id}"),
                why: "it still runs".to_owned(),
            });
        }
        if lock(&self.instances).remove(id).is_some() {
            lock(&self.calls).push(Call::Remove(id.clone()));
            self.wake();
        }
        Ok(())
    }

    async fn listeners(&self, id: &InstanceId) -> Result<Vec<Listener>, Error> {
        self.running(id)
    }

    async fn memory_bytes(&self, id: &InstanceId) -> Option<u64> {
        self.running(id).ok().map(|_| 0)
    }

    async fn limit_cpu(&self, id: &InstanceId, _: Option<u32>) -> Result<(), Error> {
        self.running(id).map(drop)
    }

    async fn exec(&self, id: &InstanceId, _request: ExecRequest) -> Result<i32, Error> {
        self.running(id).map(|_| 0)
    }
}
