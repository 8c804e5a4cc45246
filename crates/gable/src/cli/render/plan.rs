//! A plan: what was understood, what will happen, what is missing.

use std::collections::BTreeSet;

use wire::{Action, Change, Finding, Missing, PlanReply, Problem, Severity, Source, Twin};

use super::table::Table;
use super::unset::{ANY_KEY, set_with, unset};
use super::{count, indent};
use crate::cli::paint::Paint;
use crate::cli::stop::Stop;

/// Repairs that are listed before the rest is only counted.
const REPAIRS_MAX: usize = 8;
/// Digits of a commit's id that are shown.
const COMMIT_DIGITS: usize = 8;

/// The whole plan.
pub(crate) fn plan(plan: &PlanReply, paint: Paint) -> String {
    let mut text = header(plan, paint);
    let mut section = |part: String| {
        if !part.is_empty() {
            text.push('\n');
            text.push_str(&part);
        }
    };
    section(findings(&plan.findings, paint));
    if !plan.refused {
        section(changes(&plan.changes, paint));
        section(missing(&plan.missing, paint));
    }
    section(twin(plan, paint) + &notes(plan, paint));
    text
}

/// Another project that may be meant, as a reason to stop.
pub(crate) fn which_project(twin: &Twin, own: &str) -> Stop {
    let Twin { project, source, gone } = twin;
    let why = if *gone { ", which is gone" } else { "" };
    let message = format!("`{project}` was applied from {source}{why}");
    Stop::failed(
        Problem::new("project-exists", message)
            .detail(format!(
                "this folder would become `{own}`, with databases and values of its own"
            ))
            .hint(format!(
                "`--project {project}` goes on with that one and its data, `--project {own}` starts another one"
            )),
    )
}

/// The same as a line of a plan.
fn twin(plan: &PlanReply, paint: Paint) -> String {
    let Some(Twin { project, source, gone }) = &plan.twin else { return String::new() };
    let why = if *gone { ", which is gone" } else { "" };
    let text = format!(
        "`{project}` was applied from {source}{why}; this folder would become `{}`, with databases \
         of its own: `--project {project}` goes on with that one",
        plan.project
    );
    indent(&format!("{} {text}", paint.careful("note:")), 2)
}

fn header(plan: &PlanReply, paint: Paint) -> String {
    let source = source(&plan.source);
    let source = if source.is_empty() { source } else { format!(" · {source}") };
    let place = format!("{}{source}", plan.blueprint_file);
    format!("{}  {}\n", paint.bold(&plan.project), paint.dim(&place))
}

fn source(source: &Source) -> String {
    let commit = source.commit.get(..COMMIT_DIGITS).unwrap_or(&source.commit);
    let mut words: Vec<&str> =
        [source.branch.as_str(), commit].into_iter().filter(|word| !word.is_empty()).collect();
    if source.dirty {
        words.push("with uncommitted changes");
    }
    words.join(" ")
}

