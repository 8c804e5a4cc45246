//! Collects the evidence when something failed, and lets `reconcile::diagnosis` judge it.

use std::time::Duration;

use engine::probe::ProbeResult;
use model::{DeployId, Exit, InstanceId, InstanceState, Problem, Release, ReleaseId};
use reconcile::deploy::{Because, NextDeploy};
use reconcile::diagnosis::{self, Facts, Phase, ProbeSeen};
use reconcile::wiring::{Origin, Variable, looks_secret};

use crate::data_stores;
use crate::environments;
use crate::error::Error;
use crate::platform::Platform;
use crate::tasks::services::look::Seen;

/// A shorter value that a person set is taken for a port, a flag or a word.
const GIVEN_BYTES_MIN: usize = 8;
/// Lines of a log that are looked at.
const LOG_LINES: usize = 200;

/// Why a deploy is given up, in words.
pub(super) async fn diagnose(
    platform: &Platform,
    seen: &Seen,
    deploy_id: &DeployId,
    because: &Because,
) -> Result<Problem, Error> {
    let Some(next) = seen.desired.next.as_ref().filter(|next| next.deploy.id == *deploy_id) else {
        return Ok(Problem::new("deploy-failed", "the deploy failed"));
    };
    let evidence = match because {
        Because::Known(problem) => return Ok(problem.clone()),
        Because::JobExited(id, exit) => Evidence::of(Phase::PreDeploy, id).exit(exit),
        Because::JobTimedOut(id, limit) => Evidence::of(Phase::PreDeploy, id).waited(*limit),
        Because::InstanceExited { id, exit, restarts } => {
            let mut evidence = Evidence::of(Phase::Update, id).exit(exit);
            evidence.restarts = *restarts;
            evidence
        }
        Because::NotHealthy(id, limit) => Evidence::of(Phase::Update, id).waited(*limit),
    };
    verdict(platform, &seen.row, &next.release, &evidence)
}

/// Why a deploy is not healthy yet, if that can be seen already.
pub(super) fn early(
    platform: &Platform,
    seen: &Seen,
    next: &NextDeploy,
) -> Result<Option<Problem>, Error> {
    let waits = seen.observed.instances.iter().find(|instance| {
        instance.deploy_id == next.deploy.id
            && matches!(instance.state, InstanceState::Running { .. })
    });
    let Some(instance) = waits else { return Ok(None) };
    let waited = jiff::Timestamp::now().duration_since(instance.created_at).unsigned_abs();
    let evidence = Evidence::of(Phase::Update, &instance.id).waited(waited);
    verdict(platform, &seen.row, &next.release, &evidence).map(Some)
}

/// What makes the success of a command doubtful that ran before the deploy, if anything does.
pub(super) fn doubt(
    platform: &Platform,
    seen: &Seen,
    release: &Release,
    instance_id: &InstanceId,
) -> Result<Option<Problem>, Error> {
    let log = environments::log_path(platform, &seen.row.id, instance_id);
    let lines = telemetry::tail(&[log], LOG_LINES).unwrap_or_default();
    let lines: Vec<String> = lines.into_iter().map(|line| line.text).collect();
    let Some(doubt) = diagnosis::doubt(&lines) else { return Ok(None) };
    let name = seen.row.name();
    let message = format!("the pre-deploy command of `{name}` succeeded, but said: {}", doubt.line);
    let secrets = secrets_of(&environments::variables_of(platform, &release.id)?);
    let problem = Problem::new("pre-deploy-warning", message).hint(doubt.hint);
    Ok(Some(diagnosis::redacted(problem, &secrets)))
}

/// Why one run of a command ended badly.
pub(crate) fn judge_run(
    platform: &Platform,
    row: &store::services::ServiceRow,
    release: &Release,
    run: (Phase, &InstanceId, &Exit),
) -> Result<Problem, Error> {
    let (phase, id, exit) = run;
    verdict(platform, row, release, &Evidence::of(phase, id).exit(exit))
}

/// Why a build failed, without the secrets that it was given.
pub(super) fn of_build(
    platform: &Platform,
    release_id: &ReleaseId,
    failure: build::Failure,
) -> Problem {
    match environments::variables_of(platform, release_id) {
        Ok(variables) => diagnosis::redacted(failure.problem, &secrets_of(&variables)),
        // What could hold a secret is not shown when nobody knows the secrets.
        Err(_) => Problem { detail: None, ..failure.problem },
    }
}

/// What no verdict shows. A short value that a person set is most often a port, a flag or a word,
/// which are what a verdict is about.
fn secrets_of(variables: &[Variable]) -> Vec<String> {
    let is_told = |variable: &Variable, value: &str| {
        variable.origin == Origin::Operator
            && value.len() < GIVEN_BYTES_MIN
            && !looks_secret(&variable.key, value)
    };
    variables
        .iter()
        .filter(|variable| variable.is_secret)
        .filter_map(|variable| Some((variable, environments::plain_value(variable)?)))
        .filter(|(variable, value)| !is_told(variable, value))
        .map(|(_, value)| value)
        .collect()
}

