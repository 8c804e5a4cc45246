use axum::Json;
use axum::extract::State;
use control::ops::{blueprints, deploys, events};
use model::{DeployId, Problem};

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
    if request.commit.is_some() {
        let problem = Problem::new(
            "refused",
            "a deploy takes what the working tree holds; it cannot be told another commit yet",
        )
        .hint("check the commit out and run `gable up`; an earlier release is `gable rollback`");
        return Err(control::Error::from(problem).into());
    }
    let before = events::latest_sequence(&app.platform)?;
    let deploy = blueprints::redeploy(&app.platform, &service, request.clear_cache).await?;
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
