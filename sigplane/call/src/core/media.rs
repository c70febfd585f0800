//! SDP of calls goes through their media sessions; what the sessions want goes to the dataplane.

use super::Core;
use crate::body::{Found, find_sdp, splice};
use crate::call::Exchange;
use crate::compose::Body;
use crate::counters::Counter;
use crate::media::{Party, Refusal, Session};
use crate::message::Message;

/// Whether SDP is an offer or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Offer,
    Answer,
}

impl Core {
    /// The body of a request, in which SDP is an offer.
    pub(super) fn anchor_offer(
        &mut self,
        key: u64,
        exchange: &mut Exchange,
        from: Party,
        tag: &[u8],
        message: &Message<'_>,
    ) -> Result<Body, Refusal> {
        let body = self.anchor(key, Act::Offer, from, tag, message)?;
        if matches!(body, Body::Replaced(_)) {
            *exchange = Exchange::Offered(from);
        }
        Ok(body)
    }

    /// The body of a request (ACK, PRACK), in which SDP is the answer to an offer in a response.
    pub(super) fn anchor_answer(
        &mut self,
        key: u64,
        from: Party,
        tag: &[u8],
        message: &Message<'_>,
    ) -> Result<Body, Refusal> {
        self.anchor(key, Act::Answer, from, tag, message)
    }

    /// The body of a response by `from`: SDP is the answer to the request's offer, or an offer when
    /// the request had none.
    pub(super) fn anchor_response(
        &mut self,
        key: u64,
        exchange: &mut Exchange,
        from: Party,
        tag: &[u8],
        message: &Message<'_>,
    ) -> Result<Body, Refusal> {
        let asked = from.other();
        let (act, next) = match *exchange {
            Exchange::Offered(party) | Exchange::Answered(party) if party == asked => {
                (Act::Answer, Exchange::Answered(party))
            }
            _ => (Act::Offer, Exchange::Offered(from)),
        };
        let body = self.anchor(key, act, from, tag, message)?;
        if matches!(body, Body::Replaced(_)) {
            *exchange = next;
        }
        Ok(body)
    }

    fn anchor(
        &mut self,
        key: u64,
        act: Act,
        from: Party,
        tag: &[u8],
        message: &Message<'_>,
    ) -> Result<Body, Refusal> {
        let place = match find_sdp(message) {
            Found::None => return Ok(Body::Same),
            Found::Unreadable => {
                self.counters.add(Counter::BodiesUnreadable);
                return Ok(Body::Removed);
            }
            Found::Sdp(place) => place,
        };
        let sdp = message.body().get(place.clone()).unwrap_or_default();
        let session = self
            .calls
            .get_mut(&key)
            .and_then(|c| c.record.media.as_mut());
        let Some(session) = session else {
            return Ok(Body::Removed);
        };
        let anchored = match act {
            Act::Offer => session.offer(&mut self.ports, from, tag, sdp),
            Act::Answer => session.answer(&mut self.ports, from, tag, sdp),
        };
        if let Err(refusal) = &anchored {
            self.counters.add_named(refusal.counter);
        }
        self.media_commands(key);
        anchored.map(|sdp| Body::Replaced(splice(message.body(), place, &sdp)))
    }

    /// Does something with a call's media session, if it has one, and carries out what follows.
    pub(super) fn with_media(
        &mut self,
        key: u64,
        act: impl FnOnce(&mut Session, &mut crate::media::Ports),
    ) {
        if let Some(call) = self.calls.get_mut(&key)
            && let Some(session) = call.record.media.as_mut()
        {
            act(session, &mut self.ports);
            self.media_commands(key);
        }
    }

    /// Gives the dataplane what the call's session has for it, and counts what it has to tell.
    pub(super) fn media_commands(&mut self, key: u64) {
        while let Some(command) = self
            .calls
            .get_mut(&key)
            .and_then(|c| c.record.media.as_mut())
            .and_then(Session::command)
        {
            self.command_for_call(key, command);
        }
        while let Some(counter) = self
            .calls
            .get_mut(&key)
            .and_then(|c| c.record.media.as_mut())
            .and_then(Session::counter)
        {
            self.counters.add_named(counter);
        }
    }

    /// An exchange of offer and answer is complete. Before the call is answered (UPDATE or PRACK
    /// in an early dialog) that settles nothing: another fork may answer yet, and a phone that
    /// rings sends no media whose absence would mean anything.
    pub(super) fn settle_if_answered(&mut self, key: u64) {
        let answered = self
            .calls
            .get(&key)
            .is_some_and(|c| c.record.confirmed.is_some());
        if answered {
            self.with_media(key, Session::settle);
        }
    }
}