struct Evidence<'a> {
    phase: Phase,
    instance_id: &'a InstanceId,
    exit: Option<&'a Exit>,
    waited: Duration,
    restarts: u32,
}

impl<'a> Evidence<'a> {
    fn of(phase: Phase, instance_id: &'a InstanceId) -> Self {
        Self { phase, instance_id, exit: None, waited: Duration::ZERO, restarts: 0 }
    }

    fn exit(mut self, exit: &'a Exit) -> Self {
        self.exit = Some(exit);
        self
    }

    fn waited(mut self, waited: Duration) -> Self {
        self.waited = waited;
        self
    }
}

fn verdict(
    platform: &Platform,
    row: &store::services::ServiceRow,
    release: &Release,
    evidence: &Evidence<'_>,
) -> Result<Problem, Error> {
    let log = environments::log_path(platform, &row.id, evidence.instance_id);
    let log_tail: Vec<String> = telemetry::tail(&[log], LOG_LINES)
        .unwrap_or_default()
        .into_iter()
        .map(|line| line.text)
        .collect();
    let variables = environments::variables_of(platform, &release.id)?;
    let secrets = secrets_of(&variables);
    let env_keys: Vec<String> = variables.iter().map(|variable| variable.key.clone()).collect();
    let missing: Vec<diagnosis::Missing> = variables
        .iter()
        .filter(|variable| environments::plain_value(variable).is_none())
        .map(|variable| diagnosis::Missing {
            key: variable.key.clone(),
            why: environments::why_unset(&release.service, &variable.key),
        })
        .collect();
    let probe = platform.prober.seen(evidence.instance_id);
    let listeners: Vec<(std::net::IpAddr, u16)> = probe
        .as_ref()
        .map(|seen| {
            seen.listeners.iter().map(|listener| (listener.address, listener.port)).collect()
        })
        .unwrap_or_default();
    let last_probe = probe.and_then(|seen| seen.last).map(probe_seen);
    let facts = Facts {
        phase: evidence.phase,
        service: &release.service,
        exit: evidence.exit,
        log_tail: &log_tail,
        listeners: &listeners,
        expected_port: environments::expected_port(platform, row, &release.service)?,
        last_probe: last_probe.as_ref(),
        waited: evidence.waited,
        restarts: evidence.restarts,
        env_keys: &env_keys,
        missing: &missing,
        stores_not_ready: &data_stores::not_ready(platform, &row.environment_id)?,
        own_files: &own_files(platform, release)?,
        secrets: &secrets,
    };
    Ok(diagnosis::diagnose(&facts))
}

/// Names of the project's own files where a release runs; none where they lie in an image.
fn own_files(platform: &Platform, release: &Release) -> Result<Vec<String>, Error> {
    let Some(id) = &release.artifact_id else { return Ok(Vec::new()) };
    let artifact = store::artifacts::get(&platform.store, id)?;
    Ok(artifact.map_or_else(Vec::new, |artifact| {
        let tree = std::path::Path::new(&artifact.path).join(&release.service.root_dir);
        build::own_files::names(&tree)
    }))
}

fn probe_seen(result: ProbeResult) -> ProbeSeen {
    match result {
        ProbeResult::Healthy { .. } => ProbeSeen::Healthy,
        ProbeResult::Unhealthy { status, body_head } => ProbeSeen::Unhealthy { status, body_head },
        ProbeResult::Refused => ProbeSeen::Refused,
        ProbeResult::Timeout => ProbeSeen::Timeout,
        ProbeResult::Error(text) => ProbeSeen::Error(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_verdict_hides_what_a_person_set_but_not_ports_and_flags() {
        let variable = |key: &str, value: &str| Variable {
            key: key.to_owned(),
            value: Some(value.into()),
            origin: Origin::Operator,
            is_secret: true,
            phase: reconcile::wiring::Phase::Both,
        };
        let variables = [
            variable("PORT", "4000"),
            variable("STRIPE", "sk_live_1234"),
            variable("PIN_SECRET", "4711"),
        ];
        assert_eq!(secrets_of(&variables), ["sk_live_1234", "4711"]);
    }

    #[tokio::test]
    async fn a_failed_build_does_not_tell_the_secrets_that_it_was_given() {
        let directory = tempfile::tempdir().unwrap();
        let platform = testing::platform(directory.path());
        let environment = testing::environment(&platform, "shop");
        let service = testing::service(&platform, &environment, "web");
        let release = testing::release(&platform, &service);
        let problem = Problem::new("registry-login", "the registry refused s3cret")
            .detail("GET https://build:pa55@registry.example/x?token=s3cret&greeting=hello")
            .hint("give it another token than s3cret");
        let failure = build::Failure { problem, log_tail: Vec::new(), first_cause: None };
        let shown = of_build(&platform, &release.id, failure);
        assert_eq!(shown.code, "registry-login");
        assert_eq!(shown.message, "the registry refused •••");
        assert_eq!(
            shown.detail.as_deref(),
            Some("GET https://build:•••@registry.example/x?token=•••&greeting=hello")
        );
        assert_eq!(shown.hint.as_deref(), Some("give it another token than •••"));
    }
}
