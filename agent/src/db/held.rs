//! The session lock in the hands of somebody who does his work over other connections, as a restore does by its
//! tools.

use std::time::Duration;

use super::answer::{Answer, Keep};
use super::error::DbError;
use super::session::Session;

/// Between two questions. Servers close sessions that are idle, some after a minute, and with the session goes
/// its lock.
const ASK_AGAIN: Duration = Duration::from_secs(20);

impl Session {
    /// Keeps the session, and with it the lock, for as long as this is waited for. Ends when the lock is lost.
    pub async fn lost(&mut self) -> DbError {
        loop {
            tokio::time::sleep(ASK_AGAIN).await;
            let holds_lock = self.connection.holds_lock();
            // The lock file of a process stays as long as the process.
            if holds_lock.is_empty() {
                continue;
            }
            if let Err(error) = self.enter() {
                return error;
            }
            let held = self.connection.send(holds_lock, Keep::All).await;
            self.busy = false;
            match held {
                Ok(answers) if answers.first().is_some_and(Answer::is_true) => {}
                Ok(_) => return DbError::Interrupted { location: self.location.clone() },
                Err(broken) => {
                    return DbError::database(
                        "keep the session lock",
                        &self.location,
                        broken.failure,
                    );
                }
            }
        }
    }
}
