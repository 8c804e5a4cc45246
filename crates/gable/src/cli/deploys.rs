//! `gable restart`, `deploy`, `rollback` and `cancel`.

use wire::{
    CancelRequest, Client, DeployRef, DeployRequest, Problem, RestartRequest, RollbackRequest,
    StatusQuery,
};

use super::args::{CancelArgs, DeployArgs, RestartArgs, RollbackArgs};
use super::context::Context;
use super::interrupts::Interrupts;
use super::selector::{self, Kind, Thing};
use super::stop::{DONE, FAILED, INTERRUPTED, Outcome, Stop};
use super::watch::{self, Ended, Watch};

/// A service that a person named.
pub(crate) struct Named {
    /// Speaks with the server.
    pub(crate) client: Client,
    /// The service's id.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// Name of its project.
    pub(crate) project: String,
    /// Its newest deploy, while it is under way.
    pub(crate) under_way: Option<String>,
}

/// Finds a service by what a person wrote.
///
/// # Errors
/// When there is no server, or not exactly one such service.
pub(crate) async fn named(context: &Context, text: &str) -> Result<Named, Stop> {
    let client = context.server().await?.client;
    let status = client.status(&StatusQuery::default()).await?;
    let found = selector::find(&status, Kind::Service, text, context.here().as_deref())?;
    let deploy = match found.thing {
        Thing::Service(service) => service.deploy.as_ref(),
        Thing::Database(_) => None,
    };
    Ok(Named {
        client: client.clone(),
        id: found.thing.id().to_owned(),
        name: found.thing.name().to_owned(),
        project: found.project.name.clone(),
        under_way: deploy.filter(|deploy| !deploy.status.is_over()).map(|deploy| deploy.id.clone()),
    })
}

/// `gable restart`.
pub(crate) async fn restart(context: &Context, args: &RestartArgs) -> Outcome {
    let named = named(context, &args.service).await?;
    let deploy = named.client.restart(&RestartRequest { service: named.id.clone() }).await?;
    finish(context, named, vec![deploy], args.no_wait).await
}

/// `gable deploy`.
pub(crate) async fn deploy(context: &Context, args: &DeployArgs) -> Outcome {
    let named = named(context, &args.service).await?;
    let request = DeployRequest {
        service: named.id.clone(),
        clear_cache: args.clear_cache,
        commit: args.commit.clone(),
    };
    let deploy = named.client.deploy(&request).await?;
    finish(context, named, vec![deploy], args.no_wait).await
}

/// `gable rollback`.
pub(crate) async fn rollback(context: &Context, args: &RollbackArgs) -> Outcome {
    let named = named(context, &args.service).await?;
    let request = RollbackRequest { service: named.id.clone(), revision: args.revision };
    let deploy = named.client.rollback(&request).await?;
    finish(context, named, vec![deploy], args.no_wait).await
}

/// `gable cancel`.
pub(crate) async fn cancel(context: &Context, args: &CancelArgs) -> Outcome {
    let named = named(context, &args.service).await?;
    let Some(deploy) = named.under_way.clone() else {
        let message = format!("no deploy of {} is under way", named.name);
        return Err(Stop::failed(Problem::new("no-deploy", message)));
    };
    let deploy = named.client.cancel(&CancelRequest { deploy }).await?;
    if context.printer.json {
        context.printer.json(&deploy)?;
    }
    context.printer.say(&format!("the deploy of {} is given up", named.name));
    Ok(DONE)
}

/// Follows deploys until they are over, unless nobody wants to wait.
///
/// # Errors
/// When the server goes away.
pub(crate) async fn finish(
    context: &Context,
    mut named: Named,
    deploys: Vec<DeployRef>,
    no_wait: bool,
) -> Outcome {
    let printer = context.printer;
    if no_wait || deploys.is_empty() {
        return if printer.json { printer.json(&deploys).map(|()| DONE) } else { Ok(DONE) };
    }
    let mut interrupts = Interrupts::listen().map_err(|error| {
        Stop::failed(
            Problem::new("host-error", "signals cannot be listened to").detail(error.to_string()),
        )
    })?;
    let watch = Watch {
        printer,
        launch: None,
        project: named.project.clone(),
        since: deploys.iter().map(|deploy| deploy.sequence).min().unwrap_or_default(),
        deploys: deploys.clone(),
    };
    let project = match watch::watch(&mut named.client, watch, &mut interrupts).await? {
        Ended::Settled(project) => project,
        Ended::Stopped => return Err(watch::stopped(&named.project)),
        Ended::Interrupted => {
            printer.say("it goes on in the background; `gable status` shows how far it is");
            return Ok(INTERRUPTED);
        }
    };
    let mut broken = watch::broken(&project);
    broken.retain(|name| deploys.iter().any(|deploy| deploy.service == *name));
    if printer.json {
        printer.json(&serde_json::json!({ "ok": broken.is_empty(), "deploys": deploys }))?;
    }
    let paint = printer.err();
    for deploy in &deploys {
        printer.say(&match broken.contains(&deploy.service) {
            true => paint.bad(&format!("{} is not live", deploy.service)),
            false => paint.good(&format!("{} is live", deploy.service)),
        });
    }
    Ok(if broken.is_empty() { DONE } else { FAILED })
}
