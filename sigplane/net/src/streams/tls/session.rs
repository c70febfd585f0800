//! One TLS session, over buffers of ours: rustls itself holds none for the records.

use std::fmt;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use rustls::{ClientConfig, Error, ProtocolVersion, ServerConfig};

use super::Names;

/// The most of a record or handshake message that is kept until the rest comes, in bytes: a record is
/// at most 18 KiB long, a client's certificates fit into the rest.
pub(in crate::streams) const LONGEST_HELD: usize = 32 * 1024;

/// A session.
pub(in crate::streams) struct Session {
    side: Side,
    /// A part of a record or handshake message, as rustls left it: it must see it again at every call,
    /// since it remembers places in it.
    held: Vec<u8>,
    /// After an error rustls must not be asked for anything.
    failed: bool,
}

enum Side {
    /// The peer is the client.
    Server(Box<UnbufferedServerConnection>),
    /// The peer is the server.
    Client(Box<UnbufferedClientConnection>),
}

/// What came of a look at the peer's records.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::streams) struct Turn {
    /// The handshake is over.
    pub(in crate::streams) ready: bool,
    /// The peer sends no more.
    pub(in crate::streams) closed: bool,
}

/// What is to be done once the session can.
#[derive(Clone, Copy)]
enum Order<'a> {
    Nothing,
    Send(&'a [u8]),
    Close,
}

/// How it goes on after a step.
enum Step {
    Again,
    Waiting { ready: bool },
    Closed,
}

impl Session {
    /// A session with a client. None when the configuration cannot serve; it always can.
    pub(super) fn server(config: Arc<ServerConfig>) -> Option<Self> {
        let connection = UnbufferedServerConnection::new(config).ok()?;
        Some(Self::new(Side::Server(Box::new(connection))))
    }

    /// A session with a server.
    pub(super) fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Option<Self> {
        let connection = UnbufferedClientConnection::new(config, name).ok()?;
        Some(Self::new(Side::Client(Box::new(connection))))
    }

    const fn new(side: Side) -> Self {
        Self {
            side,
            held: Vec::new(),
            failed: false,
        }
    }

    /// The bytes that must stand before the next input.
    pub(in crate::streams) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Looks at records: what is held, and what came behind it. Plaintext goes to `plain`, what the peer
    /// must get to `out`; after an error too: the alert.
    pub(in crate::streams) fn receive(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Turn, Error> {
        if self.failed {
            return Err(Error::HandshakeNotComplete);
        }
        let mut at = 0;
        let result = loop {
            let rest = input.get_mut(at..).unwrap_or_default();
            let (taken, step) = self.step(rest, Order::Nothing, plain, out);
            at += taken;
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Waiting { ready }) => {
                    let closed = false;
                    break Ok(Turn { ready, closed });
                }
                Ok(Step::Closed) => {
                    let (ready, closed) = (false, true);
                    break Ok(Turn { ready, closed });
                }
                Err(error) => break Err(error),
            }
        };
        let rest = input.get_mut(at..).unwrap_or_default();
        if result.is_err() {
            self.failed = true;
            // The alert comes first of all.
            let _ = self.step(rest, Order::Nothing, &mut Vec::new(), out);
        } else if rest.len() > LONGEST_HELD {
            self.failed = true;
            return Err(Error::General("a record or message is too long".to_owned()));
        } else {
            self.held = rest.to_vec();
        }
        result
    }

    /// Encrypts.
    pub(in crate::streams) fn send(
        &mut self,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.carry_out(Order::Send(plain), out)
    }

    /// Says to the peer that we send no more.
    pub(in crate::streams) fn close(&mut self, out: &mut Vec<u8>) {
        // A session that cannot even do that has ended already.
        let _ = self.carry_out(Order::Close, out);
    }

    /// The version agreed upon.
    pub(in crate::streams) fn version(&self) -> Option<&'static str> {
        let version = match &self.side {
            Side::Server(connection) => connection.protocol_version(),
            Side::Client(connection) => connection.protocol_version(),
        };
        match version? {
            ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
            ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
            _ => None,
        }
    }

    /// The names in the peer's certificate, if it showed one.
    pub(in crate::streams) fn names(&self) -> Option<Names> {
        let certificates = match &self.side {
            Side::Server(connection) => connection.peer_certificates(),
            Side::Client(connection) => connection.peer_certificates(),
        };
        Names::of(certificates?.first()?)
    }

    /// The first thing that we say, as a client.
    pub(in crate::streams) fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.carry_out(Order::Nothing, out)
    }

    /// Without further input.
    fn carry_out(&mut self, order: Order<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.failed {
            return Err(Error::HandshakeNotComplete);
        }
        let mut held = std::mem::take(&mut self.held);
        let mut at = 0;
        let result = loop {
            let rest = held.get_mut(at..).unwrap_or_default();
            let (taken, step) = self.step(rest, order, &mut Vec::new(), out);
            at += taken;
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Waiting { .. } | Step::Closed) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.failed = result.is_err();
        held.drain(..at.min(held.len()));
        self.held = held;
        result
    }

    fn step(
        &mut self,
        input: &mut [u8],
        order: Order<'_>,
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> (usize, Result<Step, Error>) {
        match &mut self.side {
            Side::Server(c) => step(c.process_tls_records(input), order, plain, out),
            Side::Client(c) => step(c.process_tls_records(input), order, plain, out),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.version()).finish()
    }
}

fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    order: Order<'_>,
    plain: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> (usize, Result<Step, Error>) {
    let mut taken = status.discard;
    let state = match status.state {
        Ok(state) => state,
        Err(error) => return (taken, Err(error)),
    };
    let step = match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(Ok(record)) = traffic.next_record() {
                plain.extend_from_slice(record.payload);
                taken += record.discard;
            }
            Ok(Step::Again)
        }
        ConnectionState::EncodeTlsData(mut data) => {
            let encoded = append(out, |space| {
                data.encode(space).map_err(|e| match e {
                    EncodeError::InsufficientSize(size) => Some(size),
                    EncodeError::AlreadyEncoded => None,
                })
            });
            encoded.map(|()| Step::Again)
        }
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(Step::Again)
        }
        ConnectionState::WriteTraffic(mut traffic) => {
            let short = |e| match e {
                EncryptError::InsufficientSize(size) => Some(size),
                EncryptError::EncryptExhausted => None,
            };
            let done = match order {
                Order::Nothing => Ok(()),
                Order::Send(bytes) => {
                    append(out, |space| traffic.encrypt(bytes, space).map_err(short))
                }
                Order::Close => append(out, |space| {
                    traffic.queue_close_notify(space).map_err(short)
                }),
            };
            done.map(|()| Step::Waiting { ready: true })
        }
        ConnectionState::PeerClosed | ConnectionState::Closed => Ok(Step::Closed),
        // Early data is not offered.
        _ => Ok(Step::Waiting { ready: false }),
    };
    (taken, step)
}

/// Has something written behind what is there: first without room, to learn how much it needs.
fn append(
    out: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) -> Result<(), Error> {
    let exhausted = || Error::General("cannot encrypt any more".to_owned());
    let size = match write(&mut []) {
        Ok(_) => return Ok(()),
        Err(size) => size.ok_or_else(exhausted)?.required_size,
    };
    let before = out.len();
    out.resize(before + size, 0);
    let space = out.get_mut(before..).unwrap_or_default();
    let written = write(space).map_err(|_| exhausted());
    out.truncate(before + *written.as_ref().unwrap_or(&0));
    written.map(|_| ())
}

#[cfg(test)]
mod tests;
