//! Requests of our own in dialogs of others: ACK and BYE.

use tandem_policy::EndCause;
use tandem_transaction::Method;

use super::{ClientUse, Core};
use crate::compose::Draft;
use crate::counters::Counter;
use crate::io::Now;
use crate::media::Party;
use crate::record::{Hop, Peer};

impl Core {
    /// Acknowledges a 2xx in the caller's stead.
    pub(super) fn own_ack(
        &mut self,
        to: &Peer,
        from_value: &[u8],
        to_value: &[u8],
        call_id: &[u8],
        cseq: u32,
    ) {
        let hop = self.way_to(to);
        let (_, draft) = self.own_request("ACK", to, hop, from_value, to_value, call_id, cseq);
        self.send(hop, draft.finish(b""));
    }

    /// Ends a dialog in the other party's stead.
    #[allow(
        clippy::too_many_arguments,
        reason = "they are a BYE's headers, each needed once"
    )]
    pub(super) fn own_bye(
        &mut self,
        now: Now,
        to: &Peer,
        from_value: &[u8],
        to_value: &[u8],
        call_id: &[u8],
        cseq: u32,
        why: Option<&str>,
    ) {
        let hop = self.way_to(to);
        let (branch, mut draft) =
            self.own_request("BYE", to, hop, from_value, to_value, call_id, cseq);
        if let Some(why) = why {
            draft = draft.header("Reason", why.as_bytes());
        }
        let bytes = draft
            .header("User-Agent", self.config.server.as_bytes())
            .finish(b"");
        let id = self.layer.request(
            now.mono,
            branch.as_bytes(),
            Method::Other,
            hop,
            bytes.into(),
        );
        self.clients.insert(id, ClientUse::Bye { again: false });
        self.counters.add(Counter::ByesSent);
        self.flush();
    }

    /// Ends an answered call on both sides.
    pub(super) fn bye_both(&mut self, now: Now, key: u64, cause: EndCause) {
        for party in [Party::Callee, Party::Caller] {
            self.bye(now, key, party, cause);
        }
    }

    /// Ends an answered call on one side, in the name of the other.
    pub(super) fn bye(&mut self, now: Now, key: u64, party: Party, cause: EndCause) {
        let Some(record) = self.calls.get(&key).map(|c| &c.record) else {
            return;
        };
        let Some(dialog) = record.answered() else {
            return;
        };
        let (caller, callee) = (record.caller.clone(), dialog.callee.clone());
        let (from, to) = (record.from.clone(), dialog.to.clone());
        let call_id = record.call_id.clone();
        let unacknowledged = dialog.acked.is_none();
        let why = reason(cause);
        match party {
            Party::Callee => {
                // Without it the callee would repeat its 2xx, and might not listen to a BYE.
                if unacknowledged {
                    self.own_ack(&callee, &from, &to, &call_id, caller.cseq);
                }
                let cseq = caller.cseq.saturating_add(1);
                self.own_bye(now, &callee, &from, &to, &call_id, cseq, why);
            }
            Party::Caller => {
                let cseq = callee.cseq.saturating_add(1);
                self.own_bye(now, &caller, &to, &from, &call_id, cseq, why);
            }
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "they are a request's headers, each needed once"
    )]
    fn own_request(
        &mut self,
        method: &str,
        to: &Peer,
        hop: Hop,
        from_value: &[u8],
        to_value: &[u8],
        call_id: &[u8],
        cseq: u32,
    ) -> (String, Draft) {
        let branch = self.tokens.branch();
        let (uri, routes) = to.route_set();
        let draft = Draft::request(method.as_bytes(), uri)
            .header("Via", &self.via(hop, &branch))
            .headers("Route", routes.iter().map(Vec::as_slice))
            .header("Max-Forwards", b"70")
            .header("From", from_value)
            .header("To", to_value)
            .header("Call-ID", call_id)
            .header("CSeq", format!("{cseq} {method}").as_bytes());
        (branch, draft)
    }
}

/// Why we end a call (RFC 3326).
const fn reason(cause: EndCause) -> Option<&'static str> {
    match cause {
        EndCause::MediaTimeout => Some("SIP;cause=408;text=\"No media\""),
        EndCause::MaxDuration => Some("SIP;cause=480;text=\"Longest duration reached\""),
        EndCause::SessionExpired => Some("SIP;cause=408;text=\"Session not refreshed\""),
        EndCause::Administrator => Some("SIP;cause=480;text=\"Ended by an administrator\""),
        EndCause::Local => Some("SIP;cause=503;text=\"Media cannot flow\""),
        _ => None,
    }
}
