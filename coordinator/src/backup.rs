//! Backups of what a node keeps, and a cluster that begins again from one. For the command line: what is
//! here works on files, with no node running on them.
//!
//! A restored cluster is one node with a number that no node ever had, and a new incarnation: nodes of
//! before are refused by it, and refuse it. Its log may end before things that happened. So leases of
//! before are over, rollouts that were under way are halted, every target is held until it was looked at,
//! and fences go on above all that can have been given.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use skein_core::command::{Command, Request};
use skein_core::decide::{Decision, decide};
use skein_core::event::{Body, Event};
use skein_core::evolve::evolve;
use skein_core::ids::{Fence, Millis};
use skein_core::schedule::after_restore;
use skein_core::{Fleet, Refusal};
use skein_proto::v1;
use skein_store::backup::{BackupError, Beginning, Manifest, Restore, Writer, open_stopped, read};
use skein_store::history::TreeHead;
use skein_store::{Chunk, Digest, Incarnation, OpenError, Store};

use crate::codec;
use crate::config::Config;
use crate::raft::Machine;
use crate::sequencer::SCHEDULER;

/// More fences than this are not given in a second; so a fence of this many for each second since 1970
/// is above all of them, and below 2^53, which JSON can carry, until the year 2242.
const FENCES_PER_SECOND: u64 = 1 << 20;

/// What could not be done with a backup.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Writing, checking or restoring it.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The data of the node.
    #[error("cannot open the data directory {path:?}")]
    Open {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<OpenError>,
    },
    /// What a node sent is not a backup.
    #[error("the node sent something else than a backup: {0}")]
    Malformed(String),
    /// A configuration that does not fit the backup.
    #[error("{0}")]
    Misfit(String),
    /// The rules do not allow it.
    #[error("{0}")]
    Refused(Refusal),
}

/// What is in a backup that was written.
#[derive(Debug, Clone)]
pub struct Written {
    /// What it is a copy of.
    pub manifest: Manifest,
}

/// A backup that comes from a running node.
#[derive(Debug)]
pub struct Receiving {
    writer: Writer,
    manifest: Manifest,
}

impl Receiving {
    /// Begins with the first part that a node sends.
    ///
    /// # Errors
    /// It is no manifest, or something is at `place` already.
    pub fn begin(place: &Path, first: v1::BackupReply) -> Result<Self, Error> {
        let Some(v1::backup_reply::Part::Manifest(bytes)) = first.part else {
            return Err(Error::Malformed("it does not begin with a manifest".to_owned()));
        };
        let manifest = Manifest::decode(bytes).map_err(Error::Malformed)?;
        Ok(Self { writer: Writer::create(place)?, manifest })
    }

    /// Takes the next part.
    ///
    /// # Errors
    /// It does not continue what came before, or cannot be written.
    pub fn take(&mut self, part: v1::BackupReply) -> Result<(), Error> {
        match part.part {
            Some(v1::backup_reply::Part::Frame(frame)) => Ok(self.writer.frame(&frame)?),
            Some(v1::backup_reply::Part::Bundle(piece)) => {
                let digest = codec::digest(&piece.digest, "a bundle's digest")
                    .map_err(|error| Error::Malformed(error.to_string()))?;
                let chunk = Chunk {
                    digest: Digest(digest.0),
                    offset: piece.offset,
                    total: piece.total,
                    bytes: piece.data,
                };
                Ok(self.writer.chunk(&chunk)?)
            }
            Some(v1::backup_reply::Part::Manifest(_)) | None => {
                Err(Error::Malformed("a part is of no kind that this release knows".to_owned()))
            }
        }
    }

    /// Checks the whole, and puts it in its place.
    ///
    /// # Errors
    /// It is not what the manifest promised.
    pub fn finish(self) -> Result<Written, Error> {
        self.writer.finish(&self.manifest)?;
        Ok(Written { manifest: self.manifest })
    }
}

/// Backs up the data of a node that is stopped, with what its Raft log has behind its history: entries that
/// it had not heard to be committed, and that may have been acknowledged.
///
/// # Errors
/// The node runs, its data is damaged, or something is at `place` already.
pub fn from_directory(data: &Path, place: &Path, now_ms: u64) -> Result<Written, Error> {
    let open = |source| Error::Open { path: data.to_owned(), source: Box::new(source) };
    let stopped = open_stopped(data, Arc::new(Machine::new()), codec::terms).map_err(open)?;
    let store = &stopped.store;
    let mut writer = Writer::create(place)?;
    // A second fold: the one above belongs to the data as it is.
    let machine = Machine::new();
    replay(store, &machine)?;
    for frame in stopped.frames()? {
        writer.frame(&frame.map_err(BackupError::from)?)?;
    }
    let doubtful = stopped.follow(&machine, &mut writer)?;
    let blobs: Vec<Digest> =
        machine.fleet().bundles.keys().map(|digest| Digest(digest.0)).collect();
    for digest in writer.missing(&blobs) {
        for chunk in chunks(store, digest)? {
            writer.chunk(&chunk)?;
        }
    }
    let owner = skein_store::DataDir::identity(data).map_err(|error| open(error.into()))?;
    let owner = owner.ok_or_else(|| Error::Malformed("the data has no owner".to_owned()))?;
    let manifest = Manifest {
        cluster: owner.cluster,
        incarnation: store.dir.incarnation(),
        node: owner.node,
        taken_ms: now_ms,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        head: writer.head()?,
        blobs,
        doubtful,
    };
    writer.finish(&manifest)?;
    Ok(Written { manifest })
}

