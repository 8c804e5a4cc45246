//! How everything stands.

use jiff::Timestamp;
use wire::{
    DatabaseKind, DatabaseState, DatabaseStatus, EnvironmentStatus, InstanceState, ProjectStatus,
    ServiceState, ServiceStatus, Status,
};

use super::table::{Table, width};
use super::unset::unset;
use super::{bytes, indent, since};
use crate::cli::paint::Paint;
use crate::cli::stop::{render_problem, render_with};

/// Columns that a remark on a state takes at most.
const DETAIL_COLUMNS_MAX: usize = 40;

/// All projects.
pub(crate) fn status(status: &Status, now: Timestamp, paint: Paint) -> String {
    if status.projects.is_empty() {
        return "nothing is here yet; `gable up` in a folder with a render.yaml or compose.yaml starts it\n"
            .to_owned();
    }
    let projects: Vec<_> =
        status.projects.iter().map(|project| one_project(project, now, paint)).collect();
    projects.join("\n")
}

fn one_project(project: &ProjectStatus, now: Timestamp, paint: Paint) -> String {
    let stopped = if project.stopped { "  stopped" } else { "" };
    let mut text =
        format!("{}  {}{stopped}\n", paint.bold(&project.name), paint.dim(&project.source));
    for environment in &project.environments {
        text.push('\n');
        if project.environments.len() > 1 {
            text.push_str(&format!("  {}\n", paint.bold(&environment.name)));
        }
        text.push_str(&services(environment, now, paint));
        text.push_str(&databases(environment, now, paint));
    }
    let failures = failures(project, paint);
    if !failures.is_empty() {
        text.push('\n');
        text.push_str(&indent(&failures, 2));
    }
    if !project.missing.is_empty() {
        text.push('\n');
    }
    for one in unset(&project.missing) {
        let verb = if one.is_many { "are" } else { "is" };
        let why = if one.why.is_empty() { one.why } else { format!(": {}", one.why) };
        let line = format!("{} {verb} unset{why}", one.what);
        text.push_str(&format!("  {} {line}\n", paint.careful("note:")));
    }
    text
}

fn services(environment: &EnvironmentStatus, now: Timestamp, paint: Paint) -> String {
    let mut table = Table::default();
    if !environment.services.is_empty() {
        table.row(
            ["SERVICE", "STATE", "WHERE", "RELEASE", "MEMORY", "SINCE"].map(|word| paint.dim(word)),
        );
    }
    for service in &environment.services {
        let memory: u64 = service.instances.iter().filter_map(|one| one.memory_bytes).sum();
        table.row([
            service.name.clone(),
            service_state(service, now, paint),
            place(service, paint),
            service.revision.map(|number| format!("v{number}")).unwrap_or_default(),
            if memory > 0 { bytes(memory) } else { String::new() },
            started(service).map(|at| since(at, now)).unwrap_or_default(),
        ]);
    }
    table.render(2) + &deaths(environment, now, paint)
}

/// Which services were started again, how often, and how their last instance ended.
fn deaths(environment: &EnvironmentStatus, now: Timestamp, paint: Paint) -> String {
    let mut text = String::new();
    for service in &environment.services {
        let last = service.instances.iter().filter(|one| one.last_exit.is_some());
        let last = last.max_by_key(|one| one.last_exit.as_ref().map(|exit| exit.at));
        let Some((instance, exit)) = last.and_then(|one| Some((one, one.last_exit.as_ref()?)))
        else {
            continue;
        };
        let times = match instance.restarts {
            0 => String::new(),
            1 => " and was started again once".to_owned(),
            restarts => format!(" and was started again {restarts} times"),
        };
        let ago = since(exit.at, now);
        let line = format!("{} {} {ago} ago{times}", service.name, exit.what);
        text.push_str(&format!("  {} {line}\n", paint.careful("note:")));
    }
    text
}

fn started(service: &ServiceStatus) -> Option<Timestamp> {
    let newest = service.instances.iter().filter_map(|instance| instance.started_at).max();
    newest.or_else(|| service.deploy.as_ref().and_then(|deploy| deploy.finished_at))
}

