//! Watches the disk that holds the state, and ends what fills it before nothing can be written.

use std::time::Duration;

use reconcile::disk::{Room, Space};

use crate::disk;
use crate::error::Error;
use crate::ops;
use crate::platform::Platform;

/// How often it is looked. A build writes some hundred MiB meanwhile at most; the reserve is for
/// what is faster.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Who holds what is measured for this long at most before a full disk is told.
const MEASURE_LIMIT: Duration = Duration::from_secs(10);

/// Looks for as long as the control plane lives.
pub async fn run(platform: Platform) {
    loop {
        if let Err(error) = pass(&platform).await {
            let problem = error.problem();
            tracing::warn!(detail = problem.detail, "{}", problem.message);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub(crate) async fn pass(platform: &Platform) -> Result<(), Error> {
    let state_dir = &platform.config.state_dir;
    let was_full = platform.disk.is_full();
    match disk::look(state_dir, platform.config.disk_floor_bytes, was_full)? {
        Room::Full(space) if !was_full => {
            // First of all: what follows may have to be written down.
            disk::give_back(state_dir);
            // Work ends at once, and is told why as soon as that is known.
            platform.disk.is_filled();
            let problem = measure(platform, &space).await;
            tracing::error!(detail = problem.detail, "{}", problem.message);
            platform.disk.is_full_of(problem);
        }
        Room::Full(_) => disk::give_back(state_dir),
        Room::Low(_) | Room::Enough if was_full => {
            tracing::info!("there is room on the disk again");
            platform.disk.has_room();
            platform.wake();
        }
        Room::Low(_) => platform.disk.is_low(),
        Room::Enough => put_aside(platform),
    }
    Ok(())
}

/// Who holds what, for those who are told that the disk is full.
async fn measure(platform: &Platform, space: &Space) -> model::Problem {
    let state_dir = platform.config.state_dir.clone();
    let measured = tokio::task::spawn_blocking(move || ops::disk::usage(&state_dir).ok());
    let usage = match tokio::time::timeout(MEASURE_LIMIT, measured).await {
        Ok(Ok(usage)) => usage,
        _ => None,
    };
    disk::problem(&platform.config.state_dir, space, usage.as_ref())
}

fn put_aside(platform: &Platform) {
    if let Err(error) = disk::put_aside(&platform.config.state_dir) {
        tracing::debug!("no reserve of the disk is kept: {}", error.problem().message);
    }
}
