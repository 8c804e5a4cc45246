//! What nobody needs any more.

use serde::{Deserialize, Serialize};

/// Asks for what nobody needs any more to be thrown away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CleanRequest {
    /// Only tells what that would be.
    pub dry_run: bool,
}

/// What was, or would be, thrown away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanReply {
    /// By kind.
    pub freed: Vec<Freed>,
}

/// What of one kind was, or would be, thrown away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freed {
    /// What it is, in words: `artifacts`, `logs`, `sources`.
    pub kind: String,
    /// How many things.
    pub things: u64,
    /// Their bytes, as far as they are known before.
    pub bytes: u64,
}
