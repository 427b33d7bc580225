//! One run of the command against one fleet: the link to a coordinator, and in whose name.

use std::time::Duration;

use skein_proto::v1;

use crate::args::Global;
use crate::connect::Link;
use crate::embedded::Embedded;
use crate::failure::Failure;
use crate::project::Project;

/// What has to be there besides the log, where this process is everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Reads what the log says: nothing is set in motion.
    Log,
    /// Looks at targets or works on them.
    Agent,
}

/// The link to whoever coordinates.
#[derive(Debug)]
pub struct Session {
    pub link: Link,
    pub project: Project,
    actor: String,
    charter: [u8; 32],
    embedded: Option<Embedded>,
}

impl Session {
    pub async fn open(global: &Global, need: Need) -> Result<Self, Failure> {
        let project = Project::find(global)?;
        let patience = Duration::from_secs(global.connect_timeout.max(1));
        let (actor, charter) = (project.actor(), project.charter_hash()?);
        let (link, embedded) = if project.coordinators().is_empty() {
            let embedded = Embedded::start(&project, need).await?;
            (Link::within(embedded.channel(), patience), Some(embedded))
        } else {
            (Link::remote(project.coordinators(), patience)?, None)
        };
        Ok(Self { link, project, actor, charter, embedded })
    }

    /// A new request: who asks, and under which charter. Repeats of it keep its id.
    pub fn asker(&self) -> v1::Asker {
        v1::Asker {
            request_id: uuid::Uuid::now_v7().into_bytes().to_vec().into(),
            actor: self.actor.clone(),
            charter: self.charter.to_vec().into(),
        }
    }

    /// Whether work goes on when this process ends.
    pub fn outlives_us(&self) -> bool {
        self.embedded.is_none()
    }

    /// Ends in order: first whoever works, then whoever records.
    pub async fn close(self) {
        if let Some(embedded) = self.embedded {
            embedded.stop().await;
        }
    }
}
