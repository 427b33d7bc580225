//! A short run at every door. `skein-chaos-fuzz` runs longer.

use peak_alloc::PeakAlloc;
use skein_chaos::place::Place;
use skein_chaos_fuzz::campaign::{Memory, play};
use skein_chaos_fuzz::targets::all;

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

struct Watched;

impl Memory for Watched {
    fn begin(&self) -> usize {
        PEAK.reset_peak_usage();
        PEAK.current_usage()
    }

    fn most(&self) -> usize {
        PEAK.peak_usage()
    }
}

/// One test for all: what memory a case takes can be told only where nothing else runs.
#[test]
fn no_door_breaks_and_each_understands_something() {
    let place = Place::new("fuzz").expect("a directory");
    let mut doors = 0;
    for target in all(place.path()) {
        let seen = play(&target, 1, &Watched, |seen| seen.cases >= 120);
        assert_eq!(
            seen.broken, None,
            "{}: cargo run -p skein-chaos-fuzz -- {}",
            target.name, target.name
        );
        assert!(seen.understood > 0, "{} understands nothing: {seen}", target.name);
        doors += 1;
    }
    assert_eq!(doors, 27);
}
