//! Who asked what when. The moments are places in one sequence: everybody who asks is in this program.

use std::sync::{Mutex, PoisonError};

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::Action;

use super::spec::{Answer, Ask, Call, Rollout};

/// One question, from when it was asked until when it was answered.
#[derive(Debug, Clone)]
struct Asked {
    from: u64,
    /// `None`: nobody heard an answer.
    to: Option<u64>,
    call: Call,
}

#[derive(Debug, Default)]
struct Pages {
    now: u64,
    asked: Vec<Asked>,
}

/// What all clients of one rollout did.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<Pages>);

impl History {
    /// Somebody asks now; the question's place.
    pub(super) fn ask(&self, ask: Ask) -> usize {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = pages.now;
        pages.now += 1;
        pages.asked.push(Asked { from, to: None, call: Call { ask, answer: Answer::Unknown } });
        pages.asked.len() - 1
    }

    /// And hears an answer now.
    pub(super) fn answer(&self, place: usize, answer: Answer) {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = pages.now;
        pages.now += 1;
        if let Some(asked) = pages.asked.get_mut(place) {
            asked.to = Some(now);
            asked.call.answer = answer;
        }
    }

    /// Questions, and those of them that were never answered.
    pub(super) fn counts(&self) -> (usize, usize) {
        let pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (pages.asked.len(), pages.asked.iter().filter(|asked| asked.to.is_none()).count())
    }

