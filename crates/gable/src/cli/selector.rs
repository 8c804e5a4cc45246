//! Finding what a person named: `NAME`, `ENVIRONMENT/NAME` or `PROJECT/ENVIRONMENT/NAME`.

use std::path::Path;

use wire::{
    DatabaseKind, DatabaseStatus, EnvironmentStatus, Problem, ProjectStatus, ServiceStatus, Status,
};

use super::stop::Stop;

/// Candidates that are listed before the rest is only counted.
const LISTED_MAX: usize = 12;

/// Something that a person can name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    /// The project it is in.
    pub(crate) project: &'a ProjectStatus,
    /// The environment it is in.
    pub(crate) environment: &'a EnvironmentStatus,
    /// What it is.
    pub(crate) thing: Thing<'a>,
}

/// A service or a database.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Thing<'a> {
    Service(&'a ServiceStatus),
    Database(&'a DatabaseStatus),
}

impl Thing<'_> {
    /// Its id.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Service(service) => &service.id,
            Self::Database(database) => &database.id,
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Service(service) => &service.name,
            Self::Database(database) => &database.name,
        }
    }

    fn other_name(&self) -> &str {
        match self {
            Self::Service(service) => &service.slug,
            Self::Database(database) => &database.host,
        }
    }
}

impl Found<'_> {
    fn full_name(&self) -> String {
        format!("{}/{}/{}", self.project.name, self.environment.name, self.thing.name())
    }

    fn is_meant_by(&self, text: &str) -> bool {
        let name = self.thing.name();
        let within = format!("{}/{name}", self.environment.name);
        text == self.thing.id()
            || [name, self.thing.other_name(), &within, &self.full_name()]
                .iter()
                .any(|candidate| candidate.eq_ignore_ascii_case(text))
    }
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Service,
    Database,
    Any,
}

/// Finds the one thing that is meant. Where several projects have it, the one that `here` lies in
/// wins.
///
/// # Errors
/// When there is none, or more than one, with the candidates.
pub(crate) fn find<'a>(
    status: &'a Status,
    kind: Kind,
    text: &str,
    here: Option<&Path>,
) -> Result<Found<'a>, Stop> {
    let all = everything(status, kind);
    let mut meant: Vec<_> = all.iter().filter(|found| found.is_meant_by(text)).copied().collect();
    // A database may be called like a service: it has an id to be named by, and its own commands.
    if meant.iter().any(|found| matches!(found.thing, Thing::Service(_))) {
        meant.retain(|found| matches!(found.thing, Thing::Service(_)));
    }
    one_of(&meant, here).ok_or_else(|| match meant.as_slice() {
        [] => not_found(kind, text, &all),
        several => ambiguous(kind, text, several),
    })
}

/// The only thing there is of a kind.
///
/// # Errors
/// When there is none, or more than one.
pub(crate) fn only<'a>(
    status: &'a Status,
    kind: Kind,
    here: Option<&Path>,
) -> Result<Found<'a>, Stop> {
    let all = everything(status, kind);
    let is_postgres = |found: &&Found<'_>| matches!(found.thing, Thing::Database(one) if one.kind == DatabaseKind::Postgres);
    let postgres: Vec<_> = all.iter().filter(is_postgres).copied().collect();
    // Beside a PostgreSQL database, a Key Value instance is seldom what is meant.
    one_of(&all, here).or_else(|| one_of(&postgres, here)).ok_or_else(|| match all.as_slice() {
        [] => Stop::failed(Problem::new("not-found", format!("there is no {}", word(kind)))),
        several => ambiguous(kind, "", several),
    })
}

