//! What the tests of a node need: nodes, something to roll out, and agents without a database.

pub(crate) mod agent;
pub(crate) mod fleet;
pub(crate) mod node;
