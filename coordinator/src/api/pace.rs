//! Freezes: declared and lifted.

use skein_core::command::Command;
use skein_core::ids::FreezeId;
use skein_proto::v1;
use tonic::{Request, Response, Status};

use super::{Api, status};
use crate::codec;

#[tonic::async_trait]
impl v1::pace_server::Pace for Api {
    async fn freeze(
        &self,
        request: Request<v1::FreezeRequest>,
    ) -> Result<Response<v1::FreezeReply>, Status> {
        let request = request.into_inner();
        let command = Command::Freeze {
            selector: codec::selector(request.selector.clone()),
            until: codec::until(request.until_ms),
            reason: request.reason.clone(),
        };
        let accepted = self.ask(request.asker.clone(), &request, command).await?;
        Ok(Response::new(v1::FreezeReply { seq: accepted.seq, freezes: self.freezes() }))
    }

    async fn thaw(
        &self,
        request: Request<v1::ThawRequest>,
    ) -> Result<Response<v1::ThawReply>, Status> {
        let request = request.into_inner();
        let freezes = request.freezes.iter().map(|text| {
            FreezeId::parse(text).ok_or_else(|| {
                status::missing(
                    format!("`{text}` is no freeze's id"),
                    "ids look like frz-0042; `skein status` lists them",
                )
            })
        });
        let command = Command::Thaw {
            freezes: freezes.collect::<Result<_, _>>()?,
            selector: codec::selector(request.selector.clone()),
            reason: request.reason.clone(),
        };
        let accepted = self.ask(request.asker.clone(), &request, command).await?;
        Ok(Response::new(v1::ThawReply { seq: accepted.seq, freezes: self.freezes() }))
    }
}

impl Api {
    /// Those in force.
    fn freezes(&self) -> Vec<v1::Freeze> {
        let fleet = self.machine.fleet();
        super::convert::freezes(&fleet, self.machine.now(&fleet))
    }
}
