//! A plan as public JSON.

use control::ops::blueprints::{Change, ChangeAction, Draft, Noun};
use control::ops::findings::{Finding, Severity};

pub(crate) fn draft(draft: &Draft) -> wire::PlanReply {
    wire::PlanReply {
        project: draft.project.clone(),
        blueprint_file: draft.blueprint_file.clone(),
        source: wire::Source {
            path: draft.source.path.clone(),
            commit: draft.source.commit.id.clone(),
            branch: draft.source.commit.branch.clone(),
            subject: draft.source.commit.subject.clone(),
            dirty: draft.source.commit.is_dirty,
            notes: draft.source.notes.clone(),
        },
        findings: draft.findings().into_iter().map(finding).collect(),
        twin: draft.twin.as_ref().map(|twin| wire::Twin {
            project: twin.project.clone(),
            source: twin.source.clone(),
            gone: twin.is_gone,
        }),
        changes: draft.changes.iter().map(change).collect(),
        missing: draft
            .missing
            .iter()
            .map(|missing| wire::Missing {
                environment: missing.environment.clone(),
                service: missing.service.clone(),
                key: missing.key.clone(),
                why: missing.why.clone(),
                hint: missing.hint.clone(),
            })
            .collect(),
        notes: notes(draft),
        refused: draft.is_refused,
    }
}

fn notes(draft: &Draft) -> Vec<String> {
    let mut notes = draft.notes.clone();
    match draft.findings_left_out() {
        0 => {}
        count => notes.push(format!("{count} more remarks about the file are not listed")),
    }
    notes
}

fn finding(finding: Finding) -> wire::Finding {
    wire::Finding {
        severity: match finding.severity {
            Severity::Error => wire::Severity::Error,
            Severity::Repair => wire::Severity::Repair,
            Severity::Note => wire::Severity::Note,
        },
        code: finding.code,
        message: finding.message,
        file: finding.file,
        line: finding.line,
        column: finding.column,
        rendered: finding.rendered,
        hint: finding.hint,
    }
}

fn change(change: &Change) -> wire::Change {
    wire::Change {
        action: match change.action {
            ChangeAction::Create => wire::Action::Create,
            ChangeAction::Change => wire::Action::Change,
            ChangeAction::Start => wire::Action::Start,
            ChangeAction::Retry => wire::Action::Retry,
            ChangeAction::Restart => wire::Action::Restart,
            ChangeAction::Rebuild => wire::Action::Rebuild,
            ChangeAction::Keep => wire::Action::Keep,
            ChangeAction::Unmanaged => wire::Action::Unmanaged,
            ChangeAction::Later => wire::Action::Later,
        },
        noun: match change.noun {
            Noun::Service => wire::Noun::Service,
            Noun::Database => wire::Noun::Database,
            Noun::KeyValue => wire::Noun::KeyValue,
            Noun::Group => wire::Noun::Group,
        },
        kind: change.kind.clone(),
        name: change.name.clone(),
        environment: change.environment.clone(),
        details: change.details.clone(),
    }
}
