use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use control::Error as Refusal;
use control::ops::jobs;
use futures::StreamExt as _;
use http::StatusCode;
use model::InstanceId;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::Sender;

use crate::App;
use crate::convert;
use crate::error::Error;
use crate::request::{Asked, Body, Named};

/// The longest a request waits for a job.
const LONGEST_WAIT_SECONDS: u32 = 60;

pub(crate) async fn create(
    State(app): State<App>,
    Body(request): Body<wire::JobRequest>,
) -> Result<Json<wire::JobRef>, Error> {
    let asked = jobs::Asked { command: request.command, has_input: request.input };
    let id = jobs::create(&app.platform, &request.service.parse()?, asked)?;
    Ok(Json(wire::JobRef { id: id.to_string(), instance_id: id.to_string() }))
}

pub(crate) async fn get(
    State(app): State<App>,
    Named(id): Named,
    Asked(query): Asked<wire::JobQuery>,
) -> Result<Json<wire::JobStatus>, Error> {
    let seconds = query.wait.unwrap_or(0).min(LONGEST_WAIT_SECONDS);
    let limit = Duration::from_secs(u64::from(seconds));
    Ok(Json(status(&app, &id.parse()?, limit).await?))
}

pub(crate) async fn cancel(
    State(app): State<App>,
    Named(id): Named,
) -> Result<Json<wire::JobStatus>, Error> {
    let id = id.parse()?;
    jobs::cancel(&app.platform, &id).await?;
    Ok(Json(status(&app, &id, Duration::ZERO).await?))
}

/// Passes the body on to the standard input of a job, as it comes. The input ends with the body, or
/// with the connection.
pub(crate) async fn input(
    State(app): State<App>,
    Named(id): Named,
    request: Request,
) -> Result<StatusCode, Error> {
    let pipe = jobs::input(&app.platform, &id.parse()?).await?;
    let mut pipe = Sender::from_owned_fd(pipe)
        .map_err(|error| Error::from(Refusal::host("open the input of the job")(error)))?;
    let mut chunks = request.into_body().into_data_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        // A job that reads no further has what it wants.
        if pipe.write_all(&chunk).await.is_err() {
            break;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn status(app: &App, id: &InstanceId, limit: Duration) -> Result<wire::JobStatus, Error> {
    let job = jobs::wait(&app.platform, id, limit).await?;
    let exit = job.ended.as_ref().map(|(_, exit)| exit);
    Ok(convert::job(&job.instance_id, exit))
}
