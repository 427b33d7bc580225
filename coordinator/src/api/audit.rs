//! The log, for those who check it. Answered by any node from its own disk.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use skein_core::ids::RolloutId;
use skein_proto::v1;
use skein_store::history::verify;
use tonic::{Request, Response, Status};

use super::{Api, status};
use crate::codec;

/// Events that are read ahead of a slow reader.
const AHEAD: usize = 256;

#[tonic::async_trait]
impl v1::audit_server::Audit for Api {
    type EventsStream = BoxStream<'static, Result<v1::EventsReply, Status>>;

    async fn events(
        &self,
        request: Request<v1::EventsRequest>,
    ) -> Result<Response<Self::EventsStream>, Status> {
        let request = request.into_inner();
        let rollout = match request.rollout.as_str() {
            "" => None,
            text => Some(RolloutId::parse(text).ok_or_else(|| {
                status::missing(format!("`{text}` is no rollout's id"), "ids look like mig-0042")
            })?),
        };
        let (sender, receiver) = tokio::sync::mpsc::channel(AHEAD);
        let api = self.clone();
        tokio::spawn(async move {
            let mut changes = api.machine.changes();
            let mut from = request.from_seq;
            let mut left = if request.limit == 0 { u32::MAX } else { request.limit };
            while left > 0 {
                changes.mark_unchanged();
                let history = Arc::clone(&api.history);
                let (sender_of_page, target) = (sender.clone(), request.target.clone());
                let page = tokio::task::spawn_blocking(move || {
                    for event in history.events(from) {
                        let event = match event {
                            Ok(event) => event,
                            Err(error) => {
                                drop(sender_of_page.blocking_send(Err(status::broken(&error))));
                                return None;
                            }
                        };
                        from = event.seq + 1;
                        if !codec::concerns(&event.bytes, &target, rollout) {
                            continue;
                        }
                        let reply = v1::EventsReply { seq: event.seq, event: event.bytes };
                        sender_of_page.blocking_send(Ok(reply)).ok()?;
                        left -= 1;
                        if left == 0 {
                            return None;
                        }
                    }
                    Some((from, left))
                });
                let Ok(Some(next)) = page.await else { break };
                (from, left) = next;
                if !request.follow {
                    break;
                }
                tokio::select! {
                    () = api.stop.cancelled() => break,
                    () = sender.closed() => break,
                    changed = changes.changed() => if changed.is_err() { break },
                }
            }
        });
        Ok(Response::new(tokio_stream::wrappers::ReceiverStream::new(receiver).boxed()))
    }

    async fn head(
        &self,
        request: Request<v1::HeadRequest>,
    ) -> Result<Response<v1::HeadReply>, Status> {
        let size = request.into_inner().size;
        let history = Arc::clone(&self.history);
        let head = if size == 0 {
            history.head()
        } else {
            tokio::task::spawn_blocking(move || history.head_at(size))
                .await
                .map_err(|error| status::broken(&error))?
                .map_err(|error| Status::failed_precondition(error.to_string()))?
        };
        Ok(Response::new(v1::HeadReply {
            node: self.identity.node,
            size: head.size,
            root: Bytes::copy_from_slice(&head.root.0),
        }))
    }

    async fn verify_disk(
        &self,
        _request: Request<v1::VerifyDiskRequest>,
    ) -> Result<Response<v1::VerifyDiskReply>, Status> {
        let dir = self.history_dir.clone();
        let verified = tokio::task::spawn_blocking(move || verify(&dir))
            .await
            .map_err(|error| status::broken(&error))?;
        let node = self.identity.node;
        Ok(Response::new(match verified {
            Ok(verified) => v1::VerifyDiskReply {
                node,
                events: verified.head.size,
                root: Bytes::copy_from_slice(&verified.head.root.0),
                fault: String::new(),
            },
            Err(error) => {
                v1::VerifyDiskReply { node, events: 0, root: Bytes::new(), fault: chain(&error) }
            }
        }))
    }
}

/// An error with everything behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
