//! `gable up`: start or find the server, apply the Blueprint, follow, stay.

use std::time::Instant;

use wire::{
    Action, ApplyReply, ApplyRequest, Client, Noun, PlanReply, Problem, ProjectStatus, ServerInfo,
    ServiceState, ShutdownRequest,
};

use super::args::UpArgs;
use super::connect::{self, Launch};
use super::context::Context;
use super::down;
use super::interrupts::Interrupts;
use super::render;
use super::source;
use super::stop::{DONE, FAILED, INTERRUPTED, Outcome, Stop};
use super::watch::{self, Ended, Watch};

pub(crate) mod ask;
mod stay;

/// Runs it.
pub(crate) async fn run(context: &Context, args: &UpArgs) -> Outcome {
    let started = Instant::now();
    let request = source::request(&args.source)?;
    let launch = launch(context, args)?;
    let connected = connect::ensure(&launch).await?;
    check_listen(&args.source.listen.asked(), &connected.info)?;
    tell_engine(context, &connected.info);
    let mut up = Up { context, args, launch, client: connected.client, started };
    let (request, plan) = up.plan(request).await?;
    if plan.refused {
        up.tell_plan(&plan)?;
        if connected.is_new {
            up.client.shutdown(&ShutdownRequest { only_if_idle: true }).await?;
        }
        return Ok(FAILED);
    }
    up.tell_plan(&plan)?;
    let request = up.ask(request, &plan)?;
    let mut interrupts = Interrupts::listen().map_err(|error| {
        Stop::failed(
            Problem::new("host-error", "signals cannot be listened to").detail(error.to_string()),
        )
    })?;
    let reply = up.client.apply(&request).await?;
    if !reply.applied {
        up.tell_plan(&reply.plan)?;
        return Ok(FAILED);
    }
    up.tell_new_notes(&plan, &reply.plan);
    up.follow(&reply, &mut interrupts).await
}

fn launch(context: &Context, args: &UpArgs) -> Result<Launch, Stop> {
    Ok(Launch {
        paths: context.paths.clone(),
        listen: args.source.listen.asked(),
        operator_env: args.source.operator_env.as_deref().map(source::canonical).transpose()?,
        more: Vec::new(),
    })
}

/// A server that is there keeps its addresses: other projects' URLs hang on them.
pub(crate) fn check_listen(asked: &[std::net::SocketAddr], info: &ServerInfo) -> Result<(), Stop> {
    let missing = asked.iter().find(|address| !info.listen.contains(&address.to_string()));
    let Some(address) = missing else { return Ok(()) };
    Err(Stop::failed(
        Problem::new("other-address", format!("the server that runs does not listen on {address}"))
            .detail(format!("it listens on {}", info.listen.join(", ")))
            .hint("leave out `--port`, or stop everything with `gable down` first"),
    ))
}

/// One line when the engine is not in full strength.
fn tell_engine(context: &Context, info: &ServerInfo) {
    if !info.engine_note.is_empty() {
        let paint = context.printer.err();
        context.printer.say(&format!("{} {}\n", paint.busy("note:"), info.engine_note));
    }
}

struct Up<'a> {
    context: &'a Context,
    args: &'a UpArgs,
    launch: Launch,
    client: Client,
    started: Instant,
}

