use axum::Json;
use axum::extract::State;
use control::ops::blueprints::{self, Redeploy};
use control::ops::{deploys, events};
use model::DeployId;

use crate::App;
use crate::convert;
use crate::error::Error;
use crate::request::Body;

pub(crate) async fn restart(
    State(app): State<App>,
    Body(request): Body<wire::RestartRequest>,
) -> Result<Json<wire::DeployRef>, Error> {
    let before = events::latest_sequence(&app.platform)?;
    let deploy = deploys::restart(&app.platform, &request.service.parse()?)?;
    Ok(Json(convert::deploy_ref(&app.platform, &deploy.id, before)?))
}

pub(crate) async fn create(
    State(app): State<App>,
    Body(request): Body<wire::DeployRequest>,
) -> Result<Json<wire::DeployRef>, Error> {
    let service = request.service.parse()?;
    deploys::service(&app.platform, &service)?;
    let before = events::latest_sequence(&app.platform)?;
    let asked = Redeploy { clear_cache: request.clear_cache, commit: request.commit };
    let deploy = blueprints::redeploy(&app.platform, &service, asked).await?;
    Ok(Json(convert::deploy_ref(&app.platform, &deploy.id, before)?))
}

pub(crate) async fn rollback(
    State(app): State<App>,
    Body(request): Body<wire::RollbackRequest>,
) -> Result<Json<wire::DeployRef>, Error> {
    let before = events::latest_sequence(&app.platform)?;
    let revision = request.revision.map(model::Revision);
    let deploy = deploys::rollback(&app.platform, &request.service.parse()?, revision)?;
    Ok(Json(convert::deploy_ref(&app.platform, &deploy.id, before)?))
}

pub(crate) async fn cancel(
    State(app): State<App>,
    Body(request): Body<wire::CancelRequest>,
) -> Result<Json<wire::DeployRef>, Error> {
    let before = events::latest_sequence(&app.platform)?;
    let id: DeployId = request.deploy.parse()?;
    let canceled = convert::deploy_ref(&app.platform, &id, before)?;
    deploys::cancel(&app.platform, &id)?;
    Ok(Json(canceled))
}
