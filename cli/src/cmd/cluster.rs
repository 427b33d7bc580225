//! `skein cluster`.

use std::time::Duration;

use skein_proto::v1;

use super::{cluster_backup, cluster_restore, with_session};
use crate::args::{ClusterArgs, ClusterVerb, Global};
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::render::cluster::Members;
use crate::screen::Screen;
use crate::session::{Need, Session};

/// A new node may have to be sent the whole history first.
const CHANGE: Duration = Duration::from_mins(2);

pub(crate) async fn run(
    args: &ClusterArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    match &args.verb {
        ClusterVerb::Backup { dir, data: None } => {
            return cluster_backup::of_a_running_node(dir, global, screen).await;
        }
        ClusterVerb::Backup { dir, data: Some(data) } => {
            return cluster_backup::of_a_directory(data, dir, screen);
        }
        ClusterVerb::Restore { dir, reason } => {
            return cluster_restore::run(dir, reason, global, screen);
        }
        ClusterVerb::Members
        | ClusterVerb::Add { .. }
        | ClusterVerb::Promote { .. }
        | ClusterVerb::Remove { .. }
        | ClusterVerb::Transfer { .. } => {}
    }
    with_session(global, Need::Log, screen, async |session, screen| {
        let reply = ask(session, &args.verb).await?;
        screen.show(&Members::new(&reply))?;
        Ok(ExitCode::Done)
    })
    .await
}

pub(crate) async fn members(session: &Session) -> Result<v1::MembersReply, Failure> {
    ask(session, &ClusterVerb::Members).await
}

async fn ask(session: &Session, verb: &ClusterVerb) -> Result<v1::MembersReply, Failure> {
    let asker = Some(session.asker());
    session
        .link
        .ask_for(CHANGE, |channel| {
            let (asker, mut cluster) = (asker.clone(), connect::cluster(channel));
            async move {
                match verb {
                    // The other two are no question about members.
                    ClusterVerb::Members
                    | ClusterVerb::Backup { .. }
                    | ClusterVerb::Restore { .. } => cluster.members(v1::MembersRequest {}).await,
                    ClusterVerb::Add { node, address } => {
                        let request =
                            v1::AddLearnerRequest { asker, node: *node, address: address.clone() };
                        cluster.add_learner(request).await
                    }
                    ClusterVerb::Promote { node } => {
                        cluster.promote(v1::PromoteRequest { asker, node: *node }).await
                    }
                    ClusterVerb::Remove { node } => {
                        cluster.remove(v1::RemoveRequest { asker, node: *node }).await
                    }
                    ClusterVerb::Transfer { node } => {
                        let request = v1::TransferLeadershipRequest { asker, node: *node };
                        cluster.transfer_leadership(request).await
                    }
                }
            }
        })
        .await
}
