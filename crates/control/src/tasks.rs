//! What makes it true: one file per reconciler.

pub mod crons;
pub mod data_stores;
pub mod jobs;
pub mod probes;
pub mod routes;
pub mod services;
