//! Reports on their way: kept until they are acknowledged, sent again on each new stream.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skein_proto::agent::v1::Report;
use skein_proto::agent::v1::report::Outcome;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// Reports in one message: few enough to stay far below the listener's 4 MiB.
const BATCH_MAX: usize = 64;
/// How long a report that nobody waits for may wait for others to go with: each message is a commit of the
/// coordinator's.
const COMPANY: Duration = Duration::from_millis(20);

/// What the coordinator made of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Taken,
    Refused { why: String },
    LeaseLost { why: String },
}

/// Reports of all legs, in the order in which they were made. They are as many as the steps that may
/// start within one lease; the lease's end, not this box, holds a leg back.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    kept: Mutex<Kept>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    last_id: u64,
    /// Everything from this id on is to be sent.
    unsent_from: u64,
    /// When. `None` where all was sent.
    due: Option<Instant>,
    reports: BTreeMap<u64, Letter>,
}

#[derive(Debug)]
struct Letter {
    report: Report,
    sent_at: Option<Instant>,
    answer: Option<oneshot::Sender<Answer>>,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing below panics while it holds the lock, and the map is whole at every step.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a report to be sent at once, and returns its id.
    pub(crate) fn post(&self, fence: u64, target: &str, outcome: Outcome) -> u64 {
        self.put((fence, target, outcome), None, Instant::now())
    }

    /// The same for a report that others follow: it goes with them, or after a moment by itself.
    pub(crate) fn post_in_company(&self, fence: u64, target: &str, outcome: Outcome) -> u64 {
        self.put((fence, target, outcome), None, Instant::now() + COMPANY)
    }

    /// The same for a report whose answer somebody waits for.
    pub(crate) fn ask(
        &self,
        fence: u64,
        target: &str,
        outcome: Outcome,
    ) -> oneshot::Receiver<Answer> {
        let (answer, wait) = oneshot::channel();
        self.put((fence, target, outcome), Some(answer), Instant::now());
        wait
    }

    fn put(
        &self,
        (fence, target, outcome): (u64, &str, Outcome),
        answer: Option<oneshot::Sender<Answer>>,
        by: Instant,
    ) -> u64 {
        let mut kept = self.lock();
        kept.last_id += 1;
        let id = kept.last_id;
        let report = Report { id, fence, target: target.to_owned(), outcome: Some(outcome) };
        kept.reports.insert(id, Letter { report, sent_at: None, answer });
        let sooner = kept.due.is_none_or(|due| by < due);
        if sooner {
            kept.due = Some(by);
        }
        drop(kept);
        if sooner {
            self.changed.notify_one();
        }
        id
    }

    /// Returns when there may be something to send sooner than [`Self::due`] said.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().reports.is_empty()
    }

    pub(crate) fn holds(&self, id: u64) -> bool {
        self.lock().reports.contains_key(&id)
    }

    /// When the next reports are to be sent; `None` where all were.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.lock().due
    }

    /// The next reports to send, in order.
    pub(crate) fn take(&self, now: Instant) -> Vec<Report> {
        let mut kept = self.lock();
        let from = kept.unsent_from;
        let mut reports = Vec::new();
        for (_, letter) in kept.reports.range_mut(from..).take(BATCH_MAX) {
            letter.sent_at = Some(now);
            reports.push(letter.report.clone());
        }
        if let Some(last) = reports.last() {
            kept.unsent_from = last.id + 1;
        }
        if kept.reports.range(kept.unsent_from..).next().is_none() {
            kept.due = None;
        }
        reports
    }

    /// What was sent on a stream that ended has to be sent again.
    pub(crate) fn rewind(&self, now: Instant) {
        self.lock().rewind(now);
    }

    /// So has what got no answer for so long: whoever was to answer may have lost the leadership. And
    /// all after it too, since the reports of a leg must arrive in order.
    pub(crate) fn rewind_older(&self, now: Instant, age: Duration) {
        let mut kept = self.lock();
        let oldest = kept.reports.values().next().and_then(|letter| letter.sent_at);
        if oldest.is_some_and(|sent_at| now.duration_since(sent_at) >= age) {
            kept.rewind(now);
        }
    }

    /// Puts an answered report away; nothing where it was answered before.
    pub(crate) fn settle(&self, id: u64, answer: Answer) -> Option<Settled> {
        let letter = self.lock().reports.remove(&id)?;
        let asked = letter.answer.is_some();
        if let Some(wait) = letter.answer {
            // Nobody waits where the leg was ended meanwhile.
            drop(wait.send(answer));
        }
        Some(Settled { fence: letter.report.fence, asked })
    }
}

impl Kept {
    fn rewind(&mut self, now: Instant) {
        self.unsent_from = 0;
        self.due = (!self.reports.is_empty()).then_some(now);
    }
}

/// A report that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) fence: u64,
    /// Its leg waited for the answer, and acts on it.
    pub(crate) asked: bool,
}

#[cfg(test)]
mod tests {
    use skein_proto::agent::v1::Applied;

    use super::*;

    fn applied(step: u32) -> Outcome {
        Outcome::Applied(Applied { step, ..Applied::default() })
    }

    fn ids(reports: &[Report]) -> Vec<u64> {
        reports.iter().map(|report| report.id).collect()
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_in_order() {
        let mailbox = Mailbox::default();
        let now = Instant::now();
        for step in 0..70 {
            mailbox.post(7, "a", applied(step));
        }
        assert_eq!(ids(&mailbox.take(now)), (1..=64).collect::<Vec<_>>());
        assert_eq!(ids(&mailbox.take(now)), (65..=70).collect::<Vec<_>>());
        assert_eq!(mailbox.due(), None);
        for id in 1..=60 {
            let settled = Some(Settled { fence: 7, asked: false });
            assert_eq!(mailbox.settle(id, Answer::Taken), settled);
        }
        assert_eq!(mailbox.settle(60, Answer::Taken), None);
        mailbox.rewind(now);
        assert_eq!(mailbox.due(), Some(now));
        assert_eq!(ids(&mailbox.take(now)), (61..=70).collect::<Vec<_>>());

        mailbox.rewind_older(now + Duration::from_secs(9), Duration::from_secs(10));
        assert_eq!(mailbox.due(), None);
        mailbox.rewind_older(now + Duration::from_secs(10), Duration::from_secs(10));
        assert_eq!(ids(&mailbox.take(now)), (61..=70).collect::<Vec<_>>());
    }

    #[test]
    fn what_nobody_waits_for_goes_with_what_is_waited_for() {
        let mailbox = Mailbox::default();
        let now = Instant::now();
        mailbox.post_in_company(7, "a", applied(0));
        let due = mailbox.due().unwrap();
        assert!(due >= now + COMPANY);
        mailbox.post_in_company(7, "a", applied(1));
        assert_eq!(mailbox.due(), Some(due));
        mailbox.post(7, "a", applied(2));
        let sooner = mailbox.due().unwrap();
        assert!(sooner < due && sooner <= Instant::now());
        mailbox.post_in_company(7, "a", applied(3));
        assert_eq!(mailbox.due(), Some(sooner));
        assert_eq!(ids(&mailbox.take(now)), [1, 2, 3, 4]);
        assert_eq!(mailbox.due(), None);
    }

    #[tokio::test]
    async fn who_asks_gets_the_answer() {
        let mailbox = Mailbox::default();
        let wait = mailbox.ask(7, "a", applied(0));
        mailbox.settle(1, Answer::LeaseLost { why: "gone".to_owned() });
        assert_eq!(wait.await.unwrap(), Answer::LeaseLost { why: "gone".to_owned() });
        assert!(mailbox.is_empty());
    }
}
