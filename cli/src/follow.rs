//! Watching a rollout until it ends, the time given has passed, or the watcher leaves.

use std::io::Stderr;
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::{Terminal, TerminalOptions, Viewport};
use skein_proto::v1;
use tokio::time::Instant;
use tonic::{Code, Status, Streaming};

use crate::args::Format;
use crate::connect::{self, may_pass};
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::render::look::Look;
use crate::render::rollout::Rollout;
use crate::render::{self, View as _, cadence, line, live};
use crate::screen::Screen;
use crate::session::Session;

/// Less than that between two pictures makes a terminal flicker.
const FLICKER: Duration = Duration::from_millis(200);
/// Before a watch that broke off is opened again.
pub(crate) const REOPEN: Duration = Duration::from_millis(200);
/// Broken watches in a row, without one status between them, before it counts as a failure.
const BROKEN_MAX: u32 = 5;
/// Rollouts of more targets are watched without their lanes.
const LANES_MAX: u32 = 256;

/// What is watched, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Following<'a> {
    pub(crate) rollout: &'a str,
    pub(crate) timeout: Option<Duration>,
    /// The lines themselves are the result, rather than progress on the way to it.
    pub(crate) is_result: bool,
    /// Being rolled back is what was asked for.
    pub(crate) undo: bool,
}

/// Watches, then shows how it ended.
pub(crate) async fn follow(
    session: &Session,
    following: Following<'_>,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    let streams_json = screen.format() == Format::Jsonl;
    let mut progress = Progress::new(following.is_result, screen)?;
    let ending = watch(session, following, &mut progress, screen).await;
    progress.finish(screen)?;
    match ending? {
        Ending::Ended(rollout) => {
            if streams_json {
                screen.save(&*rollout)?;
            } else {
                screen.show(&*rollout)?;
            }
            Ok(exit(&rollout, following.undo))
        }
        Ending::Timeout(Waits::Word) => {
            let id = following.rollout;
            screen.note(&format!("its next wave waits for somebody's word · skein approve {id}"));
            Ok(ExitCode::WaitsForApproval)
        }
        Ending::Timeout(Waits::Absent) => {
            let id = following.rollout;
            screen.note(&format!(
                "it waits for targets that are not there · skein status {id} · skein repair skip {id}"
            ));
            Ok(ExitCode::StillRunning)
        }
        Ending::Timeout(Waits::Work) => {
            let id = following.rollout;
            screen.note(&format!(
                "still running after the time given · skein watch {id} · skein pause {id}"
            ));
            Ok(ExitCode::StillRunning)
        }
        Ending::Left => {
            leave(session, following.rollout, screen);
            Ok(ExitCode::Detached)
        }
        Ending::Closed => Ok(ExitCode::Done),
    }
}

/// How a rollout that ended is told to scripts.
pub(crate) fn exit(rollout: &Rollout, undo: bool) -> ExitCode {
    let trial = rollout.is_trial();
    match rollout.now {
        v1::RolloutState::Completed => ExitCode::Done,
        v1::RolloutState::RolledBack if undo => ExitCode::Done,
        v1::RolloutState::RolledBack => ExitCode::RolledBack,
        // What a trial ran was rolled back with it, unless nobody can tell.
        v1::RolloutState::Halted if trial && !rollout.in_doubt() => ExitCode::Refused,
        v1::RolloutState::Halted => ExitCode::Inconsistent,
        v1::RolloutState::Unspecified
        | v1::RolloutState::Planned
        | v1::RolloutState::Running
        | v1::RolloutState::Paused
        | v1::RolloutState::Unwinding => ExitCode::StillRunning,
    }
}

/// What it waited for when the time was over.
#[derive(Debug, Clone, Copy)]
enum Waits {
    Work,
    /// It goes on when somebody says so.
    Word,
    /// It goes on when targets come that are not there.
    Absent,
}

impl Waits {
    fn of(rollout: &Rollout) -> Self {
        if rollout.waits_for_word > 0 {
            Self::Word
        } else if rollout.waits_for_absent {
            Self::Absent
        } else {
            Self::Work
        }
    }
}

enum Ending {
    Ended(Box<Rollout>),
    Timeout(Waits),
    /// Ctrl-C.
    Left,
    /// Nobody reads the lines any more.
    Closed,
}

