//! What may be asked of the control plane, over a real store and an engine that only pretends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod deploys;
mod env_vars;
mod events;
mod logs;
mod plans;
mod projects;
mod size;
mod status;

use std::path::Path;

use control::ops::blueprints::Request;
use control::{Error, Platform, testing};
use model::{Environment, InstanceId, ServiceId};
use tempfile::TempDir;

/// A control plane with the project `shop`, in which there is the service `web`.
struct Shop {
    platform: Platform,
    environment: Environment,
    web: ServiceId,
    directory: TempDir,
}

impl Shop {
    fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let platform = testing::platform(directory.path());
        let environment = testing::environment(&platform, "shop");
        let web = testing::service(&platform, &environment, "web");
        Self { platform, environment, web, directory }
    }
}

/// The code of the problem that an operation ended with.
fn code<T>(outcome: Result<T, Error>) -> String {
    match outcome {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.problem().code,
    }
}

/// An id of a service that is not there.
fn nobody() -> ServiceId {
    ServiceId::from_uuid(uuid::Uuid::nil())
}

fn instance(number: u128) -> InstanceId {
    InstanceId::from_uuid(uuid::Uuid::from_u128(number))
}

/// What is asked of a directory when nothing else is said.
fn request(path: &Path) -> Request {
    Request {
        path: path.to_owned(),
        files: Vec::new(),
        profiles: Vec::new(),
        uses_images: false,
        allows_host_paths: false,
        refreshes_images: false,
        is_strict: false,
        project: None,
        set: Vec::new(),
        operator_env: None,
        only: Vec::new(),
        environment: None,
        commit: None,
    }
}
