//! What goes wrong at night, and the runbooks of `docs/operations.md`, each followed command for command
//! with real processes.
//!
//! ```text
//! fleet      a cluster, an agent and its targets
//! restore    all coordinators are lost; a backup under load; what a restore refuses
//! majority   one of three disks is left
//! wiped      a disk was wiped: under its old number its node takes part in nothing
//! replace    a machine is replaced while work goes on
//! disk       a full disk that is freed again
//! clock      a clock two hours off
//! ```

#[path = "../support/mod.rs"]
mod support;

mod clock;
mod disk;
mod fleet;
mod majority;
mod replace;
mod restore;
mod wiped;
