//! Skein.

pub mod backup;
