//! `skein thaw [FREEZE…]`.

use skein_proto::v1;

use super::with_session;
use crate::args::{Global, ThawArgs};
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::render::freezes::Freezes;
use crate::screen::Screen;
use crate::session::Need;

pub(crate) async fn run(
    args: &ThawArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Log, screen, async |session, screen| {
        let request = v1::ThawRequest {
            asker: Some(session.asker()),
            freezes: args.freezes.clone(),
            selector: Some(args.selection.selector()),
            reason: args.reason.clone(),
        };
        let reply = session
            .link
            .ask(|channel| {
                let request = request.clone();
                async move { connect::pace(channel).thaw(request).await }
            })
            .await?;
        screen.done("rollouts go on where nothing else holds them back · skein status");
        screen.show(&Freezes::new(&reply.freezes))?;
        Ok(ExitCode::Done)
    })
    .await
}
