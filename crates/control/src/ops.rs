//! What may be asked of the control plane: one file per noun. Each function checks, writes down
//! what is wanted and wakes the tasks; none waits for the outcome.

pub mod blueprints;
pub mod databases;
pub mod deploys;
pub mod disk;
pub mod env_vars;
pub mod events;
pub mod findings;
pub mod instances;
pub mod jobs;
pub mod logs;
pub mod projects;
pub mod status;
