//! What a leg asks before each step: may it still start?

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// What the coordinator, or the end of this process, says to one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Control {
    Go,
    /// Finish the step under way and give the leg back.
    Cancelled(String),
    /// The same, and a statement in batches is left behind the batch under way.
    AfterBatch(String),
    /// Have the statement under way killed, tell what stands, and give the leg back.
    Killed(String),
    /// The lease is another's: write nothing more, report nothing more.
    Lost(String),
}

impl Control {
    fn cuts_batches(&self) -> bool {
        match self {
            Self::Go | Self::Cancelled(_) => false,
            Self::AfterBatch(_) | Self::Killed(_) | Self::Lost(_) => true,
        }
    }
}

/// Why a leg is over before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Over {
    Cancelled(String),
    Lost(String),
}

/// Until when the leases are good without being renewed again; `None`: never renewed yet.
pub(crate) type Renewed = Option<Instant>;

/// One leg's view of its lease.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub(crate) control: watch::Receiver<Control>,
    pub(crate) renewed: watch::Receiver<Renewed>,
}

impl Lease {
    /// Whether the leg is over, without waiting.
    pub(crate) fn over(&self) -> Option<Over> {
        match &*self.control.borrow() {
            Control::Go => None,
            Control::Cancelled(why) | Control::AfterBatch(why) | Control::Killed(why) => {
                Some(Over::Cancelled(why.clone()))
            }
            Control::Lost(why) => Some(Over::Lost(why.clone())),
        }
    }

    /// Waits until the lease is over.
    pub(crate) async fn ended(&mut self) -> Over {
        loop {
            if let Some(over) = self.over() {
                return over;
            }
            if self.control.changed().await.is_err() {
                return Over::Lost("the session of this agent has ended".to_owned());
            }
        }
    }

    /// Waits until the statement under way is to be killed; for ever where nobody wants that.
    pub(crate) async fn killed(&mut self) {
        let killed = |control: &Control| matches!(control, Control::Killed(_));
        if self.control.wait_for(killed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until even the step under way is to be left: its statement is to be killed, or the lease is lost.
    pub(crate) async fn cut(&mut self) {
        let cut = |control: &Control| matches!(control, Control::Killed(_) | Control::Lost(_));
        // An error: the session of this agent has ended.
        drop(self.control.wait_for(cut).await);
    }

    /// Waits until a statement in batches is to be left before its next one.
    pub(crate) async fn cut_at_batch(&mut self) {
        // An error: the session of this agent has ended.
        drop(self.control.wait_for(Control::cuts_batches).await);
    }

    /// A statement in batches is to be left before its next one.
    pub(crate) fn is_cut_at_batch(&self) -> bool {
        self.control.borrow().cuts_batches()
    }

    /// Somebody wants the leg left where it is, and told how far it came.
    pub(crate) fn is_broken_off(&self) -> bool {
        matches!(&*self.control.borrow(), Control::AfterBatch(_) | Control::Killed(_))
    }

    /// Waits until nobody wants what a look at the target would tell: the lease is lost, or the leg has
    /// been cancelled for so long. Then nothing is reported, so that somebody else looks.
    pub(crate) async fn given_up(&mut self, patience: Duration) -> Over {
        let why = match self.ended().await {
            Over::Cancelled(why) => why,
            lost @ Over::Lost(_) => return lost,
        };
        let lost = async {
            while self.control.changed().await.is_ok() {
                if let Some(Over::Lost(why)) = self.over() {
                    return why;
                }
            }
            "the session of this agent has ended".to_owned()
        };
        match tokio::time::timeout(patience, lost).await {
            Ok(why) => Over::Lost(why),
            Err(_) => Over::Lost(format!(
                "{why}, and the target could not be looked at within {} s",
                patience.as_secs()
            )),
        }
    }

    /// Returns when a step may start. A lease that could not be renewed for its length may be
    /// another's by now: then this waits until the coordinator is heard again, or the lease is over.
    /// (The fence in the target would refuse a late step too; this keeps it from being tried.)
    pub(crate) async fn may_start(&mut self) -> Result<(), Over> {
        loop {
            if let Some(over) = self.over() {
                return Err(over);
            }
            if self.is_renewed() {
                return Ok(());
            }
            self.news().await?;
        }
    }

    /// The same for a step that was begun and broken off: to cancel the leg does not cancel the step
    /// under way, unless there is nobody left to renew the lease for it.
    pub(crate) async fn may_go_on(&mut self) -> Result<(), Over> {
        loop {
            match (self.over(), self.is_renewed()) {
                (Some(Over::Lost(why)), _) => return Err(Over::Lost(why)),
                (_, true) => return Ok(()),
                (Some(cancelled), false) => return Err(cancelled),
                (None, false) => self.news().await?,
            }
        }
    }

    fn is_renewed(&mut self) -> bool {
        self.renewed.borrow_and_update().is_some_and(|until| Instant::now() < until)
    }

    /// Waits for a word from the coordinator or a renewal.
    async fn news(&mut self) -> Result<(), Over> {
        let told = tokio::select! {
            told = self.control.changed() => told,
            told = self.renewed.changed() => told,
        };
        told.map_err(|_ended| Over::Lost("the session of this agent has ended".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_step_starts_after_the_lease_ran_out() {
        let later = || Some(Instant::now() + Duration::from_mins(1));
        let (control, go) = watch::channel(Control::Go);
        let (renew, renewed) = watch::channel(later());
        let mut lease = Lease { control: go, renewed };
        assert_eq!(lease.may_start().await, Ok(()));

        // It runs out now.
        renew.send_replace(Some(Instant::now()));
        let mut waiting = lease.clone();
        let waiting = tokio::spawn(async move { waiting.may_start().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        renew.send_replace(later());
        assert_eq!(waiting.await.unwrap(), Ok(()));

        control.send_replace(Control::Cancelled("enough".to_owned()));
        assert_eq!(lease.may_go_on().await, Ok(()), "the step under way is finished");
        assert_eq!(lease.may_start().await, Err(Over::Cancelled("enough".to_owned())));
        renew.send_replace(Some(Instant::now()));
        assert_eq!(lease.may_go_on().await, Err(Over::Cancelled("enough".to_owned())));

        control.send_replace(Control::Go);
        let waiting = tokio::spawn(async move { lease.may_start().await });
        tokio::task::yield_now().await;
        control.send_replace(Control::Lost("another".to_owned()));
        assert_eq!(waiting.await.unwrap(), Err(Over::Lost("another".to_owned())));
    }
}
