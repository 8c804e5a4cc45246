use axum::Json;
use axum::extract::State;

use crate::App;
use crate::error::Error;
use crate::request::Body;

pub(crate) async fn info(State(app): State<App>) -> Json<wire::ServerInfo> {
    let config = &app.platform.config;
    let is_native = app.platform.driver.isolates_network();
    Json(wire::ServerInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        engine: if is_native { wire::Engine::Native } else { wire::Engine::Plain },
        engine_note: if is_native {
            String::new()
        } else {
            "without root, services run as plain processes that share this machine's ports"
                .to_owned()
        },
        listen: config.listen.iter().map(ToString::to_string).collect(),
        state_dir: config.state_dir.display().to_string(),
        started_at: app.platform.started_at,
    })
}

pub(crate) async fn shutdown(
    State(app): State<App>,
    Body(request): Body<wire::ShutdownRequest>,
) -> Result<Json<wire::ShutdownReply>, Error> {
    let projects: Vec<String> = control::ops::status::projects(&app.platform, None)
        .await?
        .into_iter()
        .filter(|view| !view.is_stopped)
        .map(|view| view.project.name)
        .collect();
    let stopping = projects.is_empty() || !request.only_if_idle;
    if stopping {
        if projects.is_empty() {
            // Nothing is served any more: the edge goes too.
            if let Err(error) = app.platform.publisher.shutdown().await {
                tracing::warn!("cannot end the edge: {error}");
            }
        }
        app.shutdown.send_replace(true);
    }
    Ok(Json(wire::ShutdownReply { stopping, projects }))
}
