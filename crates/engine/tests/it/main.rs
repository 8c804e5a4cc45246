//! The engine on this machine: real namespaces, real processes. What needs root says so and is
//! passed over without it.

#[cfg(test)]
mod containers;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod images;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod life;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod neighbours;
#[cfg(test)]
mod network;
#[cfg(test)]
mod plain;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod root;
#[cfg(test)]
mod runtimes;
#[cfg(test)]
mod stops;
#[cfg(test)]
mod volumes;
