//! Skein.
