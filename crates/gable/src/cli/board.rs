//! The progress of deploys: one line for each service and database. Pure: events in, lines out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use wire::{DatabaseState, DeployRef, DeployStatus, Event, Noun, Status};

use super::paint::Paint;
use super::render::{clip, elapsed, width};

/// One line for each service and database that is on its way.
#[derive(Debug, Default)]
pub(crate) struct Board {
    rows: Vec<Row>,
    /// Where the row of each thing is: environment, name, and whether it is a service.
    places: HashMap<(String, String, Noun), usize>,
    /// What the rows are called; made anew when there is another row.
    labels: RefCell<Option<Labels>>,
}

/// What rows are called, and how wide that is.
#[derive(Debug)]
struct Labels {
    names: Vec<String>,
    columns: usize,
}

/// The line of one of them.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    environment: String,
    name: String,
    /// A service and a database may have one name.
    noun: Noun,
    /// The newest deploy that was seen; ids sort by age.
    deploy: String,
    phase: Phase,
    /// What is going on, or what it waits for.
    detail: String,
    began_at: Timestamp,
    ended_at: Option<Timestamp>,
}

/// How far something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Service(DeployStatus),
    Database(DatabaseState),
}

impl Phase {
    fn word(self) -> &'static str {
        match self {
            Self::Service(DeployStatus::Created) => "waiting",
            Self::Service(DeployStatus::Queued) => "queued",
            Self::Service(DeployStatus::BuildInProgress) => "building",
            Self::Service(DeployStatus::PreDeployInProgress) => "pre-deploy",
            Self::Service(DeployStatus::UpdateInProgress)
            | Self::Database(DatabaseState::Starting) => "starting",
            Self::Service(DeployStatus::Live) => "live",
            Self::Service(DeployStatus::Deactivated) => "replaced",
            Self::Service(DeployStatus::Canceled) => "canceled",
            Self::Service(DeployStatus::BuildFailed) => "build failed",
            Self::Service(DeployStatus::PreDeployFailed) => "pre-deploy failed",
            Self::Service(DeployStatus::UpdateFailed) => "deploy failed",
            Self::Database(DatabaseState::Creating) => "creating",
            Self::Database(DatabaseState::Available) => "available",
            Self::Database(DatabaseState::Failed) => "failed",
            Self::Database(DatabaseState::Stopped) => "stopped",
        }
    }

    fn is_failure(self) -> bool {
        match self {
            Self::Service(status) => status.is_failure(),
            Self::Database(state) => state == DatabaseState::Failed,
        }
    }

    fn is_over(self) -> bool {
        match self {
            Self::Service(status) => status.is_over(),
            Self::Database(state) => {
                matches!(
                    state,
                    DatabaseState::Available | DatabaseState::Failed | DatabaseState::Stopped
                )
            }
        }
    }
}

/// How a row is shown.
#[derive(Debug, Clone, Copy)]
struct Shape {
    now: Timestamp,
    columns: usize,
    is_drawn: bool,
    paint: Paint,
}

/// Columns of the phase.
const PHASE_COLUMNS: usize = 10;
/// Columns of the elapsed time.
const TIME_COLUMNS: usize = 7;
/// Columns that a name takes at most.
const NAME_COLUMNS_MAX: usize = 28;

impl Board {
    /// Takes an event. Returns the row that it moved to another phase.
    pub(crate) fn apply(&mut self, event: &Event) -> Option<usize> {
        let phase = match (event.noun, event.status, event.database) {
            (Noun::Service, Some(status), _) => Phase::Service(status),
            (Noun::Database | Noun::KeyValue, _, Some(state)) => Phase::Database(state),
            (Noun::Service, None, _) => {
                if let Some(row) = self.find(&event.environment, &event.service, event.noun) {
                    row.detail.clone_from(&event.message);
                }
                return None;
            }
            _ => return None,
        };
        let deploy = event.deploy.as_deref().unwrap_or_default();
        let place =
            Place { environment: &event.environment, name: &event.service, noun: event.noun };
        self.move_to(&place, deploy, phase, event.at)
    }

    /// Makes sure that there is a row, before anything happens to it.
    pub(crate) fn expect(&mut self, deploy: &DeployRef, at: Timestamp) {
        let phase = Phase::Service(DeployStatus::Created);
        let place =
            Place { environment: &deploy.environment, name: &deploy.service, noun: Noun::Service };
        self.move_to(&place, &deploy.id, phase, at);
    }

