//! `gable plan`.

use wire::ShutdownRequest;

use super::args::PlanArgs;
use super::connect::{self, Launch};
use super::context::Context;
use super::render;
use super::source;
use super::stop::{DONE, FAILED, Outcome};

/// Runs it. A server that is started for it ends with it.
pub(crate) async fn run(context: &Context, args: &PlanArgs) -> Outcome {
    let request = source::request(&args.source)?;
    let launch = Launch {
        paths: context.paths.clone(),
        listen: args.source.listen.asked(),
        operator_env: args.source.operator_env.clone(),
        more: Vec::new(),
    };
    let connected = connect::ensure(&launch).await?;
    let reply = connected.client.plan(&request).await;
    if connected.is_new {
        connected.client.shutdown(&ShutdownRequest { only_if_idle: true }).await?;
    }
    let plan = reply?;
    if context.printer.json {
        context.printer.json_pretty(&plan)?;
    } else {
        context.printer.data(&render::plan(&plan, context.printer.out()))?;
    }
    Ok(if plan.refused { FAILED } else { DONE })
}
