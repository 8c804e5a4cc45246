//! The control plane.
//!
//! `ops` is what may be asked, one file per noun; `tasks` is what makes it true, one file per
//! reconciler. Ops write down what is wanted, in transactions, and wake the tasks; tasks compare
//! what is wanted with what is seen. Neither knows HTTP.

pub mod background;
pub mod config;
pub mod crash;
pub mod disk;
pub mod environments;
pub mod error;
pub mod events;
pub mod ops;
pub mod platform;
pub mod restore;
pub mod server;
pub mod tasks;
#[cfg(feature = "testing")]
pub mod testing;

mod data_stores;
mod init_files;
mod instances;
mod lineage;
mod trust;

pub use config::Config;
pub use error::Error;
pub use platform::{Platform, StoreState};
