//! Raft's words as bytes: what is written is read, and nothing that is read panics.

use std::collections::BTreeMap;

use bytes::Bytes;
use skein_store::codec::{
    decode_entry, decode_log_id, decode_membership, decode_snapshot_meta, decode_stored_membership,
    decode_vote, encode_entry, encode_log_id, encode_membership, encode_snapshot_meta,
    encode_stored_membership, encode_vote,
};
use skein_store::{
    Entry, EntryPayload, Membership, Node, Payload, SnapshotMeta, StoredMembership, Vote, log_id,
};

fn membership() -> Membership {
    let nodes: BTreeMap<u64, Node> =
        (1..=4).map(|id| (id, Node::new(format!("node-{id}:7000")))).collect();
    Membership::new(vec![[1, 2, 3].into(), [2, 3].into()], nodes).expect("a membership")
}

fn entries() -> Vec<Entry> {
    let payloads = [
        EntryPayload::Blank,
        EntryPayload::Normal(Payload(Bytes::new())),
        EntryPayload::Normal(Payload(Bytes::from_static(b"payload"))),
        EntryPayload::Membership(membership()),
        EntryPayload::Membership(Membership::default()),
    ];
    (0..).zip(payloads).map(|(at, payload)| Entry { log_id: log_id(at, at * 9), payload }).collect()
}

#[test]
fn everything_comes_back_as_it_was() {
    for entry in entries() {
        assert_eq!(decode_entry(encode_entry(&entry)).unwrap(), entry);
    }
    for committed in [false, true] {
        let vote = if committed { Vote::new_committed(7, 3) } else { Vote::new(0, 0) };
        assert_eq!(decode_vote(encode_vote(&vote)).unwrap(), vote);
    }
    let id = log_id(u64::MAX, u64::MAX);
    assert_eq!(decode_log_id(encode_log_id(&id)).unwrap(), id);
    assert_eq!(decode_membership(encode_membership(&membership())).unwrap(), membership());
    for stored in [StoredMembership::default(), StoredMembership::new(Some(id), membership())] {
        let bytes = encode_stored_membership(&stored);
        assert_eq!(decode_stored_membership(bytes).unwrap(), stored);
        for last_log_id in [None, Some(log_id(0, 0)), Some(id)] {
            let meta = SnapshotMeta { last_log_id, last_membership: stored.clone() };
            assert_eq!(decode_snapshot_meta(encode_snapshot_meta(&meta)).unwrap(), meta);
        }
    }
}

/// Every cut and every flipped bit is answered, whatever the answer; some must be refused.
#[test]
fn damaged_bytes_are_refused_or_read_but_never_panic() {
    let mut refused = 0;
    for entry in entries() {
        let good = encode_entry(&entry);
        for at in 0..good.len() {
            refused += u32::from(decode_entry(good.slice(..at)).is_err());
            for bit in 0..8 {
                let mut bent = good.to_vec();
                bent[at] ^= 1 << bit;
                let bent = Bytes::from(bent);
                refused += u32::from(decode_entry(bent.clone()).is_err());
                for decoded in
                    [decode_snapshot_meta(bent.clone()).is_err(), decode_vote(bent).is_err()]
                {
                    refused += u32::from(decoded);
                }
            }
        }
    }
    assert!(refused > 1000, "{refused}");
    for missing in [Bytes::new(), encode_entry(&entries().remove(0)).slice(..0)] {
        let error = decode_entry(missing).unwrap_err();
        assert!(error.to_string().contains("lacks its log id"), "{error}");
    }
}

#[test]
fn a_membership_that_contradicts_itself_is_refused() {
    // One set of voters that is empty; one voter, 9, of whom nothing is known.
    for bytes in [&[0x0a, 0x00][..], &[0x0a, 0x03, 0x0a, 0x01, 0x09][..]] {
        let error = decode_membership(Bytes::copy_from_slice(bytes)).unwrap_err();
        assert!(error.to_string().contains("contradicts itself"), "{error}");
    }
}
