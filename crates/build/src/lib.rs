//! From source to artifact.
//!
//! [`Sources`] takes a working tree or a branch of another repository into a bare repository of
//! Gable's own and never touches the user's. [`toolchain::resolve`] compares the versions that a
//! repository asks for with what the machine has. [`Inputs`] names everything that goes into a
//! build; [`artifact_id`] is its address. [`run`] makes the artifact, in an instance of its own,
//! and can be called again with the same request after the control plane was killed anywhere in
//! it. [`runtime_layout`] tells how instances use what was made. [`docker`] makes images of
//! Dockerfiles, which are artifacts as well.
//!
//! Nothing here changes the status of a deploy, and nothing but the user's own commands is ever
//! handed to a shell together with text of the user's.

pub mod caches;
pub mod causes;
pub mod config;
pub mod container;
pub mod docker;
pub mod error;
pub mod inputs;
pub mod layout;
pub mod limits;
pub mod note;
pub mod own_files;
pub mod publish;
pub mod run;
pub mod sources;
pub mod toolchain;

mod disk;
mod pack;
mod store;
mod tree;

pub use caches::Trust;
pub use config::Config;
pub use container::{Container, container, is_container, project_paths};
pub use disk::DiskLimits;
pub use error::Error;
pub use inputs::{Inputs, artifact_id};
pub use layout::{Layout, Phase, env_on_host, language_env, runtime_layout};
pub use limits::BuildLimits;
pub use note::Note;
pub use publish::published_dir;
pub use run::{BuildRequest, Failure, Progress, cancel, run};
pub use sources::{Snapshot, Sources};
pub use store::{collect_garbage, find_artifact, remove_dead_work};
pub use toolchain::Toolchain;
