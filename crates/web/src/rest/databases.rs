use axum::Json;
use axum::extract::State;
use control::ops::databases;

use crate::App;
use crate::convert;
use crate::error::Error;
use crate::request::Asked;

pub(crate) async fn connection(
    State(app): State<App>,
    Asked(query): Asked<wire::ConnectionQuery>,
) -> Result<Json<wire::Connection>, Error> {
    let connection = databases::connection(&app.platform, &query.database.parse()?)?;
    Ok(Json(convert::connection(connection, query.reveal)))
}
