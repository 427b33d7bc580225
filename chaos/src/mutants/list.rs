//! The list. Each is a mistake that somebody could make.

/// A place in the core's sources, and what stands there instead.
#[derive(Debug)]
pub struct Edit {
    /// Below `coordinator/core/src`.
    pub file: &'static str,
    /// What stands there, once.
    pub find: &'static str,
    /// What is put there.
    pub with: &'static str,
}

/// One planted bug.
#[derive(Debug)]
pub struct Mutant {
    /// For people.
    pub name: &'static str,
    /// What it takes.
    pub edits: &'static [Edit],
}

const fn edit(file: &'static str, find: &'static str, with: &'static str) -> Edit {
    Edit { file, find, with }
}

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "more legs than the strategy allows",
        edits: &[
            edit(
                "decide/leg.rs",
                "let room = state.leased() < state.parallelism() &&",
                "let room =",
            ),
            edit(
                "schedule/assign.rs",
                "state.parallelism().saturating_sub(state.leased());",
                "state.parallelism();",
            ),
        ],
    },
    Mutant {
        name: "a broken budget stops nothing",
        edits: &[
            edit(
                "decide/leg.rs",
                "state.status == Status::Running && !state.breached()",
                "state.status == Status::Running",
            ),
            edit("schedule/mod.rs", "    if state.breached() {\n", "    if false {\n"),
        ],
    },
    Mutant {
        name: "the greater of two allowances holds",
        edits: &[edit("spec/strategy.rs", "share.min(self.failed)", "share.max(self.failed)")],
    },
    Mutant {
        name: "a pause changes nothing",
        edits: &[edit("evolve/rollout.rs", "    state.status = Status::Paused;\n", "")],
    },
    Mutant {
        name: "a wave opens while one target of the last is under way",
        edits: &[
            edit(
                "schedule/mod.rs",
                "if state.under_way() == 0\n                    && !state.breached()",
                "if state.under_way() <= 1\n                    && !state.breached()",
            ),
            edit(
                "decide/rollout.rs",
                "state.breached() || state.under_way() > 0",
                "state.breached()",
            ),
        ],
    },
    Mutant {
        name: "a rollout ends while targets are under way",
        edits: &[edit(
            "decide/rollout.rs",
            "if left > 0 || (state.status == Status::Running && state.breached()) {",
            "if false {",
        )],
    },
    Mutant {
        name: "a report under a lease that is gone counts",
        edits: &[edit(
            "decide/report.rs",
            ".is_some_and(|lease| lease.fence == fence)",
            ".is_some()",
        )],
    },
    Mutant {
        name: "a step counts before its backup",
        edits: &[edit("decide/report.rs", "if self.lane.archive.is_none() {", "if false {")],
    },
    Mutant {
        name: "no archive will do for a backup",
        edits: &[edit(
            "decide/report.rs",
            "archive.name.is_empty() && !exempt",
            "false && !exempt",
        )],
    },
    Mutant {
        name: "reports count in any order",
        edits: &[edit(
            "decide/report.rs",
            "if step.0 == next { Ok(()) } else { Err(self.out_of_order(step)) }",
            "if step.0 >= next { Ok(()) } else { Err(self.out_of_order(step)) }",
        )],
    },
    Mutant {
        name: "who vanished leaves no doubt",
        edits: &[edit(
            "evolve/leg.rs",
            "lane.doubt = !released && lane.phase == Phase::Leased && lane.archive.is_some();",
            "lane.doubt = false;",
        )],
    },
    Mutant {
        name: "a half is taken for nothing",
        edits: &[
            edit(
                "evolve/step.rs",
                "lane.partly = half && lane.phase != Phase::UndoLeased;",
                "lane.partly = false;",
            ),
            edit(
                "evolve/step.rs",
                "lane.partly = lane.phase != Phase::UndoLeased;",
                "lane.partly = false;",
            ),
        ],
    },
    Mutant {
        name: "steps are undone from the first to the last",
        edits: &[edit("outbox.rs", "range.rev().filter_map(one)", "range.filter_map(one)")],
    },
    Mutant {
        name: "a leg begins with its first step, whatever is verified",
        edits: &[edit("outbox.rs", "lane.verified..state.until(lane)", "0..state.until(lane)")],
    },
    Mutant {
        name: "a step without a way back is undone",
        edits: &[
            edit("decide/unwind.rs", "if step.undo == Undo::Impossible {", "if false {"),
            edit(
                "evolve/leg.rs",
                ".filter(|(step, _)| step.undo == Undo::Impossible)",
                ".filter(|_| false)",
            ),
        ],
    },
    Mutant {
        name: "an older rollout is undone under a later one",
        edits: &[edit("decide/unwind.rs", "    on_top(fleet, state, &lines)?;\n", "")],
    },
    Mutant {
        name: "a target may be in two rollouts",
        edits: &[
            edit(
                "decide/rollout.rs",
                "if let Some((other, _)) = target.lane {",
                "if let Some((other, _)) = target.lane.filter(|_| false) {",
            ),
            edit(
                "decide/rollout.rs",
                "target.lane.filter(|(other, _)| *other != state.id)",
                "target.lane.filter(|_| false)",
            ),
        ],
    },
    Mutant {
        name: "a target is retired under a rollout",
        edits: &[edit(
            "decide/fleet.rs",
            "pub(super) fn retire(fleet: &Fleet, id: &TargetId, reason: &str) -> Result<Vec<Body>, Refusal> {\n    let (_, target) = target(fleet, id)?;\n    if let Some((rollout, _)) = target.lane {",
            "pub(super) fn retire(fleet: &Fleet, id: &TargetId, reason: &str) -> Result<Vec<Body>, Refusal> {\n    let (_, target) = target(fleet, id)?;\n    if let Some((rollout, _)) = target.lane.filter(|_| false) {",
        )],
    },
    Mutant {
        name: "a lease ends by the fence of another",
        edits: &[edit(
            "decide/leg.rs",
            "target.lease.as_ref().is_some_and(|lease| lease.fence == fence)",
            "target.lease.is_some()",
        )],
    },
    Mutant {
        name: "a request id may be used again",
        edits: &[edit("decide/mod.rs", "if answer.digest == request.digest {", "if true {")],
    },
    Mutant {
        name: "any charter will do",
        edits: &[edit(
            "decide/mod.rs",
            "Some(cluster) if request.charter == cluster.charter => Ok(()),",
            "Some(cluster) if request.charter.0.len() == cluster.charter.0.len() => Ok(()),",
        )],
    },
    Mutant {
        name: "the log's ledger does not follow an undo",
        edits: &[edit(
            "evolve/step.rs",
            "    follow(fleet, ix, entry, (back(direction), took));\n",
            "    let _ = (back(planned.direction), took);\n",
        )],
    },
    Mutant {
        name: "a lane keeps its place in the queue",
        edits: &[edit(
            "evolve/queue.rs",
            "            queue.remove(&old);\n",
            "            let _ = old;\n",
        )],
    },
    Mutant {
        name: "undoing begins while legs still run in a later wave",
        edits: &[edit(
            "decide/rollout.rs",
            "Status::Unwinding => state.leased() + state.total.of(Phase::UndoReady),",
            "Status::Unwinding => 0,",
        )],
    },
    Mutant {
        name: "a wave is not watched to the end",
        edits: &[
            edit(
                "decide/rollout.rs",
                "Some(Soak::Until(at)) => at <= now && !state.is_asked_in_soak(),",
                "Some(_) => true,",
            ),
            edit(
                "schedule/mod.rs",
                "Some(Soak::Until(at)) if at > now || state.is_asked_in_soak() => {",
                "Some(Soak::Until(at)) if at > now && false => {",
            ),
        ],
    },
    Mutant {
        name: "a wave opens without the word that it waits for",
        edits: &[edit(
            "state/rollout.rs",
            "(wants && !self.approved.contains(&next)).then_some(next)",
            "(wants && !self.approved.contains(&next) && false).then_some(next)",
        )],
    },
    Mutant {
        name: "a stage begins with targets on which the one ahead has failed",
        edits: &[edit(
            "state/rollout.rs",
            "self.total.of(Phase::Failed) + self.total.of(Phase::Stuck) > 0 {\n            return Some(Barrier::Failed);",
            "self.total.of(Phase::Failed) > 9_999 {\n            return Some(Barrier::Failed);",
        )],
    },
    Mutant {
        name: "a gate that did not pass holds nothing back",
        edits: &[edit(
            "state/rollout.rs",
            "if self.failed_gate().is_some() {",
            "if self.failed_gate().is_some() && self.opened > 99 {",
        )],
    },
    Mutant {
        name: "a late answer of an agent that was given up counts",
        edits: &[edit(
            "evolve/gate.rs",
            "    drop_fences(fleet, agent.map(|agent| (agent, fence)));",
            "    drop(agent);",
        )],
    },
    Mutant {
        name: "a limit for a label holds nobody",
        edits: &[edit(
            "room.rs",
            "(used >= limit.most).then_some",
            "(used > limit.most).then_some",
        )],
    },
    Mutant {
        name: "a resource group's limit counts one rollout's legs alone",
        edits: &[edit(
            "room.rs",
            "legs.says((of, rollout), hands.legs,",
            "legs.says((of, rollout), if of == rollout { hands.legs } else { 0 },",
        )],
    },
    Mutant {
        name: "what one rollout says of a resource group holds for it alone",
        edits: &[edit(
            "room.rs",
            "if most > 0 && self.smallest.is_none_or(less) {",
            "if most > 0 && of == asks && self.smallest.is_none_or(less) {",
        )],
    },
    Mutant {
        name: "whoever is tried again after a breach lets all the others begin",
        edits: &[edit(
            "evolve/rollout.rs",
            "        state.again.insert(target, ix);\n        let stage",
            "        state.step_gates_failed.remove(&target);\n        state.again.insert(target, ix);\n        let stage",
        )],
    },
    Mutant {
        name: "a leg that is under way with heavy steps takes no place",
        edits: &[edit(
            "room.rs",
            "heavy.says((of, rollout), hands.heavy,",
            "heavy.says((of, rollout), 0,",
        )],
    },
    Mutant {
        name: "an adoption that came to nothing is tried again",
        edits: &[edit(
            "decide/late.rs",
            "filter(|it| it.schema == target.fingerprint)?;",
            "filter(|it| it.line > 99)?;",
        )],
    },
    Mutant {
        name: "a waiver that has run out holds on",
        edits: &[edit(
            "state/rollout.rs",
            "self.until.is_none_or(|until| now < until)",
            "self.until.is_none_or(|until| now < until || true)",
        )],
    },
    Mutant {
        name: "a leg does not know the first of the gates around its steps",
        edits: &[edit(
            "outbox.rs",
            "gates.filter_map(|gate| state.gate(gate).cloned()).collect()",
            "gates.skip(1).filter_map(|gate| state.gate(gate).cloned()).collect()",
        )],
    },
    Mutant {
        name: "who was told to leave a statement between two batches has failed",
        edits: &[edit(
            "decide/report.rs",
            "self.lane.kill || self.state.may_leave_batches(self.lane);",
            "self.lane.kill;",
        )],
    },
    Mutant {
        name: "what a leg waits for a throttle is taken for the work of its step",
        edits: &[edit(
            "forecast/overrun.rs",
            "lane.since.max(held).0",
            "lane.since.max(Millis(held.0.min(0))).0",
        )],
    },
    Mutant {
        name: "a target that was given up at work goes on",
        edits: &[edit("evolve/leg.rs", "if given_up == Some(true) {", "if false {")],
    },
    Mutant {
        name: "a target that somebody holds is leased",
        edits: &[
            edit("decide/leg.rs", "&& room && !held && !frozen;", "&& room && !frozen;"),
            edit(
                "state/rollout/lane.rs",
                "            _ if self.held.is_some() || self.replaced => false,\n",
                "",
            ),
        ],
    },
    Mutant {
        name: "a look from before the last leg counts",
        edits: &[edit(
            "decide/fleet.rs",
            "target.worked_on.is_some_and(|worked_on| as_of <= worked_on)",
            "false && as_of.0 > 0",
        )],
    },
    Mutant {
        name: "a request that changes nothing is forgotten",
        edits: &[edit(
            "decide/rollout.rs",
            "Status::Paused => Ok(vec![Body::RequestSettled { rollout: id }]),",
            "Status::Paused => Ok(Vec::new()),",
        )],
    },
    Mutant {
        name: "what goes forward again rests on the backup from before its undo",
        edits: &[edit(
            "state/rollout/lane.rs",
            "if !self.partly && self.verified == self.applied && !whole {",
            "if whole && self.base > 1_000 {",
        )],
    },
    Mutant {
        name: "a wave that is opened anew needs no word",
        edits: &[edit(
            "evolve/forward.rs",
            "    state.approved.retain(|wave| *wave < from);\n",
            "",
        )],
    },
    Mutant {
        name: "waves stay open when their targets go forward again",
        edits: &[edit("evolve/forward.rs", "    state.opened = state.opened.min(from.0);\n", "")],
    },
    Mutant {
        name: "what somebody rolled back by choice goes forward by itself",
        edits: &[edit(
            "decide/forward.rs",
            "    if !all && !asked.is_empty() {",
            "    if !all && asked.len() > 99 {",
        )],
    },
    Mutant {
        name: "what goes forward again begins with later waves",
        edits: &[edit(
            "decide/forward.rs",
            "homes(fleet, state).map(|(wave, _)| wave).min();",
            "homes(fleet, state).map(|(wave, _)| wave).max();",
        )],
    },
    Mutant {
        name: "legs wait for no throttle",
        edits: &[edit(
            "outbox.rs",
            "LegKind::Forward => state.throttles_of(lane, target),",
            "LegKind::Forward => state.throttles_of(lane, target).into_iter().skip(1).collect(),",
        )],
    },
    Mutant {
        name: "a throttle that was set holds at its planned limit",
        edits: &[edit(
            "state/rollout/knobs.rs",
            "Setting::Time(limit) | Setting::Value(limit) => Some((throttle, limit)),",
            "Setting::Time(_) | Setting::Value(_) => Some((throttle, throttle.limit)),",
        )],
    },
    Mutant {
        name: "a gate is held against what another target answered",
        edits: &[edit(
            "outbox.rs",
            ".and_then(|lane| state.baseline(lane, ask.gate))",
            ".and_then(|_| state.baselines.values().next().map(|it| &**it))",
        )],
    },
    Mutant {
        name: "a late target joins the first wave that means it, open or not",
        edits: &[edit(
            "plan/waves.rs",
            "if ix.0 >= opened && of_its_part && takes(wanted) {",
            "if of_its_part && takes(wanted) {",
        )],
    },
    Mutant {
        name: "regions are gone through together",
        edits: &[edit(
            "plan/parts.rs",
            "waves.push(make(strategy, wanted, (called, value.clone()), taken));",
            "waves.insert(at.min(waves.len()), make(strategy, wanted, (called, value.clone()), taken));",
        )],
    },
    Mutant {
        name: "a window that is closed holds nobody back",
        edits: &[edit(
            "hours.rs",
            "        first.map(Closed::Window)\n",
            "        first.map(Closed::Window).filter(|_| false)\n",
        )],
    },
];
