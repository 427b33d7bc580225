//! What labels say. They are an interface: dashboards and alarms are written with them.

use skein_core::command::Command;
use skein_core::state::rollout::{Phase, Status};

/// What is asked for.
pub(crate) fn kind(command: &Command) -> &'static str {
    match command {
        Command::FormCluster { .. } => "form_cluster",
        Command::AdoptCharter { .. } => "adopt_charter",
        Command::RestoreCluster { .. } => "restore_cluster",
        Command::JoinAgent { .. } => "join_agent",
        Command::RecordObservation { .. } => "record_observation",
        Command::RetireTarget { .. } => "retire_target",
        Command::StartRestore { .. } => "start_restore",
        Command::StoreBundle { .. } => "store_bundle",
        Command::PlanRollout { .. } => "plan_rollout",
        Command::StartRollout { .. } => "start_rollout",
        Command::PauseRollout { .. } => "pause_rollout",
        Command::SetKnobs { .. } => "set_knobs",
        Command::ApproveWave { .. } => "approve_wave",
        Command::HoldLanes { .. } => "hold_lanes",
        Command::ReleaseLanes { .. } => "release_lanes",
        Command::Freeze { .. } => "freeze",
        Command::Thaw { .. } => "thaw",
        Command::CancelLanes { .. } => "cancel_lanes",
        Command::AbortRollout { .. } => "abort_rollout",
        Command::AbortLanes { .. } => "abort_lanes",
        Command::ResumeRollout { .. } => "resume_rollout",
        Command::RollBackRollout { .. } => "roll_back_rollout",
        Command::SoakWave { .. } => "soak_wave",
        Command::Repair(_) => "repair",
        Command::WithdrawRepair { .. } => "withdraw_repair",
        Command::AcceptEdited(_) => "accept_edited",
        Command::RetryTargets { .. } => "retry_targets",
        Command::SkipTargets { .. } => "skip_targets",
        Command::OpenGates { .. } => "open_gates",
        Command::AskGate { .. } => "ask_gate",
        Command::ReleaseGate { .. } => "release_gate",
        Command::JudgeGate { .. } => "judge_gate",
        Command::AssignRepair { .. } => "assign_repair",
        Command::SettleArrivals { .. } => "settle_arrivals",
        Command::StartWave { .. } => "start_wave",
        Command::AssignLeg { .. } => "assign_leg",
        Command::UnwindRollout { .. } => "unwind_rollout",
        Command::FinishRollout { .. } => "finish_rollout",
        Command::HaltRollout { .. } => "halt_rollout",
        Command::ExpireLease { .. } => "expire_lease",
        Command::RecordOverrun { .. } => "record_overrun",
        Command::Report { .. } => "report",
    }
}

/// Every status that a rollout may have.
pub(super) const STATUSES: [(Status, &str); 7] = [
    (Status::Planned, "planned"),
    (Status::Running, "running"),
    (Status::Paused, "paused"),
    (Status::Unwinding, "unwinding"),
    (Status::Completed, "completed"),
    (Status::RolledBack, "rolled_back"),
    (Status::Halted, "halted"),
];

/// Every phase that a lane may be in.
pub(super) const PHASES: [(Phase, &str); Phase::COUNT] = [
    (Phase::Waiting, "waiting"),
    (Phase::Ready, "ready"),
    (Phase::Leased, "leased"),
    (Phase::Done, "done"),
    (Phase::Failed, "failed"),
    (Phase::Stuck, "stuck"),
    (Phase::UndoReady, "undo_ready"),
    (Phase::UndoLeased, "undo_leased"),
    (Phase::Undone, "undone"),
    (Phase::Residual, "residual"),
    (Phase::Waived, "waived"),
];
