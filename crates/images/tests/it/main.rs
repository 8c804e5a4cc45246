//! Images as the platform meets them: a real registry, real layers, a real overlay, and strangers
//! who mean no good.

#[cfg(test)]
mod files;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod layer;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod login;
#[cfg(test)]
mod mutated;
#[cfg(test)]
mod pulls;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod stranger;
#[cfg(test)]
mod users;
#[cfg(test)]
mod world;
