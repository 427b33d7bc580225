//! `skein verify`: targets against the log and against each other.

use super::{plan, with_session};
use crate::args::{Global, VerifyArgs};
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::render::verify::Verified;
use crate::screen::Screen;
use crate::session::Need;

pub(crate) async fn run(
    args: &VerifyArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Agent, screen, async |session, screen| {
        let seen = plan::observe(session, &args.selection.selector(), args.timeout).await?;
        let verified = Verified::new(&seen.targets, &seen.silent);
        screen.show(&verified)?;
        Ok(if verified.drifted == 0 { ExitCode::Done } else { ExitCode::Drift })
    })
    .await
}
