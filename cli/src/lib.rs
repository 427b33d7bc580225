//! The command line: words in, requests out, answers shown.

pub mod args;
pub mod clock;
pub mod exit;
pub mod failure;
pub mod render;
pub mod screen;
