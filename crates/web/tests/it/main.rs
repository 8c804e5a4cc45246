//! The API over a real socket, in front of a control plane whose engine only pretends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod answers;
mod raw;
mod refusals;
mod socket;
mod streams;

use std::path::PathBuf;
use std::time::Duration;

use control::{Platform, testing};
use model::{Environment, InstanceId, ServiceId};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wire::Client;

/// What should happen at once happens within this, also on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// A server of the project `shop`, in which there is the service `web`.
struct Server {
    platform: Platform,
    environment: Environment,
    web: ServiceId,
    end: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
    directory: TempDir,
}

impl Server {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let platform = testing::platform(directory.path());
        let environment = testing::environment(&platform, "shop");
        let web = testing::service(&platform, &environment, "web");
        let (end, ended) = oneshot::channel();
        let socket = platform.config.api_socket();
        let served = platform.clone();
        let task = tokio::spawn(async move {
            let ended = async move {
                // Dropped is ended too.
                let _ = ended.await;
            };
            web::serve(served, &socket, ended).await
        });
        let server = Self { platform, environment, web, end, task, directory };
        while tokio::net::UnixStream::connect(server.socket()).await.is_err() {
            assert!(!server.task.is_finished(), "the server ended at once");
            tokio::task::yield_now().await;
        }
        server
    }

    fn socket(&self) -> PathBuf {
        self.platform.config.api_socket()
    }

    fn client(&self) -> Client {
        Client::new(&self.socket())
    }

    /// Ends the server, and fails unless it ends well and soon.
    async fn stop(self) {
        self.end.send(()).unwrap();
        tokio::time::timeout(LIMIT, self.task).await.unwrap().unwrap().unwrap();
    }
}

/// An id of a service that is not there.
fn nobody() -> String {
    ServiceId::from_uuid(uuid::Uuid::nil()).to_string()
}

fn instance(number: u128) -> InstanceId {
    InstanceId::from_uuid(uuid::Uuid::from_u128(number))
}
