//! What the charter in force demands of every plan.

use crate::plan::Plan;
use crate::refusal::{Kind, Refusal};
use crate::spec::{Backup, Direction, Spec};

/// The rules that a charter sets. The default asks for nothing but what the core always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// A plan may not back up less than this.
    pub least_backup: Backup,
    /// Steps that nothing undoes are refused, waiver or not.
    pub refuse_irreversible: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { least_backup: Backup::Exempt, refuse_irreversible: false }
    }
}

/// How much a backup holds.
fn rank(backup: Backup) -> u8 {
    match backup {
        Backup::Exempt => 0,
        Backup::Schema => 1,
        Backup::Tables => 2,
        Backup::Database => 3,
    }
}

fn name(backup: Backup) -> &'static str {
    match backup {
        Backup::Exempt => "none",
        Backup::Schema => "schema",
        Backup::Tables => "tables",
        Backup::Database => "database",
    }
}

impl Policy {
    /// Whether the question may be asked at all.
    pub(crate) fn allows(self, spec: &Spec) -> Result<(), Refusal> {
        let backup = spec.strategy.backup;
        if spec.direction == Direction::Validate || rank(backup) >= rank(self.least_backup) {
            return Ok(());
        }
        Err(Refusal::new(
            Kind::Denied,
            format!(
                "the plan backs up `{}`, and the charter wants at least `{}`",
                name(backup),
                name(self.least_backup)
            ),
            format!("plan with `backup = \"{}\"`", name(self.least_backup)),
        ))
    }

    /// Whether a plan may be started.
    pub(crate) fn allows_start(self, plan: &Plan) -> Result<(), Refusal> {
        match plan.irreversible().first() {
            Some(step) if self.refuse_irreversible => Err(Refusal::new(
                Kind::Denied,
                format!(
                    "version {} ({}) cannot be undone, and the charter allows no such step",
                    step.entry.version, step.file
                ),
                "write its down script",
            )),
            Some(_) | None => Ok(()),
        }
    }
}
