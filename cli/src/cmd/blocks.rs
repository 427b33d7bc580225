//! Schemas of targets that stand apart, and of whoever they are compared with.

use std::time::Duration;

use skein_proto::v1;

use crate::connect;
use crate::failure::Failure;
use crate::render::blocks::{Block, Blocks};
use crate::render::schema::Diff;
use crate::screen::Screen;
use crate::session::Session;

/// How long agents may read.
const WAIT: Duration = Duration::from_secs(30);
/// Of more blocks only the first ones are compared: each reads schemas.
const COMPARED_MAX: usize = 8;
/// Of each side so many are asked: one may be out of reach.
const ASKED: usize = 2;

/// Shows what a refused plan was refused for, where it is that.
pub(crate) async fn show(session: &Session, spec: v1::PlanSpec, screen: &mut Screen) {
    let request = v1::PlanRequest { asker: Some(session.asker()), spec: Some(spec), dry: true };
    let asked = session
        .link
        .ask(|channel| {
            let request = request.clone();
            async move { connect::planner(channel).blocks(request).await }
        })
        .await;
    // A coordinator of an earlier release knows no blocks: the refusal says what it can.
    let Ok(reply) = asked else { return };
    let mut blocks: Vec<Block> = reply.blocks.iter().map(Block::new).collect();
    if blocks.is_empty() {
        return;
    }
    compare(session, &mut blocks).await;
    // The refusal that follows says what is wrong even where this cannot be written.
    drop(screen.show(&Blocks { accepted: false, blocks }));
}

/// Adds what is different from a member of the nearest class.
pub(crate) async fn compare(session: &Session, blocks: &mut [Block]) {
    for (block, at) in blocks.iter_mut().zip(0..) {
        let Some(nearest) = &block.nearest else { continue };
        if at >= COMPARED_MAX {
            "`skein targets diff` compares any two targets".clone_into(&mut block.not_compared);
            continue;
        }
        let mine: Vec<String> = block.targets.iter().take(ASKED).cloned().collect();
        let theirs: Vec<String> = nearest.examples.iter().take(ASKED).cloned().collect();
        match read(session, mine.iter().chain(&theirs).cloned().collect(), WAIT).await {
            Ok(schemas) => {
                let (right, left) = (first(&schemas, &mine), first(&schemas, &theirs));
                match (left, right) {
                    (Ok(left), Ok(right)) => block.diff = Some(Diff::new(left, right)),
                    (Err(why), _) | (_, Err(why)) => block.not_compared = why,
                }
            }
            Err(failure) => block.not_compared = failure.what,
        }
    }
}

/// The schemas of a few targets as they are now.
pub(crate) async fn read(
    session: &Session,
    targets: Vec<String>,
    wait: Duration,
) -> Result<Vec<v1::TargetSchema>, Failure> {
    let request = v1::ReadSchemasRequest {
        targets,
        salt: uuid::Uuid::now_v7().into_bytes().to_vec().into(),
        timeout_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
    };
    let reply = session
        .link
        .ask_for(wait, |channel| {
            let request = request.clone();
            async move { connect::fleet(channel).read_schemas(request).await }
        })
        .await?;
    Ok(reply.schemas)
}

/// The first of some targets whose schema could be read.
pub(crate) fn first<'a>(
    schemas: &'a [v1::TargetSchema],
    of: &[String],
) -> Result<(&'a str, &'a v1::Schema), String> {
    let mut why = "no agent was asked".to_owned();
    for read in schemas.iter().filter(|read| of.contains(&read.target)) {
        match &read.schema {
            Some(schema) => return Ok((&read.target, schema)),
            None => why = format!("{}: {}", read.target, read.error),
        }
    }
    Err(why)
}
