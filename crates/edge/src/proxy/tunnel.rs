//! Tunnels: what a connection becomes after `101 Switching Protocols`.

use std::rc::Rc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::task::spawn_local;
use tracing::debug;

use super::{InFlight, Upgrade};

/// Many tunnels are open and silent; small buffers are enough for them.
const BUFFER_BYTES: usize = 4 * 1024;

/// Copies both ways until both sides are done. The target counts it as in flight so long. The task
/// owns itself: it ends with either connection, at the latest with the process.
pub(super) fn open(client: Upgrade, target: OnUpgrade, in_flight: Rc<InFlight>) {
    spawn_local(async move {
        let Upgrade { client, busy } = client;
        match tokio::try_join!(client, target) {
            Ok((client, target)) => {
                let (mut client, mut target) = (TokioIo::new(client), TokioIo::new(target));
                let copied = copy_bidirectional_with_sizes(
                    &mut client,
                    &mut target,
                    BUFFER_BYTES,
                    BUFFER_BYTES,
                )
                .await;
                debug!(?copied, "a tunnel ended");
            }
            Err(cause) => {
                debug!(error = &cause as &dyn std::error::Error, "a tunnel could not be opened");
            }
        }
        drop((in_flight, busy));
    });
}
