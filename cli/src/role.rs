//! What long-running roles share: when to end, and how the service manager hears of it.

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::ExitCode;
use crate::failure::Failure;

/// Signals that end a role in order.
#[derive(Debug)]
pub(crate) struct Ends {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Ends {
    /// From here on the signals are heard rather than deadly.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let on = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(ExitCode::Internal, format!("signals cannot be heard: {error}"))
            })
        };
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }

    /// Resolves at SIGTERM or SIGINT.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

pub(crate) fn ready() {
    tell(&[sd_notify::NotifyState::Ready]);
}

pub(crate) fn stopping() {
    tell(&[sd_notify::NotifyState::Stopping]);
}

fn tell(states: &[sd_notify::NotifyState<'_>]) {
    // Without a service manager this does nothing.
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
