//! `skein.toml`: what is migrated, where it is, who coordinates, and how bold a rollout is.
//!
//! ```text
//! [project]       the directory of migrations, the charter, the actor's name
//! [coordinator]   addresses; without this section the coordinator runs inside this process
//! [agent]         who this agent is, how much it does at a time, where its backups go, what it may ask for gates
//! [strategy]      waves, gates, throttles, budget, what a breach does
//! [[window]]      when targets may be worked on; [[blackout]]: when not
//! [[target]]      a database each
//! [[discovery]]   a command or a table that names more of them
//! ```
//!
//! What holds:
//!
//! * An unknown key is an error at its place in the file, never read past.
//! * Relative paths are relative to the file, wherever the process runs.
//! * URLs are secrets: no error, log or `Debug` shows a password, and a URL that stands in the
//!   environment, a file or behind a command is read again at each connection, so that a rotated
//!   password needs no restart.

mod agent;
mod coordinator;
mod discovery;
mod engine;
mod error;
mod excerpt;
mod file;
mod gate;
mod id;
mod labels;
mod latency;
mod project;
mod secret;
mod strategy;
mod target;
mod throttle;
mod time;
mod url;
mod window;

pub use agent::{Agent, Config};
pub use coordinator::Coordinator;
pub(crate) use coordinator::check as check_address;
pub use discovery::{Discovery, Row, Source};
pub use error::ConfigError;
pub use file::File;
pub use gate::{Address, Gate, GateSource};
pub use id::{AgentId, BadId, TargetId};
pub use project::Project;
pub use secret::Secret;
pub use strategy::{Backup, Budget, OnBreach, PER_BAR, Strategy, Wave};
pub use target::Target;
pub use throttle::{Measure, Thousandths, Throttle};
pub use time::{duration, millis};
pub use url::{Url, UrlError};
pub use window::{AtClose, Blackout, Day, Window};
