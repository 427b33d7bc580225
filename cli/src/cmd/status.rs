//! `skein status [ROLLOUT]`.

use skein_proto::v1;
use tonic::metadata::MetadataValue;

use super::with_session;
use crate::args::{Global, StatusArgs};
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::render::fleet::Fleet;
use crate::render::rollout::Rollout;
use crate::screen::Screen;
use crate::session::{Need, Session};

pub(crate) async fn run(
    args: &StatusArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Log, screen, async |session, screen| {
        let request = v1::StatusRequest {
            rollout: args.rollout.clone().unwrap_or_default(),
            lanes: args.rollout.is_some(),
            local: args.local,
            after_seq: 0,
        };
        let reply = ask(session, request).await?;
        match &args.rollout {
            None => {
                screen.show(&Fleet { at_rest: session.is_at_rest(), ..Fleet::new(&reply) })?;
            }
            Some(id) => screen.show(&Rollout::new(only(&reply, id)?))?,
        }
        Ok(ExitCode::Done)
    })
    .await
}

pub(crate) async fn ask(
    session: &Session,
    request: v1::StatusRequest,
) -> Result<v1::StatusReply, Failure> {
    session
        .link
        .ask(|channel| {
            let local = request.local;
            let mut request = tonic::Request::new(request.clone());
            if local {
                // Or else a node that does not lead passes the question on.
                request.metadata_mut().insert("skein-local", MetadataValue::from_static("1"));
            }
            async move { connect::rollouts(channel).status(request).await }
        })
        .await
}

/// The rollout that was asked for.
pub(crate) fn only<'a>(
    reply: &'a v1::StatusReply,
    id: &str,
) -> Result<&'a v1::RolloutStatus, Failure> {
    reply.rollouts.first().ok_or_else(|| {
        Failure::usage(format!("there is no rollout `{id}`"))
            .next("`skein status` lists the rollouts")
    })
}

/// How a rollout stands after something was asked of it.
pub(crate) async fn show(
    session: &Session,
    rollout: &str,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    let request = v1::StatusRequest { rollout: rollout.to_owned(), ..Default::default() };
    let reply = ask(session, request).await?;
    screen.show(&Rollout::new(only(&reply, rollout)?))?;
    Ok(ExitCode::Done)
}
