//! The tree against published vectors and against RFC 6962's own definition.

use bytes::Bytes;
use skein_store::history::{
    Hash, TreeHead, empty_root, leaf_hash, node_hash, verify_consistency, verify_inclusion,
};
use skein_store::log_id;

mod support;

/// MTH(D[n]) of RFC 6962 §2.1, word for word.
fn naive_root(leaves: &[Bytes]) -> Hash {
    match leaves {
        [] => empty_root(),
        [one] => leaf_hash(one),
        _ => {
            let mut k = 1;
            while k * 2 < leaves.len() {
                k *= 2;
            }
            let (left, right) = leaves.split_at(k);
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

fn hex(text: &str) -> Bytes {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2).expect("pairs"), 16).expect("hex"))
        .collect()
}

/// The inputs and roots of certificate-transparency's own Merkle tree tests.
#[test]
fn the_published_vectors_hold() {
    let inputs = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let dir = tempfile::tempdir().unwrap();
    let (history, _) = support::open(dir.path()).unwrap();
    assert_eq!(history.head().root.to_string(), roots[0]);
    for (index, (input, root)) in (1..).zip(inputs.iter().zip(&roots[1..])) {
        let head = history.append(log_id(1, index), None, vec![hex(input)]).unwrap();
        assert_eq!(head.root.to_string(), *root, "after {index} leaves");
    }
}

#[test]
fn every_root_is_the_one_of_the_definition() {
    let dir = tempfile::tempdir().unwrap();
    let (history, _) = support::open(dir.path()).unwrap();
    let leaves: Vec<Bytes> = (0..300).map(support::event).collect();
    for size in 0..=300_u64 {
        let until = usize::try_from(size).unwrap();
        assert_eq!(history.head(), TreeHead { size, root: naive_root(&leaves[..until]) });
        if let Some(leaf) = leaves.get(until) {
            history.append(log_id(1, size + 1), None, vec![leaf.clone()]).unwrap();
        }
    }
    for size in 0..=300_u64 {
        let until = usize::try_from(size).unwrap();
        assert_eq!(history.head_at(size).unwrap().root, naive_root(&leaves[..until]), "at {size}");
    }
    assert!(history.head_at(301).is_err());
}

/// Sizes around the kept groups of 256 leaves, and well past the second.
#[test]
fn inclusion_is_proved_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let (history, _) = support::open(dir.path()).unwrap();
    let leaves: Vec<Bytes> = (0..1100).map(support::event).collect();
    history.append(log_id(1, 1), None, leaves.clone()).unwrap();
    for size in [1, 2, 3, 7, 8, 255, 256, 257, 511, 512, 513, 1000, 1100_u64] {
        let head = history.head_at(size).unwrap();
        assert_eq!(head.root, naive_root(&leaves[..usize::try_from(size).unwrap()]));
        for seq in (0..size).filter(|seq| seq % 37 == 0 || seq + 2 > size || *seq == 255) {
            let proof = history.inclusion_proof(seq, size).unwrap();
            let leaf = leaf_hash(&leaves[usize::try_from(seq).unwrap()]);
            assert!(verify_inclusion(&leaf, seq, &head, &proof.path), "{seq} in {size}");
            let other = leaf_hash(b"another event");
            assert!(!verify_inclusion(&other, seq, &head, &proof.path), "{seq} in {size}");
            assert!(!verify_inclusion(&leaf, seq + 1, &head, &proof.path), "{seq} in {size}");
            let mut bent = proof.path.clone();
            if let Some(first) = bent.first_mut() {
                first.0[0] ^= 1;
                assert!(!verify_inclusion(&leaf, seq, &head, &bent), "{seq} in {size}");
            }
        }
    }
    assert!(history.inclusion_proof(5, 5).is_err());
}

/// All pairs of small trees, and pairs around the kept groups.
#[test]
fn a_longer_history_is_proved_to_continue_a_shorter_one() {
    let dir = tempfile::tempdir().unwrap();
    let (history, _) = support::open(dir.path()).unwrap();
    history.append(log_id(1, 1), None, (0..1100).map(support::event).collect()).unwrap();
    let small = (0..40_u64).flat_map(|new| (0..=new).map(move |old| (old, new)));
    let edges = [255, 256, 257, 512, 700, 1023, 1024, 1025, 1100_u64];
    let large = edges.into_iter().flat_map(|new| {
        [0, 1, 3, 64, 255, 256, 257, 511, 512, 513, 699, 1024].map(|old| (old, new))
    });
    let mut bent = 0;
    for (old, new) in small.chain(large).filter(|(old, new)| old <= new) {
        let heads = [history.head_at(old).unwrap(), history.head_at(new).unwrap()];
        let path = history.consistency_proof(old, new).unwrap();
        assert!(verify_consistency(&heads[0], &heads[1], &path), "{old} to {new}");
        let other = TreeHead { size: old, root: leaf_hash(b"another past") };
        assert!(!verify_consistency(&other, &heads[1], &path), "{old} to {new}");
        let other = TreeHead { size: new, root: leaf_hash(b"another present") };
        assert!(old == 0 || !verify_consistency(&heads[0], &other, &path), "{old} to {new}");
        for at in 0..path.len() {
            let mut path = path.clone();
            path[at].0[31] ^= 1;
            assert!(!verify_consistency(&heads[0], &heads[1], &path), "{old} to {new}, {at}");
            path.remove(at);
            assert!(!verify_consistency(&heads[0], &heads[1], &path), "{old} to {new}, {at}");
            bent += 1;
        }
    }
    assert!(bent > 1000, "{bent}");
    assert!(history.consistency_proof(5, 4).is_err());
    assert!(history.consistency_proof(5, 1101).is_err());
}
