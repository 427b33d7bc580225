//! openraft's own test suite over this log and this state machine.

use std::sync::Arc;

use bytes::Bytes;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use skein_store::{Applied, Halt, Identity, LogStore, Machine, StateMachine, Store, TypeConfig};
use tempfile::TempDir;

#[derive(Debug)]
struct Nothing;

impl Machine for Nothing {
    fn apply(&self, _index: u64, _payload: &Bytes) -> Result<Applied, Halt> {
        Ok(Applied::default())
    }

    fn replay(&self, _first_seq: u64, _events: &[Bytes]) -> Result<(), Halt> {
        Ok(())
    }
}

struct Fresh;

impl StoreBuilder<TypeConfig, LogStore, StateMachine<Nothing>, TempDir> for Fresh {
    async fn build(
        &self,
    ) -> Result<(TempDir, LogStore, StateMachine<Nothing>), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let identity = Identity { cluster: b"suite".to_vec(), node: 0 };
        let store = Store::open(dir.path(), &identity, Arc::new(Nothing), |_| Vec::new())
            .expect("a fresh store");
        Ok((dir, store.log, store.state_machine))
    }
}

#[test]
fn the_suite_of_openraft_passes() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(Suite::test_all(Fresh)).expect("the suite");
}
