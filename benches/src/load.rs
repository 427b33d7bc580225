//! Load generators. Closed loop: each client asks again when it is answered. Open loop: request *i*
//! leaves at `i / rate` whatever became of the earlier ones, and its latency counts from that instant,
//! so that a stall is seen by everybody who would have met it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::stats::{float, round};

/// Latencies in microseconds, up to a minute, to three digits.
pub(crate) fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 60_000_000, 3).context("failed to make a histogram")
}

pub(crate) fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
}

/// What came of a load.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Answered with success within the time that counts.
    pub(crate) done: u64,
    /// The time that counts.
    pub(crate) wall: Duration,
    pub(crate) latency: Histogram<u64>,
    /// Answered with an error.
    pub(crate) failed: u64,
}

impl Outcome {
    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        float(self.done) / self.wall.as_secs_f64()
    }

    /// A quantile, milliseconds.
    pub(crate) fn ms(&self, quantile: f64) -> f64 {
        float(self.latency.value_at_quantile(quantile)) / 1_000.0
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "per_s": round(self.rate()), "done": self.done, "failed": self.failed,
            "p50_ms": round(self.ms(0.5)), "p99_ms": round(self.ms(0.99)),
            "p999_ms": round(self.ms(0.999)), "max_ms": round(float(self.latency.max()) / 1_000.0),
        })
    }
}

/// Somebody who asks.
pub(crate) trait Client: Clone + Send + Sync + 'static {
    /// One request, from client or place `who`, and its answer.
    fn ask(&self, who: usize) -> impl Future<Output = Result<()>> + Send;

    /// Requests that were answered with success since it exists.
    fn answered(&self) -> u64;
}

/// `clients` of them, each with one request in flight. What happens in `warm_up` does not count.
pub(crate) async fn closed<C: Client>(
    client: &C,
    clients: usize,
    warm_up: Duration,
    time: Duration,
) -> Result<Outcome> {
    let from = Instant::now() + warm_up;
    let until = from + time;
    let mut tasks = tokio::task::JoinSet::new();
    for who in 0..clients {
        let client = client.clone();
        tasks.spawn(async move {
            let (mut latency, mut failed) = (histogram()?, 0);
            loop {
                let asked = Instant::now();
                if asked >= until {
                    return Ok::<_, anyhow::Error>((latency, failed));
                }
                let answer = client.ask(who).await;
                let now = Instant::now();
                if now < from || now >= until {
                    continue;
                }
                match answer {
                    Ok(()) => record(&mut latency, now - asked),
                    Err(_) => failed += 1,
                }
            }
        });
    }
    let (mut latency, mut failed) = (histogram()?, 0);
    while let Some(task) = tasks.join_next().await {
        let (one, wrong) = task??;
        latency.add(&one).context("failed to merge histograms")?;
        failed += wrong;
    }
    Ok(Outcome { done: latency.len(), wall: time, latency, failed })
}

/// The times of one request under open loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shot {
    /// When it had to leave.
    pub(crate) due: Instant,
    /// When it was answered.
    pub(crate) answered: Instant,
    pub(crate) good: bool,
}

/// `rate` requests a second for `time`, from a pacing thread of its own. Every answer comes out of the
/// channel, which closes after the last one.
pub(crate) fn open<C: Client>(
    client: &C,
    rate: u32,
    time: Duration,
) -> Result<mpsc::UnboundedReceiver<Shot>> {
    let count = u64::try_from(time.as_millis()).unwrap_or(u64::MAX) * u64::from(rate) / 1_000;
    open_while(client, rate, move |i| i < count)
}

/// The same for as long as `goes_on` says so, which is asked with the number of each request.
pub(crate) fn open_while<C: Client>(
    client: &C,
    rate: u32,
    goes_on: impl Fn(u64) -> bool + Send + 'static,
) -> Result<mpsc::UnboundedReceiver<Shot>> {
    let (shots, answers) = mpsc::unbounded_channel();
    let (client, runtime) = (client.clone(), tokio::runtime::Handle::current());
    let start = Instant::now() + Duration::from_millis(50);
    let pace = move || {
        let mut due = start;
        for i in (0..).take_while(|i| goes_on(*i)) {
            // From the beginning, so that no error adds up.
            due = start + Duration::from_nanos(i * 1_000_000_000 / u64::from(rate));
            wait_until(due);
            let (client, shots) = (client.clone(), shots.clone());
            runtime.spawn(async move {
                let who = usize::try_from(i).unwrap_or_default();
                let good = client.ask(who).await.is_ok();
                let shot = Shot { due, answered: Instant::now(), good };
                if shots.send(shot).is_err() {
                    // Nobody counts any more: the load was given up.
                }
            });
        }
        due
    };
    std::thread::Builder::new()
        .name("pace".to_owned())
        .spawn(pace)
        .context("failed to start the pacing thread")?;
    Ok(answers)
}

/// A timer of the runtime is too coarse: it rounds to milliseconds.
fn wait_until(due: Instant) {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}

/// An open load from end to end.
pub(crate) async fn open_to_end<C: Client>(
    client: &C,
    rate: u32,
    time: Duration,
) -> Result<Outcome> {
    let mut answers = open(client, rate, time)?;
    let mut outcome = Outcome { done: 0, wall: time, latency: histogram()?, failed: 0 };
    while let Some(shot) = answers.recv().await {
        if shot.good {
            outcome.done += 1;
            record(&mut outcome.latency, shot.answered - shot.due);
        } else {
            outcome.failed += 1;
        }
    }
    Ok(outcome)
}

/// Proves the open loop before it is believed: a server that stalls for 200 ms must be seen by each
/// of the requests that were due meanwhile, and an idle one must look idle.
pub(crate) async fn self_test() -> Result<Value> {
    let idle = open_to_end(&Fake::default(), 100, Duration::from_secs(1)).await?;
    anyhow::ensure!(
        idle.ms(0.5) < 0.6,
        "the generator is too slow to be believed: an idle server looks like {:.2} ms; is the \
         machine overloaded?",
        idle.ms(0.5)
    );
    let stall = Duration::from_millis(200);
    let fake = Fake { stall: Some(Instant::now() + Duration::from_millis(550)) };
    let stalled = open_to_end(&fake, 1_000, Duration::from_secs(1)).await?;
    let (all, half) = (
        stalled.latency.count_between(5_000, 60_000_000),
        stalled.latency.count_between(100_000, 60_000_000),
    );
    anyhow::ensure!(
        (180..=260).contains(&all) && (85..=130).contains(&half),
        "the generator hides stalls: of about 200 requests that met one of {stall:?}, {all} show it, \
         and {half} instead of 100 show half of it"
    );
    Ok(json!({ "idle_p50_ms": round(idle.ms(0.5)), "stalled": all, "stalled_half": half }))
}

/// A server that answers at once, but for one stall.
#[derive(Debug, Clone, Default)]
struct Fake {
    /// When the stall ends that begins 200 ms before.
    stall: Option<Instant>,
}

impl Client for Fake {
    async fn ask(&self, _who: usize) -> Result<()> {
        if let Some(end) = self.stall
            && Instant::now() + Duration::from_millis(200) >= end
        {
            tokio::time::sleep_until(end).await;
        }
        Ok(())
    }

    fn answered(&self) -> u64 {
        0
    }
}

/// A client behind several connections: places are spread over them.
pub(crate) fn spread<T: Clone>(among: &Arc<[T]>, who: usize) -> Option<T> {
    among.get(who % among.len().max(1)).cloned()
}
