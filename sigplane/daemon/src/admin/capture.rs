//! A capture: the connection carries its packets until it ends, or the client goes.

use serde::Serialize;
use serde_json::Value;
use tandem_admin::{
    CaptureEnd, CaptureParams, CaptureStarted, ErrorCode, Notification, Response, method,
};
use tokio::io::{AsyncReadExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::client::{line, write};
use super::{Api, ask};
use crate::ask::{Ask, CaptureEvent, NamedCall, Refusal, ToWorker};

/// Packets on the way to the client; more are dropped and counted.
const PACKETS: usize = 4096;

/// A capture that the dataplane has begun.
pub(super) struct Capture {
    started: CaptureStarted,
    packets: mpsc::Receiver<CaptureEvent>,
}

pub(super) async fn begin(params: CaptureParams, api: &Api) -> Result<Capture, Refusal> {
    let named = match &params.call_id {
        Some(call_id) => {
            let mut named = ask::named(api, call_id).await?;
            if params.sip_only {
                named.flows.clear();
            }
            named
        }
        None if params.sip_only => {
            let message = "sip_only says what of a call is captured: name it with call_id";
            return Err(Refusal::new(ErrorCode::InvalidParams, message));
        }
        None => NamedCall::default(),
    };
    let (sender, packets) = mpsc::channel(PACKETS);
    let question = |answer| Ask::Capture {
        params,
        named,
        packets: sender,
        answer,
    };
    let started = ask::first(api, question).await??;
    Ok(Capture { started, packets })
}

impl Capture {
    /// Streams it. The connection is to be closed afterwards.
    pub(super) async fn run(
        mut self,
        id: Value,
        reader: &mut BufReader<OwnedReadHalf>,
        writer: &mut OwnedWriteHalf,
        api: &Api,
    ) {
        let number = self.started.id;
        if self.stream(id, reader, writer).await.is_err() {
            // The client is gone. A full mailbox is no loss: the next packet shows it too.
            if let Some(mailbox) = api.mailboxes.first() {
                let _ = mailbox.send(ToWorker::Ask(Box::new(Ask::StopCapture(number))));
            }
        }
    }

    async fn stream(
        &mut self,
        id: Value,
        reader: &mut BufReader<OwnedReadHalf>,
        writer: &mut OwnedWriteHalf,
    ) -> Result<(), ()> {
        let started = serde_json::to_value(&self.started).map_err(drop)?;
        write(writer, &line(&Response::success(id, started)).ok_or(())?).await?;
        let mut ignored = [0; 1024];
        loop {
            tokio::select! {
                event = self.packets.recv() => match event {
                    Some(CaptureEvent::Packet(packet)) => {
                        notify(writer, method::CAPTURE_PACKET, &packet).await?;
                    }
                    Some(CaptureEvent::End(end)) => {
                        return notify(writer, method::CAPTURE_END, &end).await;
                    }
                    None => {
                        let reason = "it ended while this client was too slow".to_owned();
                        let end = CaptureEnd { dropped: 0, reason };
                        return notify(writer, method::CAPTURE_END, &end).await;
                    }
                },
                read = reader.read(&mut ignored) => match read {
                    Ok(length) if length > 0 => {}
                    _ => return Err(()),
                },
            }
        }
    }
}

async fn notify(writer: &mut OwnedWriteHalf, name: &str, what: &impl Serialize) -> Result<(), ()> {
    let params = serde_json::to_value(what).map_err(drop)?;
    write(writer, &line(&Notification::new(name, params)).ok_or(())?).await
}
