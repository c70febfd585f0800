//! One call's media.

use serde::{Deserialize, Serialize};
use tandem_link::{Command, Cookie, Event, FlowId, FlowSpec};

use super::ports::Ports;

/// Whose SDP it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Party {
    /// Who sent the first INVITE: leg A.
    Caller,
    /// Who got it: leg B.
    Callee,
}

/// What is configured for media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaSettings {
    /// DSCP of relayed media, 0 to 63.
    pub dscp: u8,
    /// Seconds without media after which a flow is reported; 0 never.
    pub timeout_s: u32,
    /// The same for a flow on hold.
    pub hold_timeout_s: u32,
}

/// Why an SDP is not let through. The session is as it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The SIP status to answer a request with: 400, 488 or 503.
    pub status: u16,
    /// What is wrong, for a Warning header or a log.
    pub reason: String,
    /// The counter to move.
    pub counter: &'static str,
}

/// A call came back from the journal, but its ports could not be reserved again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestorePortsError {
    /// What is wrong.
    pub reason: String,
}

/// One call's media.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Session {
    cookie: Cookie,
    realms: [u16; 2],
    settings: MediaSettings,
}

impl Session {
    /// A session without media. The cookie marks its flows; its low 52 bits must be unique among
    /// the node's live calls, since flow numbers are made from them.
    #[must_use]
    pub fn new(
        cookie: Cookie,
        caller_realm: u16,
        callee_realm: u16,
        settings: MediaSettings,
    ) -> Self {
        Self { cookie, realms: [caller_realm, callee_realm], settings }
    }

    /// An offer passes (INVITE, re-INVITE, UPDATE, PRACK, or a response to an INVITE without
    /// one). Returns what to send on. `to_tag` is the callee's tag of the dialog, empty when
    /// there is none yet. What was agreed before stays in force until the answer.
    ///
    /// # Errors
    /// The offer is to be refused; the session is as before.
    pub fn offer(
        &mut self,
        ports: &mut Ports,
        from: Party,
        to_tag: &[u8],
        sdp: &[u8],
    ) -> Result<Vec<u8>, Refusal> {
        let _ = (ports, from, to_tag);
        Ok(sdp.to_vec())
    }

    /// An answer passes (18x, 200, ACK, PRACK). May come several times for one offer: repeated,
    /// or from another fork (another `to_tag`). Returns what to send on.
    ///
    /// # Errors
    /// The answer is not usable; the session is as before.
    pub fn answer(
        &mut self,
        ports: &mut Ports,
        from: Party,
        to_tag: &[u8],
        sdp: &[u8],
    ) -> Result<Vec<u8>, Refusal> {
        let _ = (ports, from, to_tag);
        Ok(sdp.to_vec())
    }

    /// No further answer to the last offer can come (a 2xx passed, with or without SDP): ports of
    /// media lines that the answer refused are freed. Call it on every 2xx to INVITE, UPDATE, PRACK
    /// that ends an offer/answer exchange; without it they are freed at the next offer or the end.
    pub fn settle(&mut self, ports: &mut Ports) {
        let _ = ports;
    }

    /// The far side refused the offer: back to what was agreed before.
    pub fn reject_offer(&mut self, ports: &mut Ports) {
        let _ = ports;
    }

    /// Failover before the answer: everything of the callee is forgotten and its ports freed; the
    /// caller's ports stay. The next target is in `callee_realm`. Give [`Self::offer`] the
    /// caller's original SDP again.
    pub fn next_target(&mut self, ports: &mut Ports, callee_realm: u16) {
        let _ = (ports, callee_realm);
    }

    /// [`Event::MediaTimeout`] came for this flow.
    pub fn timed_out(&mut self, flow: FlowId) {
        let _ = flow;
    }

    /// [`Event::MediaResumed`] came for this flow.
    pub fn resumed(&mut self, flow: FlowId) {
        let _ = flow;
    }

    /// [`Event::Latched`] came: the source is kept for a dataplane that starts anew. Other events
    /// and other sessions' flows are ignored.
    pub fn latched(&mut self, event: &Event) {
        let _ = event;
    }

    /// Whether the call's media has timed out: every active line that is not on hold is idle (or,
    /// when all are on hold, every one). Never for a call without active lines.
    #[must_use]
    pub fn all_idle(&self) -> bool {
        false
    }

    /// Whether there are active media lines and all of them are on hold.
    #[must_use]
    pub fn on_hold(&self) -> bool {
        false
    }

    /// The flow pairs as they should be installed now, for a dataplane that started anew.
    #[must_use]
    pub fn flows(&self) -> Vec<FlowSpec> {
        Vec::new()
    }

    /// The next command for the dataplane ([`Command::PutFlow`], [`Command::RemoveFlow`]); none
    /// when all are drained. They are not part of the serialized session.
    pub fn command(&mut self) -> Option<Command> {
        None
    }

    /// The call has ended: removes every flow and frees every port. May be called twice.
    pub fn close(&mut self, ports: &mut Ports) {
        let _ = ports;
    }

    /// After deserialization: reserves the same ports again. Emits no commands: see
    /// [`Self::flows`].
    ///
    /// # Errors
    /// A port is not ours any more or is already taken; then none is reserved and the session has
    /// to be dropped without [`Self::close`].
    pub fn restore(&mut self, ports: &mut Ports) -> Result<(), RestorePortsError> {
        let _ = ports;
        Ok(())
    }
}