    /// Whether one copy could have given these answers. Else the whole history, in words.
    pub(super) fn check(&self) -> Result<(), String> {
        let pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut moments: Vec<(u64, usize, Action<Call>)> = Vec::new();
        for (place, asked) in pages.asked.iter().enumerate() {
            // A look that nobody saw the end of says nothing.
            if asked.to.is_none() && asked.call.ask == Ask::Look {
                continue;
            }
            moments.push((asked.from, place, Action::Call(asked.call.clone())));
            // What was never answered ends behind everything: it can happen at any time.
            let to = asked.to.unwrap_or(u64::MAX);
            moments.push((to, place, Action::Response(asked.call.clone())));
        }
        if moments.is_empty() {
            return Ok(());
        }
        moments.sort_by_key(|(moment, place, _)| (*moment, *place));
        let actions = moments.into_iter().map(|(_, place, action)| (place, action)).collect();
        let history = todc_utils::linearizability::history::History::from_actions(actions);
        if WGLChecker::<Rollout>::is_linearizable(history) {
            return Ok(());
        }
        let line = |asked: &Asked| {
            let to = asked.to.map_or_else(|| "never".to_owned(), |to| to.to_string());
            format!("    {}..{to}: {:?} → {:?}", asked.from, asked.call.ask, asked.call.answer)
        };
        Err(pages.asked.iter().map(line).collect::<Vec<_>>().join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::State;
    use super::*;

    /// `(from, to, ask, answer)`; to 0: never.
    fn history(asked: &[(u64, u64, Ask, Answer)]) -> History {
        let asked = asked.iter().map(|(from, to, ask, answer)| Asked {
            from: *from,
            to: (*to > 0).then_some(*to),
            call: Call { ask: ask.clone(), answer: answer.clone() },
        });
        History(Mutex::new(Pages { now: 1_000, asked: asked.collect() }))
    }

    fn pause(why: &str) -> Ask {
        Ask::Pause(why.to_owned())
    }

    fn paused(why: &str) -> Answer {
        Answer::Is(State::Paused(why.to_owned()))
    }

    const RUNS: Answer = Answer::Is(State::Running);
    const PLANNED: Answer = Answer::Is(State::Planned);

    #[test]
    fn what_one_copy_would_have_said_passes() {
        let good: [&[(u64, u64, Ask, Answer)]; 7] = [
            &[],
            &[
                (1, 2, Ask::Look, PLANNED),
                (3, 4, Ask::Start, Answer::Done),
                (5, 6, Ask::Look, RUNS),
            ],
            // Two start it at a time: one of them is late.
            &[(1, 4, Ask::Start, Answer::Refused), (2, 3, Ask::Start, Answer::Done)],
            // A look beside a pause sees either.
            &[
                (1, 2, Ask::Start, Answer::Done),
                (3, 8, pause("a"), Answer::Done),
                (4, 5, Ask::Look, RUNS),
                (6, 7, Ask::Look, paused("a")),
            ],
            // The second of two pauses changes nothing, whichever it is.
            &[
                (1, 2, Ask::Start, Answer::Done),
                (3, 6, pause("a"), Answer::Done),
                (4, 5, pause("b"), Answer::Done),
                (7, 8, Ask::Look, paused("a")),
            ],
            // Nobody heard of the start, and it happened.
            &[
                (1, 0, Ask::Start, Answer::Unknown),
                (2, 3, Ask::Look, PLANNED),
                (4, 5, Ask::Look, RUNS),
            ],
            // Nobody heard of it, and it never happened.
            &[(1, 0, Ask::Start, Answer::Unknown), (2, 3, Ask::Look, PLANNED)],
        ];
        for (number, asked) in good.into_iter().enumerate() {
            assert_eq!(history(asked).check(), Ok(()), "history {number}");
        }
    }

    #[test]
    fn what_one_copy_would_not_have_said_is_found() {
        let bad: [&[(u64, u64, Ask, Answer)]; 8] = [
            // A stale read: the start was acknowledged before.
            &[(1, 2, Ask::Start, Answer::Done), (3, 4, Ask::Look, PLANNED)],
            // Reads go back, beside a write that nobody heard of.
            &[
                (1, 0, Ask::Start, Answer::Unknown),
                (2, 3, Ask::Look, RUNS),
                (4, 5, Ask::Look, PLANNED),
            ],
            // An acknowledged pause is lost.
            &[
                (1, 2, Ask::Start, Answer::Done),
                (3, 4, pause("a"), Answer::Done),
                (5, 6, Ask::Look, RUNS),
            ],
            // A pause takes effect twice: a repeat came after the resume.
            &[
                (1, 2, Ask::Start, Answer::Done),
                (3, 4, pause("a"), Answer::Done),
                (5, 6, Ask::Resume, Answer::Done),
                (7, 8, Ask::Look, RUNS),
                (9, 10, Ask::Look, paused("a")),
            ],
            // Started twice.
            &[(1, 2, Ask::Start, Answer::Done), (3, 4, Ask::Start, Answer::Done)],
            // A pause that nobody asked for.
            &[(1, 2, Ask::Start, Answer::Done), (3, 4, Ask::Look, paused("b"))],
            // Refused, although it could be started; nobody else did.
            &[(1, 2, Ask::Start, Answer::Refused)],
            // Two nodes with two states at a time.
            &[
                (1, 2, Ask::Start, Answer::Done),
                (3, 4, pause("a"), Answer::Done),
                (5, 8, Ask::Look, paused("a")),
                (6, 7, Ask::Look, paused("b")),
            ],
        ];
        for (number, asked) in bad.into_iter().enumerate() {
            assert!(history(asked).check().is_err(), "history {number}");
        }
    }

    #[test]
    fn many_questions_are_checked_in_time() {
        let (mut asked, mut at) = (vec![(1, 2, Ask::Start, Answer::Done)], 3);
        for round in 0..100 {
            let why = round.to_string();
            asked.push((at, at + 3, pause(&why), Answer::Done));
            asked.push((at + 1, at + 2, Ask::Look, paused(&why)));
            asked.push((at + 4, at + 7, Ask::Resume, Answer::Done));
            asked.push((at + 5, at + 6, Ask::Look, RUNS));
            at += 8;
        }
        // And some that nobody heard of.
        for place in 0..6_u64 {
            asked.push((place * 50 + 3, 0, Ask::Resume, Answer::Unknown));
        }
        assert_eq!(history(&asked).check(), Ok(()));
        asked.push((at, at + 1, Ask::Look, paused("98")));
        assert!(history(&asked).check().is_err());
    }
}