fn place(service: &ServiceStatus, paint: Paint) -> String {
    match (service.urls.first(), &service.internal) {
        (Some(url), _) => paint.link(url),
        (None, Some(internal)) => paint.dim(internal),
        (None, None) => String::new(),
    }
}

/// The state in a few words: with the reason for waiting, the number of instances, the next run.
fn service_state(service: &ServiceStatus, now: Timestamp, paint: Paint) -> String {
    let word = match service.state {
        ServiceState::Live => paint.good("live"),
        ServiceState::Deploying => paint.busy("deploying"),
        ServiceState::Failed => paint.bad("failed"),
        ServiceState::Degraded => paint.bad("deploy failed"),
        ServiceState::CrashLooping => paint.bad("crashing"),
        ServiceState::Stopped => paint.dim("stopped"),
        ServiceState::Waiting => paint.busy("waiting"),
        ServiceState::Suspended => paint.dim("suspended"),
        ServiceState::Scheduled => paint.good("scheduled"),
        ServiceState::Running => paint.busy("running"),
        ServiceState::Completed => paint.good("completed"),
        ServiceState::Ended => paint.bad("ended"),
    };
    let mut details = Vec::new();
    if let Some(next) = service.next_run.filter(|_| service.state == ServiceState::Scheduled) {
        details.push(format!("next in {}", since(now, next)));
    }
    let healthy =
        service.instances.iter().filter(|one| one.state == InstanceState::Healthy).count();
    if service.instances.len() > 1 {
        details.push(format!("{healthy} of {}", service.instances.len()));
    }
    // Why a deploy failed is told in full elsewhere.
    let failure = service.deploy.as_ref().and_then(|deploy| deploy.failure.as_ref());
    let is_told = is_bad(service.state) && failure.is_some();
    if !service.state_detail.is_empty() && !is_told {
        details.push(paint.clip(&service.state_detail, DETAIL_COLUMNS_MAX));
    }
    if details.is_empty() { word } else { format!("{word} {}", paint.dim(&details.join(", "))) }
}

fn databases(environment: &EnvironmentStatus, now: Timestamp, paint: Paint) -> String {
    let mut table = Table::default();
    if !environment.databases.is_empty() {
        table.row(
            ["DATABASE", "STATE", "WHERE", "VERSION", "MEMORY", "SINCE"]
                .map(|word| paint.dim(word)),
        );
    }
    for database in &environment.databases {
        table.row([
            database.name.clone(),
            database_state(database, paint),
            paint.dim(&format!("{}:{}", database.host, database.port)),
            version(database),
            database.memory_bytes.map(bytes).unwrap_or_default(),
            database.started_at.map(|at| since(at, now)).unwrap_or_default(),
        ]);
    }
    if table.is_empty() || environment.services.is_empty() {
        return table.render(2);
    }
    format!("\n{}", table.render(2))
}

fn database_state(database: &DatabaseStatus, paint: Paint) -> String {
    let word = match database.state {
        DatabaseState::Creating => paint.busy("creating"),
        DatabaseState::Starting => paint.busy("starting"),
        DatabaseState::Available => paint.good("available"),
        DatabaseState::Failed => paint.bad("failed"),
        DatabaseState::Stopped => paint.dim("stopped"),
    };
    if database.state_detail.is_empty() {
        return word;
    }
    format!("{word} {}", paint.dim(&database.state_detail))
}

fn version(database: &DatabaseStatus) -> String {
    match database.kind {
        DatabaseKind::Postgres
            if database.version.starts_with(|letter: char| letter.is_ascii_digit()) =>
        {
            format!("PostgreSQL {}", database.version)
        }
        _ => database.version.clone(),
    }
}

fn is_bad(state: ServiceState) -> bool {
    matches!(state, ServiceState::Failed | ServiceState::Degraded | ServiceState::CrashLooping)
}

