//! What a message may bring: its length, its header fields, its Vias.

use super::Core;
use super::reply::Answer;
use crate::counters::Counter;
use crate::message::{Message, Name, with_skeleton};
use crate::record::Hop;

impl Core {
    /// Whether a message is longer than allowed. Then it was answered or dropped.
    pub(super) fn is_too_long(&mut self, hop: Hop, bytes: &[u8]) -> bool {
        let is_over = bytes.len() > self.config.limits.bytes;
        if is_over {
            self.counters.add(Counter::MessageTooLarge);
            self.refuse(hop, bytes, &Answer::new(513, "Message Too Large"));
        }
        is_over
    }

    /// Whether a message has more header fields than allowed. Then it was answered or dropped.
    pub(super) fn has_too_many_headers(&mut self, hop: Hop, message: &Message<'_>) -> bool {
        let is_over = message.field_count() > self.config.limits.headers;
        if is_over {
            self.too_many_headers(hop, message.bytes());
        }
        is_over
    }

    pub(super) fn too_many_headers(&mut self, hop: Hop, bytes: &[u8]) {
        self.counters.add(Counter::HeadersOverLimit);
        self.refuse(hop, bytes, &Answer::new(400, "Too Many Headers"));
    }

    /// Whether a request has more Vias than allowed. Then it was answered or dropped. It goes in
    /// circles, or Max-Forwards was tampered with; 483 says so, and sends nobody to another target,
    /// as a 5xx would. A response's Vias are those of a request that was within the limit.
    pub(super) fn has_too_many_vias(&mut self, hop: Hop, message: &Message<'_>) -> bool {
        let is_over = message.count(Name::Via) > self.config.limits.vias;
        if is_over {
            self.counters.add(Counter::ViasOverLimit);
            self.refuse(hop, message.bytes(), &Answer::new(483, "Too Many Hops"));
        }
        is_over
    }

    /// Answers what may be answered.
    pub(super) fn refuse(&mut self, hop: Hop, bytes: &[u8], answer: &Answer) {
        with_skeleton(bytes, |skeleton| self.reply_to(hop, skeleton, answer));
    }
}
