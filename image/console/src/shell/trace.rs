//! A call that is followed: a capture of its SIP, read.

use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{from_slice, from_value, to_value};
use tandem_admin::{
    CaptureEnd, CaptureParams, CaptureStarted, CapturedPacket, Notification, method,
};
use tandem_wire::ethernet::Ethernet;
use tandem_wire::ipv4::Ipv4;
use tandem_wire::ipv6::Ipv6;
use tandem_wire::sip::{self, Name, Start};
use tandem_wire::udp::Udp;

use super::Hub;
use super::client::Client;
use crate::feed::{Feed, Message, TraceNews};
use crate::text::clean;

/// For how long a call is followed, in seconds; the daemon may end it sooner.
const SECONDS: u32 = 3_600;
/// Messages at most.
const MESSAGES: u64 = 2_000;
/// Of a header or a body, so many lines are kept.
const LINES: usize = 200;

/// What is followed now.
#[derive(Default)]
pub(super) struct Follower {
    /// Ends it from outside.
    handle: Arc<Mutex<Option<UnixStream>>>,
}

impl Follower {
    /// Follows a call.
    pub(super) fn follow(&mut self, hub: &Hub, call_id: String) {
        self.end();
        self.handle = Arc::default();
        let (hub, handle) = (hub.clone(), Arc::clone(&self.handle));
        thread::spawn(move || {
            let why = follow(&hub, call_id, &handle);
            lock(&handle).take();
            if let Err(why) = why {
                hub.feed(Feed::Trace(TraceNews::Ended(why)));
            }
        });
    }

    /// Follows it no more.
    pub(super) fn end(&mut self) {
        if let Some(stream) = lock(&self.handle).take() {
            // It has ended by itself if that fails.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn lock(handle: &Mutex<Option<UnixStream>>) -> std::sync::MutexGuard<'_, Option<UnixStream>> {
    handle.lock().unwrap_or_else(PoisonError::into_inner)
}

fn follow(hub: &Hub, call_id: String, handle: &Mutex<Option<UnixStream>>) -> Result<(), String> {
    let mut client = Client::connect(&hub.options.socket)?;
    let params = CaptureParams {
        call_id: Some(call_id),
        sip_only: true,
        max_packets: MESSAGES,
        max_seconds: SECONDS,
        ..CaptureParams::default()
    };
    let params = to_value(&params).map_err(|error| error.to_string())?;
    let started: CaptureStarted = client.call(method::CAPTURE, params)?;
    client.wait_up_to(Duration::from_secs(u64::from(started.max_seconds) + 10))?;
    *lock(handle) = Some(client.handle()?);
    hub.feed(Feed::Trace(TraceNews::Started(started.max_seconds)));
    loop {
        let line = client.line();
        // Somebody follows another one, or none.
        if lock(handle).is_none() {
            return Ok(());
        }
        let note: Notification =
            from_slice(&line?).map_err(|_| "news of another version".to_owned())?;
        if note.method == method::CAPTURE_END {
            let end: CaptureEnd = from_value(note.params).map_err(|error| error.to_string())?;
            return Err(end.reason);
        }
        let packet: CapturedPacket = from_value(note.params).map_err(|error| error.to_string())?;
        if let Some(message) = message(&packet)
            && !hub.feed(Feed::Trace(TraceNews::Message(Box::new(message))))
        {
            return Ok(());
        }
    }
}

/// A packet's SIP message; none when it has none that can be read.
fn message(packet: &CapturedPacket) -> Option<Message> {
    let bytes = packet.bytes()?;
    let frame = Ethernet::parse(&bytes).ok()?;
    let (source, destination, payload): (IpAddr, IpAddr, &[u8]) = match Ipv4::parse(frame.payload())
    {
        Ok(ip) if ip.protocol() == 17 => {
            (ip.source().into(), ip.destination().into(), ip.payload())
        }
        _ => {
            let ip = Ipv6::parse(frame.payload()).ok()?;
            (ip.source().into(), ip.destination().into(), ip.payload())
        }
    };
    let udp = Udp::parse(payload).ok()?;
    let peer = match packet.sent {
        true => SocketAddr::new(destination, udp.destination_port()),
        false => SocketAddr::new(source, udp.source_port()),
    };
    let (title, cseq, sdp) = read(udp.payload())?;
    let text = String::from_utf8_lossy(udp.payload());
    Some(Message {
        time_ns: packet.timestamp_ns,
        port: packet.port.clone(),
        sent: packet.sent,
        peer,
        title,
        cseq,
        sdp,
        lines: text
            .split('\n')
            .take(LINES)
            .map(|line| clean(line.trim_end_matches('\r')))
            .collect(),
    })
}

/// A message's name, its CSeq, and whether it has SDP.
fn read(bytes: &[u8]) -> Option<(String, String, bool)> {
    let index = sip::salvage(bytes).ok()?;
    let text = |range: std::ops::Range<usize>| {
        clean(&String::from_utf8_lossy(
            bytes.get(range).unwrap_or_default(),
        ))
    };
    let value = |name: Name| {
        let field = index.fields.iter().find(|field| field.name == name)?;
        Some(text(field.value.clone()))
    };
    let cseq = value(Name::CSeq).unwrap_or_default();
    let title = match &index.start {
        Start::Request { method, .. } => text(method.clone()),
        Start::Response { status, reason } => {
            // Of which request, where that is not the INVITE.
            let method = cseq.split(' ').next_back().unwrap_or_default();
            match method {
                "INVITE" | "" => format!("{status} {}", text(reason.clone())),
                method => format!("{status} {} ({method})", text(reason.clone())),
            }
        }
    };
    let body = bytes.get(index.body.clone()).unwrap_or_default();
    let sdp = value(Name::ContentType).is_some_and(|t| t.to_ascii_lowercase().contains("sdp"))
        && !body.is_empty();
    Some((title, cseq, sdp))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_has_its_name_and_says_whether_it_has_sdp() {
        let invite = b"INVITE sip:a@b SIP/2.0\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n";
        let (title, cseq, sdp) = read(invite).unwrap();
        assert_eq!(
            (title.as_str(), cseq.as_str(), sdp),
            ("INVITE", "1 INVITE", true)
        );
        let bye = b"SIP/2.0 200 O\x1bK\r\nCSeq: 2 BYE\r\n\r\n";
        assert_eq!(read(bye).unwrap().0, "200 O\\eK (BYE)");
    }

    proptest! {
        #[test]
        fn any_packet_is_a_message_or_none(data in "[0-9a-f]{0,400}", sent in any::<bool>()) {
            let packet = CapturedPacket { timestamp_ns: 1, port: String::new(), sent, length: 1, data };
            let _ = message(&packet);
        }
    }
}