impl Up<'_> {
    /// The plan, for the project that the person means.
    async fn plan(&self, mut request: ApplyRequest) -> Result<(ApplyRequest, PlanReply), Stop> {
        let plan = self.client.plan(&request).await?;
        let Some(twin) = plan.twin.as_ref().filter(|_| !plan.refused) else {
            return Ok((request, plan));
        };
        let printer = self.context.printer;
        // Which one it is cannot be agreed to with `--yes`: both answers are.
        if !printer.can_ask() || printer.json {
            return Err(render::which_project(twin, &plan.project));
        }
        request.project = Some(ask::project(printer, twin, &plan.project)?);
        let plan = self.client.plan(&request).await?;
        Ok((request, plan))
    }

    fn tell_plan(&self, plan: &PlanReply) -> Result<(), Stop> {
        let printer = self.context.printer;
        if printer.json && plan.refused {
            return printer.json(&serde_json::json!({ "ok": false, "plan": plan }));
        }
        printer.say(&format!("{}\n", render::plan(plan, printer.err())));
        Ok(())
    }

    /// What was learned only when it was applied, such as ports that another program has.
    fn tell_new_notes(&self, plan: &PlanReply, applied: &PlanReply) {
        let printer = self.context.printer;
        let paint = printer.err();
        let notes: Vec<&String> =
            applied.notes.iter().filter(|note| !plan.notes.contains(note)).collect();
        for note in &notes {
            printer.say(&format!("  {} {note}", paint.busy("note:")));
        }
        if !notes.is_empty() {
            printer.say("");
        }
    }

    /// Asks for missing values, and for agreement to what cannot be undone.
    fn ask(&self, mut request: ApplyRequest, plan: &PlanReply) -> Result<ApplyRequest, Stop> {
        let printer = self.context.printer;
        let may_ask = printer.can_ask() && !self.args.yes && !printer.json;
        if may_ask {
            request.set.extend(ask::values(printer, &plan.missing)?);
        }
        let destructive: Vec<String> = plan
            .changes
            .iter()
            .filter(|change| {
                let is_data = matches!(change.noun, Noun::Database | Noun::KeyValue);
                change.action == Action::Remove
                    || (is_data && matches!(change.action, Action::Restart | Action::Change))
            })
            .map(|change| change.name.clone())
            .collect();
        if destructive.is_empty() || self.args.yes {
            return Ok(request);
        }
        let names = destructive.join(", ");
        if !may_ask {
            return Err(Stop::failed(
                Problem::new("not-agreed", format!("this removes or restarts {names}"))
                    .hint("`--yes` agrees to it"),
            ));
        }
        match ask::agreement(printer, &format!("This removes or restarts {names}. Go on?"))? {
            true => Ok(request),
            false => Err(Stop::quiet(FAILED)),
        }
    }

    async fn follow(&mut self, reply: &ApplyReply, interrupts: &mut Interrupts) -> Outcome {
        let watch = Watch {
            printer: self.context.printer,
            launch: Some(self.launch.clone()),
            project: reply.project.clone(),
            since: reply.sequence,
            deploys: reply.deploys.clone(),
        };
        match watch::watch(&mut self.client, watch, interrupts).await? {
            Ended::Settled(project) => {
                let project = self.asked_for(*project);
                self.settled(reply, &project, interrupts).await
            }
            Ended::Stopped => Err(watch::stopped(&reply.project)),
            Ended::Interrupted if self.args.detach => {
                let text = "it goes on in the background; `gable status` shows how far it is";
                self.context.printer.say(text);
                Ok(INTERRUPTED)
            }
            Ended::Interrupted => {
                down::stop_and_leave(self.context, &self.client, &reply.project, interrupts).await
            }
        }
    }

    /// The project without the services that were not asked for: what becomes of them is no part
    /// of the answer.
    fn asked_for(&self, mut project: ProjectStatus) -> ProjectStatus {
        let only = &self.args.source.only;
        if !only.is_empty() {
            for environment in &mut project.environments {
                environment.services.retain(|service| only.contains(&service.name));
            }
        }
        project
    }

    async fn settled(
        &mut self,
        reply: &ApplyReply,
        project: &ProjectStatus,
        interrupts: &mut Interrupts,
    ) -> Outcome {
        let broken = watch::broken(project);
        self.tell_result(reply, project, &broken)?;
        let exit = if broken.is_empty() && runs(project) { DONE } else { FAILED };
        if self.args.detach {
            return Ok(exit);
        }
        if !runs(project) {
            down::stop_and_leave(self.context, &self.client, &project.name, interrupts).await?;
            return Ok(FAILED);
        }
        let paint = self.context.printer.err();
        self.context.printer.say(&paint.dim("Ctrl-C stops everything; data is kept.\n"));
        self.stay(project, interrupts).await?;
        let ended =
            down::stop_and_leave(self.context, &self.client, &project.name, interrupts).await?;
        Ok(if ended == DONE { exit } else { ended })
    }

    fn tell_result(
        &self,
        reply: &ApplyReply,
        project: &ProjectStatus,
        broken: &[String],
    ) -> Result<(), Stop> {
        let printer = self.context.printer;
        let paint = printer.err();
        // What was drawn is gone again; what was written stands there.
        if !printer.is_live() && !reply.deploys.is_empty() {
            printer.say("");
        }
        printer.say(&headline(reply, project, broken, self.started.elapsed(), paint));
        if printer.json {
            return printer
                .json(&serde_json::json!({ "ok": broken.is_empty(), "project": project }));
        }
        if !self.args.detach {
            printer.say(&render::urls(project, jiff::Timestamp::now(), paint));
            return Ok(());
        }
        printer.data(&url_lines(project))
    }
}

/// `shop is up (12s)`, and what is not.
fn headline(
    reply: &ApplyReply,
    project: &ProjectStatus,
    broken: &[String],
    elapsed: std::time::Duration,
    paint: super::paint::Paint,
) -> String {
    let name = &project.name;
    if broken.is_empty() && !runs(project) {
        return format!("nothing of {name} can run yet: the plan says why of each service");
    }
    let time = paint.dim(&format!("({})", render::elapsed(elapsed)));
    let is_kept = reply.deploys.is_empty()
        && reply.plan.changes.iter().all(|change| change.action == Action::Keep);
    match (broken, is_kept) {
        ([], true) => {
            format!("{} {time}\n", paint.good(&format!("{name} is up, nothing changed")))
        }
        ([], false) => format!("{} {time}\n", paint.good(&format!("{name} is up"))),
        (broken, _) if runs(project) => {
            let except = broken.join(", ");
            format!("{} {time}\n", paint.bad(&format!("{name} is up, except {except}")))
        }
        _ => format!("{} {time}\n", paint.bad(&format!("{name} did not come up"))),
    }
}

/// Whether anything of it serves.
fn runs(project: &ProjectStatus) -> bool {
    use wire::ServiceState::{Degraded, Live, Running, Scheduled};
    let mut services = project.environments.iter().flat_map(|environment| &environment.services);
    let is_empty = services.clone().next().is_none();
    is_empty || services.any(|one| matches!(one.state, Live | Degraded | Running | Scheduled))
}

/// `SERVICE URL`, one line for each that serves; for programs as much as for people.
fn url_lines(project: &ProjectStatus) -> String {
    let is_many = project.environments.len() > 1;
    let mut text = String::new();
    for environment in &project.environments {
        for service in &environment.services {
            let serves = matches!(service.state, ServiceState::Live | ServiceState::Degraded);
            let Some(url) = service.urls.first().filter(|_| serves) else { continue };
            let environment =
                if is_many { format!("{}/", environment.name) } else { String::new() };
            text.push_str(&format!("{environment}{} {url}\n", service.name));
        }
    }
    text
}
