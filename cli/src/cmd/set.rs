//! `skein set ROLLOUT KNOB=VALUE…`.

use skein_proto::v1;

use super::with_session;
use crate::args::{Global, SetArgs};
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::Need;

pub(crate) async fn run(
    args: &SetArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Log, screen, async |session, screen| {
        let request = v1::SetRequest {
            asker: Some(session.asker()),
            rollout: args.rollout.clone(),
            knobs: args.knobs.iter().map(|knob| knob.0.clone()).collect(),
        };
        let reply = session
            .link
            .ask(|channel| {
                let request = request.clone();
                async move { connect::rollouts(channel).set(request).await }
            })
            .await?;
        screen.done(&format!("{id} goes by that from now on · skein get {id}", id = reply.rollout));
        super::status::show(session, &reply.rollout, screen).await
    })
    .await
}