async fn watch(
    session: &Session,
    following: Following<'_>,
    progress: &mut Progress,
    screen: &mut Screen,
) -> Result<Ending, Failure> {
    let deadline = following.timeout.map(|timeout| Instant::now() + timeout);
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut broken = 0;
    let mut lanes = false;
    let mut seq = 0;
    let mut waits = Waits::Work;
    loop {
        let request = v1::StatusRequest {
            rollout: following.rollout.to_owned(),
            lanes,
            local: false,
            after_seq: seq,
        };
        let opening = session.link.ask(|channel| {
            let request = request.clone();
            async move { connect::rollouts(channel).watch(request).await }
        });
        let mut stream = tokio::select! {
            stream = opening => stream?,
            _ = &mut interrupted => return Ok(Ending::Left),
            () = past(deadline) => return Ok(Ending::Timeout(waits)),
        };
        loop {
            let heard = tokio::select! {
                heard = hear(&mut stream) => heard?,
                () = past(progress.due) => {
                    progress.show(screen)?;
                    continue;
                }
                _ = &mut interrupted => return Ok(Ending::Left),
                () = past(deadline) => return Ok(Ending::Timeout(waits)),
            };
            let Some(status) = heard else {
                broken += 1;
                break;
            };
            broken = 0;
            seq = seq.max(status.seq);
            let Some(one) = status.rollouts.first() else { continue };
            let rollout = Rollout::new(one);
            let ended = rollout.ended();
            waits = Waits::of(&rollout);
            let wants_lanes = progress.is_live() && !lanes && rollout.targets <= LANES_MAX;
            progress.take(rollout.clone(), status.seq, screen)?;
            if ended {
                return Ok(Ending::Ended(Box::new(rollout)));
            }
            if screen.is_closed() && following.is_result {
                return Ok(Ending::Closed);
            }
            if wants_lanes {
                // The first status told how large it is: ask again, with each target.
                lanes = true;
                seq = 0;
                break;
            }
        }
        if broken > BROKEN_MAX {
            return Err(Failure::new(
                ExitCode::Unreachable,
                "the watch breaks off again and again",
            )
            .next(format!("skein status {}", following.rollout)));
        }
        if broken > 0 {
            tokio::time::sleep(REOPEN).await;
        }
    }
}

/// The next status; `None` where the stream broke and is worth opening again.
async fn hear(stream: &mut Streaming<v1::StatusReply>) -> Result<Option<v1::StatusReply>, Failure> {
    match stream.message().await {
        Ok(status) => Ok(status),
        Err(status) if may_pass(&status) || is_transport(&status) => {
            tracing::debug!(%status, "the watch broke off");
            Ok(None)
        }
        Err(status) => Err(status.into()),
    }
}

/// A stream that was cut behind another node is told as one of these.
fn is_transport(status: &Status) -> bool {
    matches!(status.code(), Code::Unknown | Code::Internal)
}

/// Resolves at that moment; never, where there is none.
async fn past(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn leave(session: &Session, rollout: &str, screen: &mut Screen) {
    let hints = format!("skein watch {rollout} · skein pause {rollout}");
    if session.outlives_us() {
        screen.note(&format!("still running · {hints}"));
    } else {
        screen.note(&format!("the work rests in the log and goes on with: skein watch {rollout}"));
        // Ending in order takes as long as the steps under way; whoever cannot wait says so again.
        tokio::spawn(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                #[expect(
                    clippy::exit,
                    reason = "a second Ctrl-C means now; every step is safe to cut off"
                )]
                std::process::exit(i32::from(ExitCode::Detached.number()));
            }
        });
    }
}

/// What the watcher sees on the way.
struct Progress {
    form: Form,
    started: Instant,
    last: Option<Instant>,
    /// What is shown, and what is known.
    shown: Option<String>,
    known: Option<(Rollout, u64)>,
    /// When what is known is to be shown, where that is not yet.
    due: Option<Instant>,
}

enum Form {
    Live {
        terminal: Option<Terminal<CrosstermBackend<Stderr>>>,
        look: Look,
    },
    Lines {
        on_stdout: bool,
    },
    Json,
    /// Only the end counts.
    Silent,
}

impl Progress {
    fn new(is_result: bool, screen: &mut Screen) -> Result<Self, Failure> {
        let form = match screen.format() {
            Format::Jsonl => {
                render::version_line(screen.out()).map_err(|error| unwritable(&error))?;
                Form::Json
            }
            _ if screen.is_live() => Form::Live { terminal: None, look: screen.err_look() },
            Format::Text | Format::Wide => Form::Lines { on_stdout: is_result },
            Format::Json | Format::Markdown if is_result => Form::Silent,
            Format::Json | Format::Markdown => Form::Lines { on_stdout: false },
        };
        Ok(Self { form, started: Instant::now(), last: None, shown: None, known: None, due: None })
    }

    fn is_live(&self) -> bool {
        matches!(self.form, Form::Live { .. })
    }

    fn take(&mut self, rollout: Rollout, seq: u64, screen: &mut Screen) -> Result<(), Failure> {
        let before = self.known.as_ref().map(|(rollout, _)| rollout);
        let now = Instant::now();
        let at_once = match &self.form {
            Form::Json => true,
            Form::Silent => false,
            Form::Live { .. } => self.last.is_none_or(|last| now - last >= FLICKER),
            Form::Lines { .. } => {
                line::turning_point(before, &rollout)
                    || cadence::due(now - self.started, self.last.map(|last| now - last))
            }
        };
        self.known = Some((rollout, seq));
        if at_once {
            return self.show(screen);
        }
        self.due = match &self.form {
            Form::Live { .. } => self.last.map(|last| last + FLICKER),
            Form::Lines { .. } => {
                self.last.map(|last| last + cadence::interval(now - self.started))
            }
            Form::Json | Form::Silent => None,
        };
        Ok(())
    }

