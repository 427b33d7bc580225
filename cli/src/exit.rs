//! Exit codes are API: their numbers and meanings stay. `docs/cli-contract.md` carries the same table.

use std::fmt;

/// How a run of `skein` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitCode {
    Done = 0,
    Internal = 1,
    Usage = 2,
    ChangesPresent = 10,
    WaitsForApproval = 11,
    StillRunning = 12,
    Findings = 20,
    Refused = 21,
    RolledBack = 30,
    Inconsistent = 31,
    Stale = 40,
    Drift = 41,
    Unreachable = 50,
    Denied = 51,
    Tampered = 60,
    BackupUnusable = 61,
    Detached = 130,
}

impl ExitCode {
    pub const ALL: [Self; 17] = [
        Self::Done,
        Self::Internal,
        Self::Usage,
        Self::ChangesPresent,
        Self::WaitsForApproval,
        Self::StillRunning,
        Self::Findings,
        Self::Refused,
        Self::RolledBack,
        Self::Inconsistent,
        Self::Stale,
        Self::Drift,
        Self::Unreachable,
        Self::Denied,
        Self::Tampered,
        Self::BackupUnusable,
        Self::Detached,
    ];

    pub fn number(self) -> u8 {
        self as u8
    }

    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// One line, as in the table of the contract.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, or nothing to do",
            Self::Internal => "unexpected internal error",
            Self::Usage => "wrong usage",
            Self::ChangesPresent => "changes present (`plan --detailed-exitcode` only)",
            Self::WaitsForApproval => {
                "`--timeout` passed, and the next wave waits for `skein approve`"
            }
            Self::StillRunning => "`--timeout` passed while still running; nothing was cancelled",
            Self::Findings => "lint or policy findings at or above `--fail-on`",
            Self::Refused => "dry run or validation failed; nothing was changed",
            Self::RolledBack => "failed, rolled back, fleet consistent",
            Self::Inconsistent => "failed and the fleet is not consistent: an operator is needed",
            Self::Stale => "plan is stale: fleet or files moved since",
            Self::Drift => "schema drift found",
            Self::Unreachable => "no coordinator or leader reachable; a retry is safe",
            Self::Denied => "not authenticated, or denied by policy",
            Self::Tampered => "hash chain or signature does not verify",
            Self::BackupUnusable => "backup missing or not restorable",
            Self::Detached => "Ctrl-C in a watcher: detached, work continues",
        }
    }

    /// What it means for the fleet and what to do next: `skein explain exit N`.
    pub fn paragraph(self) -> &'static str {
        match self {
            Self::Done => {
                "What was asked for is done, or there was nothing to do. For `apply` and `migrate` \
                 this means that every step of every target was backed up, applied and verified."
            }
            Self::Internal => {
                "Something happened that should not be possible. The fleet is as the log says: \
                 `skein status` shows it. Run the command again with SKEIN_LOG=debug and keep what \
                 it prints on stderr for a report."
            }
            Self::Usage => {
                "The command line or skein.toml cannot be understood, or a question would have to be \
                 asked where nobody can answer (no terminal). Nothing was sent. The message carries \
                 the exact command to use instead."
            }
            Self::ChangesPresent => {
                "`skein plan --detailed-exitcode` found steps to run. Nothing was changed. Without \
                 the flag the same plan exits with 0. The number is not 2, so that it cannot be \
                 mistaken for wrong usage."
            }
            Self::WaitsForApproval => {
                "The time given with `--timeout` passed, and the next wave of the rollout opens when \
                 somebody says so. Nothing was cancelled. `skein status ROLLOUT` shows what ran, \
                 `skein approve ROLLOUT` lets the wave open, `skein rollback ROLLOUT` takes back what \
                 ran."
            }
            Self::StillRunning => {
                "The time given with `--timeout` passed and the rollout was still under way. Nothing \
                 was cancelled: it goes on without the watcher. `skein watch ROLLOUT` looks again, \
                 `skein pause ROLLOUT` stops handing out work."
            }
            Self::Findings => {
                "A check found something at or above the level given with `--fail-on`. Nothing was \
                 changed. Each finding names a file, a line and a next step."
            }
            Self::Refused => {
                "The request was understood and refused before anything was changed: the files, the \
                 fleet or the rollout's state do not allow it, or a step that cannot be undone has \
                 no waiver. The message says which, and the command to use next."
            }
            Self::RolledBack => {
                "The rollout failed and was unwound as its plan declared. Every target that it had \
                 touched is back where it stood before, verified against the schema fingerprint; \
                 the fleet is consistent. `skein history --rollout ROLLOUT` shows the failure. Repair \
                 the cause in the targets and `skein resume ROLLOUT`; where the migration was wrong, \
                 mend it and plan again."
            }
            Self::Inconsistent => {
                "The rollout failed and some targets are neither where they were nor where they \
                 should be. Nothing more happens by itself. `skein status ROLLOUT` lists each such \
                 target with its reason. Repair the cause and `skein resume ROLLOUT`, or undo with \
                 `skein rollback ROLLOUT`; a target whose backup has to be restored needs `skein \
                 backup restore`. This is the one code that should wake somebody."
            }
            Self::Stale => {
                "The plan was made on a state that has moved since: a target's ledger, its \
                 description or the migration files are different now. Nothing was changed. Run \
                 `skein plan` again and look at the difference before applying."
            }
            Self::Drift => {
                "A target's schema or ledger is not what the log says it should be, or targets with \
                 the same migrations in force do not look the same. Nothing was changed. `skein \
                 verify` names the targets; repair them, or plan with `--accept-drift` where the \
                 difference is known and wanted."
            }
            Self::Unreachable => {
                "No coordinator answered, or none knew a leader, within the time allowed. The same \
                 command can be run again: a request that did arrive is recognised by its id and \
                 gets its first answer, it is never carried out twice."
            }
            Self::Denied => {
                "The cluster does not know who asks, or its charter does not allow what was asked, \
                 or the request was made under another charter than the cluster's. Nothing was \
                 changed."
            }
            Self::Tampered => {
                "Bytes that were written once are not what they were: the chain of a node's disk \
                 does not verify, or two nodes tell different histories. Do not start anything. \
                 The message names the node and the place. Keep a copy of that node's data \
                 directory, remove the node from the cluster and add a fresh one."
            }
            Self::BackupUnusable => {
                "A backup is not where the log says, has other bytes than were recorded, is not brought \
                 back by the engine's own tool, or its restored schema is not the one that was backed \
                 up. Treat the steps behind it as \
                 not undoable by restore until a new backup is there."
            }
            Self::Detached => {
                "Ctrl-C ended the watching, not the work. With a coordinator the rollout goes on; in \
                 embedded mode it rests in the log and goes on with the next command. `skein watch \
                 ROLLOUT` looks again, `skein pause ROLLOUT` stops handing out work."
            }
        }
    }
}

impl fmt::Display for ExitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCode;

    #[test]
    fn numbers_are_unique_and_go_both_ways() {
        for code in ExitCode::ALL {
            assert_eq!(ExitCode::from_number(code.number()), Some(code));
        }
        assert_eq!(ExitCode::from_number(3), None);
    }

    #[test]
    fn the_contract_has_the_same_table() {
        let contract = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli-contract.md");
        let contract = std::fs::read_to_string(contract).unwrap();
        let rows: Vec<&str> = contract
            .lines()
            .skip_while(|line| *line != "## Exit codes")
            .filter(|line| line.starts_with("| ") && !line.starts_with("| code"))
            .take(ExitCode::ALL.len() + 1)
            .take_while(|line| {
                line.split('|').nth(1).is_some_and(|n| n.trim().parse::<u8>().is_ok())
            })
            .collect();
        let expect: Vec<String> = ExitCode::ALL
            .into_iter()
            .map(|code| format!("| {} | {} |", code.number(), code.meaning()))
            .collect();
        assert_eq!(rows, expect);
    }
}
