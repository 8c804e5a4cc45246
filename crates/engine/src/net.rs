//! Private networks: one bridge per environment, one pair of virtual cables per instance.

pub(crate) mod addresses;
pub(crate) mod firewall;
pub(crate) mod netlink;
