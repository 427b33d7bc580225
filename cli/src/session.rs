//! One run of the command against one fleet: the link to a coordinator, and in whose name.

use std::collections::BTreeSet;
use std::time::Duration;

use skein_proto::v1;

use crate::args::Global;
use crate::cmd::{status, targets};
use crate::connect::Link;
use crate::embedded::Embedded;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::project::Project;

/// Between two looks at whether the log knows a target.
const POLL: Duration = Duration::from_millis(20);

/// What has to be there besides the log, where this process is everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Reads what the log says: nothing is set in motion.
    Log,
    /// Looks at targets or works on them.
    Agent,
}

/// The link to whoever coordinates.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) link: Link,
    pub(crate) project: Project,
    actor: String,
    charter: [u8; 32],
    embedded: Option<Embedded>,
}

impl Session {
    pub(crate) async fn open(global: &Global, need: Need) -> Result<Self, Failure> {
        let project = Project::find(global)?;
        let patience = Duration::from_secs(global.connect_timeout.max(1));
        let (actor, charter) = (project.actor(), project.charter_hash()?);
        let (link, embedded) = if project.coordinators().is_empty() {
            let embedded = Embedded::start(&project, need).await?;
            (Link::within(embedded.channel(), patience), Some(embedded))
        } else {
            (Link::remote(project.coordinators(), patience)?, None)
        };
        let session = Self { link, project, actor, charter, embedded };
        if session.embedded.is_some()
            && let Err(failure) = session.await_embedded(need, patience).await
        {
            session.close().await;
            return Err(failure);
        }
        Ok(session)
    }

    async fn await_embedded(&self, need: Need, patience: Duration) -> Result<(), Failure> {
        // A question that only a leader answers is answered once there is one.
        status::ask(self, v1::StatusRequest::default()).await?;
        match need {
            Need::Log => Ok(()),
            Need::Agent => self.await_own_targets(patience).await,
        }
    }

    /// Waits until the log knows every target of the agent in this process: its coming is recorded
    /// a moment after it is welcomed.
    async fn await_own_targets(&self, patience: Duration) -> Result<(), Failure> {
        let mut missing: BTreeSet<String> =
            self.project.file()?.targets.iter().map(|target| target.id.to_string()).collect();
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            for target in targets::all(self, &v1::Selector::default()).await? {
                if let Some(description) = target.description.filter(|_| target.connected) {
                    missing.remove(&description.id);
                }
            }
            if missing.is_empty() {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                let missing: Vec<String> = missing.into_iter().collect();
                return Err(Failure::new(
                    ExitCode::Internal,
                    format!(
                        "the log does not show these targets as served: {}",
                        missing.join(", ")
                    ),
                )
                .next("run the command again with SKEIN_LOG=info to see why"));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// A new request: who asks, and under which charter. Repeats of it keep its id.
    pub(crate) fn asker(&self) -> v1::Asker {
        v1::Asker {
            request_id: uuid::Uuid::now_v7().into_bytes().to_vec().into(),
            actor: self.actor.clone(),
            charter: self.charter.to_vec().into(),
        }
    }

    /// Whether work goes on when this process ends.
    pub(crate) fn outlives_us(&self) -> bool {
        self.embedded.is_none()
    }

    /// Whether this process is everything, and only its log was opened.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.embedded.as_ref().is_some_and(|embedded| !embedded.has_agent())
    }

    /// Ends in order: first whoever works, then whoever records.
    pub(crate) async fn close(self) {
        if let Some(embedded) = self.embedded {
            embedded.stop().await;
        }
    }
}
