use axum::extract::State;
use axum::response::Response;
use control::ops::events::{Ending, Reader, closing, waits};
use control::ops::projects;
use control::{Error as Refusal, Platform};
use model::{Problem, Project};
use tokio::sync::{oneshot, watch};

use crate::App;
use crate::convert;
use crate::error::Error;
use crate::request::Body;
use crate::rest::events::forward;
use crate::stream::{Gone, HEARTBEAT, Lines, ended, ndjson};

/// Stops a project, and removes it when asked to; the answer is what happens meanwhile.
pub(crate) async fn down(
    State(app): State<App>,
    Body(request): Body<wire::DownRequest>,
) -> Result<Response, Error> {
    let project = projects::by_name(&app.platform, &request.project)?;
    let reader = Reader::from_now(&app.platform, &app.feed, Some(project.name.clone()))?;
    projects::stop(&app.platform, &project)?;
    let work = start(&app.platform, project.clone(), request.purge);
    Ok(ndjson(move |lines| async move { follow(app, project, work, reader, lines).await }))
}

/// A stop under way.
struct Work {
    outcome: oneshot::Receiver<Result<Ending, Refusal>>,
    /// Names of what is still waited for.
    waiting: watch::Receiver<Vec<String>>,
}

/// In the background: once begun, a purge goes on when the reader has gone.
fn start(platform: &Platform, project: Project, is_purge: bool) -> Work {
    let (tell, outcome) = oneshot::channel();
    let (tell_waiting, waiting) = watch::channel(Vec::new());
    let key = format!("down/{}/{}", project.name, uuid::Uuid::new_v4().simple());
    let worker = platform.clone();
    platform.background.start(key, async move {
        // Nobody listens any more when the reader has gone.
        let _ = tell.send(end(&worker, &project, is_purge, &tell_waiting).await);
    });
    Work { outcome, waiting }
}

async fn end(
    platform: &Platform,
    project: &Project,
    is_purge: bool,
    waiting: &watch::Sender<Vec<String>>,
) -> Result<Ending, Refusal> {
    let tell = |names: &[String]| drop(waiting.send_replace(names.to_vec()));
    projects::stopped(platform, project, tell).await?;
    if !is_purge {
        return Ok(Ending::Stopped);
    }
    projects::purge(platform, project).await?;
    Ok(Ending::Purged)
}

async fn follow(
    app: App,
    project: Project,
    work: Work,
    mut reader: Reader,
    lines: Lines,
) -> Result<(), Gone> {
    let mut shutdown = app.shutdown.subscribe();
    let Work { mut outcome, mut waiting } = work;
    let ending = loop {
        tokio::select! {
            outcome = &mut outcome => break match outcome {
                Ok(Ok(ending)) => ending,
                Ok(Err(refusal)) => Ending::Failed(refusal.problem()),
                Err(_) => interrupted("the work ended unexpectedly"),
            },
            Ok(()) = waiting.changed() => {
                let names = waiting.borrow_and_update().clone();
                let event = waits(&app.platform, &project.name, &names);
                lines.send(&convert::event(event)).await?;
            }
            () = reader.changed() => forward(&mut reader, &lines).await?,
            () = tokio::time::sleep(HEARTBEAT) => lines.heartbeat().await?,
            () = ended(&mut shutdown) => break interrupted("the server ended meanwhile"),
        }
    };
    forward(&mut reader, &lines).await?;
    lines.send(&convert::event(closing(&app.platform, &project.name, ending))).await
}

fn interrupted(why: &str) -> Ending {
    Ending::Failed(Problem::new("down-failed", why).hint("repeat `gable down`"))
}
