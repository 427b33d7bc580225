//! `skein history` and `skein history verify`.

use prost::Message as _;
use skein_proto::log::v1 as log;
use skein_proto::v1;
use tonic::Streaming;

use super::with_session;
use crate::args::{Format, Global, HistoryArgs, HistoryVerb};
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::follow::REOPEN;
use crate::render::event::Event;
use crate::render::history::History;
use crate::render::{self, typed};
use crate::screen::Screen;
use crate::session::{Need, Session};

pub(crate) async fn run(
    args: &HistoryArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    if let Some(HistoryVerb::Verify { data }) = &args.verb {
        return super::audit::run(data.as_deref(), global, screen).await;
    }
    let request = v1::EventsRequest {
        from_seq: args.since_seq,
        limit: args.limit,
        follow: args.follow,
        target: args.target.clone().unwrap_or_default(),
        rollout: args.rollout.clone().unwrap_or_default(),
    };
    with_session(global, Need::Log, screen, async |session, screen| {
        if args.follow {
            return follow(session, request, screen).await;
        }
        let events = all(session, request).await?;
        screen.show(&History { events: events.iter().map(Event::new).collect() })?;
        Ok(ExitCode::Done)
    })
    .await
}

/// The events asked for, decoded.
pub(crate) async fn all(
    session: &Session,
    request: v1::EventsRequest,
) -> Result<Vec<log::Event>, Failure> {
    let mut stream = open(session, &request).await?;
    let mut events = Vec::new();
    while let Some(reply) = stream.message().await? {
        events.push(decoded(&reply)?);
    }
    Ok(events)
}

async fn follow(
    session: &Session,
    mut request: v1::EventsRequest,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    let json = match screen.format() {
        Format::Text | Format::Wide => false,
        Format::Jsonl => true,
        Format::Json | Format::Markdown => {
            return Err(Failure::usage(
                "a history that does not end cannot be one object or one table",
            )
            .next("use --follow with -o text or -o jsonl"));
        }
    };
    let unwritable = |error: std::io::Error| {
        Failure::new(ExitCode::Internal, format!("events could not be written: {error}"))
    };
    if json {
        render::version_line(screen.out()).map_err(unwritable)?;
    }
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let mut stream = tokio::select! {
            stream = open(session, &request) => stream?,
            _ = &mut interrupted => return Ok(ExitCode::Detached),
        };
        loop {
            let heard = tokio::select! {
                heard = stream.message() => heard,
                _ = &mut interrupted => return Ok(ExitCode::Detached),
            };
            let reply = match heard {
                Ok(Some(reply)) => reply,
                Ok(None) => break,
                Err(status) if connect::may_pass(&status) => break,
                Err(status) => return Err(status.into()),
            };
            request.from_seq = reply.seq.saturating_add(1);
            let event = Event::new(&decoded(&reply)?);
            let look = screen.look();
            let written = if json {
                let line = typed("event", &event).map_err(std::io::Error::from);
                line.and_then(|line| render::json_line(&line, screen.out()))
            } else {
                writeln!(screen.out(), "{}", event.line(&look))
            };
            written.and_then(|()| screen.out().flush()).map_err(unwritable)?;
            if screen.is_closed() {
                return Ok(ExitCode::Done);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(REOPEN) => {}
            _ = &mut interrupted => return Ok(ExitCode::Detached),
        }
    }
}

async fn open(
    session: &Session,
    request: &v1::EventsRequest,
) -> Result<Streaming<v1::EventsReply>, Failure> {
    session
        .link
        .ask(|channel| {
            let request = request.clone();
            async move { connect::audit(channel).events(request).await }
        })
        .await
}

fn decoded(reply: &v1::EventsReply) -> Result<log::Event, Failure> {
    log::Event::decode(reply.event.clone()).map_err(|error| {
        Failure::new(
            ExitCode::Tampered,
            format!("event {} does not have the form of an event: {error}", reply.seq),
        )
        .next("skein history verify")
    })
}
