use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use control::ops::logs::{self, Follower};
use tokio::sync::watch;
use tokio::time::Interval;

use crate::App;
use crate::convert;
use crate::error::Error;
use crate::request::Asked;
use crate::stream::{Gone, HEARTBEAT, Lines, ended, ndjson};

/// How often followed logs are looked at.
const POLL: Duration = Duration::from_millis(100);
/// New services and instances are looked for this often.
const REFRESH: Duration = Duration::from_secs(1);

pub(crate) async fn list(
    State(app): State<App>,
    Asked(query): Asked<wire::LogQuery>,
) -> Result<Response, Error> {
    let wanted = logs::Query {
        project: query.project,
        owner_id: query.service,
        instance_id: query.instance.as_deref().map(str::parse).transpose()?,
        deploy_id: query.deploy.as_deref().map(str::parse).transpose()?,
        only_builds: query.build,
        tail: query.tail.map(|lines| lines as usize),
        since: query.since,
    };
    let platform = app.platform.clone();
    // Everything that is kept may be much to read; the control plane does not wait for the disk.
    let opened = tokio::task::spawn_blocking(move || logs::open(&platform, wanted));
    let (first, follower) = opened.await.expect("reading logs does not panic")?;
    Ok(ndjson(move |lines| async move {
        for line in first {
            lines.send(&convert::log_line(line)).await?;
        }
        if query.follow { follow(app, follower, lines).await } else { Ok(()) }
    }))
}

async fn follow(app: App, mut follower: Follower, lines: Lines) -> Result<(), Gone> {
    let mut shutdown = app.shutdown.subscribe();
    let mut refresh = tokio::time::interval(REFRESH);
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    let mut poll = tokio::time::interval(POLL);
    // The end of an instance is the end of its log: nobody waits for the next look.
    let mut changes = app.platform.driver.changes();
    loop {
        tokio::select! {
            () = either(&mut poll, &mut changes) => {
                // Asked first: what was written before the end is behind it.
                let is_over = follower.is_over().await.unwrap_or_else(cannot_follow);
                for line in follower.poll() {
                    lines.send(&convert::log_line(line)).await?;
                }
                if is_over {
                    return Ok(());
                }
            }
            _ = refresh.tick() => follower.refresh().unwrap_or_else(cannot_follow),
            _ = heartbeat.tick() => lines.heartbeat().await?,
            () = ended(&mut shutdown) => return Ok(()),
        }
    }
}

/// The time of the next look, or news of an instance before it.
async fn either(poll: &mut Interval, changes: &mut watch::Receiver<u64>) {
    tokio::select! {
        _ = poll.tick() => {}
        changed = changes.changed() => if changed.is_err() { poll.tick().await; },
    }
}

/// The next look is another chance.
fn cannot_follow<T: Default>(error: control::Error) -> T {
    tracing::warn!("cannot look for logs: {error}");
    T::default()
}
