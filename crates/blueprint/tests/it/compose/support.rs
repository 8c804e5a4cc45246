//! What the tests of compose files share.

use std::fmt::Write;

use blueprint::compose::{Input, Reading, read};
use blueprint::{Finding, Scope};
use model::{EnvSource, FileSource, Service, VolumeSource};

pub(crate) fn one(text: &str) -> Input {
    Input::of("compose.yaml", text)
}

/// Several files; the first is the one that is read, the others are there to be found.
pub(crate) fn several(files: &[(&str, &str)]) -> Input {
    let mut input = Input::of(files[0].0, files[0].1);
    for (path, text) in &files[1..] {
        input.more_files.insert((*path).to_owned(), Some((*text).to_owned()));
    }
    input
}

/// Reads until nothing is needed; what is not among the input's files is not there.
pub(crate) fn settled(input: &Input) -> Reading {
    let mut input = input.clone();
    for _ in 0..20 {
        let reading = read(&input);
        if reading.needs.is_empty() {
            return reading;
        }
        assert!(reading.problems.is_empty() && reading.blueprint.is_none());
        for path in reading.needs {
            assert!(!input.more_files.contains_key(&path), "{path} is asked for twice");
            input.more_files.insert(path, None);
        }
    }
    panic!("files are needed without end");
}

/// Findings, one on each line.
pub(crate) fn findings(problems: &[Finding]) -> String {
    let mut text = String::new();
    for finding in problems {
        let span = &finding.span;
        let file = finding.file.as_deref().unwrap_or("?");
        let fix = if finding.repair.is_some() { " [fix]" } else { "" };
        writeln!(
            text,
            "{file}:{}:{} {} {}: {}{fix}",
            span.line, span.column, finding.severity, finding.code, finding.message
        )
        .unwrap();
    }
    text
}

/// What was understood, then the findings.
pub(crate) fn understood(input: &Input) -> String {
    let reading = settled(input);
    let mut text = match &reading.blueprint {
        Some(blueprint) => summary(&blueprint.scopes[0]),
        None => "refused\n".to_owned(),
    };
    text.push_str(&findings(&reading.problems));
    text
}

/// The only service of an input that is accepted.
pub(crate) fn service(input: &Input) -> Service {
    let reading = settled(input);
    assert!(reading.is_accepted(), "{}", findings(&reading.problems));
    reading.blueprint.unwrap().scopes.remove(0).services.remove(0)
}

fn summary(scope: &Scope) -> String {
    let mut text = String::new();
    for database in &scope.databases {
        let origin = scope.database_settings[&database.name].compose.as_ref().unwrap();
        writeln!(
            text,
            "database {} {}/{} postgres {} {} password={} as={:?} ports={} init={:?} {:?}",
            database.name,
            database.user,
            database.database_name,
            database.major_version,
            database.instance_type.name,
            origin.password.is_some(),
            origin.aliases,
            origin.published.len(),
            origin.init_files,
            origin.parameters
        )
        .unwrap();
    }
    for key_value in &scope.key_values {
        let origin = scope.key_value_settings[&key_value.name].compose.as_ref().unwrap();
        writeln!(
            text,
            "key value {} {} {} {} password={} as={:?} ports={}",
            key_value.name,
            key_value.instance_type.name,
            key_value.maxmemory_policy,
            key_value.persistence_mode,
            origin.password.is_some(),
            origin.aliases,
            origin.published.len()
        )
        .unwrap();
    }
    for service in &scope.services {
        one_service(&mut text, service);
        for route in &service.container.base_routes {
            let host = route.host.as_deref().unwrap_or("-");
            writeln!(
                text,
                "  route {host}{} strip={} {:?}",
                route.path, route.strip_prefix, route.port
            )
            .unwrap();
        }
    }
    text
}

fn one_service(text: &mut String, service: &Service) {
    let container = &service.container;
    let origin = match (&service.image, &service.docker) {
        (Some(image), _) => image.url.clone(),
        (None, Some(docker)) => format!("{} in {}", docker.dockerfile_path, docker.context),
        (None, None) => "-".to_owned(),
    };
    writeln!(
        text,
        "service {} {} {origin} {}",
        service.name, service.kind, service.instance_type.name
    )
    .unwrap();
    if let Some(words) = &container.command {
        writeln!(text, "  runs {}", words.join(" | ")).unwrap();
    }
    for variable in &service.env {
        let value = match &variable.source {
            EnvSource::Literal(value) => format!("{value:?}"),
            other => format!("{other:?}"),
        };
        writeln!(text, "  {} = {value}", variable.key).unwrap();
    }
    for port in &container.ports {
        let address = port.host_address.as_deref().unwrap_or("*");
        let published = port.published.map_or("any".to_owned(), |port| port.to_string());
        writeln!(text, "  port {address}:{published}>{} {}", port.target, port.protocol).unwrap();
    }
    for volume in &container.volumes {
        let source = match &volume.source {
            VolumeSource::Named(name) => format!("volume {name}"),
            VolumeSource::PerReplica(name) => format!("volume {name} of each"),
            VolumeSource::Anonymous => "anonymous".to_owned(),
            VolumeSource::Image(image) => format!("image {}", image.url),
            VolumeSource::Project(path) => format!("project {path}"),
            VolumeSource::Host(path) => format!("host {path}"),
            VolumeSource::Tmpfs { size_bytes } => format!("tmpfs {size_bytes:?}"),
        };
        let mode = if volume.is_read_only { " ro" } else { "" };
        let part = volume.subpath.as_deref().map_or_else(String::new, |it| format!(" part {it}"));
        writeln!(text, "  mount {source}{part} at {}{mode}", volume.target).unwrap();
    }
    for file in &container.files {
        let source = match &file.source {
            FileSource::Project(path) => format!("project {path}"),
            FileSource::Variable(key) => format!("variable {key}"),
        };
        writeln!(text, "  file {source} at {} {:o}", file.target, file.mode).unwrap();
    }
    for need in &container.depends_on {
        let required = if need.is_required { "" } else { " if there" };
        writeln!(text, "  after {} {}{required}", need.service, need.condition).unwrap();
    }
    if !container.aliases.is_empty() {
        writeln!(text, "  as {}", container.aliases.join(" ")).unwrap();
    }
}
