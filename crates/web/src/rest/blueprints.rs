use axum::Json;
use axum::extract::State;
use control::ops::blueprints::{self, Request};
use control::ops::events;

use crate::App;
use crate::convert;
use crate::error::Error;
use crate::request::Body;

pub(crate) async fn plan(
    State(app): State<App>,
    Body(request): Body<wire::ApplyRequest>,
) -> Result<Json<wire::PlanReply>, Error> {
    let draft = blueprints::plan(&app.platform, &translate(request)).await?;
    Ok(Json(convert::draft(&draft)))
}

pub(crate) async fn apply(
    State(app): State<App>,
    Body(request): Body<wire::ApplyRequest>,
) -> Result<Json<wire::ApplyReply>, Error> {
    let sequence = events::latest_sequence(&app.platform)?;
    let applied = blueprints::apply(&app.platform, &translate(request)).await?;
    let deploys = applied
        .deploys
        .iter()
        .map(|deploy| convert::deploy_ref(&app.platform, &deploy.id, sequence))
        .collect::<Result<_, _>>()?;
    Ok(Json(wire::ApplyReply {
        project: applied.draft.project.clone(),
        applied: !applied.draft.is_refused,
        plan: convert::draft(&applied.draft),
        sequence,
        deploys,
    }))
}

fn translate(request: wire::ApplyRequest) -> Request {
    Request {
        path: request.path.into(),
        files: request.files,
        profiles: request.profiles,
        uses_images: request.uses_images,
        allows_host_paths: request.allows_host_paths,
        is_strict: request.strict,
        project: request.project,
        set: request
            .set
            .into_iter()
            .map(|assignment| blueprints::Assignment {
                service: assignment.service,
                key: assignment.key,
                value: assignment.value.into(),
            })
            .collect(),
        operator_env: request.operator_env,
        only: request.only,
        refreshes_images: request.refreshes_images,
        environment: None,
        commit: None,
    }
}
