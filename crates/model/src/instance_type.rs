//! How much of the machine an instance may use: the YAML key `plan`.

use serde::{Deserialize, Serialize};

/// The size of an instance. Render calls it instance type, and `plan` in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceType {
    /// The canonical spelling, such as `starter` or `2c-4g`.
    pub name: String,
    /// Share of processor time, in thousandths of one core.
    pub cpu_millis: u32,
    /// Memory limit in bytes; an instance that passes it is ended by the kernel.
    pub memory_bytes: u64,
}
