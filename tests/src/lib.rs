//! Real servers for tests, and the one way in which a test says that it could not run.
//!
//! The program of this package, `cargo xtask`, is in `main.rs`; the tests of the whole thing are
//! in `tests/`.

pub mod servers;
pub mod skip;

pub use skip::skip;
