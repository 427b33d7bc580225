//! Consensus messages to protobuf and back. Their inner values are the store's encoding.

use bytes::Bytes;
use openraft::raft::{
    StreamAppendError, StreamAppendResult, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse,
};
use skein_proto::raft::v1;
use skein_store::codec::{self, CodecError};
use skein_store::{
    AppendEntriesRequest, AppendEntriesResponse, LogId, TypeConfig, VoteRequest, VoteResponse,
};

pub(super) fn log_id(bytes: Bytes) -> Result<Option<LogId>, CodecError> {
    if bytes.is_empty() { Ok(None) } else { codec::decode_log_id(bytes).map(Some) }
}

pub(super) fn log_id_out(id: Option<&LogId>) -> Bytes {
    id.map(codec::encode_log_id).unwrap_or_default()
}

pub(super) fn append(wire: v1::AppendRequest) -> Result<AppendEntriesRequest, CodecError> {
    Ok(AppendEntriesRequest {
        vote: codec::decode_vote(wire.vote)?,
        prev_log_id: log_id(wire.prev_log_id)?,
        entries: wire.entries.into_iter().map(codec::decode_entry).collect::<Result<_, _>>()?,
        leader_commit: log_id(wire.leader_commit)?,
    })
}

pub(super) fn append_out(request: &AppendEntriesRequest, route: v1::Route) -> v1::AppendRequest {
    v1::AppendRequest {
        route: Some(route),
        vote: codec::encode_vote(&request.vote),
        prev_log_id: log_id_out(request.prev_log_id.as_ref()),
        entries: request.entries.iter().map(codec::encode_entry).collect(),
        leader_commit: log_id_out(request.leader_commit.as_ref()),
    }
}

pub(super) fn appended(wire: v1::AppendReply) -> Result<Option<AppendEntriesResponse>, CodecError> {
    Ok(match wire.outcome {
        Some(v1::append_reply::Outcome::Success(_)) => Some(AppendEntriesResponse::Success),
        Some(v1::append_reply::Outcome::Partial(id)) => {
            Some(AppendEntriesResponse::PartialSuccess(log_id(id)?))
        }
        Some(v1::append_reply::Outcome::Conflict(_)) => Some(AppendEntriesResponse::Conflict),
        Some(v1::append_reply::Outcome::HigherVote(vote)) => {
            Some(AppendEntriesResponse::HigherVote(codec::decode_vote(vote)?))
        }
        None => None,
    })
}

pub(super) fn appended_out(response: &AppendEntriesResponse) -> v1::AppendReply {
    let outcome = match response {
        AppendEntriesResponse::Success => v1::append_reply::Outcome::Success(true),
        AppendEntriesResponse::PartialSuccess(id) => {
            v1::append_reply::Outcome::Partial(log_id_out(id.as_ref()))
        }
        AppendEntriesResponse::Conflict => v1::append_reply::Outcome::Conflict(true),
        AppendEntriesResponse::HigherVote(vote) => {
            v1::append_reply::Outcome::HigherVote(codec::encode_vote(vote))
        }
    };
    v1::AppendReply { outcome: Some(outcome) }
}

/// The answer to one of a stream of appends. `prev` is what the request continued.
pub(super) fn streamed(
    wire: v1::AppendReply,
    prev: Option<LogId>,
) -> Result<Option<StreamAppendResult<TypeConfig>>, CodecError> {
    Ok(match wire.outcome {
        Some(v1::append_reply::Outcome::Partial(id)) => Some(Ok(log_id(id)?)),
        Some(v1::append_reply::Outcome::HigherVote(vote)) => {
            Some(Err(StreamAppendError::HigherVote(codec::decode_vote(vote)?)))
        }
        // Nothing can be in conflict with the beginning of the log.
        Some(v1::append_reply::Outcome::Conflict(_)) => {
            prev.map(|prev| Err(StreamAppendError::Conflict(prev)))
        }
        Some(v1::append_reply::Outcome::Success(_)) | None => None,
    })
}

