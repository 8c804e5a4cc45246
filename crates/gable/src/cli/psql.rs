//! `gable psql`: a database's own client, run inside the database's instance, on this terminal.

use wire::{ConnectionQuery, InstanceQuery, StatusQuery};

use super::args::PsqlArgs;
use super::context::Context;
use super::exec::Inside;
use super::selector::{self, Kind};
use super::stop::{COULD_NOT_RUN, DONE, Outcome};

/// Runs it.
pub(crate) async fn run(context: &Context, args: &PsqlArgs) -> Outcome {
    let client = context.running().await?.client;
    let status = client.status(&StatusQuery::default()).await?;
    let here = context.here();
    let (database, arguments) = args.parts();
    let found = match database {
        Some(name) => selector::find(&status, Kind::Database, name, here.as_deref())?,
        None => selector::only(&status, Kind::Database, here.as_deref())?,
    };
    let query = ConnectionQuery { database: found.thing.id().to_owned(), reveal: args.url };
    let connection = client.connection(&query).await?;
    if args.url && context.printer.json {
        let url = serde_json::json!({ "internal_url": connection.internal_url });
        return context.printer.json(&url).map(|()| DONE);
    }
    if args.url {
        return context.printer.data(&connection.internal_url).map(|()| DONE);
    }
    let query = InstanceQuery { service: None, database: Some(query.database) };
    let instance = client.instance(&query).await?.instance_id;
    let mut command = connection.argv;
    command.extend(arguments);
    let inside = Inside { context, instance, env: connection.env };
    inside.exec(command, true).await.map_err(|stop| stop.exit(COULD_NOT_RUN))
}
