//! Evidence and verdicts.

mod endings;
mod health;
mod interpreters;
mod logs;
mod properties;
mod variables;
mod wording;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use model::service::AutoDeploy;
use model::{Exit, InstanceType, Problem, Runtime, Service, ServiceKind};

use super::*;

/// Evidence with nothing in it, for tests to add to.
struct Case {
    phase: Phase,
    service: Service,
    exit: Option<Exit>,
    log: Vec<String>,
    listeners: Vec<(IpAddr, u16)>,
    probe: Option<ProbeSeen>,
    restarts: u32,
    env_keys: Vec<String>,
    missing: Vec<Missing>,
    stores_not_ready: Vec<String>,
    secrets: Vec<String>,
}

impl Case {
    /// A web service that is being started.
    fn new() -> Self {
        Self {
            phase: Phase::Update,
            service: service(),
            exit: None,
            log: Vec::new(),
            listeners: Vec::new(),
            probe: None,
            restarts: 0,
            env_keys: Vec::new(),
            missing: Vec::new(),
            stores_not_ready: Vec::new(),
            secrets: Vec::new(),
        }
    }

    /// The same with a log, and an end with code 1.
    fn crashed(log: &str) -> Self {
        Self {
            exit: Some(exit(1)),
            log: log.lines().map(ToOwned::to_owned).collect(),
            ..Self::new()
        }
    }

    fn listens(mut self, address: &str, port: u16) -> Self {
        self.listeners.push((address.parse().unwrap(), port));
        self
    }

    fn diagnose(&self) -> Problem {
        diagnose(&Facts {
            phase: self.phase,
            service: &self.service,
            exit: self.exit.as_ref(),
            log_tail: &self.log,
            listeners: &self.listeners,
            expected_port: 10_000,
            last_probe: self.probe.as_ref(),
            waited: Duration::from_secs(90),
            restarts: self.restarts,
            env_keys: &self.env_keys,
            missing: &self.missing,
            stores_not_ready: &self.stores_not_ready,
            own_files: &[],
            secrets: &self.secrets,
        })
    }
}

fn exit(code: i32) -> Exit {
    Exit {
        code: Some(code),
        signal: None,
        out_of_memory: false,
        limit: None,
        start_error: None,
        at: Timestamp::UNIX_EPOCH,
    }
}

fn service() -> Service {
    Service {
        kind: ServiceKind::Web,
        name: "api".into(),
        runtime: Runtime::Node,
        root_dir: String::new(),
        repo: None,
        branch: None,
        build_command: None,
        start_command: Some("start".into()),
        pre_deploy_command: None,
        initial_deploy_hook: None,
        schedule: None,
        instance_type: InstanceType {
            name: "starter".into(),
            cpu_millis: 500,
            memory_bytes: 512 * 1024 * 1024,
        },
        instances: 1,
        env: Vec::new(),
        groups: Vec::new(),
        health_check_path: Some("/health".into()),
        max_shutdown_delay_seconds: 30,
        disk: None,
        domains: Vec::new(),
        publish_path: None,
        headers: Vec::new(),
        routes: Vec::new(),
        docker: None,
        image: None,
        container: model::Container::default(),
        build_filter: None,
        auto_deploy: AutoDeploy::Commit,
    }
}

/// The verdict's code, its message, and what its detail begins with.
#[track_caller]
fn check(case: &Case, code: &str, message: &str, detail: &str) {
    let problem = case.diagnose();
    assert_eq!(problem.code, code, "{problem:#?}");
    assert_eq!(problem.message, message, "{problem:#?}");
    let seen = problem.detail.clone().unwrap_or_default();
    assert!(seen.starts_with(detail), "{problem:#?}");
    assert!(problem.hint.is_some_and(|hint| !hint.contains('{')), "a hint without holes");
}

#[test]
fn every_cause_has_a_page_and_every_page_is_compiled_in() {
    let known: BTreeSet<&str> = codes().collect();
    for cause in causes::CAUSES {
        assert!(known.contains(cause.code), "docs/errors/{}.md", cause.code);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .filter(|name| name != "README")
        .collect();
    let known: BTreeSet<String> = known.into_iter().map(ToOwned::to_owned).collect();
    assert_eq!(files, known, "add the missing ones to diagnosis/pages.rs");
    assert!(page("port-not-open").is_some_and(|page| page.starts_with("# port-not-open\n")));
    assert_eq!(page("no-such-code"), None);
}

#[test]
fn no_code_stands_twice() {
    let all: Vec<&str> = causes::CAUSES.iter().map(|cause| cause.code).collect();
    let different: BTreeSet<&str> = all.iter().copied().collect();
    assert_eq!(all.len(), different.len());
}
