//! What the agent's parts work with: where what they emit goes, timers, counts.

use std::net::SocketAddr;

use super::random::Random;
use super::text::{hex, read_hex};
use super::wheel::{Alarm, Wheel};
use crate::figures::SipCounts;
use crate::generator::Outbox;
use crate::histogram::Histogram;
use crate::{MILLISECOND, Nanos};

/// Whose timer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Caller,
    Called,
    User,
}

impl Owner {
    /// The first letter of its tags.
    const fn letter(self) -> u8 {
        match self {
            Self::Caller => b'c',
            Self::Called => b's',
            Self::User => b'r',
        }
    }
}

/// All but the tables.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) wheel: Wheel<Owner>,
    pub(crate) random: Random,
    pub(crate) counts: SipCounts,
    pub(crate) setup: Histogram,
    pub(crate) ringing: Histogram,
    pub(crate) registration: Histogram,
}

impl Shared {
    /// A time within the next packet's: so that not all streams that begin together send together.
    pub(crate) fn phase(&mut self, ptime: u8) -> Nanos {
        self.random.below(u64::from(ptime) * MILLISECOND)
    }
}

/// One input's context: the time, and what is shared.
pub(crate) struct Context<'a> {
    pub(crate) now: Nanos,
    pub(crate) out: &'a mut Outbox,
    pub(crate) shared: &'a mut Shared,
}

impl Context<'_> {
    pub(crate) fn send(&mut self, from: super::Side, to: SocketAddr, bytes: Vec<u8>) {
        self.out.send(from.port, from.address, to, bytes);
    }

    pub(crate) fn wake(&mut self, at: Nanos, owner: Owner, slot: u32, number: u32) {
        let alarm = Alarm {
            owner,
            slot,
            number,
        };
        self.shared.wheel.set(at, alarm);
    }
}

/// Who a tag of ours means: its place in the table and how often that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) owner: Owner,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Tag {
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.push(self.owner.letter());
        hex(out, self.slot);
        hex(out, self.generation);
    }

    pub(crate) fn read(tag: &[u8]) -> Option<Self> {
        let (letter, digits) = tag.split_first()?;
        let all = [Owner::Caller, Owner::Called, Owner::User];
        Some(Self {
            owner: all.into_iter().find(|o| o.letter() == *letter)?,
            slot: read_hex(digits.get(..8)?)?,
            generation: read_hex(digits.get(8..)?)?,
        })
    }
}

/// Slots of a table: which are free, in the order in which they became it. Each is used again as late as can be,
/// so that what still comes for who had it finds him.
#[derive(Debug, Default)]
pub(crate) struct Free(std::collections::VecDeque<u32>);

/// How many slots at least stay unused after they became free.
const REST: usize = 2_000;

impl Free {
    pub(crate) fn put(&mut self, slot: u32) {
        self.0.push_back(slot);
    }

    /// One that has rested; `must` takes any.
    pub(crate) fn take(&mut self, must: bool) -> Option<u32> {
        if self.0.len() > REST || must {
            self.0.pop_front()
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_says_whose_it_is() {
        let tag = Tag {
            owner: Owner::Called,
            slot: 77,
            generation: 0xdead_beef,
        };
        let mut text = Vec::new();
        tag.write(&mut text);
        assert_eq!(text, b"s0000004ddeadbeef");
        assert_eq!(Tag::read(&text), Some(tag));
        for other in [
            &b""[..],
            b"s",
            b"s0000004ddeadbee",
            b"x0000004ddeadbeef",
            b"s0000004ddeadbeef0",
        ] {
            assert_eq!(Tag::read(other), None);
        }
    }
}
