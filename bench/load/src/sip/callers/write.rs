//! The callers' messages.

use std::net::SocketAddr;

use tandem_wire::sip::Name;

use super::{Call, Callers, State};
use crate::sip::dialog::{NO_BODY, Remote, put};
use crate::sip::shared::{Context, Owner, Tag};
use crate::sip::text::{decimal, hex};
use crate::sip::view::View;

impl Callers {
    /// ACK of a 2xx: a request of its own, through the route.
    pub(super) fn acknowledge(&mut self, context: &mut Context<'_>, slot: u32) {
        if let Some(call) = self.calls.get(slot as usize) {
            let (to, bytes) = self.request(slot, call, b"ACK", call.invite);
            context.send(self.settings.caller, to, bytes);
        }
    }

    /// ACK of any other final answer: of the INVITE's transaction (RFC 3261 section 17.1.1.3).
    pub(super) fn acknowledge_refusal(
        &self,
        context: &mut Context<'_>,
        view: &View<'_>,
        slot: u32,
        invite: u32,
    ) {
        let Some(call) = self.calls.get(slot as usize) else {
            return;
        };
        let mut bytes = Vec::with_capacity(512);
        self.start(&mut bytes, slot, call, b"ACK", None, invite);
        put(&mut bytes, &[b"To: ", view.header(Name::To), b"\r\n"]);
        self.end(&mut bytes, slot, call, b"ACK", invite);
        bytes.extend_from_slice(NO_BODY);
        context.send(self.settings.caller, self.settings.appliance, bytes);
    }

    /// A request of a call with its CSeq, and where it goes.
    pub(super) fn request(
        &self,
        slot: u32,
        call: &Call,
        method: &[u8],
        cseq: u32,
    ) -> (SocketAddr, Vec<u8>) {
        let mut out = Vec::with_capacity(1024);
        let in_dialog =
            matches!(method, b"BYE") || (method == b"ACK" && !call.remote.tag.is_empty());
        let target = in_dialog.then_some(&call.remote);
        self.start(&mut out, slot, call, method, target, cseq);
        out.extend_from_slice(b"To: <sip:");
        self.settings.number.write(&mut out, call.number);
        put(&mut out, &[b"@", &self.fixed.appliance, b">"]);
        if in_dialog {
            put(&mut out, &[b";tag=", &call.remote.tag]);
        }
        out.extend_from_slice(b"\r\n");
        self.end(&mut out, slot, call, method, cseq);
        if matches!(method, b"INVITE" | b"BYE") {
            out.extend_from_slice(&call.credentials);
        }
        if method == b"INVITE" {
            out.extend_from_slice(b"Contact: <sip:tandem-load@");
            put(&mut out, &[&self.fixed.local, b">\r\n"]);
            self.fixed.sdp.write(&mut out, call.media_port);
        } else {
            out.extend_from_slice(NO_BODY);
        }
        let to = target.and_then(|remote| remote.hop);
        (to.unwrap_or(self.settings.appliance), out)
    }

    /// The start line, Via, Max-Forwards, Route and From.
    fn start(
        &self,
        out: &mut Vec<u8>,
        slot: u32,
        call: &Call,
        method: &[u8],
        remote: Option<&Remote>,
        cseq: u32,
    ) {
        put(out, &[method, b" "]);
        match remote.filter(|r| !r.target.is_empty()) {
            Some(remote) => out.extend_from_slice(&remote.target),
            None => {
                out.extend_from_slice(b"sip:");
                self.settings.number.write(out, call.number);
                put(out, &[b"@", &self.fixed.appliance]);
            }
        }
        put(out, &[b" SIP/2.0", &self.fixed.via]);
        hex(out, slot);
        hex(out, call.generation);
        // The ACK of a refusal and CANCEL have the INVITE's branch; that of a 2xx has its own.
        if remote.is_some() && method == b"ACK" {
            out.push(b'a');
        }
        decimal(out, u64::from(cseq));
        out.extend_from_slice(b"\r\nMax-Forwards: 70\r\n");
        if let Some(remote) = remote {
            out.extend_from_slice(&remote.routes);
        }
        out.extend_from_slice(b"From: <sip:");
        match &self.settings.users {
            Some(users) => users
                .name
                .write(out, call.number % u64::from(users.count.max(1))),
            None => self.settings.name.write(out, call.number),
        }
        put(out, &[b"@", &self.fixed.home, b">;tag="]);
        let owner = Owner::Caller;
        Tag {
            owner,
            slot,
            generation: call.generation,
        }
        .write(out);
        out.extend_from_slice(b"\r\n");
    }

    /// Call-ID and CSeq.
    fn end(&self, out: &mut Vec<u8>, slot: u32, call: &Call, method: &[u8], cseq: u32) {
        out.extend_from_slice(b"Call-ID: ");
        hex(out, call.generation);
        hex(out, slot);
        out.extend_from_slice(b"@tandem-load\r\nCSeq: ");
        decimal(out, u64::from(cseq));
        put(out, &[b" ", method, b"\r\n"]);
    }

    /// SDP of a call, for a re-INVITE of the other end.
    pub(crate) fn describe(&self, out: &mut Vec<u8>, tag: Tag) -> bool {
        let found = self.calls.get(tag.slot as usize);
        match found.filter(|c| c.generation == tag.generation && c.state != State::Over) {
            Some(call) => {
                put(
                    out,
                    &[b"Contact: <sip:tandem-load@", &self.fixed.local, b">\r\n"],
                );
                self.fixed.sdp.write(out, call.media_port);
                true
            }
            None => false,
        }
    }
}
