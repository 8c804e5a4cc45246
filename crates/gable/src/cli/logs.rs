//! `gable logs`.

use std::collections::HashMap;

use jiff::Timestamp;
use wire::{LogLine, LogQuery, ProjectStatus, Status, StatusQuery, Stream};

use super::args::LogsArgs;
use super::context::Context;
use super::escape::log_line;
use super::paint::Paint;
use super::render;
use super::selector::{self, Kind};
use super::stop::{DONE, Outcome, Stop};

/// Columns that a name before a line takes at most.
const NAME_COLUMNS_MAX: usize = 24;

/// Runs it.
pub(crate) async fn run(context: &Context, args: &LogsArgs) -> Outcome {
    let connected = context.running().await?;
    let status = connected.client.status(&StatusQuery::default()).await?;
    let wanted = Wanted::find(context, args, &status)?;
    let query = LogQuery {
        project: wanted.project.clone(),
        service: wanted.service.clone(),
        deploy: args.deploy.clone(),
        instance: args.instance.clone(),
        build: args.build,
        tail: args.tail.0,
        since: None,
        follow: args.follow,
    };
    let mut lines = connected.client.logs(&query).await?;
    while let Some(line) = lines.next().await? {
        if !wanted.shows(&line) {
            continue;
        }
        if context.printer.json {
            context.printer.json(&line)?;
        } else {
            context.printer.data(&wanted.names.line(
                &line,
                args.timestamps,
                context.printer.out(),
            ))?;
        }
    }
    Ok(DONE)
}

/// Whose lines are wanted.
struct Wanted {
    /// Everything of this project, of which `services` are shown.
    project: Option<String>,
    /// One service, by id.
    service: Option<String>,
    /// Environment and name; all if empty.
    services: Vec<(String, String)>,
    names: Names,
}

impl Wanted {
    fn find(context: &Context, args: &LogsArgs, status: &Status) -> Result<Self, Stop> {
        let here = context.here();
        let nothing =
            || Self { project: None, service: None, services: Vec::new(), names: Names::none() };
        if args.services.is_empty() && (args.instance.is_some() || args.deploy.is_some()) {
            return Ok(nothing());
        }
        if args.services.is_empty() {
            let project = selector::project(status, args.project.as_deref(), here.as_deref())?;
            let names = Names::of(project);
            return Ok(Self { project: Some(project.name.clone()), names, ..nothing() });
        }
        let find = |name: &String| selector::find(status, Kind::Any, name, here.as_deref());
        let found = args.services.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        if let [one] = found.as_slice() {
            return Ok(Self { service: Some(one.thing.id().to_owned()), ..nothing() });
        }
        let project = found[0].project;
        if found.iter().any(|one| one.project.name != project.name) {
            return Err(Stop::usage("these services belong to several projects")
                .hint("ask for the logs of one project at a time"));
        }
        let services = found
            .iter()
            .map(|one| (one.environment.name.clone(), one.thing.name().to_owned()))
            .collect();
        let names = Names::of(project);
        Ok(Self { project: Some(project.name.clone()), service: None, services, names })
    }

    fn shows(&self, line: &LogLine) -> bool {
        self.services.is_empty()
            || self.services.iter().any(|(environment, name)| {
                *environment == line.environment && *name == line.service
            })
    }
}

/// How lines of several services are told apart.
#[derive(Debug)]
pub(crate) struct Names {
    /// Label and colour of each (environment, name).
    labels: HashMap<(String, String), (String, usize)>,
    columns: usize,
}

impl Names {
    /// No names: the lines of one service.
    fn none() -> Self {
        Self { labels: HashMap::new(), columns: 0 }
    }

    /// The names of a project's services and databases.
    pub(crate) fn of(project: &ProjectStatus) -> Self {
        let is_many = project.environments.len() > 1;
        let mut labels = HashMap::new();
        for environment in &project.environments {
            let services = environment.services.iter().map(|service| &service.name);
            for name in services.chain(environment.databases.iter().map(|database| &database.name))
            {
                let label = match is_many {
                    true => format!("{}/{name}", environment.name),
                    false => name.clone(),
                };
                let colour = labels.len();
                labels.insert((environment.name.clone(), name.clone()), (label, colour));
            }
        }
        let columns = labels.values().map(|(label, _)| render::width(label)).max().unwrap_or(0);
        Self { labels, columns }
    }

    /// One line, with the name of its service if there are several.
    pub(crate) fn line(&self, line: &LogLine, with_time: bool, paint: Paint) -> String {
        let mut text = String::new();
        if with_time {
            text.push_str(&paint.dim(&format!("{} ", render::moment(line.at, Timestamp::now()))));
        }
        let key = (line.environment.clone(), line.service.clone());
        if self.columns > 0 {
            let (label, colour) =
                self.labels.get(&key).cloned().unwrap_or((line.service.clone(), self.labels.len()));
            let columns = self.columns.min(paint.columns(NAME_COLUMNS_MAX));
            let label = render::clip(&label, columns);
            let blanks = " ".repeat(columns.saturating_sub(render::width(&label)));
            text.push_str(&paint.nth(colour, &format!("{label}{blanks} │")));
            text.push_str(if line.text.is_empty() { "" } else { " " });
        }
        let body = log_line(&line.text, paint.is_on());
        match line.stream {
            Stream::Gable => text.push_str(&paint.dim(&format!("gable: {body}"))),
            Stream::Stdout | Stream::Stderr => text.push_str(&body),
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures;

    fn line(service: &str, stream: Stream, text: &str) -> LogLine {
        LogLine {
            at: "2026-11-21T10:00:00Z".parse().unwrap(),
            service: service.to_owned(),
            environment: "production".to_owned(),
            instance: "ins-1".to_owned(),
            stream,
            text: text.to_owned(),
        }
    }

    #[test]
    fn lines_of_several_services_are_told_apart() {
        let names = Names::of(&fixtures::two_projects().projects[1]);
        let lines = [
            line("web", Stream::Stdout, "\u{1b}[32mready\u{1b}[0m"),
            line("nightly", Stream::Stderr, ""),
            line("shop-db", Stream::Gable, "started again"),
        ];
        let text: String = lines.iter().map(|one| names.line(one, false, Paint::plain())).collect();
        insta::assert_snapshot!(text, @r"
        web     │ ready
        nightly │
        shop-db │ gable: started again
        ");
    }

    #[test]
    fn lines_of_one_service_stand_alone() {
        let text = Names::none().line(&line("web", Stream::Stdout, "ready"), false, Paint::plain());
        assert_eq!(text, "ready\n");
    }
}
