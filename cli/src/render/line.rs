//! A rollout in one line, for logs and for the last line of a terminal.

use skein_proto::v1;

use super::look::Look;
use super::rollout::Rollout;
use super::silence::Silence;

/// `mig-0042 running · wave 3/4 · targets 5 done, 2 running · steps 24/48 · log #1841 · why it waits`.
pub fn status(rollout: &Rollout, seq: u64, look: &Look) -> String {
    // In another stage targets are there again.
    let at = usize::try_from(rollout.wave).unwrap_or(usize::MAX).saturating_sub(1);
    let stage = rollout.waves.get(at).map(|wave| wave.stage.as_str());
    let waves = rollout.waves.iter().filter(|wave| stage.is_none_or(|it| it == wave.stage));
    let sum = |part: fn(&super::rollout::Wave) -> u32| waves.clone().map(part).sum::<u32>();
    let counts = [
        (sum(|wave| wave.done), "done"),
        (sum(|wave| wave.running), "running"),
        (sum(|wave| wave.waiting), "waiting"),
        (sum(|wave| wave.failed), "failed"),
        (sum(|wave| wave.undone), "undone"),
    ];
    let counts: Vec<String> = counts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    let mut parts = vec![format!("{} {}", rollout.id, rollout.state)];
    if !rollout.waves.is_empty() {
        let wave = usize::try_from(rollout.wave).unwrap_or(usize::MAX).min(rollout.waves.len());
        parts.push(format!("wave {wave}/{}", rollout.waves.len()));
    }
    if !counts.is_empty() {
        parts.push(format!("targets {}", counts.join(", ")));
    }
    let steps = match rollout.steps_undone {
        0 => format!(
            "steps {}/{}, {} verified",
            rollout.steps_applied, rollout.steps, rollout.steps_verified
        ),
        undone => format!("steps {}/{}, {undone} undone", rollout.steps_applied, rollout.steps),
    };
    parts.push(steps);
    parts.extend(rollout.left());
    match rollout.overran_count {
        0 => {}
        1 => parts.push("1 step takes longer than was forecast".to_owned()),
        many => parts.push(format!("{many} steps take longer than was forecast")),
    }
    parts.push(format!("log #{seq}"));
    if !rollout.silent.is_empty() {
        let silent: Vec<String> = rollout.silent.iter().map(Silence::name).collect();
        parts.push(format!("not heard of: {}", super::table::shown(&silent.join(", "))));
    }
    if !rollout.reason.is_empty() {
        parts.push(super::table::shown(&rollout.reason));
    }
    parts.join(look.dot())
}

/// What must be told at once, whatever the cadence says.
pub fn turning_point(before: Option<&Rollout>, now: &Rollout) -> bool {
    let failed = |rollout: &Rollout| rollout.waves.iter().map(|wave| wave.failed).sum::<u32>();
    let silent = |rollout: &Rollout| rollout.silent.iter().map(Silence::name).collect::<Vec<_>>();
    match before {
        None => true,
        Some(before) => {
            before.now != now.now
                || before.wave != now.wave
                || failed(before) != failed(now)
                || before.waits_for_absent != now.waits_for_absent
                || before.overran_count < now.overran_count
                || silent(before) != silent(now)
                || now.now == v1::RolloutState::Unspecified
        }
    }
}
