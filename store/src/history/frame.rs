//! One frame: what one log entry added to the history.
//!
//! ```text
//!   "skfr"  length u32  crc32 u32 │ protobuf: term, index, events, membership, tree size, root
//!   └──────────── 12 bytes ──────┘ └── length bytes; the checksum covers length and body ─────┘
//! ```
//! Numbers of the header are little-endian. The root is the tree's *after* this frame's events.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use super::tree::{Hash, TreeHead};
use crate::codec::{self, WireMembership};
use crate::types::{self, LogId, Membership};

pub(super) const MAGIC: [u8; 4] = *b"skfr";
pub(super) const HEADER_LEN: usize = 12;
/// A frame's body in bytes. Well above what a log entry may carry.
pub(super) const BODY_MAX: usize = 256 * 1024 * 1024;
const ROOT_LEN: usize = 32;
/// A written body ends with the root, whose last bytes are not all zeros but by a chance of one in
/// 2^64: a frame that ends with this many zeros was extended by the file system and never written.
const UNWRITTEN_LEN: usize = 8;

#[derive(Clone, PartialEq, Eq, Message)]
struct WireFrame {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    index: u64,
    #[prost(message, optional, tag = "3")]
    membership: Option<WireMembership>,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    events: Vec<Bytes>,
    #[prost(uint64, tag = "5")]
    tree_size: u64,
    #[prost(bytes = "vec", tag = "6")]
    root: Vec<u8>,
}

/// What one log entry added.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) log_id: LogId,
    pub(crate) membership: Option<Membership>,
    pub(crate) events: Vec<Bytes>,
    /// After the events of this frame.
    pub(crate) head: TreeHead,
}

/// Why the bytes at some place are not a frame.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) reason: String,
    /// Cut off or never written, as a crash leaves it, rather than altered.
    pub(super) torn: bool,
}

impl Fault {
    pub(super) fn altered(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), torn: false }
    }

    fn torn(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), torn: true }
    }
}

impl Frame {
    pub(super) fn first_seq(&self) -> u64 {
        let count = u64::try_from(self.events.len()).unwrap_or(u64::MAX);
        self.head.size.saturating_sub(count)
    }

    /// The whole frame, or its body's length if that is more than a frame holds.
    pub(super) fn encode(&self) -> Result<Bytes, usize> {
        let wire = WireFrame {
            term: self.log_id.leader_id.term,
            index: self.log_id.index,
            membership: self.membership.as_ref().map(WireMembership::from),
            events: self.events.clone(),
            tree_size: self.head.size,
            root: self.head.root.0.to_vec(),
        };
        seal(&wire.encode_to_vec())
    }

    /// The frame in a body whose checksum held.
    fn decode(body: Bytes) -> Result<Self, String> {
        let wire: WireFrame =
            codec::decode_as("a history frame", body).map_err(|error| error.to_string())?;
        let root: [u8; ROOT_LEN] = wire
            .root
            .try_into()
            .map_err(|root: Vec<u8>| format!("its root has {} bytes instead of 32", root.len()))?;
        let membership = wire
            .membership
            .map(Membership::try_from)
            .transpose()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            log_id: types::log_id(wire.term, wire.index),
            membership,
            events: wire.events,
            head: TreeHead { size: wire.tree_size, root: Hash(root) },
        })
    }
}

/// Header and body as they are stored.
pub(crate) fn seal(body: &[u8]) -> Result<Bytes, usize> {
    let len = match u32::try_from(body.len()) {
        Ok(len) if body.len() <= BODY_MAX => len,
        Ok(_) | Err(_) => return Err(body.len()),
    };
    let mut out = BytesMut::with_capacity(HEADER_LEN + body.len());
    out.put_slice(&MAGIC);
    out.put_u32_le(len);
    out.put_u32_le(checksum(len, body));
    out.put_slice(body);
    Ok(out.freeze())
}

fn checksum(len: u32, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// A sealed header, taken apart.
pub(super) struct Header {
    len: u32,
    crc: u32,
}

impl Header {
    pub(super) fn body_len(&self) -> usize {
        usize::try_from(self.len).unwrap_or(usize::MAX)
    }

    /// Reads a header from the first bytes of `bytes`, of which `rest` follow in the file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Err(Fault::torn(format!(
                "the file ends {} bytes into a frame's header",
                bytes.len()
            )));
        };
        let [m0, m1, m2, m3, l0, l1, l2, l3, c0, c1, c2, c3] = *header;
        if [m0, m1, m2, m3] != MAGIC {
            let written =
                bytes.iter().zip(MAGIC).take_while(|(byte, magic)| *byte == magic).count();
            let unwritten = bytes.iter().skip(written).all(|byte| *byte == 0);
            return Err(if unwritten {
                Fault::torn("nothing but zeros from here to the end of the file")
            } else {
                Fault::altered("no frame starts here")
            });
        }
        let header = Self {
            len: u32::from_le_bytes([l0, l1, l2, l3]),
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
        };
        if header.body_len() > rest.len() {
            return Err(Fault::torn(format!(
                "the frame says {} bytes, the file ends after {}",
                header.len,
                rest.len()
            )));
        }
        Ok(header)
    }

    /// Checks `body` against this header.
    pub(super) fn check(&self, body: &[u8]) -> Result<(), Fault> {
        if checksum(self.len, body) == self.crc {
            return Ok(());
        }
        let ends_in_zeros = body.iter().rev().take(UNWRITTEN_LEN).all(|byte| *byte == 0);
        Err(if ends_in_zeros {
            Fault::torn("the end of the frame was never written")
        } else {
            Fault::altered("the checksum does not fit the bytes")
        })
    }
}

/// How long the body is that follows this header; `None` if it is no header.
pub(super) fn body_len(header: &[u8]) -> Option<u64> {
    let [m0, m1, m2, m3, l0, l1, l2, l3, ..] = *header.first_chunk::<HEADER_LEN>()?;
    let len = u32::from_le_bytes([l0, l1, l2, l3]);
    ([m0, m1, m2, m3] == MAGIC).then_some(u64::from(len))
}

/// The sealed body at the start of `bytes`, which reach to the end of the file.
pub(super) fn unseal(bytes: &Bytes) -> Result<Bytes, Fault> {
    let header = Header::parse(bytes)?;
    let body = bytes.slice(HEADER_LEN..HEADER_LEN + header.body_len());
    header.check(&body)?;
    Ok(body)
}

/// The frame at the start of `bytes` and its whole length.
pub(super) fn parse(bytes: &Bytes) -> Result<(Frame, usize), Fault> {
    let body = unseal(bytes)?;
    let len = HEADER_LEN + body.len();
    Ok((Frame::decode(body).map_err(Fault::altered)?, len))
}

/// Whether some whole frame starts in `bytes` after the first byte: then what came before it was
/// once complete, and has been altered since.
pub(super) fn frame_follows(bytes: &Bytes) -> bool {
    let mut rest = bytes.slice(1.min(bytes.len())..);
    while let Some(at) = rest.windows(MAGIC.len()).position(|window| window == MAGIC) {
        rest = rest.slice(at..);
        if unseal(&rest).is_ok() {
            return true;
        }
        rest = rest.slice(1..);
    }
    false
}
