//! Copies of the control plane's own database: made on change and on a clock, and thinned out.

use std::time::Duration;

use jiff::Timestamp;
use reconcile::retention::{self, Copied};
use store::copies;

use crate::error::Error;
use crate::platform::Platform;

/// How often it is looked whether something has changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Makes copies for as long as the control plane lives.
pub async fn run(platform: Platform) {
    let mut commits = 0;
    let mut copied = Copied::default();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = Timestamp::now();
        let commits_now = platform.store.commits();
        if commits_now != commits {
            commits = commits_now;
            copied.changed_first = copied.changed_first.or(Some(now));
            copied.changed_last = Some(now);
        }
        if !retention::copy_is_due(&copied, now) {
            continue;
        }
        match copy(&platform, now).await {
            Ok(()) => copied = Copied { newest: Some(now), ..Copied::default() },
            Err(error) => {
                let problem = error.problem();
                tracing::error!(
                    detail = problem.detail,
                    "the database of the control plane cannot be copied: {}",
                    problem.message
                );
                // As if it had just changed: tried again, and not at every look.
                copied = Copied { changed_last: Some(now), ..Copied::default() };
            }
        }
    }
}

/// Makes a copy and removes those that it makes needless.
async fn copy(platform: &Platform, now: Timestamp) -> Result<(), Error> {
    let platform = platform.clone();
    tokio::task::spawn_blocking(move || {
        let state_dir = &platform.config.state_dir;
        copies::make(&platform.store, state_dir, now)?;
        let all = copies::list(state_dir)?;
        let times: Vec<Timestamp> = all.iter().map(|copy| copy.at).collect();
        let doomed = retention::copies_to_remove(&times, now);
        for copy in all.iter().filter(|copy| doomed.contains(&copy.at)) {
            copies::remove(copy)?;
        }
        Ok(())
    })
    .await
    .unwrap_or_else(|error| Err(Error::host("copy the database")(std::io::Error::other(error))))
}
