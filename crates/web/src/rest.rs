//! One file per noun, as in `control::ops`.

mod blueprints;
mod databases;
mod deploys;
mod disk;
mod env_vars;
mod events;
mod instances;
mod jobs;
mod logs;
mod projects;
mod server;
mod status;

use axum::Router;
use axum::routing::{get, post};
use wire::paths;

use crate::App;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route(paths::SERVER, get(server::info))
        .route(paths::SHUTDOWN, post(server::shutdown))
        .route(paths::CLEAN, post(disk::clean))
        .route(paths::PLAN, post(blueprints::plan))
        .route(paths::APPLY, post(blueprints::apply))
        .route(paths::EVENTS, get(events::list))
        .route(paths::STATUS, get(status::status))
        .route(paths::LOGS, get(logs::list))
        .route(paths::ENV, get(env_vars::list).post(env_vars::change))
        .route(paths::RESTART, post(deploys::restart))
        .route(paths::DEPLOYS, post(deploys::create))
        .route(paths::CANCEL, post(deploys::cancel))
        .route(paths::ROLLBACK, post(deploys::rollback))
        .route(paths::JOBS, post(jobs::create))
        .route(paths::JOB, get(jobs::get))
        .route(paths::JOB_CANCEL, post(jobs::cancel))
        .route(paths::JOB_INPUT, post(jobs::input))
        .route(paths::INSTANCE, get(instances::find))
        .route(paths::CONNECTION, get(databases::connection))
        .route(paths::DOWN, post(projects::down))
}
