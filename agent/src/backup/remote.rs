//! Archives in an object store.
//!
//! A multipart upload gives the object its name only when it completes, so a half archive never
//! has it. Stores do not all refuse to complete onto an existing object, so writing once is kept
//! by a claim: `NAME.claim` is created with put-if-absent, the name is looked for, the upload
//! runs, the claim is removed. A writer that dies leaves its claim, and the name is spent.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{
    Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, WriteMultipart,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::error::BackupError;

/// Parts in flight: enough to hide latency, and with parts of 5 MiB no more than 20 MiB.
const PARTS_MAX: usize = 4;

/// The object that is being written.
#[derive(Debug)]
pub(super) struct Upload {
    at: At,
    multipart: WriteMultipart,
    claim: Claim,
}

/// An object and how to speak of it.
#[derive(Debug, Clone)]
pub(super) struct At {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) path: Path,
    pub(super) name: String,
    pub(super) destination: String,
}

impl At {
    fn failed(&self, doing: &'static str, source: Error) -> BackupError {
        BackupError::Store {
            doing,
            name: self.name.clone(),
            destination: self.destination.clone(),
            source: Box::new(source),
        }
    }

    fn taken(&self, why: &'static str) -> BackupError {
        BackupError::NameTaken {
            destination: self.destination.clone(),
            name: self.name.clone(),
            why,
        }
    }

    /// The object's stream and size.
    pub(super) async fn open(
        &self,
    ) -> Result<(mpsc::Receiver<Result<Bytes, Error>>, u64), BackupError> {
        let found = match self.store.get(&self.path).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => {
                return Err(BackupError::Missing {
                    name: self.name.clone(),
                    destination: self.destination.clone(),
                });
            }
            Err(error) => return Err(self.failed("reading", error)),
        };
        let bytes = found.meta.size;
        let mut stream = found.into_stream();
        let (to, from) = mpsc::channel(super::stream::CHUNKS_MAX);
        // Ends with the stream, or when the reader goes away.
        let _forwarding = tokio::spawn(async move {
            while let Some(chunk) = futures::StreamExt::next(&mut stream).await {
                if to.send(chunk).await.is_err() {
                    break;
                }
            }
        });
        Ok((from, bytes))
    }
}

impl Upload {
    /// Claims the name and begins.
    pub(super) async fn begin(at: At) -> Result<Self, BackupError> {
        let claim = Claim::take(&at).await?;
        match at.store.head(&at.path).await {
            Err(Error::NotFound { .. }) => {}
            Ok(_) => {
                claim.release().await;
                return Err(at.taken("an archive is there"));
            }
            Err(error) => {
                claim.release().await;
                return Err(at.failed("looking for", error));
            }
        }
        match at.store.put_multipart(&at.path).await {
            Ok(upload) => Ok(Self { multipart: WriteMultipart::new(upload), at, claim }),
            Err(error) => {
                claim.release().await;
                Err(at.failed("beginning", error))
            }
        }
    }

    /// Sends what arrives until the writer goes away.
    pub(super) async fn feed(
        &mut self,
        mut from: mpsc::Receiver<Bytes>,
    ) -> Result<(), BackupError> {
        while let Some(bytes) = from.recv().await {
            self.multipart
                .wait_for_capacity(PARTS_MAX)
                .await
                .map_err(|error| self.at.failed("writing", error))?;
            self.multipart.put(bytes);
        }
        Ok(())
    }

    /// Gives the object its name. The store has it durably when this returns.
    pub(super) async fn publish(self) -> Result<(), BackupError> {
        let Self { at, multipart, claim } = self;
        let done = multipart.finish().await;
        claim.release().await;
        done.map(drop).map_err(|error| at.failed("completing", error))
    }

    /// Gives up: the parts are removed and the name is free again.
    pub(super) async fn discard(self) {
        let Self { at, multipart, claim } = self;
        if let Err(error) = multipart.abort().await {
            tracing::warn!(name = at.name, %error, "parts of an unfinished backup stay in the store");
        }
        claim.release().await;
    }
}

/// The right to write one name.
#[derive(Debug)]
struct Claim(Option<(Arc<dyn ObjectStore>, Path)>);

impl Claim {
    async fn take(at: &At) -> Result<Self, BackupError> {
        let path = Path::from(format!("{}.claim", at.path));
        let once = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match at.store.put_opts(&path, PutPayload::from_static(b"skein\n"), once).await {
            Ok(_) => Ok(Self(Some((at.store.clone(), path)))),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                Err(at.taken("another writer has claimed it, or died with it"))
            }
            Err(error) => Err(at.failed("claiming", error)),
        }
    }

    async fn release(mut self) {
        if let Some((store, path)) = self.0.take() {
            release(store, path).await;
        }
    }
}

/// A backup that is cancelled is dropped, and must not spend its name.
impl Drop for Claim {
    fn drop(&mut self) {
        if let Some((store, path)) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            let _releasing = runtime.spawn(release(store, path));
        }
    }
}

async fn release(store: Arc<dyn ObjectStore>, path: Path) {
    if let Err(error) = store.delete(&path).await {
        tracing::warn!(%path, %error, "the claim of a backup's name stays; the name is spent");
    }
}
