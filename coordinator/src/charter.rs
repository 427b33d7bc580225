//! The charter: the policy set in force, and its hash. Nothing runs outside of it.

use sha2::{Digest as _, Sha256};
use skein_core::ids::Digest;

/// What holds where nobody wrote a charter.
pub const DEFAULT: &str = "\
# The charter: what this fleet's migrations have to keep to. Its SHA-256 is fixed when the cluster is
# formed, stands in every request and event, and a request made under another one is refused.

[backup]
# No step runs before the backup of its target is recorded. A plan may ask for less than the whole
# database; `none` is recorded as an exemption.
required = true

[undo]
# A step that nothing undoes needs a recorded waiver.
irreversible = \"waiver\"
";

/// The constitutional hash: SHA-256 of the charter's bytes.
pub fn hash(text: &[u8]) -> Digest {
    Digest(Sha256::digest(text).into())
}
