//! What people say to a rollout that is under way, and to the fleet that it is on.

use skein_proto::v1;
use skein_proto::v1::pace_client::PaceClient;
use skein_proto::v1::repairs_client::RepairsClient;
use skein_proto::v1::rollouts_client::RolloutsClient;
use tonic::Status;

use crate::agent;
use crate::client::{Client, acked};
use crate::strategy;

/// Puts a request until its outcome is known.
macro_rules! put {
    ($asker:expr, $client:ident . $verb:ident ( $request:expr )) => {{
        let request = $request;
        let put = |channel| {
            let request = request.clone();
            async move { $client::new(channel).$verb(request).await }
        };
        $asker.ask(put).await
    }};
}

/// A target by its number; zero: all of them.
fn selector(target: u64) -> v1::Selector {
    let targets = if target == 0 { vec!["*".to_owned()] } else { vec![agent::target(target)] };
    v1::Selector { targets, ..Default::default() }
}

fn throttle_off(name: &str) -> v1::Knob {
    let setting = Some(v1::throttle_knob::Setting::On(false));
    let throttle = v1::ThrottleKnob { name: name.to_owned(), setting };
    v1::Knob { knob: Some(v1::knob::Knob::Throttle(throttle)) }
}

impl Client {
    fn part(&mut self) -> v1::Part {
        let target = self.chance.below(4);
        v1::Part { selector: Some(selector(target)), wave: 0 }
    }

    async fn set(&mut self, rollout: &str, knob: v1::Knob) -> Result<(), Status> {
        let (asker, rollout) = (Some(self.asker()), rollout.to_owned());
        let request = v1::SetRequest { asker, rollout, knobs: vec![knob] };
        let (node, reply) = put!(self, RolloutsClient.set(request))?;
        acked(node, reply.seq);
        Ok(())
    }

    async fn turn_a_knob(&mut self, rollout: &str) -> Result<(), Status> {
        let number = u32::try_from(self.chance.below(5)).unwrap_or(0);
        let knob = match self.chance.below(7) {
            0 => v1::knob::Knob::Parallelism(number),
            1 => v1::knob::Knob::SoakMs(u64::from(number) * 500),
            2 => v1::knob::Knob::BudgetFailed(number),
            3 => v1::knob::Knob::Retries(number),
            4 => v1::knob::Knob::Windows(false),
            5 => {
                let (name, setting) = (
                    strategy::BUSY.to_owned(),
                    match self.chance.below(3) {
                        0 => v1::throttle_knob::Setting::On(true),
                        1 => v1::throttle_knob::Setting::On(false),
                        // It would hold back at any time.
                        _ => v1::throttle_knob::Setting::Thousandths(500),
                    },
                );
                v1::knob::Knob::Throttle(v1::ThrottleKnob { name, setting: Some(setting) })
            }
            _ => return self.set(rollout, throttle_off(strategy::BLIND)).await,
        };
        self.set(rollout, v1::Knob { knob: Some(knob) }).await
    }

    async fn hold(&mut self, rollout: &str) -> Result<(), Status> {
        let request = v1::PauseRequest {
            asker: Some(self.asker()),
            rollout: rollout.to_owned(),
            reason: "somebody wants to look at these".to_owned(),
            now: false,
            part: Some(self.part()),
            ..Default::default()
        };
        let (node, reply) = put!(self, RolloutsClient.pause(request))?;
        acked(node, reply.seq);
        Ok(())
    }

    async fn let_go(&mut self, rollout: &str, part: v1::Part) -> Result<(), Status> {
        let (asker, rollout) = (Some(self.asker()), rollout.to_owned());
        let request = v1::ResumeRequest { asker, rollout, part: Some(part), ..Default::default() };
        let (node, reply) = put!(self, RolloutsClient.resume(request))?;
        acked(node, reply.seq);
        Ok(())
    }

    async fn approve(&mut self, rollout: &str) -> Result<(), Status> {
        let (asker, rollout) = (Some(self.asker()), rollout.to_owned());
        let reason = "it looks well".to_owned();
        let request = v1::ApproveRequest { asker, rollout, wave: 0, reason };
        let (node, reply) = put!(self, RolloutsClient.approve(request))?;
        acked(node, reply.seq);
        Ok(())
    }

    async fn cancel(&mut self, rollout: &str) -> Result<(), Status> {
        let (asker, rollout) = (Some(self.asker()), rollout.to_owned());
        let (reason, part) = ("it holds a lock".to_owned(), Some(self.part()));
        let request = v1::CancelRequest { asker, rollout, reason, part };
        let (node, reply) = put!(self, RolloutsClient.cancel(request))?;
        acked(node, reply.seq);
        Ok(())
    }

