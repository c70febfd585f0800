//! What waits to be written to a connection, and which messages it is part of.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};

/// The most written to one connection in one turn, in bytes.
const TURN: usize = 64 * 1024;

/// A message on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    /// The owner's.
    pub(super) tag: u64,
    /// Where it was to go.
    pub(super) destination: SocketAddr,
}

/// Bytes in order. Empty, it holds no memory.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// What lies before it is written.
    at: usize,
    /// How many bytes were ever written.
    written: u64,
    /// Messages that are not wholly written: with which byte of the stream each ends.
    pending: VecDeque<(u64, Ticket)>,
}

impl Outbox {
    /// How much waits.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where further bytes go.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        if self.at > 0 && self.at >= self.bytes.len() / 2 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        &mut self.bytes
    }

    /// A message ends with the last byte put in.
    pub(super) fn mark(&mut self, ticket: Ticket) {
        let end = self.written + self.len() as u64;
        self.pending.push_back((end, ticket));
    }

    /// Writes what the socket takes. Says how many bytes that were, and how many messages are wholly written by it.
    pub(super) fn write(&mut self, mut socket: &TcpStream) -> io::Result<(usize, u64)> {
        let mut total = 0;
        while total < TURN {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let part = rest.get(..TURN - total).unwrap_or(rest);
            if part.is_empty() {
                break;
            }
            match socket.write(part) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => {
                    total += n;
                    self.at += n;
                    self.written += n as u64;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        if self.is_empty() {
            self.bytes = Vec::new();
            self.at = 0;
        }
        let mut messages = 0;
        while self
            .pending
            .front()
            .is_some_and(|(end, _)| *end <= self.written)
        {
            self.pending.pop_front();
            messages += 1;
        }
        if self.pending.is_empty() {
            self.pending = VecDeque::new();
        }
        Ok((total, messages))
    }

    /// The messages that were not wholly written, and now never will be.
    pub(super) fn give_up(&mut self) -> impl Iterator<Item = Ticket> + use<> {
        std::mem::take(&mut self.pending)
            .into_iter()
            .map(|(_, ticket)| ticket)
    }
}