/// The project that is meant: by name, or the one that `here` lies in, or the only one.
///
/// # Errors
/// When there is none, or more than one.
pub(crate) fn project<'a>(
    status: &'a Status,
    name: Option<&str>,
    here: Option<&Path>,
) -> Result<&'a ProjectStatus, Stop> {
    let names = || status.projects.iter().map(|project| project.name.clone()).collect::<Vec<_>>();
    if let Some(name) = name {
        let named = status.projects.iter().find(|project| project.name == name);
        return named.or_else(|| at_path(status, name)).ok_or_else(|| {
            let problem = Problem::new("not-found", format!("there is no project `{name}`"));
            Stop::failed(problem.detail(listed("projects", &names())))
        });
    }
    let around = status.projects.iter().filter(|project| is_around(project, here));
    let around: Vec<_> = around.collect();
    match (around.as_slice(), status.projects.as_slice()) {
        ([project], _) => Ok(project),
        (_, [project]) => Ok(project),
        (_, []) => Err(Stop::failed(
            Problem::new("not-found", "there is no project").hint("`gable up` starts one"),
        )),
        _ => Err(Stop::failed(
            Problem::new("ambiguous", "there are several projects")
                .detail(listed("projects", &names()))
                .hint("name the one you mean"),
        )),
    }
}

/// The one project that was applied from a directory, or from one around it. The directory may be
/// gone by now.
fn at_path<'a>(status: &'a Status, text: &str) -> Option<&'a ProjectStatus> {
    let path = Path::new(text);
    if !text.contains('/') && text != "." && text != ".." && !path.is_dir() {
        return None;
    }
    let path = path.canonicalize().or_else(|_| std::path::absolute(path)).ok()?;
    let source = |project: &&ProjectStatus| Path::new(&project.source) == path;
    let around = |project: &&ProjectStatus| is_around(project, Some(&path));
    let only = |mut found: Vec<&'a ProjectStatus>| match found.len() {
        1 => found.pop(),
        _ => None,
    };
    only(status.projects.iter().filter(source).collect())
        .or_else(|| only(status.projects.iter().filter(around).collect()))
}

/// Whether a directory lies in the one that a project was applied from.
pub(crate) fn is_around(project: &ProjectStatus, here: Option<&Path>) -> bool {
    !project.source.is_empty() && here.is_some_and(|here| here.starts_with(&project.source))
}

fn one_of<'a>(meant: &[Found<'a>], here: Option<&Path>) -> Option<Found<'a>> {
    match meant {
        [found] => Some(*found),
        several => {
            let mut around = several.iter().filter(|found| is_around(found.project, here));
            match (around.next(), around.next()) {
                (Some(found), None) => Some(*found),
                _ => None,
            }
        }
    }
}

fn everything(status: &Status, kind: Kind) -> Vec<Found<'_>> {
    let mut all = Vec::new();
    for project in &status.projects {
        for environment in &project.environments {
            let services = environment.services.iter().map(Thing::Service);
            let databases = environment.databases.iter().map(Thing::Database);
            let things = services
                .filter(|_| kind != Kind::Database)
                .chain(databases.filter(|_| kind != Kind::Service));
            all.extend(things.map(|thing| Found { project, environment, thing }));
        }
    }
    all
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Database => "database",
        Kind::Service | Kind::Any => "service",
    }
}

fn not_found(kind: Kind, text: &str, all: &[Found<'_>]) -> Stop {
    let problem = Problem::new("not-found", format!("there is no {} `{text}`", word(kind)));
    let problem = match closest(text, all) {
        Some(name) => problem.hint(format!("did you mean `{name}`?")),
        None => problem.hint("`gable status` lists what there is"),
    };
    let mut names: Vec<_> = all.iter().map(|found| found.thing.name().to_owned()).collect();
    names.sort();
    names.dedup();
    Stop::failed(if names.is_empty() {
        problem
    } else {
        problem.detail(listed("there is", &names))
    })
}

fn ambiguous(kind: Kind, text: &str, several: &[Found<'_>]) -> Stop {
    let names: Vec<_> = several.iter().map(Found::full_name).collect();
    let message = match text {
        "" => format!("there are several {}s", word(kind)),
        text => format!("`{text}` names several {}s", word(kind)),
    };
    let first = names.first().cloned().unwrap_or_default();
    Stop::failed(
        Problem::new("ambiguous", message)
            .detail(listed("they are", &names))
            .hint(format!("say more of the name, such as `{first}`")),
    )
}

fn listed(what: &str, names: &[String]) -> String {
    let shown = names.iter().take(LISTED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED_MAX) {
        0 => format!("{what}: {shown}"),
        more => format!("{what}: {shown} and {more} more"),
    }
}

/// The name that was probably meant: it begins so, or holds it, or differs in a letter.
fn closest<'a>(text: &str, all: &[Found<'a>]) -> Option<&'a str> {
    let wanted = text.to_ascii_lowercase();
    let names: Vec<&'a str> = all
        .iter()
        .map(|found| match found.thing {
            Thing::Service(service) => service.name.as_str(),
            Thing::Database(database) => database.name.as_str(),
        })
        .collect();
    let is_near = |name: &&&str| {
        let name = name.to_ascii_lowercase();
        (wanted.len() > 1 && (name.contains(&wanted) || wanted.contains(&name)))
            || distance(&name, &wanted) <= 1 + wanted.len() / 5
    };
    names.iter().find(is_near).copied()
}

