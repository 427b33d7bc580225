//! `skein freeze`.

use skein_proto::v1;

use super::with_session;
use crate::args::{FreezeArgs, Global};
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::render::freezes::Freezes;
use crate::screen::Screen;
use crate::session::Need;

pub(crate) async fn run(
    args: &FreezeArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Log, screen, async |session, screen| {
        let request = v1::FreezeRequest {
            asker: Some(session.asker()),
            selector: Some(args.selection.selector()),
            until_ms: args.until.map_or(0, |until| until.0),
            reason: args.reason.clone(),
        };
        let reply = session
            .link
            .ask(|channel| {
                let request = request.clone();
                async move { connect::pace(channel).freeze(request).await }
            })
            .await?;
        screen.done(
            "no rollout works there from now on; steps under way are finished · skein status · skein thaw",
        );
        screen.show(&Freezes::new(&reply.freezes))?;
        Ok(ExitCode::Done)
    })
    .await
}
