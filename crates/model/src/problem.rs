//! What a person is told when something is wrong.

use serde::{Deserialize, Serialize};

/// One thing that is wrong, written for the person who has to act on it.
///
/// Messages are lower-case sentences without a full stop; `hint` says what to do next. No field
/// ever holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable name that can be looked up with `gable explain`, such as `port-not-open`.
    pub code: String,
    /// What happened, to what.
    pub message: String,
    /// Why, as far as it is known: the decisive log line, the last probe.
    pub detail: Option<String>,
    /// What to do next.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem with nothing but its name and its sentence.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), detail: None, hint: None }
    }

    /// The same problem with its cause.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same problem with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
