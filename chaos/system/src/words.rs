//! What people say to a rollout that is under way, and to the fleet that it is on ([`skein_chaos::people::words`]).

use skein_chaos::people::words::{Hindrance, Word};
use skein_proto::v1;
use tonic::Status;

use crate::client::{Client, acked};
use crate::strategy;

impl Client {
    /// Says it until its outcome is known.
    async fn say(&mut self, word: Word) -> Result<(), Status> {
        let (node, seq) = self.ask(|channel| word.clone().put(channel)).await?;
        if let Some(seq) = seq {
            acked(node, seq);
        }
        Ok(())
    }

    /// Some of it is undone, or all.
    pub(crate) async fn roll_back_some(&mut self, rollout: &str) -> Result<(), Status> {
        let word = Word::roll_back(self, &strategy::scope(), rollout);
        self.say(word).await
    }

    /// Gets in the way of a rollout that is under way, or of one that has ended.
    pub(crate) async fn say_something(&mut self, rollout: &str) {
        let word = Word::draw(self, &strategy::scope(), rollout);
        // What is refused is refused: the invariants are asked about what was not.
        drop(self.say(word).await);
    }

    /// Whatever holds a rollout back is taken away, so that it comes to an end.
    pub(crate) async fn let_everything_go(&mut self, rollout: &v1::RolloutStatus) {
        for hindrance in Hindrance::all(rollout) {
            let word = hindrance.word(self, &strategy::scope(), &rollout.id);
            drop(self.say(word).await);
        }
    }
}
