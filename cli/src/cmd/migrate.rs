//! `skein migrate`: plan and carry out in one line.

use std::collections::BTreeMap;

use skein_proto::v1;

use super::{apply, plan, status, with_session};
use crate::args::{
    FollowArgs, Global, MigrateArgs, MigrateDirection, MigrateType, PlanVerbArgs, StatusArgs,
};
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::render::plan::Plan;
use crate::screen::Screen;
use crate::session::{Need, Session};

pub(crate) async fn run(
    args: &MigrateArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    carried(args.kind)?;
    let Some(plan_args) = args.plan_args() else {
        return status::run(&StatusArgs::default(), global, screen).await;
    };
    if args.plan {
        let args = PlanVerbArgs { plan: plan_args, detailed_exitcode: false, dry_run: false };
        return plan::run(&args, global, screen).await;
    }
    if args.think && args.direction() != MigrateDirection::Up {
        return Err(Failure::usage(
            "--think tries steps before they are applied: it goes with --direction up",
        )
        .next("leave --think out"));
    }
    with_session(global, Need::Agent, screen, async |session, screen| {
        if args.follow.detach {
            apply::may_detach(session, "")?;
        }
        let spec = plan::spec(session, &plan_args, screen).await?;
        let planned = plan::planned(session, spec.clone(), false, screen).await?;
        if planned.is_empty() {
            screen.show(&planned)?;
            return Ok(ExitCode::Done);
        }
        if args.think {
            let tried = think(session, spec, &planned, screen).await?;
            if tried != ExitCode::Done {
                return Ok(tried);
            }
        }
        apply::start(session, &planned, args.waive.as_deref(), &args.follow, screen).await
    })
    .await
}

/// Database migrations are what there is; the others are refused by name.
fn carried(kind: MigrateType) -> Result<(), Failure> {
    let what = match kind {
        MigrateType::Database | MigrateType::Data | MigrateType::Full => return Ok(()),
        MigrateType::Code => "source code",
        MigrateType::Api => "API routes",
    };
    Err(Failure::usage(format!(
        "this release migrates databases: a migration of {what} has nothing here that could run it"
    ))
    .next("use --type database"))
}

/// A trial of every step on one target of each class.
async fn think(
    session: &Session,
    mut spec: v1::PlanSpec,
    plan: &Plan,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    let mut first: BTreeMap<u32, &str> = BTreeMap::new();
    for target in plan.waves.iter().flat_map(|wave| &wave.targets) {
        let known = first.entry(target.class).or_insert(&target.id);
        if target.id.as_str() < *known {
            *known = &target.id;
        }
    }
    let targets: Vec<String> = first.into_values().map(str::to_owned).collect();
    screen.note(&format!("trying every step on {}", targets.join(", ")));
    spec.direction = v1::Direction::Validate.into();
    spec.selector = Some(v1::Selector { targets, ..Default::default() });
    let trial = Plan::new(&plan::make(session, spec, false).await?);
    if trial.is_empty() {
        return Ok(ExitCode::Done);
    }
    apply::start(session, &trial, None, &FollowArgs::default(), screen).await
}