/// Number of letters to insert, remove or replace (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures;

    fn check(kind: Kind, text: &str, here: Option<&str>) -> String {
        let status = fixtures::two_projects();
        match find(&status, kind, text, here.map(Path::new)) {
            Ok(found) => found.full_name(),
            Err(stop) => {
                let problem = stop.problem.unwrap();
                let hint = problem.hint.unwrap_or_default();
                format!("{}; {}; {hint}", problem.message, problem.detail.unwrap_or_default())
            }
        }
    }

    #[test]
    fn a_short_name_is_enough_when_it_is_the_only_one() {
        assert_eq!(check(Kind::Service, "worker", None), "shop/production/worker");
        assert_eq!(check(Kind::Service, "Worker", None), "shop/production/worker");
        assert_eq!(check(Kind::Database, "shop-db", None), "shop/production/shop-db");
        assert_eq!(check(Kind::Any, "shop-db", None), "shop/production/shop-db");
    }

    #[test]
    fn a_name_that_two_projects_use_is_refused_with_both() {
        insta::assert_snapshot!(check(Kind::Service, "web", None), @"`web` names several services; they are: blog/production/web, shop/production/web; say more of the name, such as `blog/production/web`");
        assert_eq!(check(Kind::Service, "shop/production/web", None), "shop/production/web");
    }

    #[test]
    fn the_project_of_this_folder_wins() {
        assert_eq!(check(Kind::Service, "web", Some("/src/blog/app")), "blog/production/web");
        assert_eq!(check(Kind::Service, "web", Some("/src/shop")), "shop/production/web");
    }

    #[test]
    fn a_project_is_named_by_the_folder_that_it_was_applied_from() {
        let status = fixtures::two_projects();
        let check =
            |text: &str| project(&status, Some(text), None).ok().map(|one| one.name.as_str());
        assert_eq!(check("/src/shop"), Some("shop"));
        assert_eq!(check("/src/shop/"), Some("shop"));
        assert_eq!(check("/src/blog/app/../deep"), Some("blog"));
        assert_eq!(check("/src"), None);
        assert_eq!(check("src"), None);
    }

    #[test]
    fn the_only_postgresql_database_is_meant_beside_key_value_instances() {
        let mut status = fixtures::two_projects();
        let databases = &mut status.projects[1].environments[0].databases;
        let mut cache = databases[0].clone();
        (cache.id, cache.name) = ("red-1".to_owned(), "cache".to_owned());
        cache.kind = DatabaseKind::KeyValue;
        databases.push(cache.clone());
        let name = |status: &Status| {
            only(status, Kind::Database, None).ok().map(|found| found.thing.name().to_owned())
        };
        assert_eq!(name(&status).as_deref(), Some("shop-db"));
        let databases = &mut status.projects[1].environments[0].databases;
        databases.push(databases[0].clone());
        assert_eq!(name(&status), None, "there are two");
        status.projects[1].environments[0].databases = vec![cache];
        assert_eq!(name(&status).as_deref(), Some("cache"));
    }

    #[test]
    fn a_wrong_name_brings_the_nearest_one() {
        insta::assert_snapshot!(check(Kind::Service, "wroker", None), @r"there is no service `wroker`; there is: nightly, web, worker; did you mean `worker`?");
        insta::assert_snapshot!(check(Kind::Database, "shop-db2", None), @"there is no database `shop-db2`; there is: shop-db; did you mean `shop-db`?");
    }
}
