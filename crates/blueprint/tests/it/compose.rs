//! Compose files: the rules one by one, real files, and hostile ones.

mod corpus;
mod support;
