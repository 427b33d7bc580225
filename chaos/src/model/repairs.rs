//! Somebody who sets ledgers right: by evidence, by a waiver that may be wrong, and by mistake.

use skein_core::command::{Ask, Command};
use skein_core::ids::{RepairId, Version};
use skein_core::spec::Selector;
use skein_core::state::repair::Verb;

use super::Sim;
use super::dice::Dice;

impl Sim {
    /// Somebody says something of a ledger that is held, mostly.
    pub(super) fn repair(&mut self, dice: &mut Dice) {
        let command = self.something_to_repair(dice);
        let ordered = matches!(command, Command::Repair(_));
        self.request(command);
        if ordered && dice.chance(150) {
            // Before anybody had a free hand, now and then.
            let last = self.leader.ahead.repairs.last_key_value().map(|(id, _)| *id);
            let reason = "a mistake".to_owned();
            self.request(Command::WithdrawRepair { repair: last.unwrap_or(RepairId(1)), reason });
        }
    }

    fn something_to_repair(&self, dice: &mut Dice) -> Command {
        let fleet = &self.leader.ahead;
        let last = fleet.repairs.last_key_value().map_or(1, |(id, _)| id.0);
        let held = fleet.targets.iter().filter(|(_, target)| !target.problem.is_empty());
        let held: Vec<_> = held.map(|(_, target)| target).collect();
        let all: Vec<_> = fleet.targets.iter().map(|(_, target)| target).collect();
        let one = if held.is_empty() || dice.chance(300) { &all } else { &held };
        let target = one.get(dice.place(one.len().max(1))).filter(|_| !dice.chance(80));
        let Some(target) = target else {
            let repair = RepairId(last.saturating_sub(dice.below(2)));
            return Command::WithdrawRepair { repair, reason: "a mistake".to_owned() };
        };
        let bundle = &self.bundles[dice.place(self.bundles.len())];
        let ledger: Vec<&Version> =
            fleet.entries.spell(target.in_force()).map(|entry| &entry.version).collect();
        let lacks: Vec<&Version> = bundle
            .migrations
            .iter()
            .map(|migration| &migration.version)
            .filter(|version| !ledger.contains(version))
            .collect();
        let some = 1 + dice.place(2);
        let (verb, versions): (_, Vec<&Version>) = match dice.below(10) {
            0..4 => (Verb::Applied, lacks.into_iter().take(some).collect()),
            4..8 => {
                // Not the newest, now and then.
                let over = usize::from(dice.clone().chance(150));
                (Verb::NotApplied, ledger.into_iter().rev().skip(over).take(some).collect())
            }
            _ => {
                let place = dice.place(bundle.migrations.len());
                let version = bundle.migrations.get(place).map(|migration| &migration.version);
                (Verb::Adopt, version.into_iter().collect())
            }
        };
        let mut versions: Vec<Version> = versions.into_iter().cloned().collect();
        if dice.chance(60) {
            versions.push(Version("no-such".to_owned()));
        }
        let targets = if dice.chance(850) { vec![target.id.0.clone()] } else { Vec::new() };
        let ask = Ask {
            verb,
            versions,
            bundle: bundle.digest,
            selector: Selector { targets, ..Selector::default() },
            waiver: if dice.chance(600) { "looked at it".to_owned() } else { String::new() },
        };
        if dice.chance(200) {
            return Command::AcceptEdited(Box::new(ask));
        }
        Command::Repair(Box::new(ask))
    }
}
