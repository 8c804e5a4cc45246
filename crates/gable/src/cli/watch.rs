//! Follows deploys until they are over, also over the death of the server.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use reconcile::diagnosis;
use tokio::time::{MissedTickBehavior, interval};
use wire::{
    Client, DatabaseState, DeployRef, DeployStatus, Event, EventQuery, LogQuery, Noun, Problem,
    ProjectStatus, ServiceState, StatusQuery,
};

use super::connect::{self, Launch};
use super::escape::log_line;
use super::interrupts::Interrupts;
use super::paint::Paint;
use super::printer::Printer;
use super::render::indent;
use super::stage::Stage;
use super::stop::{Stop, render_problem, render_with};

/// How often the lines are drawn.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);
/// How often the status is asked: for what deploys wait for, and in case an event was missed.
const STATUS_INTERVAL: Duration = Duration::from_millis(700);
/// How often a server that went away is looked for, or started again.
const RECOVERIES_MAX: usize = 5;
/// Time between two of those.
const RECOVERY_PAUSE: Duration = Duration::from_millis(400);
/// Lines of a failing log that are shown.
const LOG_TAIL_LINES: usize = 15;
/// Lines of it that are asked for: not all are worth showing.
const LOG_LINES_ASKED: u32 = 60;
/// The kind of events that say why a deploy does not move.
const WAITING: &str = "waiting";
/// The kind of events that say what to know of a deploy although it goes on.
const WARNING: &str = "warning";

/// What to follow.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Shows it.
    pub(crate) printer: Printer,
    /// How to start the server again; `None` gives up when it goes away.
    pub(crate) launch: Option<Launch>,
    /// Name of the project.
    pub(crate) project: String,
    /// Events after this number matter.
    pub(crate) since: u64,
    /// What has to be over.
    pub(crate) deploys: Vec<DeployRef>,
}

/// How following ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Everything is over, well or not.
    Settled(Box<ProjectStatus>),
    /// Somebody stopped or removed the project meanwhile.
    Stopped,
    /// The person did not want to wait.
    Interrupted,
}

/// Follows until every deploy is over and every database runs or has failed.
///
/// # Errors
/// When the server goes away for good, or says what cannot be understood.
pub(crate) async fn watch(
    client: &mut Client,
    watch: Watch,
    interrupts: &mut Interrupts,
) -> Result<Ended, Stop> {
    let mut state = State::new(watch);
    loop {
        match state.follow(client, interrupts).await {
            Ok(ended) => {
                state.stage.clear();
                return Ok(ended);
            }
            Err(error) if error.is_gone() => *client = state.recover(error).await?,
            Err(error) => return Err(error.into()),
        }
    }
}

struct State {
    watch: Watch,
    stage: Stage,
    pending: HashSet<String>,
    /// By environment and service: the deploy that is followed, until it is live or has failed.
    followed: HashMap<(String, String), String>,
    /// Things whose failure was told.
    told: HashSet<String>,
    /// By deploy, the reason why it is not healthy that was told last.
    reasons: HashMap<String, String>,
}

impl State {
    fn new(watch: Watch) -> Self {
        let mut stage = Stage::new(watch.printer);
        let now = Timestamp::now();
        for deploy in &watch.deploys {
            stage.expect(deploy, now);
        }
        let pending = watch.deploys.iter().map(|deploy| deploy.id.clone()).collect();
        let followed = watch.deploys.iter().map(|deploy| {
            ((deploy.environment.clone(), deploy.service.clone()), deploy.id.clone())
        });
        let followed = followed.collect();
        Self { watch, stage, pending, followed, told: HashSet::new(), reasons: HashMap::new() }
    }

