//! What makes it true: one file per reconciler.

pub mod copies;
pub mod crons;
pub mod data_stores;
pub mod disk;
pub mod jobs;
pub mod probes;
pub mod retention;
pub mod routes;
pub mod services;
