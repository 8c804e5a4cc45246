use std::time::Duration;

use axum::Json;
use axum::extract::State;
use control::ops::jobs;
use model::InstanceId;

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
    let id = jobs::create(&app.platform, &request.service.parse()?, request.command)?;
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

async fn status(app: &App, id: &InstanceId, limit: Duration) -> Result<wire::JobStatus, Error> {
    let job = jobs::wait(&app.platform, id, limit).await?;
    let exit = job.ended.as_ref().map(|(_, exit)| exit);
    Ok(convert::job(&job.instance_id, exit))
}