    /// Follows as long as the server is there.
    async fn follow(
        &mut self,
        client: &Client,
        interrupts: &mut Interrupts,
    ) -> Result<Ended, wire::Error> {
        let query = EventQuery {
            since: Some(self.watch.since),
            follow: true,
            project: Some(self.watch.project.clone()),
        };
        let mut events = client.events(&query).await?;
        if let Some(ended) = self.look(client).await? {
            return Ok(ended);
        }
        let mut draw = interval(DRAW_INTERVAL);
        let mut look = interval(STATUS_INTERVAL);
        draw.set_missed_tick_behavior(MissedTickBehavior::Skip);
        look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let is_time = tokio::select! {
                () = interrupts.next() => return Ok(Ended::Interrupted),
                event = events.next() => match event? {
                    Some(event) => self.take(client, &event).await?,
                    // The server ends this stream only when it ends itself.
                    None => {
                        tokio::time::sleep(RECOVERY_PAUSE).await;
                        events = client.events(&EventQuery { since: Some(self.watch.since), ..query.clone() }).await?;
                        false
                    }
                },
                _ = draw.tick() => {
                    self.stage.draw();
                    false
                }
                _ = look.tick() => true,
            };
            if is_time && let Some(ended) = self.look(client).await? {
                return Ok(ended);
            }
        }
    }

    /// Takes an event. Returns whether everything may be over.
    async fn take(&mut self, client: &Client, event: &Event) -> Result<bool, wire::Error> {
        self.watch.since = self.watch.since.max(event.sequence);
        self.stage.event(event);
        self.tell_reason(event);
        let is_over = event.status.is_some_and(DeployStatus::is_over);
        if let (Some(status), Some(deploy)) = (event.status, &event.deploy) {
            self.note((&event.environment, &event.service), deploy, status);
        }
        let was_pending =
            event.deploy.as_ref().is_some_and(|id| is_over && self.pending.remove(id));
        if event.status.is_some_and(DeployStatus::is_failure) {
            let is_build = event.status == Some(DeployStatus::BuildFailed);
            self.tell_failure(
                client,
                &event.service,
                event.deploy.as_deref(),
                is_build,
                event.problem.as_ref(),
            )
            .await?;
        } else if event.database == Some(DatabaseState::Failed) {
            self.tell_failure(client, &event.service, None, false, event.problem.as_ref()).await?;
        }
        let is_database = matches!(event.noun, Noun::Database | Noun::KeyValue);
        Ok(self.pending.is_empty() && (was_pending || is_database))
    }

    /// Looks at the status, and says when everything is over.
    async fn look(&mut self, client: &Client) -> Result<Option<Ended>, wire::Error> {
        // All projects: a file may declare several, with deploys in each.
        let status = client.status(&StatusQuery::default()).await?;
        self.stage.status(&status);
        let mut failures = Vec::new();
        let services = status.projects.iter().flat_map(|project| {
            let environments = project.environments.iter();
            environments.flat_map(move |environment| {
                let services = environment.services.iter();
                services.map(move |service| (&project.name, &environment.name, service))
            })
        });
        for (project, environment, service) in services {
            let Some(deploy) = &service.deploy else { continue };
            // Another project's service of the same name says nothing of ours.
            if *project == self.watch.project {
                self.go_on_with((environment, &service.name), &deploy.id);
                self.note((environment, &service.name), &deploy.id, deploy.status);
            }
            if deploy.status.is_over()
                && self.pending.remove(&deploy.id)
                && deploy.status.is_failure()
            {
                failures.push((service.name.clone(), deploy.clone()));
            }
        }
        for (name, deploy) in failures {
            let is_build = deploy.status == DeployStatus::BuildFailed;
            self.tell_failure(client, &name, Some(&deploy.id), is_build, deploy.failure.as_ref())
                .await?;
        }
        let project = status.projects.into_iter().find(|one| one.name == self.watch.project);
        let Some(project) = project.filter(|project| !is_stopped(project)) else {
            return Ok(Some(Ended::Stopped));
        };
        let is_over = self.pending.is_empty() && databases_settled(&project);
        Ok(is_over.then(|| Ended::Settled(Box::new(project))))
    }

    /// Says why a deploy is not healthy, when that is first known and when it has changed.
    fn tell_reason(&mut self, event: &Event) {
        let (Some(deploy), Some(problem)) = (&event.deploy, &event.problem) else { return };
        let label = match event.kind.as_str() {
            WAITING => "reason:",
            WARNING => "warning:",
            _ => return,
        };
        let former = self.reasons.insert(deploy.clone(), problem.message.clone());
        if former.as_ref() != Some(&problem.message) {
            self.stage.say(&reason(event, label, problem, self.watch.printer.err()));
        }
    }

    /// Where a newer deploy has overtaken ours, that one decides what becomes of the service.
    fn go_on_with(&mut self, (environment, service): (&str, &str), newest: &str) {
        let key = (environment.to_owned(), service.to_owned());
        let Some(followed) = self.followed.get_mut(&key) else { return };
        if followed.as_str() >= newest {
            return;
        }
        self.pending.remove(followed);
        self.pending.insert(newest.to_owned());
        newest.clone_into(followed);
        let text = format!("{service}: a newer deploy has overtaken this one, and is waited for");
        self.stage.say(&self.watch.printer.err().dim(&text));
    }

    /// What is live, or has failed, is what was asked for: later deploys are others' business.
    fn note(&mut self, (environment, service): (&str, &str), deploy: &str, status: DeployStatus) {
        let key = (environment.to_owned(), service.to_owned());
        let is_ours = self.followed.get(&key).is_some_and(|followed| followed == deploy);
        if is_ours && (status == DeployStatus::Live || status.is_failure()) {
            self.followed.remove(&key);
        }
    }

    /// Shows the end of the log and the diagnosis, once.
    async fn tell_failure(
        &mut self,
        client: &Client,
        name: &str,
        deploy: Option<&str>,
        is_build: bool,
        problem: Option<&Problem>,
    ) -> Result<(), wire::Error> {
        if !self.told.insert(deploy.unwrap_or(name).to_owned()) {
            return Ok(());
        }
        let log = match deploy {
            Some(deploy) => log_tail(client, deploy, is_build).await?,
            None => Vec::new(),
        };
        self.stage.say(&failure(name, &log, problem, self.watch.printer.err()));
        Ok(())
    }

    /// Finds the server again, or starts it.
    async fn recover(&mut self, error: wire::Error) -> Result<Client, Stop> {
        let Some(launch) = &self.watch.launch else { return Err(error.into()) };
        self.stage.say(&self.watch.printer.err().dim("the server went away; looking for it …"));
        let connected = recover(launch).await?;
        Ok(connected)
    }
}

