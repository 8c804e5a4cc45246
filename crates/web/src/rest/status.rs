use axum::Json;
use axum::extract::State;
use control::ops::{events, status};

use crate::App;
use crate::convert;
use crate::error::Error;
use crate::request::Asked;

pub(crate) async fn status(
    State(app): State<App>,
    Asked(query): Asked<wire::StatusQuery>,
) -> Result<Json<wire::Status>, Error> {
    let sequence = events::latest_sequence(&app.platform)?;
    let projects = status::projects(&app.platform, query.project.as_deref()).await?;
    Ok(Json(wire::Status { sequence, projects: projects.iter().map(convert::project).collect() }))
}
