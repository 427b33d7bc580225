//! The kinds of faults, their names, and what a machine must allow for them.

use crate::provide::filters;
use crate::world::{Ground, World};

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    KillLeader,
    KillNode,
    KillAllNodes,
    KillAgent,
    KillDatabase,
    StopNode,
    StopAgent,
    StopDatabase,
    LinkDown,
    OneWay,
    Isolate,
    Loss,
    Delay,
    Stall,
    Reset,
    UsersCut,
    DiskFull,
    SyncFails,
    SyncSlow,
    PowerCut,
    ClockJump,
    Restart,
}

impl Kind {
    pub(crate) const ALL: [Self; 22] = [
        Self::KillLeader,
        Self::KillNode,
        Self::KillAllNodes,
        Self::KillAgent,
        Self::KillDatabase,
        Self::StopNode,
        Self::StopAgent,
        Self::StopDatabase,
        Self::LinkDown,
        Self::OneWay,
        Self::Isolate,
        Self::Loss,
        Self::Delay,
        Self::Stall,
        Self::Reset,
        Self::UsersCut,
        Self::DiskFull,
        Self::SyncFails,
        Self::SyncSlow,
        Self::PowerCut,
        Self::ClockJump,
        Self::Restart,
    ];

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::KillLeader => "kill -9 of the leader",
            Self::KillNode => "kill -9 of a coordinator",
            Self::KillAllNodes => "kill -9 of all coordinators",
            Self::KillAgent => "kill -9 of an agent",
            Self::KillDatabase => "kill -9 of a database server",
            Self::StopNode => "SIGSTOP of a coordinator",
            Self::StopAgent => "SIGSTOP of an agent",
            Self::StopDatabase => "SIGSTOP of a database server",
            Self::LinkDown => "link of a machine down",
            Self::OneWay => "asymmetric partition (packet filter)",
            Self::Isolate => "coordinator cut off from its peers (packet filter)",
            Self::Loss => "packet loss (packet filter)",
            Self::Delay => "delay and jitter (proxy)",
            Self::Stall => "connections that stand still (proxy)",
            Self::Reset => "connection reset (proxy)",
            Self::UsersCut => "users disconnected (proxy)",
            Self::DiskFull => "full disk",
            Self::SyncFails => "fsync that fails (disk layer)",
            Self::SyncSlow => "fsync that is slow (disk layer)",
            Self::PowerCut => "power cut of a coordinator (disk layer)",
            Self::ClockJump => "wall clock set wrong",
            Self::Restart => "coordinator ended in order and started again",
        }
    }

    /// What a machine must allow for it; `None` when nothing special is needed.
    fn needs(self) -> Option<&'static str> {
        match self {
            Self::LinkDown | Self::DiskFull => Some("namespaces"),
            Self::OneWay | Self::Isolate | Self::Loss => Some("nftables"),
            Self::ClockJump => Some("libfaketime"),
            Self::KillLeader
            | Self::KillNode
            | Self::KillAllNodes
            | Self::KillAgent
            | Self::KillDatabase
            | Self::StopNode
            | Self::StopAgent
            | Self::StopDatabase
            | Self::Delay
            | Self::Stall
            | Self::Reset
            | Self::UsersCut
            | Self::SyncFails
            | Self::SyncSlow
            | Self::PowerCut
            | Self::Restart => None,
        }
    }

    /// Those that this world can have.
    pub(crate) fn possible(world: &World) -> Vec<Self> {
        let clocks = world.nodes.iter().all(|node| node.clock.is_some());
        let can = |kind: &Self| match kind.needs() {
            Some("libfaketime") => clocks,
            Some("nftables") => world.ground == Ground::Spaces && filters(),
            Some(_) => world.ground == Ground::Spaces,
            None => true,
        };
        Self::ALL.into_iter().filter(can).collect()
    }
}
