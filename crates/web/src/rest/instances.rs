use axum::Json;
use axum::extract::State;
use control::ops::instances;
use http::StatusCode;
use model::{DatabaseId, KeyValueId, Problem};

use crate::App;
use crate::error::Error;
use crate::request::Asked;

pub(crate) async fn find(
    State(app): State<App>,
    Asked(query): Asked<wire::InstanceQuery>,
) -> Result<Json<wire::InstanceRef>, Error> {
    let found = match (query.service, query.database) {
        (Some(service), None) => instances::of_service(&app.platform, &service.parse()?).await?,
        (None, Some(database)) => {
            if database.parse::<KeyValueId>().is_err() {
                database.parse::<DatabaseId>()?;
            }
            control::ops::status::require_store(&app.platform, &database)?;
            instances::of_store(&app.platform, &database)?
        }
        _ => {
            let problem = Problem::new("query-invalid", "give either a service or a database");
            return Err(Error::new(StatusCode::BAD_REQUEST, problem));
        }
    };
    Ok(Json(wire::InstanceRef { instance_id: found.id.to_string(), label: found.label }))
}
