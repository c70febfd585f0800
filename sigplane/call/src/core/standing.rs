//! Dialogs outside of calls: SUBSCRIBE, NOTIFY and REFER (RFC 6665, RFC 3515). They are transactions to us, so
//! the Contact that we show in the place of an end's has all in it that leads to that end: a token, sealed as
//! those of flows are. Who sends a request to it has to be one who may, as if there were no dialog.

use std::collections::VecDeque;

use tandem_policy::defence::Sight;
use tandem_transaction::ServerKey;

use super::Core;
use super::dialog::foreign;
use super::reply::Answer;
use super::request::Arrival;
use crate::call::Candidate;
use crate::config::Side;
use crate::counters::Counter;
use crate::edits::Edits;
use crate::hiding::Sealed;
use crate::io::Now;
use crate::message::{self, Message, Name};
use crate::record::{Hop, Peer};

/// What such a token begins with: the format's name and version. Sealed is the end, in postcard.
const PREFIX: &[u8] = b"tnc1-";

/// An end that needs more bytes than this gets a Contact that leads nowhere: nobody writes such ones, and
/// datagrams have an end.
const MAX_END: usize = 400;

impl Core {
    /// Our Contact in a message outside of calls that goes by `to`, standing for its sender, who is at `from`.
    pub(super) fn standing_contact(&self, message: &Message<'_>, from: Hop, to: Hop) -> Vec<u8> {
        let user = message::plain_user(message.contact_uri().unwrap_or_default());
        let makes_dialog = matches!(message.cseq_method(), b"SUBSCRIBE" | b"NOTIFY" | b"REFER");
        let token = makes_dialog
            .then(|| self.token_for(message, from))
            .flatten();
        self.contact_of(token.as_deref().or(user).unwrap_or(b"tandem"), to)
    }

    fn token_for(&self, message: &Message<'_>, from: Hop) -> Option<Vec<u8>> {
        let keys = self.config.hiding.keys.as_ref()?;
        let mut routes = foreign(&self.config, &message.list(Name::RecordRoute));
        if !message.is_request() {
            routes.reverse();
        }
        let end = Peer {
            hop: from,
            target: message.contact_uri()?.to_vec(),
            routes,
            cseq: 0,
            alias: Vec::new(),
        };
        let plain = postcard::to_allocvec(&end).ok()?;
        keys.seal_with(PREFIX, keys.current(), &plain)
            .filter(|_| plain.len() <= MAX_END)
    }

    /// Passes a request on if it is for a Contact of [`Self::standing_contact`]; says whether it was for one.
    pub(super) fn pass_in_dialog(
        &mut self,
        now: Now,
        arrival: Arrival<'_, '_>,
        server_key: &ServerKey<'_>,
    ) -> bool {
        let message = arrival.message;
        // These are of calls, and calls are kept.
        if matches!(
            message.method(),
            b"INVITE" | b"BYE" | b"PRACK" | b"UPDATE" | b"CANCEL" | b"ACK"
        ) {
            return false;
        }
        let token = message::user_of(message.uri()).unwrap_or_default();
        let keys = self.config.hiding.keys.as_ref();
        let end: Peer = match keys.map(|keys| keys.open_with(PREFIX, token)) {
            Some(Sealed::Ours(plain)) => match postcard::from_bytes(&plain) {
                Ok(end) => end,
                Err(_) => return false,
            },
            Some(Sealed::Forged) => {
                self.counters.add(Counter::FlowsForged);
                self.saw(arrival.hop, Sight::Failure);
                self.reply(arrival, &Answer::new(403, "Forbidden"));
                return true;
            }
            Some(Sealed::Foreign | Sealed::NoKey) | None => return false,
        };
        let other = self.config.side(arrival.hop.path).map(Side::other);
        let hop = end.hop;
        if self.config.side(hop.path) != other || !self.config.has(hop.path, hop.local) {
            return false;
        }
        if !self.has_tables {
            self.too_early(now, arrival, *server_key);
            return true;
        }
        let Some(decision) = self.decide(now, arrival) else {
            self.saw(arrival.hop, Sight::Failure);
            self.counters.add(Counter::Forbidden);
            self.reply(arrival, &Answer::new(403, "Forbidden"));
            return true;
        };
        let (uri, routes) = end.route_set();
        let candidate = Candidate::Flow {
            uri: message::start_line_uri(uri).to_vec(),
            hop: self.way_to(&end),
            routes,
        };
        let arrival = decision.arrival(arrival);
        self.begin_passage(
            now,
            arrival,
            *server_key,
            VecDeque::from([candidate]),
            Edits::default(),
        );
        true
    }
}
