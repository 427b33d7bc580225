//! The Merkle tree over the events: RFC 6962 §2.1, SHA-256, a leaf is the stored bytes of an event.
//!
//! Kept as a compact range (one hash for each set bit of the size), so an append costs O(log n) and
//! nothing is read back. Beside it, one hash for each full group of 256 leaves: 32 bytes per 256
//! events, from which any earlier root or proof is made by reading two groups of events at most.

use std::fmt;

use sha2::{Digest, Sha256};

/// Leaves in a group whose hash is kept. A power of two.
const GROUP: u64 = 1 << GROUP_LEVEL;
const GROUP_LEVEL: u32 = 8;

/// A SHA-256 hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Size and root of the tree at one moment: two nodes with the same head hold the same events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// How many events.
    pub size: u64,
    /// The hash over all of them.
    pub root: Hash,
}

impl Default for TreeHead {
    fn default() -> Self {
        Self { size: 0, root: empty_root() }
    }
}

impl fmt::Display for TreeHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events, root {}", self.size, self.root)
    }
}

/// The root of the empty tree: the hash of nothing.
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

/// The hash of a leaf: `SHA-256(0x00 || event)`.
pub fn leaf_hash(event: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0]).chain_update(event).finalize().into())
}

/// The hash of two subtrees: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(
        Sha256::new()
            .chain_update([1])
            .chain_update(left.0)
            .chain_update(right.0)
            .finalize()
            .into(),
    )
}

/// The tree, growing at its right edge.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    size: u64,
    /// Roots of the perfect subtrees, from left to right: one for each set bit of `size`.
    edge: Vec<Hash>,
    /// Roots of the full groups of leaves, from left to right.
    groups: Vec<Hash>,
}

impl Tree {
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        let mut level = 0;
        while (self.size >> level) & 1 == 1 {
            let Some(left) = self.edge.pop() else { break };
            node = node_hash(&left, &node);
            level += 1;
            if level == GROUP_LEVEL {
                self.groups.push(node);
            }
        }
        self.edge.push(node);
        self.size += 1;
    }

    pub(crate) fn head(&self) -> TreeHead {
        TreeHead { size: self.size, root: fold_edge(&self.edge) }
    }

    /// The root over the leaves `from..to`, a subtree of this tree as RFC 6962 cuts it. `leaves`
    /// gives the hashes of a range of at most 256 leaves.
    pub(crate) fn subtree<E>(
        &self,
        from: u64,
        to: u64,
        leaves: &mut dyn FnMut(u64, u64) -> Result<Vec<Hash>, E>,
    ) -> Result<Hash, E> {
        let len = to.saturating_sub(from);
        if len == GROUP
            && from.is_multiple_of(GROUP)
            && let Some(group) =
                usize::try_from(from / GROUP).ok().and_then(|at| self.groups.get(at))
        {
            return Ok(*group);
        }
        if len <= GROUP {
            let mut tree = Self::default();
            leaves(from, to)?.into_iter().for_each(|leaf| tree.push(leaf));
            return Ok(tree.head().root);
        }
        let middle = from + split(len);
        let left = self.subtree(from, middle, leaves)?;
        let right = self.subtree(middle, to, leaves)?;
        Ok(node_hash(&left, &right))
    }

    /// The path that proves leaf `index` in the tree of the first `size` leaves, from the leaf up.
    pub(crate) fn path<E>(
        &self,
        index: u64,
        size: u64,
        leaves: &mut dyn FnMut(u64, u64) -> Result<Vec<Hash>, E>,
    ) -> Result<Vec<Hash>, E> {
        let (mut from, mut to) = (0, size);
        let mut path = Vec::new();
        while to - from > 1 {
            let middle = from + split(to - from);
            if index < middle {
                path.push(self.subtree(middle, to, leaves)?);
                to = middle;
            } else {
                path.push(self.subtree(from, middle, leaves)?);
                from = middle;
            }
        }
        path.reverse();
        Ok(path)
    }

    /// The path that proves that the tree of `new` leaves continues the one of `old` leaves, which
    /// are at least one and fewer.
    pub(crate) fn consistency<E>(
        &self,
        old: u64,
        new: u64,
        leaves: &mut dyn FnMut(u64, u64) -> Result<Vec<Hash>, E>,
    ) -> Result<Vec<Hash>, E> {
        let (mut from, mut to) = (0, new);
        let mut path = Vec::new();
        while old != to {
            let middle = from + split(to - from);
            if old <= middle {
                path.push(self.subtree(middle, to, leaves)?);
                to = middle;
            } else {
                path.push(self.subtree(from, middle, leaves)?);
                from = middle;
            }
        }
        if from != 0 {
            path.push(self.subtree(from, to, leaves)?);
        }
        path.reverse();
        Ok(path)
    }
}

/// Whether `path` proves that the tree of `new` continues the tree of `old`, with nothing changed or
/// taken away: RFC 9162 §2.1.4.2.
pub fn verify_consistency(old: &TreeHead, new: &TreeHead, path: &[Hash]) -> bool {
    if old.size >= new.size {
        return old == new && path.is_empty();
    }
    if old.size == 0 {
        return old.root == empty_root() && path.is_empty();
    }
    // The root of a whole old tree is left out of the path.
    let whole = old.size.is_power_of_two().then_some(old.root);
    let mut path = whole.into_iter().chain(path.iter().copied());
    let Some(first) = path.next() else { return false };
    let shared = (old.size - 1).trailing_ones();
    let (mut at, mut last) = ((old.size - 1) >> shared, (new.size - 1) >> shared);
    let (mut old_root, mut new_root) = (first, first);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_root = node_hash(&sibling, &old_root);
            new_root = node_hash(&sibling, &new_root);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_root = node_hash(&new_root, &sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old_root == old.root && new_root == new.root
}

/// The largest power of two below `len`: where RFC 6962 cuts a tree of `len` leaves (at least 2).
fn split(len: u64) -> u64 {
    1 << (len - 1).ilog2()
}

fn fold_edge(edge: &[Hash]) -> Hash {
    edge.iter()
        .rev()
        .copied()
        .reduce(|right, left| node_hash(&left, &right))
        .unwrap_or_else(empty_root)
}

/// Whether `path` proves that `leaf` is at `index` in the tree of `head`: RFC 9162 §2.1.3.2.
pub fn verify_inclusion(leaf: &Hash, index: u64, head: &TreeHead, path: &[Hash]) -> bool {
    if index >= head.size {
        return false;
    }
    let (mut at, mut last) = (index, head.size - 1);
    let mut root = *leaf;
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            root = node_hash(sibling, &root);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            root = node_hash(&root, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && root == head.root
}
