//! `gable disk`: who holds what of the disk, and throwing away what nobody needs.
//!
//! It looks by itself and asks no server: a full disk may be why there is none.

use control::ops::disk::{self, Holding, Kind, Usage};
use wire::{CleanReply, CleanRequest};

use super::args::{DiskArgs, DiskCommand};
use super::context::Context;
use super::paint::Paint;
use super::render::{Table, bytes};
use super::server::refused;
use super::stop::{DONE, Outcome, Stop};

/// So many of the largest are shown to a person; programs get all.
const SHOWN_MAX: usize = 30;

/// Runs it.
pub(crate) async fn run(context: &Context, args: &DiskArgs) -> Outcome {
    match args.command {
        Some(DiskCommand::Clean { yes }) => clean(context, yes).await,
        None => show(context).await,
    }
}

async fn show(context: &Context) -> Outcome {
    let printer = context.printer;
    if !context.paths.state_dir.exists() {
        printer.say(&format!("{} is not there yet", context.paths.state_dir.display()));
        return Ok(DONE);
    }
    let usage = measure(context).await?;
    if printer.json {
        let space = usage.space;
        return printer
            .json_pretty(&serde_json::json!({
                "state_dir": context.paths.state_dir,
                "free_bytes": space.free_bytes,
                "total_bytes": space.total_bytes,
                "free_inodes": space.free_inodes,
                "total_inodes": space.total_inodes,
                "reserve_bytes": usage.reserve_bytes,
                "holdings": usage.holdings,
            }))
            .map(|()| DONE);
    }
    printer.data(&table(&usage, printer.out())).map(|()| DONE)
}

/// Measures the state directory; many files take a while.
pub(crate) async fn measure(context: &Context) -> Result<Usage, Stop> {
    let state_dir = context.paths.state_dir.clone();
    let measured = tokio::task::spawn_blocking(move || disk::usage(&state_dir));
    let measured = measured
        .await
        .unwrap_or_else(|error| Err(control::Error::host("measure")(std::io::Error::other(error))));
    measured.map_err(|error| refused(&error))
}

/// What is left, in words.
pub(crate) fn left(usage: &Usage) -> String {
    let space = usage.space;
    let files = match space.total_inodes {
        0 => String::new(),
        _ => format!(", {} more files", space.free_inodes),
    };
    format!("{} of {} free{files}", bytes(space.free_bytes), bytes(space.total_bytes))
}

/// Bytes of each kind, the largest first.
pub(crate) fn by_kind(holdings: &[Holding]) -> Vec<(Kind, u64)> {
    let mut kinds = std::collections::BTreeMap::new();
    for holding in holdings {
        *kinds.entry(holding.kind).or_insert(0) += holding.bytes;
    }
    let mut kinds: Vec<(Kind, u64)> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    kinds
}

fn table(usage: &Usage, paint: Paint) -> String {
    let mut text = format!("{}\n", left(usage));
    if usage.reserve_bytes > 0 {
        text.push_str(&format!(
            "{} kept for the end of what fills the disk\n",
            bytes(usage.reserve_bytes)
        ));
    }
    let mut kinds = Table::default();
    for (kind, size) in by_kind(&usage.holdings) {
        kinds.row([bytes(size), kind.words().to_owned()]);
    }
    text.push_str(&format!("\n{}\n{}", paint.bold("By kind"), kinds.render(2)));
    let mut owners = Table::default();
    let owned = usage.holdings.iter().filter(|holding| !holding.owner.is_empty());
    for holding in owned.clone().take(SHOWN_MAX) {
        let words = holding.kind.words().to_owned();
        owners.row([bytes(holding.bytes), holding.owner.clone(), words]);
    }
    if owned.clone().next().is_some() {
        text.push_str(&format!("\n{}\n{}", paint.bold("By owner"), owners.render(2)));
    }
    text
}

async fn clean(context: &Context, yes: bool) -> Outcome {
    let printer = context.printer;
    // Only a server knows what is in use.
    let connected = context.server().await?;
    let reply = connected.client.clean(&CleanRequest { dry_run: !yes }).await?;
    if printer.json {
        return printer.json_pretty(&reply).map(|()| DONE);
    }
    printer.data(&cleaned(&reply, yes)).map(|()| DONE)
}

fn cleaned(reply: &CleanReply, is_done: bool) -> String {
    let freed: Vec<_> = reply.freed.iter().filter(|freed| freed.things > 0).collect();
    if freed.is_empty() {
        return "nothing here is needless\n".to_owned();
    }
    let mut table = Table::default();
    for freed in freed {
        let size = if freed.bytes > 0 { bytes(freed.bytes) } else { String::new() };
        table.row([freed.things.to_string(), freed.kind.clone(), size]);
    }
    let (said, then) = match is_done {
        true => ("threw away", ""),
        false => ("nobody needs", "\n`gable disk clean --yes` throws it away\n"),
    };
    format!("{said}\n{}{then}", table.render(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reconcile::disk::Space;

    fn holding(kind: Kind, owner: &str, mib: u64) -> Holding {
        Holding { kind, owner: owner.to_owned(), bytes: mib << 20, files: 1 }
    }

    #[test]
    fn a_disk_is_told_by_kind_and_by_owner() {
        let space = Space {
            free_bytes: 3 << 30,
            total_bytes: 20 << 30,
            free_inodes: 1200,
            total_inodes: 5000,
        };
        let holdings = vec![
            holding(Kind::Caches, "", 900),
            holding(Kind::Databases, "shop/db", 300),
            holding(Kind::Artifacts, "shop/web", 120),
            holding(Kind::Artifacts, "shop/api", 80),
        ];
        let usage = Usage { space, reserve_bytes: 64 << 20, holdings };
        insta::assert_snapshot!(table(&usage, Paint::plain()), @r"
        3.2 GB of 21 GB free, 1200 more files
        67 MB kept for the end of what fills the disk

        By kind
          943 MB  caches
          314 MB  databases
          209 MB  artifacts

        By owner
          314 MB  shop/db   databases
          125 MB  shop/web  artifacts
          83 MB   shop/api  artifacts
        ");
    }

    #[test]
    fn what_would_be_thrown_away_is_told_with_the_command_that_does_it() {
        let freed =
            |kind: &str, things, bytes| wire::Freed { kind: kind.to_owned(), things, bytes };
        let reply = CleanReply { freed: vec![freed("artifacts", 3, 5 << 20), freed("logs", 0, 0)] };
        insta::assert_snapshot!(cleaned(&reply, false), @r"
        nobody needs
          3  artifacts  5 MB

        `gable disk clean --yes` throws it away
        ");
    }
}
