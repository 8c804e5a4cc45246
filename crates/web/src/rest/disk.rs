use axum::Json;
use axum::extract::State;
use control::tasks::retention::{self, Mode};

use crate::App;
use crate::error::Error;
use crate::request::Body;

pub(crate) async fn clean(
    State(app): State<App>,
    Body(request): Body<wire::CleanRequest>,
) -> Result<Json<wire::CleanReply>, Error> {
    let mode = if request.dry_run { Mode::Look } else { Mode::Clean };
    let freed = retention::clean(&app.platform, mode).await?;
    let freed = freed.into_iter().map(|freed| wire::Freed {
        kind: freed.kind.words().to_owned(),
        things: freed.things,
        bytes: freed.bytes,
    });
    Ok(Json(wire::CleanReply { freed: freed.collect() }))
}
