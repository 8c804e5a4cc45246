//! A foreground `up` that is up: shows what services write until the person has enough.

use jiff::Timestamp;
use wire::{DeployStatus, Event, EventQuery, LogLine, LogQuery, ProjectStatus};

use super::Up;
use crate::cli::interrupts::Interrupts;
use crate::cli::logs::Names;
use crate::cli::stop::{Stop, render_problem};
use crate::cli::watch;

impl Up<'_> {
    /// Shows logs and events until the person interrupts it.
    ///
    /// # Errors
    /// When the server goes away for good.
    pub(super) async fn stay(
        &mut self,
        project: &ProjectStatus,
        interrupts: &mut Interrupts,
    ) -> Result<(), Stop> {
        let mut place = Place { sequence: None, at: Timestamp::now() };
        let names = Names::of(project);
        loop {
            let shown = tokio::select! {
                () = interrupts.next() => return Ok(()),
                shown = self.show(project, &names, &mut place) => shown,
            };
            match shown {
                Ok(()) => {}
                Err(Shown::Server(error)) if error.is_gone() => {}
                Err(Shown::Server(error)) => return Err(error.into()),
                Err(Shown::Printer(stop)) => return Err(stop),
            }
            self.client = tokio::select! {
                () = interrupts.next() => return Ok(()),
                client = watch::recover(&self.launch) => client?,
            };
        }
    }

    /// Shows as long as the server is there.
    async fn show(
        &self,
        project: &ProjectStatus,
        names: &Names,
        place: &mut Place,
    ) -> Result<(), Shown> {
        let since = match place.sequence {
            Some(sequence) => sequence,
            None => self.client.status(&wire::StatusQuery::default()).await?.sequence,
        };
        place.sequence = Some(since);
        let name = Some(project.name.clone());
        let query = EventQuery { since: Some(since), follow: true, project: name.clone() };
        let mut events = self.client.events(&query).await?;
        let query =
            LogQuery { project: name, since: Some(place.at), follow: true, ..LogQuery::default() };
        let mut lines = self.client.logs(&query).await?;
        loop {
            tokio::select! {
                line = lines.next() => match line? {
                    Some(line) => self.tell_line(&line, names, place).map_err(Shown::Printer)?,
                    None => return Ok(()),
                },
                event = events.next() => match event? {
                    Some(event) => self.tell_event(&event, place),
                    None => return Ok(()),
                },
            }
        }
    }

    fn tell_line(&self, line: &LogLine, names: &Names, place: &mut Place) -> Result<(), Stop> {
        place.at = place.at.max(line.at);
        let printer = self.context.printer;
        if printer.json {
            return printer.json(line);
        }
        printer.data(&names.line(line, false, printer.out()))
    }

    fn tell_event(&self, event: &Event, place: &mut Place) {
        place.sequence = place.sequence.max(Some(event.sequence));
        let printer = self.context.printer;
        let paint = printer.err();
        // The steps of a deploy are for whoever asked for it; here its end is news.
        let is_over = event
            .status
            .is_some_and(|status| status.is_over() && status != DeployStatus::Deactivated);
        if is_over || event.database.is_some() || event.problem.is_some() {
            printer.say(&format!("{} {}  {}", paint.busy("•"), event.service, event.message));
        }
        if let Some(problem) = &event.problem {
            printer.say(&render_problem(problem, paint));
        }
    }
}

/// What was shown so far.
struct Place {
    sequence: Option<u64>,
    at: Timestamp,
}

/// Why showing ended.
enum Shown {
    Server(wire::Error),
    Printer(Stop),
}

impl From<wire::Error> for Shown {
    fn from(error: wire::Error) -> Self {
        Self::Server(error)
    }
}