    /// Takes what only a status says: what deploys wait for.
    pub(crate) fn take_status(&mut self, status: &Status) {
        for environment in status.projects.iter().flat_map(|project| &project.environments) {
            for service in &environment.services {
                let row = self.find(&environment.name, &service.name, Noun::Service);
                let Some(row) = row else { continue };
                let waiting = service.deploy.as_ref().and_then(|deploy| deploy.waiting.clone());
                if !row.phase.is_over() {
                    let detail = waiting.unwrap_or_default();
                    // The phase says so already.
                    let detail = detail.strip_prefix("waiting ").unwrap_or(&detail);
                    detail.clone_into(&mut row.detail);
                }
            }
        }
    }

    /// The rows.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The text of a row that is written once.
    pub(crate) fn step(&self, index: usize, now: Timestamp, paint: Paint) -> String {
        self.text(index, Shape { now, columns: usize::MAX, is_drawn: false, paint })
    }

    /// The text of a row that is drawn again and again, and fits into a terminal's width.
    pub(crate) fn line(
        &self,
        index: usize,
        now: Timestamp,
        columns: usize,
        paint: Paint,
    ) -> String {
        self.text(index, Shape { now, columns, is_drawn: true, paint })
    }

    fn text(&self, index: usize, shape: Shape) -> String {
        let mut labels = self.labels.borrow_mut();
        let labels = labels.get_or_insert_with(|| self.make_labels());
        // Only what is drawn has to fit into a line.
        let columns_max = if shape.is_drawn { NAME_COLUMNS_MAX } else { usize::MAX };
        self.rows[index].line(&labels.names[index], labels.columns.min(columns_max), shape)
    }

    fn make_labels(&self) -> Labels {
        let first = self.rows.first().map(|row| &row.environment);
        let is_many = self.rows.iter().any(|row| Some(&row.environment) != first);
        let names: Vec<String> = self.rows.iter().map(|row| self.label(row, is_many)).collect();
        let columns = names.iter().map(|name| width(name)).max().unwrap_or(0);
        Labels { names, columns }
    }

    /// The name, with the environment and the kind where they are needed to tell rows apart.
    fn label(&self, row: &Row, is_many: bool) -> String {
        let name =
            if is_many { format!("{}/{}", row.environment, row.name) } else { row.name.clone() };
        let is_shared = [Noun::Service, Noun::Database, Noun::KeyValue].into_iter().any(|noun| {
            noun != row.noun
                && self.places.contains_key(&(row.environment.clone(), row.name.clone(), noun))
        });
        match row.noun {
            Noun::Database if is_shared => format!("{name} (database)"),
            Noun::KeyValue if is_shared => format!("{name} (Key Value)"),
            _ => name,
        }
    }

    fn find(&mut self, environment: &str, name: &str, noun: Noun) -> Option<&mut Row> {
        let key = (environment.to_owned(), name.to_owned(), noun);
        self.places.get(&key).map(|index| &mut self.rows[*index])
    }

    fn move_to(
        &mut self,
        place: &Place<'_>,
        deploy: &str,
        phase: Phase,
        at: Timestamp,
    ) -> Option<usize> {
        let key = (place.environment.to_owned(), place.name.to_owned(), place.noun);
        let Some(index) = self.places.get(&key).copied() else {
            self.places.insert(key, self.rows.len());
            *self.labels.get_mut() = None;
            self.rows.push(Row {
                environment: place.environment.to_owned(),
                name: place.name.to_owned(),
                noun: place.noun,
                deploy: deploy.to_owned(),
                phase,
                detail: String::new(),
                began_at: at,
                ended_at: phase.is_over().then_some(at),
            });
            return Some(self.rows.len() - 1);
        };
        let row = &mut self.rows[index];
        // What becomes of an older deploy is no news: it is replaced.
        if row.phase == phase || deploy < row.deploy.as_str() {
            return None;
        }
        deploy.clone_into(&mut row.deploy);
        if row.phase.is_over() && !phase.is_over() {
            row.began_at = at;
        }
        row.ended_at = phase.is_over().then_some(at);
        row.phase = phase;
        row.detail.clear();
        Some(index)
    }
}

/// What a row is about.
struct Place<'a> {
    environment: &'a str,
    name: &'a str,
    noun: Noun,
}

impl Row {
    /// How long it took, or has taken until now.
    pub(crate) fn elapsed(&self, now: Timestamp) -> Duration {
        let end = self.ended_at.unwrap_or(now);
        Duration::try_from(end.duration_since(self.began_at)).unwrap_or_default()
    }

