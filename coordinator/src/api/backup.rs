//! A copy of everything that this node keeps, as of one moment, while it goes on.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use skein_proto::v1;
use skein_store::Digest;
use skein_store::backup::Manifest;
use skein_store::history::{HistoryError, Joint};
use tokio::sync::mpsc;
use tonic::{Response, Status};

use super::{Api, status};
use crate::{backup, clock};

/// Parts that are read ahead of the asker: a few, since one may be of any size that a frame has.
const AHEAD: usize = 4;

type Parts = mpsc::Sender<Result<v1::BackupReply, Status>>;

impl Api {
    /// Everything that was acknowledged before now, and perhaps more: the history up to its durable mark,
    /// and the bundles that it names. Appends go on meanwhile.
    pub(super) async fn back_up(
        &self,
    ) -> Result<Response<BoxStream<'static, Result<v1::BackupReply, Status>>>, Status> {
        self.linearizable().await?;
        let history = Arc::clone(&self.history);
        let outgoing = tokio::task::spawn_blocking(move || history.outgoing())
            .await
            .map_err(|error| status::broken(&error))?
            .map_err(|error| status::broken(&error))?;
        // Read after the mark: it names all bundles of the history up to there.
        let bundles: Vec<Digest> =
            self.machine.fleet().bundles.keys().map(|digest| Digest(digest.0)).collect();
        let manifest = Manifest {
            cluster: self.identity.cluster.0.to_vec(),
            incarnation: self.identity.incarnation(),
            node: self.identity.node,
            taken_ms: clock::now().0,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            head: outgoing.joint().head,
            blobs: bundles.clone(),
            doubtful: 0,
        };
        let (parts, received) = mpsc::channel(AHEAD);
        let api = self.clone();
        tokio::spawn(async move {
            let manifest = v1::backup_reply::Part::Manifest(manifest.encode());
            if parts.send(Ok(part(manifest))).await.is_err() {
                return;
            }
            let frames = parts.clone();
            let sent = tokio::task::spawn_blocking(move || {
                for frame in outgoing.frames_after(&Joint::default())? {
                    let frame = part(v1::backup_reply::Part::Frame(frame?));
                    if frames.blocking_send(Ok(frame)).is_err() {
                        break;
                    }
                }
                Ok::<(), HistoryError>(())
            });
            let outcome = match sent.await {
                Ok(Ok(())) => api.send_bundles(bundles, &parts).await,
                Ok(Err(error)) => Err(status::broken(&error)),
                Err(error) => Err(status::broken(&error)),
            };
            if let Err(status) = outcome {
                drop(parts.send(Err(status)).await);
            }
        });
        Ok(Response::new(tokio_stream::wrappers::ReceiverStream::new(received).boxed()))
    }

    async fn send_bundles(&self, bundles: Vec<Digest>, parts: &Parts) -> Result<(), Status> {
        for digest in bundles {
            let blobs = Arc::clone(&self.blobs);
            let here = tokio::task::spawn_blocking(move || blobs.get(&digest))
                .await
                .map_err(|error| status::broken(&error))?;
            let whole = match here {
                Ok(Some(whole)) => whole,
                Ok(None) | Err(_) => self.blob_from_peers(digest).await?,
            };
            for piece in backup::pieces(digest, &whole) {
                let piece = v1::backup_reply::Part::Bundle(v1::BundlePiece {
                    digest: bytes::Bytes::copy_from_slice(&piece.digest.0),
                    offset: piece.offset,
                    total: piece.total,
                    data: piece.bytes,
                });
                if parts.send(Ok(part(piece))).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn part(part: v1::backup_reply::Part) -> v1::BackupReply {
    v1::BackupReply { part: Some(part) }
}