/// Finds the server again, or starts it.
///
/// # Errors
/// When it does not come back.
pub(crate) async fn recover(launch: &Launch) -> Result<Client, Stop> {
    let mut attempt = 0;
    loop {
        tokio::time::sleep(RECOVERY_PAUSE).await;
        attempt += 1;
        match connect::ensure(launch).await {
            Ok(connected) => return Ok(connected.client),
            Err(stop) if attempt == RECOVERIES_MAX => return Err(stop),
            Err(_) => {}
        }
    }
}

async fn log_tail(
    client: &Client,
    deploy: &str,
    is_build: bool,
) -> Result<Vec<String>, wire::Error> {
    let query = LogQuery {
        deploy: Some(deploy.to_owned()),
        build: is_build,
        tail: Some(LOG_LINES_ASKED),
        ..LogQuery::default()
    };
    let mut lines = match client.logs(&query).await {
        Ok(lines) => lines,
        // It never wrote anything.
        Err(wire::Error::Refused { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut log = Vec::new();
    while let Some(line) = lines.next().await? {
        log.push(anstream::adapter::strip_str(&line.text).to_string());
    }
    Ok(log)
}

/// Why a deploy is not healthy, while it is still waited for.
fn reason(event: &Event, label: &str, problem: &Problem, paint: Paint) -> String {
    let mut text =
        format!("{} {}  {}\n", paint.busy("•"), paint.bold(&event.service), event.message);
    text.push_str(&indent(&render_with(&paint.careful(label), problem, paint), 2));
    text
}

/// The end of a log, and what is wrong. What the problem quotes is not shown twice.
fn failure(name: &str, log: &[String], problem: Option<&Problem>, paint: Paint) -> String {
    let mut text = format!("{} {}\n", paint.bad("✗"), paint.bold(name));
    let quoted = problem.and_then(|problem| problem.detail.as_deref()).unwrap_or_default();
    let tail = diagnosis::tail(log, quoted);
    for line in &tail[tail.len().saturating_sub(LOG_TAIL_LINES)..] {
        let line = log_line(line, false);
        text.push_str(&format!("  {} {}\n", paint.dim("│"), line.trim_end()));
    }
    if let Some(problem) = problem {
        text.push_str(&indent(&render_problem(problem, paint), 2));
    }
    text.push('\n');
    text
}

/// What is told when somebody stopped the project that is followed.
pub(crate) fn stopped(project: &str) -> Stop {
    let message = format!("`gable down` ended {project} before it was up");
    Stop::failed(
        Problem::new("stopped-meanwhile", message)
            .hint("`gable up` starts it again, with the data that was not removed"),
    )
}

/// Whether a person has stopped it as a whole.
fn is_stopped(project: &ProjectStatus) -> bool {
    let mut services = project.environments.iter().flat_map(|one| &one.services).peekable();
    services.peek().is_some() && services.all(|one| one.state == ServiceState::Stopped)
}

fn databases_settled(project: &ProjectStatus) -> bool {
    project.environments.iter().flat_map(|environment| &environment.databases).all(|database| {
        !matches!(database.state, DatabaseState::Creating | DatabaseState::Starting)
    })
}

/// Names of services and databases that do not do what they should.
pub(crate) fn broken(project: &ProjectStatus) -> Vec<String> {
    let mut names = Vec::new();
    for environment in &project.environments {
        let services = environment.services.iter().filter(|service| {
            matches!(
                service.state,
                // What this version cannot run was said in the plan: it has not failed.
                ServiceState::Failed | ServiceState::Degraded | ServiceState::CrashLooping
            )
        });
        names.extend(services.map(|service| service.name.clone()));
        let databases =
            environment.databases.iter().filter(|one| one.state == DatabaseState::Failed);
        names.extend(databases.map(|database| database.name.clone()));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_end_of_the_log_and_what_to_do() {
        let log = ["added 12 packages", "checking", "error TS2345: no", "npm error code 2"];
        let log = log.map(str::to_owned);
        let problem = Problem::new("type-check-failed", "api does not pass the type check")
            .detail("error TS2345: no")
            .hint("run `npm run build` and mend the first error");
        insta::assert_snapshot!(failure("api", &log, Some(&problem), Paint::plain()), @r"

        ✗ api
          │ added 12 packages
          │ checking
          error: api does not pass the type check [type-check-failed]
            error TS2345: no

          hint: run `npm run build` and mend the first error
        ");
    }

    #[test]
    fn why_a_deploy_is_not_healthy_is_told_whole_while_it_is_waited_for() {
        let mut event = crate::cli::fixtures::events().remove(1);
        event.message = "not healthy yet; given up in 58 s unless that changes".to_owned();
        let problem = Problem::new("host-not-allowed", format!("`api` refuses {}", "x".repeat(90)))
            .detail("GET / answered 400: Invalid host header")
            .hint("allow it");
        let shown = reason(&event, "reason:", &problem, Paint::plain());
        insta::assert_snapshot!(shown, @r"
        • api  not healthy yet; given up in 58 s unless that changes
          reason: `api` refuses xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx [host-not-allowed]
            GET / answered 400: Invalid host header

          hint: allow it
        ");
    }
}
