//! `skein explain ROLLOUT [TARGET] [--at SEQ]` and `skein explain exit [CODE]`.

use skein_proto::v1;

use super::with_session;
use crate::args::{ExplainArgs, Global};
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::render::exits::Exits;
use crate::render::why::Why;
use crate::screen::Screen;
use crate::session::Need;

pub(crate) fn exit(args: &ExplainArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let codes = match &args.which {
        None => ExitCode::ALL.to_vec(),
        Some(number) => {
            let code = number.parse().ok().and_then(ExitCode::from_number);
            vec![code.ok_or_else(|| {
                Failure::usage(format!("skein never exits with {number}"))
                    .next("`skein explain exit` lists the codes")
            })?]
        }
    };
    screen.show(&Exits(codes))?;
    Ok(ExitCode::Done)
}

pub(crate) async fn run(
    args: &ExplainArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Log, screen, async |session, screen| {
        let request = v1::ExplainRequest {
            rollout: args.what.clone(),
            target: args.which.clone().unwrap_or_default(),
            at: args.at,
        };
        let reply = session
            .link
            .ask(|channel| {
                let request = request.clone();
                async move { connect::rollouts(channel).explain(request).await }
            })
            .await?;
        screen.show(&Why::new(&request, &reply))?;
        Ok(ExitCode::Done)
    })
    .await
}
