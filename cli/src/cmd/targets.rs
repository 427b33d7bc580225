//! `skein targets`.

use std::time::Duration;

use skein_proto::v1;

use super::{blocks, plan, with_session};
use crate::args::{Global, TargetsArgs, TargetsVerb};
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::render::schema::Diff;
use crate::render::sources::Sources;
use crate::render::targets::Targets;
use crate::screen::Screen;
use crate::session::{Need, Session};

const PAGE: u32 = 1_000;

pub(crate) async fn run(
    args: &TargetsArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    match &args.verb {
        None => list(args.selection.selector(), global, screen).await,
        Some(TargetsVerb::List { selection }) => list(selection.selector(), global, screen).await,
        Some(TargetsVerb::Observe { selection, timeout }) => {
            observe(selection.selector(), *timeout, global, screen).await
        }
        Some(TargetsVerb::Discover { timeout }) => discover(*timeout, global, screen).await,
        Some(TargetsVerb::Diff { one, other, timeout }) => {
            diff((one, other), *timeout, global, screen).await
        }
        Some(TargetsVerb::Retire { target, reason }) => {
            retire(target, reason, global, screen).await
        }
    }
}

async fn list(
    selector: v1::Selector,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Log, screen, async |session, screen| {
        let targets = all(session, &selector).await?;
        let at_rest = session.is_at_rest();
        screen.show(&Targets { at_rest, ..Targets::new(&targets, &[]) })?;
        Ok(ExitCode::Done)
    })
    .await
}

/// Every target, page after page.
pub(crate) async fn all(
    session: &Session,
    selector: &v1::Selector,
) -> Result<Vec<v1::Target>, Failure> {
    let mut request = v1::ListTargetsRequest {
        selector: Some(selector.clone()),
        page_size: PAGE,
        page_token: String::new(),
    };
    let mut targets = Vec::new();
    loop {
        let reply = session
            .link
            .ask(|channel| {
                let request = request.clone();
                async move { connect::fleet(channel).list_targets(request).await }
            })
            .await?;
        targets.extend(reply.targets);
        if reply.next_page_token.is_empty() {
            return Ok(targets);
        }
        request.page_token = reply.next_page_token;
    }
}

async fn observe(
    selector: v1::Selector,
    timeout: Duration,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Agent, screen, async |session, screen| {
        let seen = plan::observe(session, &selector, timeout).await?;
        screen.show(&Targets::new(&seen.targets, &seen.silent))?;
        Ok(if seen.silent.is_empty() { ExitCode::Done } else { ExitCode::Unreachable })
    })
    .await
}

async fn discover(
    timeout: Duration,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Agent, screen, async |session, screen| {
        let request = v1::DiscoverRequest {
            asker: Some(session.asker()),
            timeout_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
        };
        let reply = session
            .link
            .ask_for(timeout, |channel| {
                let request = request.clone();
                async move { connect::fleet(channel).discover(request).await }
            })
            .await?;
        let found = Sources::new(&reply.agents, &reply.silent);
        screen.show(&found)?;
        Ok(match () {
            () if !found.silent.is_empty() => ExitCode::Unreachable,
            () if !found.is_sound() => ExitCode::Refused,
            () => ExitCode::Done,
        })
    })
    .await
}

async fn diff(
    (one, other): (&String, &String),
    timeout: Duration,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Agent, screen, async |session, screen| {
        let schemas = blocks::read(session, vec![one.clone(), other.clone()], timeout).await?;
        let of = |target: &String| {
            blocks::first(&schemas, std::slice::from_ref(target))
                .map_err(|why| Failure::new(ExitCode::Unreachable, format!("not compared: {why}")))
        };
        let diff = Diff::new(of(one)?, of(other)?);
        screen.show(&diff)?;
        Ok(if diff.is_empty() { ExitCode::Done } else { ExitCode::Drift })
    })
    .await
}

async fn retire(
    target: &str,
    reason: &str,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Log, screen, async |session, screen| {
        let request = v1::RetireTargetRequest {
            asker: Some(session.asker()),
            target: target.to_owned(),
            reason: reason.to_owned(),
        };
        session
            .link
            .ask(|channel| {
                let request = request.clone();
                async move { connect::fleet(channel).retire_target(request).await }
            })
            .await?;
        screen.done(&format!("{target} is retired: plans no longer count it"));
        Ok(ExitCode::Done)
    })
    .await
}
