//! An executor whose database is gone, with its session: it waits, opens another one, and reads again
//! what is in force before it goes on.

use super::Sim;
use super::executor::{Executor, Stage};

impl Sim {
    /// The database cannot be reached: nothing can be done there now, and nothing is known of it
    /// afterwards but what it says then.
    pub(super) fn out_of_reach(&self, executor: &mut Executor) -> bool {
        match executor.stage {
            // Needs no database.
            Stage::Told | Stage::Close => false,
            Stage::Open
            | Stage::Read
            | Stage::BackUp
            | Stage::Step
            | Stage::Statements
            | Stage::After
            | Stage::Verify => {
                if std::mem::take(&mut executor.lost) {
                    executor.asked = 0;
                    executor.stage = Stage::Open;
                }
                self.databases[executor.database()].down_until > self.now
            }
        }
    }

    /// The server of a database is gone until then, and every session with it.
    pub(super) fn take_down(&mut self, database: usize, until: u64) {
        self.databases[database].down_until = until;
        self.databases[database].lock = None;
        for agent in &mut self.agents {
            for executor in agent.executors.values_mut() {
                executor.lost |= executor.database() == database;
            }
        }
    }
}
