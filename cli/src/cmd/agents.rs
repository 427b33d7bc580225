//! `skein agents`.

use skein_proto::v1;

use super::with_session;
use crate::args::Global;
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::render::agents::Agents;
use crate::screen::Screen;
use crate::session::Need;

pub(crate) async fn run(global: &Global, screen: &mut Screen) -> Result<ExitCode, Failure> {
    with_session(global, Need::Log, screen, async |session, screen| {
        let reply = session
            .link
            .ask(|channel| async move {
                connect::fleet(channel).list_agents(v1::ListAgentsRequest {}).await
            })
            .await?;
        screen.show(&Agents::new(&reply.agents))?;
        Ok(ExitCode::Done)
    })
    .await
}