    async fn abort(&mut self, rollout: &str) -> Result<(), Status> {
        let (asker, rollout) = (Some(self.asker()), rollout.to_owned());
        let request =
            v1::AbortRequest { asker, rollout, reason: "a mistake".to_owned(), part: None };
        let (node, reply) = put!(self, RolloutsClient.abort(request))?;
        acked(node, reply.seq);
        Ok(())
    }

    /// One target, one wave, so many steps, to a version, or all of it.
    pub(crate) async fn roll_back_some(&mut self, rollout: &str) -> Result<(), Status> {
        let mut request = v1::RollBackRequest {
            asker: Some(self.asker()),
            rollout: rollout.to_owned(),
            ..Default::default()
        };
        match self.chance.below(6) {
            0 | 1 => {}
            2 => request.selector = Some(selector(self.chance.between(1, 3))),
            3 => {
                request.steps = u32::try_from(self.chance.between(1, 2)).unwrap_or(1);
            }
            4 => "1".clone_into(&mut request.to_version),
            _ => request.part = Some(v1::Part { selector: None, wave: 1 }),
        }
        put!(self, RolloutsClient.roll_back(request)).map(drop)
    }

    fn chosen(&mut self, rollout: &str, target: u64) -> v1::ChosenTargetsRequest {
        v1::ChosenTargetsRequest {
            asker: Some(self.asker()),
            rollout: rollout.to_owned(),
            selector: Some(selector(target)),
            reason: "merged into another".to_owned(),
            ..Default::default()
        }
    }

    async fn retry(&mut self, rollout: &str) -> Result<(), Status> {
        let target = self.chance.below(4);
        let request = self.chosen(rollout, target);
        let (node, reply) = put!(self, RepairsClient.retry_targets(request))?;
        acked(node, reply.seq);
        Ok(())
    }

    async fn skip(&mut self, rollout: &str, target: u64) -> Result<(), Status> {
        let request = self.chosen(rollout, target);
        let (node, reply) = put!(self, RepairsClient.skip_targets(request))?;
        acked(node, reply.seq);
        Ok(())
    }

    async fn freeze(&mut self) -> Result<(), Status> {
        let target = self.chance.below(4);
        let request = v1::FreezeRequest {
            asker: Some(self.asker()),
            selector: Some(selector(target)),
            until_ms: 0,
            reason: "an audit".to_owned(),
        };
        let (node, reply) = put!(self, PaceClient.freeze(request))?;
        acked(node, reply.seq);
        Ok(())
    }

    async fn thaw(&mut self) -> Result<(), Status> {
        let asker = Some(self.asker());
        let request =
            v1::ThawRequest { asker, reason: "it is over".to_owned(), ..Default::default() };
        let (node, reply) = put!(self, PaceClient.thaw(request))?;
        acked(node, reply.seq);
        Ok(())
    }

    /// Gets in the way of a rollout that is under way, or of one that has ended.
    pub(crate) async fn say_something(&mut self, rollout: &str) {
        let said = match self.chance.below(14) {
            0..=3 => self.turn_a_knob(rollout).await,
            4 => self.hold(rollout).await,
            5 => {
                let part = self.part();
                self.let_go(rollout, part).await
            }
            6 => self.cancel(rollout).await,
            7 => self.abort(rollout).await,
            8 => self.roll_back_some(rollout).await,
            9 => self.retry(rollout).await,
            10 => {
                let target = self.chance.between(1, 3);
                self.skip(rollout, target).await
            }
            11 => self.freeze().await,
            12 => self.thaw().await,
            _ => self.approve(rollout).await,
        };
        // What is refused is refused: the invariants are asked about what was not.
        drop(said);
    }

    /// Whatever holds a rollout back is taken away, so that it comes to an end.
    pub(crate) async fn let_everything_go(&mut self, rollout: &v1::RolloutStatus) {
        let id = &rollout.id;
        let all = v1::Part { selector: Some(selector(0)), wave: 0 };
        drop(self.let_go(id, all).await);
        if rollout.waits_for_word > 0 {
            drop(self.approve(id).await);
        }
        if rollout.waits_for_absent {
            drop(self.skip(id, 0).await);
        }
        for knob in &rollout.knobs {
            match &knob.knob {
                Some(v1::knob::Knob::Windows(true)) => {
                    let knob = Some(v1::knob::Knob::Windows(false));
                    drop(self.set(id, v1::Knob { knob }).await);
                }
                Some(v1::knob::Knob::Throttle(throttle))
                    if throttle.setting != Some(v1::throttle_knob::Setting::On(false)) =>
                {
                    drop(self.set(id, throttle_off(&throttle.name)).await);
                }
                Some(v1::knob::Knob::Parallelism(0)) => {
                    let knob = Some(v1::knob::Knob::Parallelism(2));
                    drop(self.set(id, v1::Knob { knob }).await);
                }
                _ => {}
            }
        }
        drop(self.thaw().await);
    }
}
