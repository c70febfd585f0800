//! Answers that we give ourselves: without state, or by a server transaction.

use std::net::SocketAddr;

use tandem_transaction::ServerId;

use super::Core;
use super::request::Arrival;
use crate::compose::Draft;
use crate::io::Now;
use crate::message::{Message, Skeleton, response_hop, via_with_source};
use crate::record::Hop;

/// An answer of our own.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) reason: String,
    headers: Vec<(&'static str, Vec<u8>)>,
}

impl Answer {
    pub(super) fn new(code: u16, reason: &str) -> Self {
        // A reason may quote what the peer sent: nothing of it may end the line.
        let reason = reason
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        Self {
            code,
            reason,
            headers: Vec::new(),
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: &[u8]) -> Self {
        self.headers.push((name, value.to_vec()));
        self
    }

    pub(super) fn no_such_dialog() -> Self {
        Self::new(481, "Call/Transaction Does Not Exist")
    }

    pub(super) fn unavailable() -> Self {
        Self::new(503, "Service Unavailable")
    }
}

impl Core {
    /// Answers without state: the same request gets the same answer, To-tag included.
    pub(super) fn reply(&mut self, arrival: Arrival<'_, '_>, answer: &Answer) {
        self.reply_to(arrival.hop, &arrival.message.skeleton(), answer);
    }

    pub(super) fn reply_to(&mut self, hop: Hop, request: &Skeleton<'_>, answer: &Answer) {
        if let Some((back, bytes)) = self.written(hop, request, answer) {
            self.send(back, bytes);
        }
    }

    /// The same for an answer that has nothing in it but what its receiver wrote: there is nothing to
    /// hide.
    pub(super) fn echo_to(&mut self, hop: Hop, request: &Skeleton<'_>, answer: &Answer) {
        if let Some((back, bytes)) = self.written(hop, request, answer) {
            self.send_as_it_is(back, bytes);
        }
    }

    fn written(&self, hop: Hop, request: &Skeleton<'_>, answer: &Answer) -> Option<(Hop, Vec<u8>)> {
        let top = request.vias.first()?;
        // The Via of another version cannot be read; its sender is where it came from.
        let other_version = (answer.code == 505).then_some(hop);
        let back = response_hop(top, hop).or(other_version)?;
        let vias = via_block(&request.vias, hop.peer);
        Some((back, self.own_response(&vias, request, answer)))
    }

    /// Answers by a server transaction, whose request was this.
    pub(super) fn respond(
        &mut self,
        now: Now,
        server: ServerId,
        vias: &[u8],
        request: &Message<'_>,
        answer: &Answer,
    ) {
        let bytes = self.own_response(vias, &request.skeleton(), answer);
        self.layer
            .respond(now.mono, server, answer.code, bytes.into());
        self.flush();
    }

    fn own_response(&self, vias: &[u8], request: &Skeleton<'_>, answer: &Answer) -> Vec<u8> {
        let mut to = request.to.to_vec();
        // 100 has no tag (RFC 3261 section 8.2.6.2).
        if !request.has_to_tag && answer.code != 100 && !to.is_empty() {
            let tag = self
                .tokens
                .tag(&[request.call_id, request.from, request.cseq]);
            to.extend_from_slice(b";tag=");
            to.extend_from_slice(tag.as_bytes());
        }
        let mut draft = Draft::response(answer.code, answer.reason.as_bytes()).block(vias);
        let echoed: [(&str, &[u8]); 4] = [
            ("From", request.from),
            ("To", &to),
            ("Call-ID", request.call_id),
            ("CSeq", request.cseq),
        ];
        for (name, value) in echoed {
            if !value.is_empty() {
                draft = draft.header(name, value);
            }
        }
        for (name, value) in &answer.headers {
            draft = draft.header(name, value);
        }
        if answer.code != 100 {
            draft = draft.header("Server", self.config.server.as_bytes());
        }
        draft.finish(b"")
    }
}

/// The Via headers of a response to a request from `source` (RFC 3261 section 18.2.1, RFC 3581).
pub(super) fn via_block(vias: &[&[u8]], source: SocketAddr) -> Vec<u8> {
    let mut block = Vec::new();
    for (i, via) in vias.iter().enumerate() {
        block.extend_from_slice(b"Via: ");
        if i == 0 {
            block.extend_from_slice(&via_with_source(via, source));
        } else {
            block.extend_from_slice(via);
        }
        block.extend_from_slice(b"\r\n");
    }
    block
}