    fn show(&mut self, screen: &mut Screen) -> Result<(), Failure> {
        self.due = None;
        let Some((rollout, seq)) = &self.known else { return Ok(()) };
        self.last = Some(Instant::now());
        match &mut self.form {
            Form::Silent => Ok(()),
            Form::Json => {
                let object = rollout.json().map_err(std::io::Error::from);
                let line = object.and_then(|object| render::json_line(&object, screen.out()));
                line.and_then(|()| screen.out().flush()).map_err(|error| unwritable(&error))
            }
            Form::Lines { on_stdout } => {
                let look = if *on_stdout { screen.look() } else { screen.err_look() };
                let text = line::status(rollout, *seq, &look);
                // The log grows with heartbeats of others too: only a change of ours is news.
                let news = line::status(rollout, 0, &look);
                if self.shown.as_ref() == Some(&news) {
                    return Ok(());
                }
                self.shown = Some(news);
                if *on_stdout {
                    writeln!(screen.out(), "{text}")
                        .and_then(|()| screen.out().flush())
                        .map_err(|error| unwritable(&error))
                } else {
                    screen.note(&text);
                    Ok(())
                }
            }
            Form::Live { terminal, look } => {
                let drawn = match terminal {
                    Some(terminal) => {
                        terminal.draw(|frame| live::draw(rollout, *seq, look, frame)).map(|_| ())
                    }
                    None => open(rollout).and_then(|mut opened| {
                        opened.draw(|frame| live::draw(rollout, *seq, look, frame))?;
                        *terminal = Some(opened);
                        Ok(())
                    }),
                };
                if let Err(error) = drawn {
                    // A terminal that cannot tell its cursor gets lines instead.
                    tracing::debug!(%error, "no live view");
                    self.form = Form::Lines { on_stdout: false };
                    return self.show(screen);
                }
                Ok(())
            }
        }
    }

    /// Shows what was held back, and leaves the terminal as it was; the end itself is the result.
    fn finish(&mut self, screen: &mut Screen) -> Result<(), Failure> {
        match &mut self.form {
            Form::Live { terminal: Some(terminal), .. } => {
                let cleared = terminal.clear();
                cleared.and_then(|()| terminal.show_cursor()).map_err(|error| unwritable(&error))
            }
            Form::Lines { .. } if self.due.is_some() => self.show(screen),
            Form::Live { terminal: None, .. } | Form::Lines { .. } | Form::Json | Form::Silent => {
                Ok(())
            }
        }
    }
}

fn open(rollout: &Rollout) -> std::io::Result<Terminal<CrosstermBackend<Stderr>>> {
    let options = TerminalOptions { viewport: Viewport::Inline(live::height(rollout)) };
    Terminal::with_options(CrosstermBackend::new(std::io::stderr()), options)
}

fn unwritable(error: &std::io::Error) -> Failure {
    Failure::new(ExitCode::Internal, format!("progress could not be written: {error}"))
        .next("the rollout goes on; `skein status` shows it")
}

#[cfg(test)]
mod tests {
    use skein_proto::v1;

    use super::{Rollout, exit};
    use crate::exit::ExitCode;

    #[test]
    fn ends_have_their_own_codes() {
        let end = |state: v1::RolloutState, undo| {
            let status = v1::RolloutStatus { state: state.into(), ..Default::default() };
            exit(&Rollout::new(&status), undo)
        };
        assert_eq!(end(v1::RolloutState::Completed, false), ExitCode::Done);
        assert_eq!(end(v1::RolloutState::RolledBack, false), ExitCode::RolledBack);
        assert_eq!(end(v1::RolloutState::RolledBack, true), ExitCode::Done);
        assert_eq!(end(v1::RolloutState::Halted, false), ExitCode::Inconsistent);
        assert_eq!(end(v1::RolloutState::Halted, true), ExitCode::Inconsistent);
        assert_eq!(end(v1::RolloutState::Paused, false), ExitCode::StillRunning);
        let trial = |lane: v1::LaneState| v1::RolloutStatus {
            state: v1::RolloutState::Halted.into(),
            direction: v1::Direction::Validate.into(),
            residual: vec![v1::Lane { state: lane.into(), ..Default::default() }],
            ..Default::default()
        };
        let exit_of = |lane| exit(&Rollout::new(&trial(lane)), false);
        assert_eq!(exit_of(v1::LaneState::Failed), ExitCode::Refused);
        assert_eq!(exit_of(v1::LaneState::Stuck), ExitCode::Inconsistent);
    }
}