    fn line(&self, label: &str, names: usize, shape: Shape) -> String {
        let Shape { now, columns, is_drawn, paint } = shape;
        let busy = if is_drawn { spinner(self.elapsed(now)) } else { "•" };
        let mark = match (self.phase.is_failure(), self.phase.is_over()) {
            (true, _) => paint.bad("✗"),
            (false, true) => paint.good("✓"),
            (false, false) => paint.busy(busy),
        };
        let name = clip(label, names);
        let word = self.phase.word();
        let coloured = match (self.phase.is_failure(), self.phase.is_over()) {
            (true, _) => paint.bad(word),
            (false, true) => paint.good(word),
            (false, false) => word.to_owned(),
        };
        let time = elapsed(self.elapsed(now));
        let pad = |text: &str, columns: usize| " ".repeat(columns.saturating_sub(width(text)));
        let mut line = format!("{mark} {name}{}", pad(&name, names));
        line.push_str(&format!("  {coloured}{}", pad(word, PHASE_COLUMNS)));
        line.push_str(&format!(" {}{}", pad(&time, TIME_COLUMNS), paint.dim(&time)));
        let rest = columns.saturating_sub(width(&line) + 3);
        if !self.detail.is_empty() && rest > 8 {
            line.push_str(&format!("  {}", paint.dim(&clip(&self.detail, rest))));
        }
        line
    }
}

/// A mark that turns with time.
fn spinner(elapsed: Duration) -> &'static str {
    const MARKS: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
    const STEP_MS: u128 = 100;
    MARKS[(elapsed.as_millis() / STEP_MS) as usize % MARKS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures;

    fn lines(board: &Board, now: &str) -> String {
        let now = now.parse().unwrap();
        let lines = (0..board.rows().len()).map(|index| board.line(index, now, 72, Paint::plain()));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn each_service_has_a_line_with_its_phase_and_time() {
        let mut board = Board::default();
        let moved: Vec<_> =
            fixtures::events().iter().filter_map(|event| board.apply(event)).collect();
        assert_eq!(moved, [0, 1, 2, 0, 2, 2, 1]);
        insta::assert_snapshot!(lines(&board, "2026-11-21T10:01:10Z"), @r"
        ✓ shop-db  available     1.5s
        ✗ api      build failed     42s
        ⠋ web      starting    1m 10s
        ");
    }

    #[test]
    fn what_a_deploy_waits_for_is_clipped_to_the_terminal() {
        let mut board = Board::default();
        let status = fixtures::two_projects();
        let deploy = DeployRef {
            id: "dep-1".to_owned(),
            service: "worker".to_owned(),
            environment: "production".to_owned(),
            sequence: 1,
        };
        board.expect(&deploy, "2026-11-21T10:00:00Z".parse().unwrap());
        board.take_status(&status);
        insta::assert_snapshot!(lines(&board, "2026-11-21T10:00:01.25Z"), @r"⠹ worker  waiting       1.2s  the database shop-db is being created, w…");
    }

    #[test]
    fn a_service_and_a_database_of_one_name_have_a_line_each() {
        let mut board = Board::default();
        let mut events = fixtures::events();
        for event in &mut events {
            event.service = "shop".to_owned();
        }
        let of = |noun: Noun| events.iter().find(|event| event.noun == noun).unwrap();
        assert_eq!(board.apply(of(Noun::Database)), Some(0));
        assert_eq!(board.apply(of(Noun::Service)), Some(1));
        insta::assert_snapshot!(lines(&board, "2026-11-21T10:00:01Z"), @r"
        ⠋ shop (database)  creating      1.0s
        ⠋ shop             building      1.0s
        ");
    }

    #[test]
    fn the_end_of_the_deploy_that_was_replaced_is_no_news() {
        let mut board = Board::default();
        let mut event = fixtures::events().remove(1);
        event.deploy = Some("dep-2".to_owned());
        assert_eq!(board.apply(&event), Some(0));
        event.deploy = Some("dep-1".to_owned());
        event.status = Some(DeployStatus::Deactivated);
        assert_eq!(board.apply(&event), None);
    }

    #[test]
    fn a_second_deploy_of_a_service_counts_its_own_time() {
        let mut board = Board::default();
        let mut event = fixtures::events().remove(1);
        let mut at = |board: &mut Board, time: &str, status: DeployStatus| {
            event.at = time.parse().unwrap();
            event.status = Some(status);
            board.apply(&event);
        };
        at(&mut board, "2026-11-21T10:00:00Z", DeployStatus::Created);
        at(&mut board, "2026-11-21T10:00:05Z", DeployStatus::Live);
        at(&mut board, "2026-11-21T11:00:00Z", DeployStatus::Created);
        at(&mut board, "2026-11-21T11:00:02Z", DeployStatus::BuildFailed);
        insta::assert_snapshot!(lines(&board, "2026-11-21T12:00:00Z"), @r"✗ api  build failed    2.0s");
    }
}
