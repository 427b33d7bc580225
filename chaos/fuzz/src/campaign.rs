//! Many cases at one door, each watched.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use skein_chaos_disk::Dice;

use crate::bend::case;
use crate::targets::Target;

/// What one case may take at least, and for each of its bytes, in bytes of memory.
const MEMORY: (usize, usize) = (24 * 1024 * 1024, 2_048);
/// How long one case may take: far more than any does, and far less than for ever.
const TIME: Duration = Duration::from_secs(10);

/// Tells how much memory is in use, and was at most since it was last asked.
pub trait Memory {
    /// Begins to watch; what is in use.
    fn begin(&self) -> usize;
    /// The most that was in use since.
    fn most(&self) -> usize;
}

/// What a campaign came to.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Cases tried.
    pub cases: u64,
    /// Of these, understood.
    pub understood: u64,
    /// The most memory that one took, in bytes.
    pub memory_max: usize,
    /// The longest that one took.
    pub time_max: Duration,
    /// The first case that broke a promise: its seed, and how.
    pub broken: Option<(u64, String)>,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cases, {} understood, at most {} KiB and {} ms each",
            self.cases,
            self.understood,
            self.memory_max / 1024,
            self.time_max.as_millis()
        )
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a case takes is what is watched")]
fn now() -> Instant {
    Instant::now()
}

/// The bytes of case `seed` at a target.
pub fn bytes(target: &Target, seed: u64) -> Vec<u8> {
    case(&mut Dice::new(seed), &target.seeds, target.words)
}

/// Tries cases from `seed` on, until `enough` says so.
pub fn play(
    target: &Target,
    seed: u64,
    memory: &dyn Memory,
    mut enough: impl FnMut(&Seen) -> bool,
) -> Seen {
    let mut seen = Seen::default();
    for seed in seed.. {
        if enough(&seen) {
            break;
        }
        let bytes = bytes(target, seed);
        let before = memory.begin();
        let began = now();
        let done = std::panic::catch_unwind(AssertUnwindSafe(|| (target.door)(&bytes)));
        let took = began.elapsed();
        let most = memory.most().saturating_sub(before);
        seen.cases += 1;
        seen.memory_max = seen.memory_max.max(most);
        seen.time_max = seen.time_max.max(took);
        let broken = match done {
            Err(panic) => Some(format!("it panicked: {}", words(&*panic))),
            Ok(_) if most > MEMORY.0 + MEMORY.1 * bytes.len() => {
                Some(format!("{} bytes took {most} bytes of memory", bytes.len()))
            }
            Ok(_) if took > TIME => Some(format!("{} bytes took {took:?}", bytes.len())),
            Ok(understood) => {
                seen.understood += u64::from(understood);
                None
            }
        };
        if let Some(how) = broken {
            seen.broken = Some((seed, how));
            break;
        }
    }
    seen
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
