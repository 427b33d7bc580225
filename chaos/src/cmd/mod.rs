//! What `skein-chaos` does, one verb a file.

pub mod coverage;
pub mod model;
pub mod mutations;
pub mod shrink;
