//! Builds of Dockerfiles: the work directory holds a checkout and becomes an image.

use engine::Driver;
use model::Artifact;

use crate::config::Config;
use crate::container::{self, IMAGE};
use crate::docker::{self, DockerBuild};
use crate::sources::Sources;
use crate::tree;

use super::prepare::check_root_dir;
use super::{BuildRequest, Error, Failure, Progress, blocking};

/// Builds the image of a request whose artifact is not there. A builder of an earlier control plane
/// is ended and its work done again, up to where its layers reach.
pub(super) async fn run(
    config: &Config,
    sources: &Sources,
    driver: &dyn Driver,
    request: &BuildRequest,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Artifact, Failure> {
    let builder = docker::find().await.map_err(Failure::without_log)?;
    let work = config.work_of(&request.build_id);
    let (checkout, made) = (work.join("tree"), work.join("made"));
    progress(Progress::CheckingOut);
    let doomed = work.clone();
    blocking(move || {
        docker::end_stale(&doomed)?;
        tree::remove(&doomed)
    })
    .await?;
    std::fs::create_dir_all(&made).map_err(Error::at("make", &made))?;
    sources.checkout(&request.project, &request.commit, &checkout).await?;
    check_root_dir(request, &checkout)?;
    let log = config.log_path(&request.service_id, &request.instance_id);
    progress(Progress::Running { log: log.clone(), resumed: false });
    let built = docker::build(&DockerBuild {
        builder: &builder,
        driver,
        trust: request.trust,
        limits: config.limits,
        private_names: &request.private_names,
        settings: &config.docker,
        artifact_id: &request.artifact_id,
        project: &request.project,
        checkout: &checkout,
        service: &request.service,
        env: &request.env,
        operator_env: &config.operator_env,
        logins: &request.logins,
        log: &log,
        time_limit: config.time_limit,
        output_limit_bytes: config.output_limit_bytes,
        work_dir: &work,
        result_dir: &made.join(IMAGE),
    })
    .await?;
    container::adopt(config, sources, request, &built, &made, progress).await
}
