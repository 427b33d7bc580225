//! A writer over the store alone, without consensus, and what it has promised.
//!
//! ```text
//!   rounds ─spawn─► play: appends, votes, syncs, purges, blobs, a follower by snapshots
//!      ▲                    │ "@ logged 17" on standard output, after the call has returned
//!      └── promised ◄───────┘  killed at any moment; then: check
//! ```
//!
//! Everything that it writes follows from its number, so that whatever is found can be checked.

pub mod check;
pub mod machine;
pub mod play;
pub mod promised;
pub mod rounds;

pub use check::{Found, check};
pub use play::play;
pub use promised::Promised;
