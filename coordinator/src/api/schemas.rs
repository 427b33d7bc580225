//! Schemas of single targets, read by their agents at the moment, for people to compare. What comes is told on
//! and kept nowhere.

use std::time::Duration;

use skein_core::ids::TargetId;
use skein_proto::agent::v1::SchemaRead;
use skein_proto::v1;
use tokio::sync::oneshot;
use tonic::Status;

use super::{Api, status};

/// In one question: its answer is one message.
const TARGETS_MAX: usize = 6;
/// Of the salt, bytes.
const SALT_MAX: usize = 64;
/// However long somebody wants to wait.
const LIMIT_MAX: Duration = Duration::from_mins(2);

impl Api {
    pub(super) async fn schemas(
        &self,
        request: v1::ReadSchemasRequest,
    ) -> Result<v1::ReadSchemasReply, Status> {
        if request.targets.is_empty() || request.targets.len() > TARGETS_MAX {
            return Err(Status::invalid_argument(format!(
                "{} targets are named: one to {TARGETS_MAX} can be read at one time",
                request.targets.len()
            )));
        }
        if request.salt.len() > SALT_MAX {
            return Err(Status::invalid_argument(format!(
                "the salt has {} bytes, and {SALT_MAX} at the most are taken",
                request.salt.len()
            )));
        }
        self.linearizable().await?;
        let asked: Vec<_> = {
            let fleet = self.machine.fleet();
            let ask = |target: &String| {
                let id = TargetId(target.clone());
                let Some((_, known)) = fleet.target(&id) else {
                    let next = "`skein targets` lists the targets that there are";
                    return Err(status::missing(format!("there is no target {target}"), next));
                };
                let salt = request.salt.clone();
                Ok((target.clone(), self.sessions.ask_for_schema((&id, &known.agents), salt)))
            };
            request.targets.iter().map(ask).collect::<Result<_, _>>()?
        };
        let limit = Duration::from_millis(request.timeout_ms.max(1).into()).min(LIMIT_MAX);
        let until = tokio::time::Instant::now() + limit;
        let mut schemas = Vec::with_capacity(asked.len());
        for (target, told) in asked {
            let read = match told {
                Ok(told) => in_time(told, until).await,
                Err(why) => Err(why),
            };
            schemas.push(match read {
                Ok(schema) => {
                    v1::TargetSchema { target, schema: Some(schema), error: String::new() }
                }
                Err(error) => v1::TargetSchema { target, schema: None, error },
            });
        }
        Ok(v1::ReadSchemasReply { schemas })
    }
}

async fn in_time(
    told: oneshot::Receiver<SchemaRead>,
    until: tokio::time::Instant,
) -> Result<v1::Schema, String> {
    match tokio::time::timeout_at(until, told).await {
        Ok(Ok(SchemaRead { schema: Some(schema), error, .. })) if error.is_empty() => Ok(schema),
        Ok(Ok(read)) => Err(read.error),
        Ok(Err(_)) => Err("this node does not lead any more: ask again".to_owned()),
        Err(_) => Err("no agent answered in time".to_owned()),
    }
}
