//! Bundles on the wire: the reader's model in the words of `skein.v1`, and back.

mod facts;
mod read;
mod write;

use sha2::{Digest as _, Sha256};

pub(crate) use facts::defines;
pub use read::{WireError, decode, from_wire};
pub use write::{encode, to_wire};

/// What a bundle is called by: the SHA-256 of its encoded bytes.
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
