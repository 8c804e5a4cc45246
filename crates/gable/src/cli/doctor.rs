//! `gable doctor`: what this machine can do, and what is missing.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::connect;
use super::context::Context;
use super::disk;
use super::paint::Paint;
use super::render::{Table, bytes};
use super::settings::Settings;
use super::stop::{DONE, FAILED, Outcome};

mod tools;

/// Kinds of what holds most of the disk that are named.
const KINDS_SHOWN: usize = 4;

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    /// What was looked at.
    pub(crate) name: String,
    /// How it stands.
    pub(crate) verdict: Verdict,
    /// What was found, in words.
    pub(crate) found: String,
    /// What to do, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// Debian packages that bring it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) packages: Vec<&'static str>,
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// As needed.
    Good,
    /// Not there, and only some Blueprints need it.
    Absent,
    /// Not there, and everything is less without it.
    Bad,
}

/// Runs it.
pub(crate) async fn run(context: &Context) -> Outcome {
    let engine: Vec<_> = engine::doctor().into_iter().map(of_engine).collect();
    let mut tools = tools::look(&search_path());
    tools.push(of_build(::build::docker::doctor().await));
    let is_good = engine.iter().chain(&tools).all(|line| line.verdict != Verdict::Bad);
    let exit = if is_good { DONE } else { FAILED };
    let printer = context.printer;
    let usage = match context.paths.state_dir.exists() {
        true => disk::measure(context).await.ok(),
        false => None,
    };
    if printer.json {
        let report = serde_json::json!({
            "ok": is_good, "engine": engine, "tools": tools,
            "state_dir": context.paths.state_dir, "run_dir": context.paths.run_dir,
            "disk": usage.as_ref().map(|usage| serde_json::json!({
                "free_bytes": usage.space.free_bytes, "total_bytes": usage.space.total_bytes,
                "held_bytes": usage.holdings.iter().map(|holding| holding.bytes).sum::<u64>(),
            })),
        });
        return printer.json_pretty(&report).map(|()| exit);
    }
    let server = match connect::find(&context.paths).await {
        Ok(connected) => {
            format!("pid {}, listens on {}", connected.info.pid, connected.info.listen.join(", "))
        }
        Err(_) => "not running; `gable up` starts it".to_owned(),
    };
    let mut text = report(&engine, &tools, printer.out());
    let mut places = Table::default();
    places.row(["state".into(), context.paths.state_dir.display().to_string()]);
    places.row(["sockets".into(), context.paths.run_dir.display().to_string()]);
    places.row(["server".into(), server]);
    let edge = super::args::edge_differences(&Settings::remembered(&context.paths.state_dir).edge);
    if !edge.is_empty() {
        places.row(["edge".into(), edge.join("; ")]);
    }
    if let Some(usage) = &usage {
        let kinds = disk::by_kind(&usage.holdings).into_iter().take(KINDS_SHOWN);
        let kinds: Vec<String> =
            kinds.map(|(kind, size)| format!("{} {}", bytes(size), kind.words())).collect();
        places.row(["disk".into(), disk::left(usage)]);
        places.row(["holds".into(), kinds.join(", ")]);
    }
    text.push_str(&format!("\n{}\n{}", printer.out().bold("Here"), places.render(4)));
    printer.data(&text).map(|()| exit)
}

fn of_engine(check: engine::Check) -> Line {
    Line {
        name: check.name.to_owned(),
        verdict: if check.is_ok { Verdict::Good } else { Verdict::Bad },
        found: check.found,
        hint: check.hint,
        packages: Vec::new(),
    }
}

fn of_build(check: ::build::docker::Check) -> Line {
    Line {
        name: check.name.to_owned(),
        verdict: if check.is_ok { Verdict::Good } else { Verdict::Absent },
        found: check.found,
        hint: check.hint,
        packages: if check.is_ok { Vec::new() } else { vec!["buildah"] },
    }
}

/// Where instances look for programs: the directories that they see of the host.
fn search_path() -> Vec<PathBuf> {
    engine::DEFAULT_PATH.split(':').map(PathBuf::from).filter(|path| Path::is_dir(path)).collect()
}

fn report(engine: &[Line], tools: &[Line], paint: Paint) -> String {
    let mut text = section("Isolation", engine, paint);
    text.push('\n');
    text.push_str(&section("Tools for builds and databases", tools, paint));
    let packages: Vec<_> = tools.iter().flat_map(|line| line.packages.iter().copied()).collect();
    if !packages.is_empty() {
        let command = format!("apt-get install {}", packages.join(" "));
        text.push_str(&format!(
            "\n{}\n    {command}\n",
            paint.bold("To have everything (a Blueprint needs only what it asks for)")
        ));
    }
    text
}

fn section(title: &str, lines: &[Line], paint: Paint) -> String {
    let mut table = Table::default();
    for line in lines {
        let mark = match line.verdict {
            Verdict::Good => paint.good("✓"),
            Verdict::Absent => paint.dim("–"),
            Verdict::Bad => paint.bad("✗"),
        };
        let found = match line.verdict {
            Verdict::Good => line.found.clone(),
            Verdict::Absent => paint.dim(&line.found),
            Verdict::Bad => paint.careful(&line.found),
        };
        table.row([mark, line.name.clone(), found]);
    }
    let mut text = format!("{}\n{}", paint.bold(title), table.render(2));
    for line in lines.iter().filter(|line| line.verdict == Verdict::Bad) {
        if let Some(hint) = &line.hint {
            text.push_str(&format!("  {} {}: {hint}\n", paint.busy("hint:"), line.name));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, verdict: Verdict, found: &str, packages: &[&'static str]) -> Line {
        Line {
            name: name.to_owned(),
            verdict,
            found: found.to_owned(),
            hint: Some("do something".to_owned()),
            packages: packages.to_vec(),
        }
    }

    #[test]
    fn the_report_ends_with_one_line_to_install_everything() {
        let engine = [
            line("root", Verdict::Good, "root", &[]),
            line("cgroups", Verdict::Bad, "none mounted", &[]),
        ];
        let tools = [
            line("node", Verdict::Good, "20.11.1", &[]),
            line("ruby", Verdict::Absent, "not installed", &["ruby", "ruby-dev"]),
        ];
        insta::assert_snapshot!(report(&engine, &tools, Paint::plain()), @r"
        Isolation
          ✓  root     root
          ✗  cgroups  none mounted
          hint: cgroups: do something

        Tools for builds and databases
          ✓  node  20.11.1
          –  ruby  not installed

        To have everything (a Blueprint needs only what it asks for)
            apt-get install ruby ruby-dev
        ");
    }
}
