//! From the steps of a leg to orders for the database.

use skein_proto::agent::v1::{Failed, Leg, LegStep, Verdict};
use skein_proto::v1;

use super::stop::Stop;
use crate::bundles::Loaded;
use crate::db::{Direction, Engine, Order, Token};
use crate::text::hex;

/// An order for each step, in the order of the leg. Nothing has been run where this refuses.
pub(super) fn of(bundle: &Loaded, leg: &Leg, engine: Engine) -> Result<Vec<Order>, Stop> {
    leg.steps.iter().map(|step| order(bundle, step, engine, Token(leg.fence))).collect()
}

fn order(loaded: &Loaded, step: &LegStep, engine: Engine, token: Token) -> Result<Order, Stop> {
    let version = &step.version;
    let refused = |why: String| Stop::refused(step.step, why);
    let at = usize::try_from(step.migration).unwrap_or(usize::MAX);
    let found = loaded.bundle.migrations.get(at).filter(|migration| migration.version == *version);
    let Some(migration) = found else {
        return Err(refused(format!(
            "the bundle has no migration {version} at position {}; plan again",
            step.migration
        )));
    };
    if migration.up.raw_digest.as_slice() != step.digest.as_ref() {
        return Err(refused(format!(
            "migration {version} in the bundle has the digest {}, the plan means {}; plan again",
            hex(&migration.up.raw_digest),
            hex(&step.digest)
        )));
    }
    let (direction, script) = match step.script() {
        v1::Direction::Up => (Direction::Up, Some(&migration.up)),
        v1::Direction::Down => (Direction::Down, migration.down.as_ref()),
        v1::Direction::Unspecified | v1::Direction::Validate => {
            let why = format!("which script of {version} is to run is not said; upgrade the agent");
            return Err(refused(why));
        }
    };
    let Some(script) = script else {
        return Err(refused(format!(
            "migration {version} has no down script, so that it cannot be undone"
        )));
    };
    let plan = loaded.plan((at, direction, engine.dialect()), script).map_err(|finding| {
        Stop::failed(Failed {
            step: step.step,
            verdict: Verdict::Never.into(),
            retryable: false,
            message: format!("{}; {}", finding.message, finding.help),
            file: finding.file,
            line: finding.line,
            ..Failed::default()
        })
    })?;
    Ok(Order {
        step: version.clone(),
        direction,
        digest: migration.up.raw_digest,
        script: script.clone(),
        plan,
        // It says what holds once the migration is in force.
        verify: match direction {
            Direction::Up => migration.verify.clone(),
            Direction::Down => None,
        },
        probe: migration.probe.clone(),
        token,
    })
}
