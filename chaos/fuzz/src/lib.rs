//! Bytes from outside, bent in every way, at every door.
//!
//! Each target has seeds that are right, and a door: a decoder, a parser, a reader of files. A case is a
//! seed that chance has bent, or a few of them spliced. A door may refuse; it may not panic, nor take more
//! memory or time than the case's size allows. The same targets run for seconds in the tests and for hours
//! by `skein-chaos-fuzz`.
//!
//! There is no coverage feedback: a sanitizer build of everything below sqlx and aws-lc wants a toolchain of
//! its own. In its place the seeds are structured, and the bending knows the words of each format.

pub mod bend;
pub mod campaign;
pub mod targets;
