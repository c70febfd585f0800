//! What speaks for addresses of ours, and how: SIP above all.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::{StreamId, StreamSpec};
use crate::{Nanos, figures::SipCounts, histogram::Histogram};

/// A UDP datagram that is not media of ours.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// The generator's port that it came in by.
    pub port: usize,
    /// Where it was sent to: an address of ours.
    pub local: SocketAddr,
    /// Who sent it.
    pub remote: SocketAddr,
    /// Its payload.
    pub payload: &'a [u8],
}

/// A machine that speaks UDP for the generator's addresses. It gets every datagram to them that is not media of
/// ours, and emits datagrams and orders for streams. Sans-IO: it has no clock and no socket.
pub trait Agent: Send {
    /// A datagram came.
    fn datagram(&mut self, now: Nanos, datagram: Datagram<'_>, out: &mut Outbox);

    /// The time has come that it asked for, or it was never asked. Called once a round or less, and at least once
    /// a millisecond. It should emit a bounded number of datagrams each time (some dozens).
    fn poll(&mut self, now: Nanos, out: &mut Outbox);

    /// The run's time is over: no new calls, and those that are up end. Called once.
    fn finish(&mut self, now: Nanos, out: &mut Outbox);

    /// Whether nothing is left to be done, after [`Agent::finish`].
    fn done(&self) -> bool;

    /// Its counts so far, from the start.
    fn counts(&self) -> &SipCounts;

    /// From INVITE to 200 in nanoseconds, of all calls so far.
    fn setup(&self) -> &Histogram;

    /// From INVITE to the first sign of ringing in nanoseconds, of all calls so far that rang.
    fn ringing(&self) -> &Histogram;

    /// From REGISTER to 200 in nanoseconds, of all so far.
    fn registration(&self) -> &Histogram;
}

/// What an agent emits. The generator empties it after each call; what could not be sent at once stays in it.
#[derive(Debug, Default)]
pub struct Outbox {
    orders: VecDeque<Order>,
    next_stream: u32,
}

/// One thing emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// A datagram to be sent.
    Send {
        /// The generator's port.
        port: usize,
        /// An address of that port, and the UDP port.
        local: SocketAddr,
        /// Where to.
        remote: SocketAddr,
        /// The datagram.
        payload: Vec<u8>,
    },
    /// A stream that begins.
    Start(StreamId, StreamSpec),
    /// One that ends.
    Stop(StreamId),
}

impl Outbox {
    /// The next thing emitted, for who has sockets instead of a generator.
    pub fn pop(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// Sends a datagram from `local`, an address of the generator's port `port`.
    pub fn send(&mut self, port: usize, local: SocketAddr, remote: SocketAddr, payload: Vec<u8>) {
        self.orders.push_back(Order::Send {
            port,
            local,
            remote,
            payload,
        });
    }

    /// Begins an RTP stream. It counts until it is stopped, and for a second more what was on its way may come.
    pub fn start(&mut self, stream: StreamSpec) -> StreamId {
        self.next_stream = self.next_stream.wrapping_add(1);
        let id = StreamId(self.next_stream);
        self.orders.push_back(Order::Start(id, stream));
        id
    }

    /// Ends a stream. To be asked a tenth of a second before the BYE, or what is on its way is lost rightly.
    pub fn stop(&mut self, stream: StreamId) {
        self.orders.push_back(Order::Stop(stream));
    }

    /// Takes the first one out.
    pub fn take(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// Puts one back that could not be carried out now.
    pub fn put_back(&mut self, order: Order) {
        self.orders.push_front(order);
    }
}

/// A source of raw frames: floods, mutated frames, anything.
pub trait Source: Send {
    /// The next frame: written into `buffer`, which has at least [`super::MAX_FRAME`] bytes. Answers its length, or 0 for
    /// none at this time.
    fn frame(&mut self, now: Nanos, buffer: &mut [u8]) -> usize;
}

impl<F: FnMut(Nanos, &mut [u8]) -> usize + Send> Source for F {
    fn frame(&mut self, now: Nanos, buffer: &mut [u8]) -> usize {
        self(now, buffer)
    }
}
