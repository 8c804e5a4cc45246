use axum::Json;
use axum::extract::State;
use control::ops::{env_vars, events};

use crate::App;
use crate::convert;
use crate::error::Error;
use crate::request::{Asked, Body};

pub(crate) async fn list(
    State(app): State<App>,
    Asked(query): Asked<wire::EnvQuery>,
) -> Result<Json<Vec<wire::EnvEntry>>, Error> {
    let entries = env_vars::list(&app.platform, &query.service.parse()?)?;
    Ok(Json(entries.iter().map(|entry| convert::env_entry(entry, query.reveal)).collect()))
}

pub(crate) async fn change(
    State(app): State<App>,
    Body(request): Body<wire::EnvChange>,
) -> Result<Json<wire::EnvChangeReply>, Error> {
    let before = events::latest_sequence(&app.platform)?;
    let change = env_vars::Change {
        set: request.set.into_iter().map(|pair| (pair.key, pair.value.into())).collect(),
        unset: request.unset,
        deploy: request.deploy,
    };
    let changed = env_vars::change(&app.platform, &request.service.parse()?, change).await?;
    let deploys = changed
        .deploys
        .iter()
        .map(|deploy| convert::deploy_ref(&app.platform, &deploy.id, before))
        .collect::<Result<_, _>>()?;
    Ok(Json(wire::EnvChangeReply { changed: changed.has_changed, deploys }))
}
