//! A call that is followed: its messages as they pass our ports, for the ladder.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tandem_admin::Call;

use crate::feed::{Message, TraceNews};

/// Messages kept.
const KEPT: usize = 1_000;

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TraceState {
    /// It was asked for.
    Asked,
    /// Until this time, in Unix milliseconds.
    Runs(u64),
    /// Over: why.
    Ended(String),
}

/// What is known of the call itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) target: String,
    pub(crate) state: String,
    pub(crate) start_ms: u64,
    pub(crate) answer_ms: Option<u64>,
}

impl From<&Call> for Known {
    fn from(call: &Call) -> Self {
        Self {
            from: call.from_uri.clone(),
            to: call.to_uri.clone(),
            target: call.target.clone(),
            state: call.state.clone(),
            start_ms: call.start_ms,
            answer_ms: call.answer_ms,
        }
    }
}

/// A call that is followed.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) call_id: String,
    pub(crate) known: Option<Known>,
    pub(crate) state: TraceState,
    pub(crate) messages: Vec<Message>,
    /// Messages that there was no room for.
    pub(crate) missed: u64,
    /// The message that is shown in full, from which line on.
    pub(crate) open: Option<usize>,
    /// The last message is selected, whatever comes.
    pub(crate) follow: bool,
}

impl Trace {
    pub(crate) fn new(call_id: String, known: Option<Known>) -> Self {
        Self {
            call_id,
            known,
            state: TraceState::Asked,
            messages: Vec::new(),
            missed: 0,
            open: None,
            follow: true,
        }
    }

    pub(crate) fn take(&mut self, now: u64, news: TraceNews) {
        match news {
            TraceNews::Started(seconds) => {
                self.state = TraceState::Runs(now.saturating_add(u64::from(seconds) * 1_000));
            }
            TraceNews::Message(_) if self.messages.len() >= KEPT => self.missed += 1,
            TraceNews::Message(message) => {
                // Workers hand their packets over one after the other: the order is by time.
                let time = message.time_ns;
                let at = self.messages.partition_point(|m| m.time_ns <= time);
                self.messages.insert(at, *message);
            }
            TraceNews::Ended(why) => self.state = TraceState::Ended(why),
        }
    }

    /// Peers to the left of us and to the right, as they came: those of the first message's port are on the left.
    pub(crate) fn sides(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let Some(first) = self.messages.first() else {
            return (Vec::new(), Vec::new());
        };
        let mut seen = BTreeMap::new();
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for message in &self.messages {
            if seen.insert(message.peer, ()).is_none() {
                if message.port == first.port {
                    left.push(message.peer);
                } else {
                    right.push(message.peer);
                }
            }
        }
        // The first peer stands at the far left; who was asked later stands further to the right.
        (left, right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(time_ns: u64, port: &str, peer: &str) -> TraceNews {
        TraceNews::Message(Box::new(Message {
            time_ns,
            port: port.to_owned(),
            sent: false,
            peer: peer.parse().unwrap(),
            title: "INVITE".to_owned(),
            cseq: "1 INVITE".to_owned(),
            sdp: false,
            lines: Vec::new(),
        }))
    }

    #[test]
    fn messages_are_in_their_order_and_peers_on_their_sides() {
        let mut trace = Trace::new("x".to_owned(), None);
        trace.take(5, TraceNews::Started(2));
        assert_eq!(trace.state, TraceState::Runs(2_005));
        trace.take(5, message(30, "core", "10.0.0.2:5060"));
        trace.take(5, message(10, "carrier", "192.0.2.1:5060"));
        trace.take(5, message(20, "core", "10.0.0.1:5060"));
        let times: Vec<u64> = trace.messages.iter().map(|m| m.time_ns).collect();
        assert_eq!(times, [10, 20, 30]);
        let (left, right) = trace.sides();
        assert_eq!(left, ["192.0.2.1:5060".parse().unwrap()]);
        assert_eq!(right.len(), 2);
    }

    #[test]
    fn a_flood_of_messages_is_counted_not_kept() {
        let mut trace = Trace::new("x".to_owned(), None);
        for time in 0..KEPT as u64 + 5 {
            trace.take(0, message(time, "a", "10.0.0.1:5060"));
        }
        assert_eq!((trace.messages.len(), trace.missed), (KEPT, 5));
    }
}
