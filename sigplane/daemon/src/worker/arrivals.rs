//! SIP that comes in: by the dataplane's rings, the kernel's sockets, the connections.

use std::time::Instant;

use nix::poll::PollFlags;
use tandem_call::{Input, Path, SendError};
use tandem_link::FromDataplane;
use tandem_net::{Incoming, Received};
use tandem_policy::Transport;

use super::counters::Count;
use super::{BATCH, TURN, Worker, sockets};
use crate::ask::ToWorker;
use crate::streams::{self, FromStreams};

impl Worker {
    pub(super) fn read_rings(&mut self) {
        let Some((epoch, rings)) = &mut self.session else {
            return;
        };
        let end = self.clock.mono() + TURN;
        for _ in 0..BATCH {
            match rings.receive() {
                Ok(Some(Incoming::Message(message))) => {
                    if let FromDataplane::Done { seq, .. } = &message {
                        self.held.answered(*seq);
                    }
                    let now = self.clock.now();
                    self.core.input(now, Input::Dataplane(message));
                }
                Ok(Some(Incoming::Datagram(arrival))) => {
                    let realm = self.config.realms.get(usize::from(arrival.realm));
                    if !realm.is_some_and(|realm| realm.sip.contains(&arrival.local)) {
                        self.counters.add(Count::RingBadAddress);
                        continue;
                    }
                    self.counters.add(Count::ReceivedByRing);
                    let datagram = Input::Message {
                        path: Path::Realm(arrival.realm),
                        source: arrival.source,
                        local: arrival.local,
                        waited: self.clock.since(arrival.received_ns),
                        bytes: arrival.bytes,
                    };
                    let now = self.clock.now();
                    self.core.input(now, datagram);
                    if now.mono >= end {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    let epoch = *epoch;
                    self.rings_broke(epoch, error);
                    return;
                }
            }
        }
    }

    pub(super) fn read_sockets(&mut self, ready: &[PollFlags]) {
        for ((path, socket), ready) in self.sockets.read_by(self.share).zip(ready) {
            if ready.contains(PollFlags::POLLERR) {
                while let Ok(Some(failure)) = socket.next_error() {
                    self.counters.add(Count::IcmpErrors);
                    let unreachable = Input::Unreachable {
                        path,
                        destination: failure.destination,
                        error: sockets::send_error(failure.error),
                    };
                    self.core.input(self.clock.now(), unreachable);
                }
            }
            let end = self.clock.mono() + TURN;
            for _ in 0..if ready.is_empty() { 0 } else { BATCH } {
                match socket.receive(&mut self.buffer) {
                    Ok(Some(Received {
                        length,
                        source,
                        waited,
                    })) => {
                        self.counters.add(Count::ReceivedBySocket);
                        let bytes = self.buffer.get(..length).unwrap_or_default();
                        let local = socket.local();
                        let worker = self.share.worker;
                        // Without a Call-ID it is nobody's, and stays.
                        let owner = self.share.shards.route(bytes).unwrap_or(worker);
                        if owner != worker {
                            let now = Instant::now();
                            let letter = ToWorker::Message {
                                path,
                                source,
                                local,
                                read: now.checked_sub(waited).unwrap_or(now),
                                bytes: bytes.to_vec(),
                            };
                            self.counters.add(if self.others.offer(owner, letter) {
                                Count::PassedToWorker
                            } else {
                                Count::WorkerBoxFull
                            });
                            continue;
                        }
                        let datagram = Input::Message {
                            path,
                            source,
                            local,
                            waited,
                            bytes,
                        };
                        let now = self.clock.now();
                        self.core.input(now, datagram);
                        if now.mono >= end {
                            break;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        self.counters.add(Count::SocketErrors);
                        tracing::debug!("{}: {error}", socket.local());
                        break;
                    }
                }
            }
        }
    }

    pub(super) fn read_streams(&mut self) {
        if let Some(streams) = &self.streams {
            streams.silence();
        }
        let end = self.clock.mono() + TURN;
        for _ in 0..BATCH {
            let Some(arrival) = self.streams.as_mut().and_then(streams::Handle::next) else {
                return;
            };
            let now = self.clock.now();
            match arrival {
                FromStreams::Message {
                    listener,
                    peer,
                    tls_name,
                    read,
                    bytes,
                } => {
                    self.counters.add(Count::ReceivedByStream);
                    let Some(stream) = self.core.config().streams.get(usize::from(listener)) else {
                        continue;
                    };
                    let (path, local) = (Path::Stream(listener), stream.listen);
                    if matches!(stream.transport, Transport::Tls | Transport::Wss) {
                        let name = tls_name;
                        self.core.input(now, Input::Certified { path, peer, name });
                    }
                    let message = Input::Message {
                        path,
                        source: peer,
                        local,
                        waited: read.elapsed(),
                        bytes: &bytes,
                    };
                    self.core.input(now, message);
                }
                FromStreams::Failed {
                    listener,
                    destination,
                } => {
                    let unreachable = Input::Unreachable {
                        path: Path::Stream(listener),
                        destination,
                        error: SendError::HostUnreachable,
                    };
                    self.core.input(now, unreachable);
                }
                FromStreams::Closed { listener, peer } => {
                    let unreachable = Input::Unreachable {
                        path: Path::Stream(listener),
                        destination: peer,
                        error: SendError::Closed,
                    };
                    self.core.input(now, unreachable);
                }
            }
            if now.mono >= end {
                break;
            }
        }
        // There may be more.
        if let Some(streams) = &self.streams {
            streams.ring();
        }
    }
}