pub(super) fn streamed_out(result: &StreamAppendResult<TypeConfig>) -> v1::AppendReply {
    let outcome = match result {
        Ok(id) => v1::append_reply::Outcome::Partial(log_id_out(id.as_ref())),
        Err(StreamAppendError::HigherVote(vote)) => {
            v1::append_reply::Outcome::HigherVote(codec::encode_vote(vote))
        }
        Err(StreamAppendError::Conflict(_)) => v1::append_reply::Outcome::Conflict(true),
    };
    v1::AppendReply { outcome: Some(outcome) }
}

pub(super) fn vote(wire: v1::VoteRequest) -> Result<VoteRequest, CodecError> {
    Ok(VoteRequest {
        vote: codec::decode_vote(wire.vote)?,
        last_log_id: log_id(wire.last_log_id)?,
        leadership_transfer: wire.leadership_transfer,
    })
}

pub(super) fn vote_out(request: &VoteRequest, route: v1::Route) -> v1::VoteRequest {
    v1::VoteRequest {
        route: Some(route),
        vote: codec::encode_vote(&request.vote),
        last_log_id: log_id_out(request.last_log_id.as_ref()),
        leadership_transfer: request.leadership_transfer,
    }
}

pub(super) fn voted(wire: v1::VoteReply) -> Result<VoteResponse, CodecError> {
    Ok(VoteResponse {
        vote: codec::decode_vote(wire.vote)?,
        vote_granted: wire.granted,
        last_log_id: log_id(wire.last_log_id)?,
    })
}

pub(super) fn voted_out(response: &VoteResponse) -> v1::VoteReply {
    v1::VoteReply {
        vote: codec::encode_vote(&response.vote),
        granted: response.vote_granted,
        last_log_id: log_id_out(response.last_log_id.as_ref()),
    }
}

pub(super) fn transfer(
    wire: v1::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<TypeConfig>, CodecError> {
    Ok(TransferLeaderRequest::new(
        codec::decode_vote(wire.from_leader)?,
        wire.to_node,
        log_id(wire.last_log_id)?,
    ))
}

pub(super) fn transfer_out(
    request: &TransferLeaderRequest<TypeConfig>,
    route: v1::Route,
) -> v1::TransferLeaderRequest {
    v1::TransferLeaderRequest {
        route: Some(route),
        from_leader: codec::encode_vote(request.from_leader()),
        to_node: *request.to_node_id(),
        last_log_id: log_id_out(request.last_log_id()),
    }
}

pub(super) fn transferred(
    wire: v1::TransferLeaderReply,
) -> Result<TransferLeaderResponse<TypeConfig>, CodecError> {
    if wire.accepted {
        return Ok(Ok(()));
    }
    Ok(Err(if wire.vote_changed {
        TransferLeaderError::VoteChanged {
            expected: codec::decode_vote(wire.expected)?,
            actual: codec::decode_vote(wire.actual)?,
        }
    } else {
        TransferLeaderError::LogNotFlushed {
            expected: log_id(wire.expected)?,
            actual: log_id(wire.actual)?,
        }
    }))
}

pub(super) fn transferred_out(
    response: &TransferLeaderResponse<TypeConfig>,
) -> v1::TransferLeaderReply {
    match response {
        Ok(()) => v1::TransferLeaderReply { accepted: true, ..Default::default() },
        Err(TransferLeaderError::VoteChanged { expected, actual }) => v1::TransferLeaderReply {
            accepted: false,
            vote_changed: true,
            expected: codec::encode_vote(expected),
            actual: codec::encode_vote(actual),
        },
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => v1::TransferLeaderReply {
            accepted: false,
            vote_changed: false,
            expected: log_id_out(expected.as_ref()),
            actual: log_id_out(actual.as_ref()),
        },
    }
}