fn replay(store: &Store<Machine>, machine: &Machine) -> Result<(), Error> {
    for event in store.history.events(0) {
        let event = event.map_err(BackupError::from)?;
        skein_store::Machine::replay(machine, event.seq, &[event.bytes])
            .map_err(|halt| BackupError::from(skein_store::history::HistoryError::from(halt)))?;
    }
    Ok(())
}

fn chunks(store: &Store<Machine>, digest: Digest) -> Result<Vec<Chunk>, Error> {
    let whole = store.blobs.get(&digest).map_err(BackupError::from)?;
    let whole = whole.ok_or(BackupError::LacksBlob(digest))?;
    Ok(pieces(digest, &whole).collect())
}

/// A bundle in pieces below any message limit.
pub(crate) fn pieces(digest: Digest, whole: &Bytes) -> impl Iterator<Item = Chunk> {
    let total = u64::try_from(whole.len()).unwrap_or(u64::MAX);
    (0..whole.len().max(1)).step_by(skein_store::backup::CHUNK).map(move |at| Chunk {
        digest,
        offset: u64::try_from(at).unwrap_or(u64::MAX),
        total,
        bytes: whole.slice(at..whole.len().min(at + skein_store::backup::CHUNK)),
    })
}

/// What a restore made.
#[derive(Debug, Clone)]
pub struct Restored {
    /// What it was made from.
    pub manifest: Manifest,
    /// The new beginning.
    pub incarnation: Incarnation,
    /// The only member.
    pub node: u64,
    /// Size and root, with the beginning recorded.
    pub head: TreeHead,
    /// Rollouts that were under way, and are halted.
    pub halted: Vec<String>,
    /// Leases that are over.
    pub leases: usize,
    /// Targets that are held until they were looked at.
    pub targets: usize,
}

/// Makes the data directory that `config` names out of the backup in `dir`. It is whole and on the disk
/// when this returns; where it fails nothing is at its place.
///
/// # Errors
/// The backup does not verify or is another cluster's, data is there already, or the node's number was
/// given before.
pub fn restore(
    dir: &Path,
    config: &Config,
    (actor, reason): (&str, &str),
    now_ms: u64,
) -> Result<Restored, Error> {
    if config.members.iter().any(|(node, _)| *node != config.node) {
        return Err(Error::Misfit(format!(
            "a restored cluster begins with node {} alone; take the other [[member]] entries out of its \
             configuration, and add the nodes with `skein cluster add` once it runs",
            config.node
        )));
    }
    let machine = Machine::new();
    let backup = read(dir, &machine)?;
    let mut fleet = machine.fleet().clone();
    fits(config, &backup.manifest, &fleet)?;
    let planned = Restore::plan(&backup, &config.data, config.node)?;
    let incarnation = Incarnation::draw();
    let fence = (now_ms / 1_000).saturating_mul(FENCES_PER_SECOND);
    let request = Request {
        id: None,
        digest: 0,
        actor: actor.to_owned(),
        charter: config.charter_hash(),
        now: Millis(now_ms),
        command: Command::RestoreCluster {
            incarnation: skein_core::ids::Incarnation(incarnation.0),
            // A clock that is far behind must not stand in the way at night.
            fence: Fence(fence).max(fleet.fence(fleet.seq)),
            taken: Millis(backup.manifest.taken_ms),
            reason: reason.to_owned(),
        },
    };
    let known = fleet.targets.iter().filter(|(_, target)| !target.retired).count();
    let mut events = decided(&mut fleet, &request)?;
    for command in after_restore(&fleet) {
        let request = Request { actor: SCHEDULER.to_owned(), command, ..request.clone() };
        events.extend(decided(&mut fleet, &request)?);
    }
    let head = planned.carry_out(Beginning {
        identity: skein_store::Identity {
            cluster: config.cluster_id().0.to_vec(),
            node: config.node,
        },
        address: config.advertise.clone(),
        incarnation,
        events: events.iter().map(codec::encode_event).collect(),
    })?;
    let halted = events.iter().filter_map(halted).collect();
    let leases =
        events.iter().filter(|event| matches!(event.body, Body::LeaseExpired { .. })).count();
    let manifest = backup.manifest;
    Ok(Restored { manifest, incarnation, node: config.node, head, halted, leases, targets: known })
}

/// Decides a request on the state that it finds, and takes what it makes into that.
fn decided(fleet: &mut Fleet, request: &Request) -> Result<Vec<Event>, Error> {
    let events = match decide(fleet, request).map_err(Error::Refused)? {
        Decision::Events(events) => events,
        Decision::Repeated(_) => Vec::new(),
    };
    for event in &events {
        evolve(fleet, event).map_err(|error| Error::Malformed(error.to_string()))?;
    }
    Ok(events)
}

fn halted(event: &Event) -> Option<String> {
    if let Body::RolloutHalted { rollout, .. } = &event.body {
        Some(rollout.to_string())
    } else {
        None
    }
}

fn fits(config: &Config, manifest: &Manifest, fleet: &Fleet) -> Result<(), Error> {
    if manifest.cluster != config.cluster_id().0 {
        return Err(Error::Misfit(format!(
            "the backup is of another cluster than `cluster = \"{}\"`; use the name that the cluster had",
            config.cluster
        )));
    }
    let charter = config.charter_hash();
    match &fleet.cluster {
        None => Err(Error::Misfit("the backup is of a cluster that was never formed".to_owned())),
        Some(cluster) if cluster.charter != charter => Err(Error::Misfit(format!(
            "the backup's cluster stands under charter {}, and the configuration names {}; use the \
             charter file that the cluster was formed with",
            cluster.charter.short(),
            charter.short()
        ))),
        Some(_) => Ok(()),
    }
}
