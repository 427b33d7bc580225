//! Who this node is to the others, and whether it may take part yet.
//!
//! A member's store has an id, drawn when its data directory was made, and the membership names it. A
//! message says which store it comes from and which one it is meant for, so that a node that lost its
//! disk is told from the one whose promises it no longer knows:
//!
//! - a store that is not the one the membership names is refused, and its node ends;
//! - a store that holds nothing takes part once a message names it, or once all members of a cluster
//!   that is being formed have said that they hold nothing either.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};
use skein_core::ids::ClusterId;
use skein_proto::raft::v1;
use skein_store::{DataDir, Incarnation, Node, StoreId};
use tokio::sync::watch;
use tonic::Status;

/// This node. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// The cluster's name, as bytes.
    pub(crate) cluster: ClusterId,
    pub(crate) node: u64,
    standing: Arc<Standing>,
}

#[derive(Debug)]
struct Standing {
    store: StoreId,
    incarnation: Mutex<Incarnation>,
    /// Until this node takes part: it may be of another beginning then.
    dir: Mutex<Option<DataDir>>,
    /// It may have promised something, or may do so.
    takes_part: AtomicBool,
    /// Why this node must end.
    verdict: watch::Sender<Option<String>>,
}

impl Identity {
    pub(crate) fn new(cluster: ClusterId, node: u64, dir: DataDir) -> Self {
        let standing = Standing {
            store: dir.store(),
            incarnation: Mutex::new(dir.incarnation()),
            dir: Mutex::new(Some(dir)),
            takes_part: AtomicBool::new(false),
            verdict: watch::Sender::new(None),
        };
        Self { cluster, node, standing: Arc::new(standing) }
    }

