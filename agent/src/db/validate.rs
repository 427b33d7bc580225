//! Trying steps against the real target, and taking everything back.

use skein_bundle::sql::Mode;
use tokio::time::Instant;

use super::answer::Keep;
use super::batch::Batch;
use super::error::DbError;
use super::location::Engine;
use super::order::Order;
use super::session::Session;
use super::step_error::StepError;

/// What became of one step of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trial {
    /// It ran and verified, on top of the steps before it.
    Passed {
        ms: u64,
    },
    Failed(Box<StepError>),
    /// It was not run; why.
    NotTried {
        why: String,
    },
}

impl Session {
    /// Runs the steps, one on top of the other, in one transaction that is rolled back. The target
    /// is locked meanwhile as it would be by the steps themselves.
    pub async fn validate(&mut self, orders: &[Order]) -> Result<Vec<Trial>, DbError> {
        self.enter()?;
        let trials = self.try_out(orders).await;
        self.busy = false;
        trials
    }

    async fn try_out(&mut self, orders: &[Order]) -> Result<Vec<Trial>, DbError> {
        let not_tried = |why: &str| Trial::NotTried { why: why.to_owned() };
        let Some(first) = orders.first() else { return Ok(Vec::new()) };
        if self.engine() == Engine::Mysql {
            let why = "MariaDB and MySQL commit data definition at once: nothing can be taken back";
            return Ok(orders.iter().map(|_| not_tried(why)).collect());
        }
        let mut batch = Batch::default();
        self.begin(&mut batch, first);
        self.connection
            .send(batch.into_sql(), Keep::Nothing)
            .await
            .map_err(|broken| DbError::database("begin a trial", &self.location, broken.failure))?;
        let keys = self.foreign_keys_for(first);
        let mut trials = Vec::with_capacity(orders.len());
        let mut stop: Option<&str> = None;
        for order in orders {
            if stop.is_none() && order.plan.mode != Mode::InTransaction {
                stop = Some("the step runs outside of a transaction, so it cannot be taken back");
            }
            if stop.is_none() && self.foreign_keys_for(order) != keys {
                stop = Some("the step wants foreign keys set otherwise than the first one");
            }
            if let Some(why) = stop {
                trials.push(not_tried(why));
                stop = Some("a step before it was not tried or failed");
                continue;
            }
            let started = Instant::now();
            match self.run_script(order).await {
                Ok(_) => {
                    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                    trials.push(Trial::Passed { ms });
                }
                Err(error) => {
                    trials.push(Trial::Failed(Box::new(error)));
                    stop = Some("a step before it was not tried or failed");
                }
            }
        }
        self.roll_back_quietly().await;
        self.reset_settings().await;
        Ok(trials)
    }
}
