//! `skein explain exit [CODE]`.

use crate::args::{ExplainArgs, ExplainTopic};
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::render::exits::Exits;
use crate::screen::Screen;

pub(crate) fn run(args: &ExplainArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let ExplainTopic::Exit { code } = &args.topic;
    let codes = match code {
        None => ExitCode::ALL.to_vec(),
        Some(number) => vec![ExitCode::from_number(*number).ok_or_else(|| {
            Failure::usage(format!("skein never exits with {number}"))
                .next("`skein explain exit` lists the codes")
        })?],
    };
    screen.show(&Exits(codes))?;
    Ok(ExitCode::Done)
}
