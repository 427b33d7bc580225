//! Bugs that are planted to see whether they are found.

use skein_chaos_interpose::disk::Lie;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// Nodes acknowledge before anything is on the disk.
    AckedBeforeSync,
    /// The Raft log alone is not forced to the disk.
    LogNotSynced,
    /// The Raft log is purged before the history that stands for it is on the disk.
    PurgedTooSoon,
    /// Targets commit before they are on the disk.
    EffectNotSynced,
    /// Reads are answered from what a node happens to know.
    StaleReads,
    /// An executor does not look at the fence, nor raise it.
    NoFence,
    /// What throttles measure is never too much.
    NoThrottle,
    /// A step that is reported leaves no row in the ledger.
    RowLost,
    /// Two nodes differ in an event.
    OtherEvent,
    /// An event in a node's history changes on the disk, and no checksum is asked.
    UncheckedRot,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::AckedBeforeSync,
        Self::LogNotSynced,
        Self::PurgedTooSoon,
        Self::EffectNotSynced,
        Self::StaleReads,
        Self::NoFence,
        Self::NoThrottle,
        Self::RowLost,
        Self::OtherEvent,
        Self::UncheckedRot,
    ];

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mutation| format!("{mutation:?}") == name)
    }

    /// Whether it is in what a damaged disk does; the others are looked for without damage.
    pub(crate) fn is_damage(self) -> bool {
        self == Self::UncheckedRot
    }

    /// What the nodes' disks lie about.
    pub(crate) fn node_lie(self) -> Lie {
        match self {
            Self::AckedBeforeSync => Lie::All,
            Self::LogNotSynced => Lie::Of("/log"),
            Self::PurgedTooSoon => Lie::Of("/history"),
            _ => Lie::None,
        }
    }

    /// What the disk of the targets lies about.
    pub(crate) fn target_lie(self) -> Lie {
        if self == Self::EffectNotSynced { Lie::All } else { Lie::None }
    }
}
