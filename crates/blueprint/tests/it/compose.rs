//! Compose files: the rules one by one, real files, and hostile ones.

mod corpus;
mod files;
mod fixes;
mod fuzz;
mod hostile;
mod merging;
mod refusals;
mod services;
mod stores;
mod support;
mod variables;
