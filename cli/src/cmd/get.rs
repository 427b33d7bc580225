//! `skein get ROLLOUT`.

use skein_proto::v1;

use super::{status, with_session};
use crate::args::{GetArgs, Global};
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::render::knobs::Knobs;
use crate::screen::Screen;
use crate::session::Need;

pub(crate) async fn run(
    args: &GetArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Log, screen, async |session, screen| {
        let request = v1::StatusRequest { rollout: args.rollout.clone(), ..Default::default() };
        let reply = status::ask(session, request).await?;
        screen.show(&Knobs::new(status::only(&reply, &args.rollout)?))?;
        Ok(ExitCode::Done)
    })
    .await
}
