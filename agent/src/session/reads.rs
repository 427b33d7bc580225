//! Schemas that somebody wants to see: read in their turn, told, and forgotten.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skein_proto::agent::v1::{ReadSchema, SchemaRead};
use skein_proto::v1;
use tokio::sync::Notify;

use crate::config::TargetId;
use crate::roster::Roster;
use crate::schema;

/// That wait for their turn. People ask for two; who asks for more than this is told to ask again.
const WAITING_MAX: usize = 32;
/// How long a target may take to answer.
const READ_WAIT: Duration = Duration::from_secs(30);

/// Asked for, and read and not yet sent.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    state: Mutex<State>,
    asked: Notify,
    read: Notify,
}

#[derive(Debug, Default)]
struct State {
    asked: VecDeque<ReadSchema>,
    read: VecDeque<SchemaRead>,
}

impl Reads {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream begins: whoever asked on the last one waits no more.
    pub(crate) fn begin(&self) {
        *self.lock() = State::default();
    }

    pub(crate) fn ask(&self, wish: ReadSchema) {
        let mut state = self.lock();
        if state.asked.len() < WAITING_MAX {
            state.asked.push_back(wish);
            drop(state);
            self.asked.notify_one();
            return;
        }
        let error = "its agent reads many schemas already: ask again".to_owned();
        state.read.push_back(SchemaRead { wish: wish.wish, schema: None, error });
        drop(state);
        self.read.notify_one();
    }

    pub(crate) async fn changed(&self) {
        self.read.notified().await;
    }

    pub(crate) fn has_read(&self) -> bool {
        !self.lock().read.is_empty()
    }

    pub(crate) fn take(&self) -> Option<SchemaRead> {
        self.lock().read.pop_front()
    }

    /// Reads one after the other whatever is asked for, for ever.
    pub(crate) async fn run(self: Arc<Self>, roster: Arc<Roster>) {
        loop {
            let next = self.lock().asked.pop_front();
            let Some(wish) = next else {
                self.asked.notified().await;
                continue;
            };
            let read = read(&roster, &wish).await;
            let (schema, error) = match read {
                Ok(schema) => (Some(schema), String::new()),
                Err(error) => (None, error),
            };
            self.lock().read.push_back(SchemaRead { wish: wish.wish, schema, error });
            self.read.notify_one();
        }
    }
}

async fn read(roster: &Roster, wish: &ReadSchema) -> Result<v1::Schema, String> {
    let target = TargetId::parse(&wish.target).ok().and_then(|id| roster.get(&id));
    let target = target.ok_or_else(|| roster.absence())?;
    match tokio::time::timeout(READ_WAIT, schema::read(&target, &wish.salt)).await {
        Ok(read) => read,
        Err(_) => Err(format!("the target did not answer within {} s", READ_WAIT.as_secs())),
    }
}
