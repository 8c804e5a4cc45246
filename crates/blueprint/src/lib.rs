//! `render.yaml` and compose text to a checked [`Blueprint`] with source spans, and all problems at
//! once. Compose files are read by [`compose`]; the rest of this page is about `render.yaml`.
//!
//! # How it works
//! 1. [`read`] makes a tree of the text that remembers where everything stands (`tree`). A text
//!    that is not YAML is mended if a small change of its layout makes it so (`mend`).
//! 2. The tree is checked against the format (`check`), which the catalog describes (`catalog`).
//!    Nothing stops at the first problem; each becomes a [`Finding`].
//! 3. References and templates are resolved among what the file declares (`check::reference`).
//!
//! # Two readings
//! [`Mode::Tolerant`] understands what the author evidently meant, and names each repair.
//! [`Mode::Strict`] gives Render's verdict. Both run the same code; [`Code::severity`] says how much
//! each finding weighs.
//!
//! # Limits
//! Pure: no files, no network, no clock. 10 MB of text, 64 levels, 400 000 nodes. No finding holds
//! the value of an environment variable, and [`render`] masks values in the lines that it shows.

mod blueprint;
mod catalog;
mod check;
mod code;
pub mod compose;
pub mod env_file;
mod explain;
mod finding;
mod fix;
mod mask;
mod mend;
mod read;
mod render;
mod sizes;
mod source;
mod template;
mod tree;
mod words;

pub use blueprint::{
    Blueprint, DatabaseSettings, IpRule, KeyValueSettings, Maintenance, Noun, PreviewGeneration,
    Previews, Scaling, Scope, ServicePreviews, ServiceSettings, StoreOrigin,
};
pub use catalog::{Field, Place, Shapes, Treatment, known_fields};
pub use explain::{Explanation, explain};
pub use finding::{Code, Edit, Finding, Mode, Patch, Piece, Severity, Span};
pub use fix::{Fixed, fix, unified_diff};
pub use read::{ReadOptions, Reading, SIZE_LIMIT_BYTES, read};
pub use render::{Page, render};
pub use words::nearest;
