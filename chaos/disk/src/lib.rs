//! A disk that forgets: what was not forced to it may be gone, whole or in part, after a power cut.
//!
//! ```text
//!   a program's call ─► layer: fault? ─► journal (what it undoes) ─► the real call
//!                                            side/journal, side/kept
//!   plug pulled      ─► pull: undo all that is not durable, then do again what the seed keeps
//! ```
//!
//! The files of a *root* stay ordinary files, and a program that is killed leaves them as it wrote them.
//! The *side* directory, on the same file system, holds what a power cut needs: for each write since the
//! last fsync of its file the bytes before and after; for each name made, moved or removed since the last
//! fsync of its directory how to take that back.
//!
//! What [`pull`] leaves is what a disk may hold by the promises of POSIX, and no kinder:
//! - a write is kept, dropped, or torn at blocks of 512 bytes; of two writes to one block the later is
//!   never there without the earlier, since both stood in one page;
//! - a file's new length may be there without its bytes, which are then zeros, and the reverse;
//! - a name is durable when its *directory* was forced, not when the file was; a rename is there or not;
//! - a write that a failed fsync stood for is not made durable by a later fsync that succeeds.
//!
//! Not modelled: writes through `mmap` (nothing of ours that must last is written so), owners and modes.
//!
//! [`Layer`] is safe code over real files and is driven by anybody who can stand between a program and
//! its calls: the `skein-chaos-preload` crate does so for whole processes.

mod control;
mod dice;
mod journal;
mod layer;
mod pull;

pub use control::{Faults, SyncFault};
pub use dice::Dice;
pub use journal::Injected;
pub use layer::Layer;
pub use pull::{Directories, Outcome, injected, pull};