    /// The store of this node.
    pub(crate) fn store(&self) -> StoreId {
        self.standing.store
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        *self.standing.incarnation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a message to a member begins with.
    pub(crate) fn route(&self, to: u64, store: StoreId) -> v1::Route {
        let incarnation = self.incarnation();
        v1::Route {
            cluster_id: wire_cluster(self.cluster, incarnation).to_vec().into(),
            from: self.node,
            to,
            incarnation: incarnation.to_bytes(),
            from_store: self.store().to_bytes(),
            to_store: store.to_bytes(),
        }
    }

    pub(crate) fn takes_part(&self) -> bool {
        self.standing.takes_part.load(Ordering::Acquire)
    }

    pub(crate) fn take_part(&self) {
        self.standing.takes_part.store(true, Ordering::Release);
        drop(self.dir().take());
    }

    fn dir(&self) -> MutexGuard<'_, Option<DataDir>> {
        self.standing.dir.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This node must end: another one has its number, or had it.
    pub(crate) fn condemn(&self, why: String) {
        self.standing.verdict.send_replace(Some(why));
    }

    /// Resolves when this node must end, and why.
    pub(crate) async fn condemned(&self) -> String {
        let mut verdict = self.standing.verdict.subscribe();
        loop {
            if let Some(why) = verdict.borrow_and_update().clone() {
                return why;
            }
            if verdict.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The message is for this node of this cluster, whatever its beginning.
    pub(crate) fn is_addressed(&self, route: Option<&v1::Route>) -> Result<(), Status> {
        let route = route.ok_or_else(|| Status::invalid_argument("the message has no route"))?;
        let incarnation = Incarnation::read(&route.incarnation);
        if route.cluster_id.as_ref() != wire_cluster(self.cluster, incarnation) {
            return Err(Status::permission_denied(format!(
                "node {} belongs to another cluster than this node {}; check `cluster` in both \
                 configurations",
                route.from, self.node
            )));
        }
        if route.to != self.node {
            return Err(Status::failed_precondition(format!(
                "the message is for node {}, and this is node {}; check the members' addresses",
                route.to, self.node
            )));
        }
        Ok(())
    }

    /// The same, and both are of one beginning of the cluster.
    pub(crate) fn check(&self, route: Option<&v1::Route>) -> Result<(), Status> {
        self.is_addressed(route)?;
        let theirs = route.map(|route| Incarnation::read(&route.incarnation)).unwrap_or_default();
        let ours = self.incarnation();
        if theirs == ours {
            return Ok(());
        }
        let from = route.map(|route| route.from).unwrap_or_default();
        Err(Status::permission_denied(format!(
            "node {from} is of {}, and this node {} of {}: the cluster was restored from a backup, and \
             one of the two is left over from before. Stop that one, and keep its data aside",
            words(theirs),
            self.node,
            words(ours),
        )))
    }

    /// Whether a message of consensus may be looked at. `sender`: the member of that number, as far as
    /// this node knows.
    pub(crate) fn admit(
        &self,
        route: Option<&v1::Route>,
        sender: impl FnOnce(u64) -> Option<Node>,
    ) -> Result<(), Status> {
        self.is_addressed(route)?;
        let Some(route) = route else { return Ok(()) };
        if self.takes_part() {
            self.check(Some(route))?;
        }
        let meant = StoreId::read(&route.to_store);
        if meant.is_some_and(|meant| meant != self.store()) {
            self.condemn(wiped(self.node, &format!("node {}", route.from)));
            return Err(Status::permission_denied(format!(
                "the store that the cluster knows for node {} is not the one here",
                self.node
            )));
        }
        if !self.takes_part() {
            if meant.is_none() {
                return Err(Status::unavailable(format!(
                    "node {} holds nothing, and nobody has named its store yet",
                    self.node
                )));
            }
            self.join(Incarnation::read(&route.incarnation))?;
        }
        let known = sender(route.from).map(|node| node.store).filter(StoreId::is_known);
        if let (Some(known), Some(came)) = (known, StoreId::read(&route.from_store))
            && known != came
        {
            return Err(Status::permission_denied(format!(
                "node {} speaks from another store than the cluster knows: its disk was lost or \
                 replaced. Remove it, and add a node with a new number",
                route.from
            )));
        }
        Ok(())
    }

    /// Named by a member: from here on this node's promises count.
    fn join(&self, incarnation: Incarnation) -> Result<(), Status> {
        if incarnation != self.incarnation()
            && let Some(dir) = &*self.dir()
        {
            let adopted = dir.adopt(incarnation);
            adopted.map_err(|error| Status::unavailable(error.to_string()))?;
            let known = self.standing.incarnation.lock();
            *known.unwrap_or_else(PoisonError::into_inner) = incarnation;
        }
        tracing::info!(store = %self.store(), %incarnation, "named by the cluster: taking part");
        self.take_part();
        Ok(())
    }
}

/// What a node is told whose data is gone.
pub(crate) fn wiped(node: u64, who: &str) -> String {
    format!(
        "this is not the data of node {node}: {who} knows the cluster, and knows node {node} by another \
         store. Starting it under its old number could lose what it had promised; remove it \
         (`skein cluster remove {node}`), and add a node with a new number and an empty data directory"
    )
}

fn words(incarnation: Incarnation) -> String {
    if incarnation.is_first() {
        "the cluster's first incarnation".to_owned()
    } else {
        format!("incarnation {incarnation}")
    }
}

/// A restored cluster has another id on the wire.
fn wire_cluster(cluster: ClusterId, incarnation: Incarnation) -> [u8; 16] {
    if incarnation.is_first() {
        return cluster.0;
    }
    let mut hash = Sha256::new();
    hash.update(b"skein cluster restored\0");
    hash.update(cluster.0);
    hash.update(incarnation.0);
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    id
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn identity(node: u64, incarnation: Incarnation) -> (TempDir, Identity) {
        let root = TempDir::new().unwrap();
        let owner = skein_store::Identity { cluster: vec![7; 16], node };
        let dir = DataDir::open(&root.path().join("data"), &owner).unwrap();
        dir.adopt(incarnation).unwrap();
        (root, Identity::new(ClusterId([7; 16]), node, dir))
    }

    fn nobody(_: u64) -> Option<Node> {
        None
    }

    const FIRST: Incarnation = Incarnation([0; 16]);
    const SECOND: Incarnation = Incarnation([2; 16]);

    #[test]
    fn before_and_after_a_restore_are_two_clusters() {
        let (_one, before) = identity(1, FIRST);
        let (_two, after) = identity(2, SECOND);
        before.take_part();
        after.take_part();
        let refused = after.check(Some(&before.route(2, after.store()))).unwrap_err();
        assert!(refused.message().contains("restored from a backup"), "{refused}");
        assert!(before.check(Some(&after.route(1, before.store()))).is_err());
        assert!(after.admit(Some(&before.route(2, after.store())), nobody).is_err());
        // An older release looks at the cluster's id alone, and finds another one.
        assert_ne!(after.route(1, StoreId::default()).cluster_id.as_ref(), before.cluster.0);
        assert_eq!(before.route(2, StoreId::default()).cluster_id.as_ref(), before.cluster.0);
    }

    #[test]
    fn a_store_that_holds_nothing_waits_until_it_is_named() {
        let (_one, leader) = identity(1, SECOND);
        let (_two, new) = identity(2, FIRST);
        leader.take_part();
        let unnamed = new.admit(Some(&leader.route(2, StoreId::default())), nobody).unwrap_err();
        assert_eq!(unnamed.code(), tonic::Code::Unavailable);
        assert!(!new.takes_part());
        new.admit(Some(&leader.route(2, new.store())), nobody).unwrap();
        assert!(new.takes_part());
        assert_eq!(new.incarnation(), SECOND, "it is of the cluster that named it");
        // From then on an older release, which names no store, may go on with it.
        new.admit(Some(&leader.route(2, StoreId::default())), nobody).unwrap();
    }

    #[tokio::test]
    async fn a_store_that_is_not_the_one_that_was_named_ends_its_node() {
        let (_one, leader) = identity(1, FIRST);
        let (_two, wiped) = identity(2, FIRST);
        leader.take_part();
        let refused = wiped.admit(Some(&leader.route(2, StoreId([9; 16]))), nobody).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied);
        assert!(!wiped.takes_part());
        let why = wiped.condemned().await;
        assert!(why.contains("new number"), "{why}");
    }

    #[test]
    fn a_member_that_speaks_from_another_store_is_refused() {
        let (_one, wiped) = identity(1, FIRST);
        let (_two, member) = identity(2, FIRST);
        member.take_part();
        let route = wiped.route(2, member.store());
        let knows = |store| move |_| Some(Node { addr: String::new(), store });
        let refused = member.admit(Some(&route), knows(StoreId([9; 16]))).unwrap_err();
        assert!(refused.message().contains("another store"), "{refused}");
        member.admit(Some(&route), knows(wiped.store())).unwrap();
        // Not on record, as after an upgrade.
        member.admit(Some(&route), knows(StoreId::default())).unwrap();
    }
}
