//! How every field of a file is treated on one's own machine, and why.

use serde::Serialize;

use crate::catalog::{Place, Treatment};
use crate::check::Seen;
use crate::finding::Span;
use crate::read::Reading;

/// One field of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Where it is, such as `services[0].region`.
    pub path: String,
    /// The file that it is in, where several were read; `None` for a Blueprint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Where it stands in the text.
    pub span: Span,
    /// Its value, shortened; values of environment variables are hidden.
    pub value: String,
    /// How it is treated.
    pub treatment: Treatment,
    /// Why.
    pub why: String,
}

/// Explains every field that a file has, in the order of the text.
#[must_use]
pub fn explain(reading: &Reading) -> Vec<Explanation> {
    let mut explanations: Vec<Explanation> = reading.seen.iter().map(explanation).collect();
    explanations.sort_by_key(|explanation| explanation.span.bytes.start);
    explanations
}

fn explanation(seen: &Seen) -> Explanation {
    let (treatment, why) = match seen.field {
        None => (Treatment::NotApplicable, "there is no such field; it was ignored"),
        Some(field) => match (field.place, field.name, seen.value.as_str()) {
            (Place::Service, "type", "workflow") => {
                (Treatment::Later, "workflows, a beta of Render, are not run yet")
            }
            (Place::EnvVar, "sync", "true") => {
                (Treatment::NotApplicable, "`sync: true` says nothing: it is the default")
            }
            _ => (field.treatment, field.why),
        },
    };
    Explanation {
        path: seen.path.clone(),
        file: None,
        span: seen.span.clone(),
        value: seen.value.clone(),
        treatment,
        why: why.to_owned(),
    }
}
