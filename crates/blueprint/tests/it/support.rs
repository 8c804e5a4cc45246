//! What the tests share: reading with few words, and showing what was understood.

use std::fmt::Write;

use blueprint::{Blueprint, Mode, ReadOptions, Reading, read};
use model::{EnvSource, EnvVar, Service, ServiceReference, TemplatePart};

pub(crate) fn options(mode: Mode) -> ReadOptions {
    ReadOptions { mode, file_name: "render.yaml".to_owned(), project_name: "demo".to_owned() }
}

pub(crate) fn tolerant(text: &str) -> Reading {
    read(text, &options(Mode::Tolerant))
}

pub(crate) fn strict(text: &str) -> Reading {
    read(text, &options(Mode::Strict))
}

/// A file of `tests/blueprints`.
pub(crate) fn fixture(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/blueprints").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// Findings, one on each line.
pub(crate) fn findings(reading: &Reading) -> String {
    let mut text = String::new();
    for finding in &reading.problems {
        let span = &finding.span;
        let fix = if finding.repair.is_some() { " [fix]" } else { "" };
        writeln!(
            text,
            "{}:{} {} {}: {}{fix}",
            span.line, span.column, finding.severity, finding.code, finding.message
        )
        .unwrap();
    }
    text
}

/// What was understood, then the findings.
pub(crate) fn understood(text: &str) -> String {
    let reading = tolerant(text);
    let mut shown = reading.blueprint.as_ref().map_or_else(|| "refused\n".to_owned(), summary);
    shown.push_str(&findings(&reading));
    shown
}

fn summary(blueprint: &Blueprint) -> String {
    let mut text = String::new();
    for scope in &blueprint.scopes {
        let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
        writeln!(text, "scope {}/{}", name(&scope.project), name(&scope.environment)).unwrap();
        for group in &scope.env_groups {
            writeln!(text, "  group {}", group.name).unwrap();
            variables(&mut text, &group.env);
        }
        for database in &scope.databases {
            writeln!(
                text,
                "  database {} {}/{} postgres {} {}",
                database.name,
                database.user,
                database.database_name,
                database.major_version,
                database.instance_type.name
            )
            .unwrap();
        }
        for key_value in &scope.key_values {
            writeln!(
                text,
                "  key value {} {} {} {}",
                key_value.name,
                key_value.instance_type.name,
                key_value.maxmemory_policy,
                key_value.persistence_mode
            )
            .unwrap();
        }
        for (word, service) in scope
            .services
            .iter()
            .map(|service| ("service", service))
            .chain(scope.workflows.iter().map(|service| ("workflow", service)))
        {
            service_line(&mut text, word, service);
            variables(&mut text, &service.env);
        }
    }
    text
}

fn service_line(text: &mut String, word: &str, service: &Service) {
    write!(
        text,
        "  {word} {} {} {} {}",
        service.name, service.kind, service.runtime, service.instance_type.name
    )
    .unwrap();
    let parts = [
        ("build", &service.build_command),
        ("start", &service.start_command),
        ("health", &service.health_check_path),
        ("publish", &service.publish_path),
        ("schedule", &service.schedule),
    ];
    for (name, value) in parts {
        if let Some(value) = value {
            write!(text, " {name}={value:?}").unwrap();
        }
    }
    if !service.groups.is_empty() {
        write!(text, " groups={:?}", service.groups).unwrap();
    }
    text.push('\n');
}

fn variables(text: &mut String, env: &[EnvVar]) {
    for var in env {
        writeln!(text, "    {} = {}", var.key, source(&var.source)).unwrap();
    }
}

pub(crate) fn source(source: &EnvSource) -> String {
    match source {
        EnvSource::Literal(text) => format!("{text:?}"),
        EnvSource::Generate => "generated".to_owned(),
        EnvSource::Ask => "asked for".to_owned(),
        EnvSource::FromDatabase { name, property } => format!("database {name}.{property}"),
        EnvSource::FromService { name, reference: ServiceReference::Property(property) } => {
            format!("service {name}.{property}")
        }
        EnvSource::FromService { name, reference: ServiceReference::EnvVar(key) } => {
            format!("copy of {name}'s {key}")
        }
        EnvSource::Template(parts) => {
            let parts: Vec<String> = parts.iter().map(part).collect();
            format!("template {}", parts.join(" + "))
        }
    }
}

fn part(part: &TemplatePart) -> String {
    match part {
        TemplatePart::Text(text) => format!("{text:?}"),
        TemplatePart::Variable { key, default, slice } => {
            let default = default.as_ref().map(|text| format!(" or {text:?}")).unwrap_or_default();
            let slice = slice.map(|(from, length)| format!(" {from}+{length}")).unwrap_or_default();
            format!("{key}{default}{slice}")
        }
        TemplatePart::Service { name, property } => format!("service {name}.{property}"),
        TemplatePart::Database { name, property } => format!("database {name}.{property}"),
    }
}
