//! No coordinator elsewhere: this process is a cluster of one node and its agent, over the same
//! requests, for as long as the command runs. The log stays in `.skein/`.

use std::time::Duration;

use skein_agent::Coordinators;
use skein_coordinator::config::Config;
use tonic::transport::Channel;

use crate::exit::ExitCode;
use crate::failure::{Failure, chain};
use crate::project::Project;
use crate::session::Need;

/// The coordinator, and the agent where there is work for it.
#[derive(Debug)]
pub(crate) struct Embedded {
    coordinator: skein_coordinator::Running,
    agent: Option<skein_agent::Running>,
}

/// How long the agent may take to be welcomed by the coordinator beside it.
const WELCOME: Duration = Duration::from_secs(30);

impl Embedded {
    pub(crate) async fn start(project: &Project, need: Need) -> Result<Self, Failure> {
        let data = project.data()?;
        let place = data.display();
        std::fs::create_dir_all(&data).map_err(|error| {
            Failure::usage(format!("{place} cannot be made: {error}"))
                .next("see whether the directory can be written, or name another with --data-dir")
        })?;
        let config = Config::embedded(&data, project.charter()?);
        let coordinator =
            Box::pin(skein_coordinator::start(config)).await.map_err(|error| started(&error))?;
        let mut embedded = Self { coordinator, agent: None };
        if need == Need::Agent
            && let Err(failure) = Box::pin(embedded.add_agent(project)).await
        {
            embedded.stop().await;
            return Err(failure);
        }
        Ok(embedded)
    }

    async fn add_agent(&mut self, project: &Project) -> Result<(), Failure> {
        let config = project.file()?.agent_config().map_err(|error| {
            Failure::usage(chain(&error)).next("repair skein.toml; nothing was started")
        })?;
        let channel = Coordinators::Channel(self.coordinator.channel());
        let agent = skein_agent::start(config, channel).await.map_err(|error| {
            Failure::usage(chain(&error)).next("repair skein.toml; nothing was started")
        })?;
        let welcomed = tokio::time::timeout(WELCOME, agent.attached()).await;
        self.agent = Some(agent);
        welcomed.map_err(|_elapsed| {
            Failure::new(
                ExitCode::Internal,
                format!(
                    "the agent in this process was not welcomed within {} s",
                    WELCOME.as_secs()
                ),
            )
            .next("run the command again with SKEIN_LOG=info to see why")
        })
    }

    pub(crate) fn has_agent(&self) -> bool {
        self.agent.is_some()
    }

    pub(crate) fn channel(&self) -> Channel {
        self.coordinator.channel()
    }

    /// First the agent, whose last reports the coordinator still has to record.
    pub(crate) async fn stop(self) {
        if let Some(agent) = self.agent {
            agent.shutdown().await;
        }
        self.coordinator.shutdown().await;
    }
}

fn started(error: &skein_coordinator::StartError) -> Failure {
    let what = chain(error);
    match error {
        skein_coordinator::StartError::Open { .. } if what.contains("in use") => {
            Failure::new(ExitCode::Unreachable, what)
                .next("wait for the other skein command to end, or run `skein coordinator` and name it with --coordinator")
        }
        skein_coordinator::StartError::Charter(_) => Failure::new(ExitCode::Denied, what)
            .next("put the charter back as it was; another charter needs another cluster"),
        skein_coordinator::StartError::Open { .. }
        | skein_coordinator::StartError::Listen { .. }
        | skein_coordinator::StartError::Raft(_) => Failure::new(ExitCode::Internal, what)
            .next("skein history verify --data DIR tells whether the data is whole"),
    }
}
