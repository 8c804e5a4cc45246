//! Control-plane state in SQLite.
//!
//! One database, `gable.db` in the state directory, one module of functions per noun. The store
//! decides nothing: it keeps, finds and counts, and refuses what would break an invariant that can
//! be said in one sentence. Each function is one transaction; what has to happen together is one
//! function. Time comes in as an argument; ids are made here, and sort by age.
//!
//! **Durability.** Write-ahead log with `synchronous=FULL`: when a function returns, the change
//! survives the loss of power. Writers take turns, in one process and between processes; readers
//! never wait for them.
//!
//! **Secrets.** Values of variables, passwords, declarations and releases (which hold values that
//! authors wrote into their files) are sealed with a key that lies beside the database, see
//! [`secrets`]. What is not sealed: names, ids, times, states, and the text of problems.
//!
//! **Errors.** Every function returns [`Error`] when the database cannot be used: it is full,
//! damaged, or locked by somebody for longer than [`BUSY_TIMEOUT`]. Functions say so when they have
//! other reasons.

mod assign;
mod connection;
mod error;
mod feed;
mod new_id;
mod row;
mod schema;
pub mod secrets;
pub mod slug;

pub mod artifacts;
pub mod builds;
pub mod copies;
pub mod cron_runs;
pub mod data_stores;
pub mod databases;
pub mod deploys;
pub mod environments;
pub mod events;
pub mod generations;
pub mod instances;
pub mod jobs;
pub mod key_values;
pub mod projects;
pub mod releases;
pub mod retention;
pub mod services;
pub mod values;

pub use assign::{FIRST_PORT, FIRST_UID};
pub use connection::{BUSY_TIMEOUT, DATABASE_FILE, Store, Work};
pub use error::Error;
pub use new_id::new_instance_id;
