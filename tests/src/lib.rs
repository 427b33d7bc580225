//! Real servers for tests, and the one way in which a test says that it could not run.
//!
//! The program of this package, `cargo xtask`, is in `main.rs`; the tests of the whole thing are
//! in `tests/`.

pub mod servers;
pub mod skip;

pub use skip::skip;

/// Bytes in hexadecimal digits, as the command line prints digests and roots.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}
