//! The disk layer in libc's place: loaded before libc into a whole process, or linked into a simulator.
//!
//! ```sh
//! LD_PRELOAD=libskein_chaos_preload.so SKEIN_DISK=/data=/side skein coordinator …
//! ```
//!
//! `SKEIN_DISK` names roots and their side directories, `ROOT=SIDE:ROOT=SIDE`; a program that is linked
//! with this crate says [`mount`] instead. A call on a file of a root goes through
//! [`skein_chaos_disk::Layer`]; any other goes straight to the kernel.
//!
//! Nothing is known of file descriptors: what a call is about is asked of the kernel each time, so that
//! duplicates, inherited descriptors and children need no care. Not seen are calls that go past libc's
//! symbols: raw system calls, and what libc's own `FILE` functions do.

mod calls;
mod hooks;
mod mounts;

pub use mounts::{mount, unmount};
