//! Tests of the planner at its boundary: a simulated world acts on its plans.

mod deploys;
#[cfg(test)]
mod routes;
mod world;