/// What reading the file found: errors in full, repairs in one line each.
pub(crate) fn findings(findings: &[Finding], paint: Paint) -> String {
    let mut text = String::new();
    for error in findings.iter().filter(|finding| finding.severity == Severity::Error) {
        text.push_str(&highlight(&error.rendered, paint));
        text.push('\n');
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    let files: BTreeSet<&str> = errors.clone().map(|error| error.file.as_str()).collect();
    let errors = errors.count();
    if errors > 0 {
        let place = match files.first() {
            Some(file) if files.len() == 1 => (*file).to_owned(),
            _ => count(files.len(), "file"),
        };
        text.push_str(&format!("{} in {place}\n", paint.bad(&count(errors, "error"))));
        return text;
    }
    let repairs: Vec<_> =
        findings.iter().filter(|finding| finding.severity == Severity::Repair).collect();
    let mut table = Table::default();
    for repair in repairs.iter().take(REPAIRS_MAX) {
        let place = format!("{}:{}:{}", repair.file, repair.line, repair.column);
        table.row([paint.careful("repair"), paint.dim(&place), repair.message.clone()]);
    }
    text.push_str(&table.render(2));
    if !repairs.is_empty() {
        let more = match repairs.len().saturating_sub(REPAIRS_MAX) {
            0 => String::new(),
            more => format!("{more} more; "),
        };
        let advice = format!("{more}`gable blueprint fix` writes the repairs down");
        text.push_str(&format!("  {}\n", paint.dim(&advice)));
    }
    text
}

/// Colours the first word of ready text: `error:`, `repair:`, `hint:`.
fn highlight(rendered: &str, paint: Paint) -> String {
    let mut text = String::new();
    for line in rendered.trim_end().lines() {
        let coloured = [("error", 0), ("hint:", 1)].iter().find_map(|(word, kind)| {
            let rest = line.strip_prefix(word)?;
            Some(if *kind == 0 { paint.bad(word) + rest } else { paint.busy(word) + rest })
        });
        text.push_str(coloured.as_deref().unwrap_or(line));
        text.push('\n');
    }
    text
}

fn changes(changes: &[Change], paint: Paint) -> String {
    let mut environments: Vec<_> = changes.iter().map(|change| &change.environment).collect();
    environments.sort();
    environments.dedup();
    let is_many = environments.iter().filter(|name| !name.is_empty()).count() > 1;
    let name = |change: &Change| {
        if is_many && !change.environment.is_empty() {
            format!("{}/{}", change.environment, change.name)
        } else {
            change.name.clone()
        }
    };
    let mut table = Table::default();
    let (kept, moved): (Vec<_>, Vec<_>) =
        changes.iter().partition(|change| change.action == Action::Keep);
    for change in &moved {
        table.row([
            action(change.action, paint),
            name(change),
            paint.dim(&change.kind),
            paint.dim(&change.details.join(", ")),
        ]);
    }
    let mut text = table.render(2);
    if moved.is_empty() {
        text.push_str(&format!("  {}\n", paint.good("nothing to change")));
    } else if !kept.is_empty() {
        let names: Vec<_> = kept.iter().map(|change| name(change)).collect();
        text.push_str(&format!("  {}\n", paint.dim(&format!("keep     {}", names.join(", ")))));
    }
    text
}

fn action(action: Action, paint: Paint) -> String {
    match action {
        Action::Create => paint.good("create"),
        Action::Change => paint.careful("change"),
        Action::Start => paint.good("start"),
        Action::Retry => paint.careful("retry"),
        Action::Restart => paint.careful("restart"),
        Action::Rebuild => paint.careful("rebuild"),
        Action::Keep => paint.dim("keep"),
        Action::Unmanaged => paint.dim("leave"),
        Action::Remove => paint.bad("remove"),
        Action::Later => paint.dim("later"),
        Action::Unsupported => paint.bad("cannot"),
    }
}

fn missing(missing: &[Missing], paint: Paint) -> String {
    let mut table = Table::default();
    for one in unset(missing) {
        table.row([paint.careful("unset"), one.what, paint.dim(&one.why)]);
    }
    let mut text = table.render(2);
    let first = missing.iter().find(|value| value.key != ANY_KEY);
    if let Some(first) = first.or(missing.first()) {
        // What a group holds nobody knows: each of its variables is given like this one.
        let key = if first.key == ANY_KEY { "KEY" } else { first.key.as_str() };
        let example = Missing { key: key.to_owned(), ..first.clone() };
        let advice = format!("give values with `{}` or `--env-file`", set_with(&example));
        text.push_str(&format!("  {}\n", paint.dim(&advice)));
    }
    text
}

fn notes(plan: &PlanReply, paint: Paint) -> String {
    plan.source
        .notes
        .iter()
        .chain(&plan.notes)
        .map(|note| indent(&format!("{} {note}", paint.busy("note:")), 2))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures;

    #[test]
    fn a_first_plan_lists_repairs_changes_and_missing_values() {
        insta::assert_snapshot!(plan(&fixtures::first_plan(), Paint::plain()), @r"
        shop  render.yaml · main 1a2b3c4d with uncommitted changes

          repair  render.yaml:4:5   `env` is the old name of `runtime`
          repair  render.yaml:19:9  `3.10` keeps its zero: values are text
          `gable blueprint fix` writes the repairs down

          create  shop-db  PostgreSQL 16
          create  cache    Valkey 8
          create  web      web · node
          create  api      web · python
          cannot  images   web · docker   Dockerfiles come with the next version

          unset  api.STRIPE_KEY  sync: false
          give values with `--set api.STRIPE_KEY=…` or `--env-file`

          note: node 22 is asked for and 20 is installed
        ");
    }

    #[test]
    fn commands_that_are_shown_can_be_typed() {
        let mut reply = fixtures::first_plan();
        let advice = |reply: &PlanReply| {
            let text = missing(&reply.missing, Paint::plain());
            text.lines().last().unwrap_or_default().trim().to_owned()
        };
        reply.missing[0].key = ANY_KEY.to_owned();
        assert_eq!(advice(&reply), "give values with `--set api.KEY=…` or `--env-file`");
        let named = Missing {
            service: "my api's".to_owned(),
            key: "STRIPE".to_owned(),
            ..reply.missing[0].clone()
        };
        reply.missing.push(named);
        assert_eq!(
            advice(&reply),
            "give values with `--set 'my api'\\''s.STRIPE=…'` or `--env-file`"
        );
    }

    #[test]
    fn a_second_plan_shows_only_what_moves() {
        let mut reply = fixtures::first_plan();
        reply.findings.clear();
        reply.missing.clear();
        reply.notes.clear();
        for change in &mut reply.changes {
            change.action = Action::Keep;
        }
        let unchanged = plan(&reply, Paint::plain());
        reply.changes[3].action = Action::Rebuild;
        reply.changes[3].details = vec!["the source changed".to_owned()];
        reply.changes[0].environment = "staging".to_owned();
        let moved = plan(&reply, Paint::plain());
        insta::assert_snapshot!(format!("{unchanged}{moved}"), @r"
        shop  render.yaml · main 1a2b3c4d with uncommitted changes

          nothing to change
        shop  render.yaml · main 1a2b3c4d with uncommitted changes

          rebuild  production/api  web · python  the source changed
          keep     staging/shop-db, production/cache, production/web, production/images
        ");
    }

    #[test]
    fn a_refused_file_shows_its_errors_and_no_plan() {
        let mut reply = fixtures::first_plan();
        reply.refused = true;
        reply.notes.clear();
        reply.findings[0].severity = Severity::Error;
        insta::assert_snapshot!(plan(&reply, Paint::plain()), @r"
        shop  render.yaml · main 1a2b3c4d with uncommitted changes

        error[env-alias]: `env` is the old name of `runtime`
         --> render.yaml:4:5
          |
        4 |     env: node
          |     ^^^
        hint: write `runtime: node`

        1 error in render.yaml
        ");
    }
}