/// What is wrong with services and databases, each with its cause and what to do.
pub(crate) fn failures(project: &ProjectStatus, paint: Paint) -> String {
    let mut texts = Vec::new();
    for environment in &project.environments {
        for service in &environment.services {
            let is_bad = is_bad(service.state);
            let failure = service.deploy.as_ref().and_then(|deploy| deploy.failure.as_ref());
            if let Some(problem) = failure.filter(|_| is_bad) {
                texts.push(format!(
                    "{}\n{}",
                    paint.bold(&service.name),
                    render_problem(problem, paint)
                ));
            } else if width(&service.state_detail) > DETAIL_COLUMNS_MAX {
                // The table has the beginning of it.
                let name = paint.bold(&service.name);
                texts.push(format!("{name}\n  {}\n", service.state_detail));
            }
        }
        let services = environment.services.iter();
        let warned = services.filter_map(|one| Some((one, one.deploy.as_ref()?.warning.as_ref()?)));
        texts.extend(warned.map(|(service, warning)| {
            let label = paint.careful("warning:");
            format!("{}\n{}", paint.bold(&service.name), render_with(&label, warning, paint))
        }));
        for database in &environment.databases {
            if let Some(problem) = &database.failure {
                texts.push(format!(
                    "{}\n{}",
                    paint.bold(&database.name),
                    render_problem(problem, paint)
                ));
            }
        }
    }
    texts.join("\n")
}

/// Where everything is, in one list: services with URLs first.
pub(crate) fn urls(project: &ProjectStatus, now: Timestamp, paint: Paint) -> String {
    let mut table = Table::default();
    let is_many = project.environments.len() > 1;
    for environment in &project.environments {
        let name = |name: &str| match is_many {
            true => format!("{}/{name}", environment.name),
            false => name.to_owned(),
        };
        let mut services: Vec<_> = environment.services.iter().collect();
        services.sort_by_key(|service| service.urls.is_empty());
        for service in services {
            let quiet = service.state == ServiceState::Live;
            let state = if quiet && !service.urls.is_empty() {
                String::new()
            } else {
                service_state(service, now, paint)
            };
            let place = match service.state {
                ServiceState::Failed => String::new(),
                _ => place(service, paint),
            };
            table.row([name(&service.name), place, state]);
        }
        for database in &environment.databases {
            let place = paint.dim(&format!("{}:{}", database.host, database.port));
            let state = match database.state {
                DatabaseState::Available => paint.dim(&version(database)),
                _ => database_state(database, paint),
            };
            table.row([name(&database.name), place, state]);
        }
    }
    table.render(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures;

    fn now() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_status_says_where_everything_is_and_what_is_wrong() {
        insta::assert_snapshot!(status(&fixtures::two_projects(), now(), Paint::plain()), @r"
        blog  /src/blog

          SERVICE  STATE   WHERE  RELEASE  MEMORY  SINCE
          web      failed

          web
          error: worker ended at once: SECRET_KEY is not set [variable-missing]
            KeyError: 'SECRET_KEY'

          hint: `gable env set worker SECRET_KEY`

        shop  /src/shop

          SERVICE  STATE                 WHERE                      RELEASE  MEMORY  SINCE
          worker   waiting for shop-db
          web      live 1 of 2           http://web.localhost:8080  v3       122 MB  5m
          nightly  scheduled next in 3h

          DATABASE  STATE      WHERE         VERSION          MEMORY  SINCE
          shop-db   available  shop-db:5432  PostgreSQL 16.4  24 MB   2d

          note: web.STRIPE_KEY is unset: sync: false
        ");
    }

    #[test]
    fn no_project_is_no_riddle() {
        insta::assert_snapshot!(status(&Status::default(), now(), Paint::plain()), @"nothing is here yet; `gable up` in a folder with a render.yaml or compose.yaml starts it");
    }

    #[test]
    fn the_list_of_urls_has_the_public_ones_first() {
        let status = fixtures::two_projects();
        insta::assert_snapshot!(urls(&status.projects[1], now(), Paint::plain()), @r"
        web      http://web.localhost:8080
        worker                              waiting for shop-db
        nightly                             scheduled next in 3h
        shop-db  shop-db:5432               PostgreSQL 16.4
        ");
    }
}
