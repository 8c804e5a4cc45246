//! The real binary, as a person uses it: with a repository, a browser and load.
//!
//! Each test has a platform of its own, with its own state directory and port, and proves at its
//! end that nothing of it is left on the machine. They run one after the other: builds of one would
//! be noise in another's load.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod commits;
mod crashes;
mod disks;
mod heals;
mod hello;
mod https;
mod rollouts;
mod shop;
mod stack;

use std::net::Ipv4Addr;
use std::time::Duration;

use testkit::load::LoadOptions;
use testkit::{Load, Options, Platform, Repository, Run};
use tokio::sync::{Mutex, MutexGuard};

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// The right to work now, for a test of this name; none, with a word why, without root.
async fn turn(test: &str) -> Option<MutexGuard<'static, ()>> {
    if testkit::is_root(test) { Some(ONE_AT_A_TIME.lock().await) } else { None }
}

/// A platform of this binary, with variables for its server.
fn platform(env: &[(&str, &str)]) -> Platform {
    let mut options = Options::new(env!("CARGO_BIN_EXE_gable"));
    options.env = env.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    Platform::start(options).unwrap()
}

async fn up(platform: &Platform, repository: &Repository) -> Run {
    platform.up(repository.path(), &[]).await.unwrap().ok().unwrap()
}

/// Steady load on a path of a service.
fn load(platform: &Platform, service: &str, path: &str, connections: usize) -> Load {
    Load::start(&LoadOptions {
        address: (Ipv4Addr::LOCALHOST, platform.port()).into(),
        host: format!("{service}.localhost:{}", platform.port()),
        path: path.into(),
        connections,
        pause: Duration::from_millis(5),
    })
}
