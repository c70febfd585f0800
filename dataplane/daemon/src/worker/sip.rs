//! SIP between the wire and the controller's rings, and the commands between it.

use std::net::SocketAddr;

use tandem_dpdk::Mbuf;
use tandem_link::{FLOW_MESSAGE, SourceClass};
use tandem_relay::{SipMeta, SipSend};
use tandem_shm::{DatagramMeta, PopError, PushError, Record};
use tandem_wire::sip::is_new;

use crate::worker::flows::ANSWERS;
use crate::worker::{TURN, Worker, tx_checksums, with_frame};

/// The reader of datagrams that belong to no call.
const NO_CALL: u16 = 0;

/// Eighths of a reader's ring that a source leaves free for those who are trusted more.
struct Kept {
    /// With a request that begins something.
    new: u64,
    /// With anything else: it ends, or is a part of what is there.
    other: u64,
}

impl Kept {
    const fn from(class: SourceClass) -> Self {
        let (new, other) = match class {
            SourceClass::Trusted => (2, 0),
            SourceClass::Registered => (4, 2),
            SourceClass::Unknown => (6, 4),
        };
        Self { new, other }
    }
}

impl Worker {
    /// A SIP datagram for the controller.
    pub(super) fn sip_received(&mut self, meta: &SipMeta, packet: &Mbuf, now: u64) {
        let Some(session) = &mut self.session else {
            self.counters.sip_no_controller.add(1);
            return;
        };
        let payload = packet.buf().get(meta.payload.clone()).unwrap_or_default();
        let reader = session.shards.route(payload).unwrap_or_else(|| {
            self.counters.sip_without_call_id.add(1);
            NO_CALL
        });
        // As many as the shards are dealt out to.
        let Some(end) = session.ends.get_mut(usize::from(reader)) else {
            return;
        };
        // Who begins something is told so, or tries again; what is there shall not be hurt, nor who is trusted more.
        let kept = Kept::from(meta.class);
        if !end.producer.has_free(kept.new) {
            if !end.producer.has_free(kept.other) {
                self.counters.sip_ring_reserved.add(1);
                return;
            }
            if is_new(payload) {
                self.counters.sip_ring_crowded.add(1);
                return;
            }
        }
        let datagram = DatagramMeta {
            realm: meta.realm,
            source: meta.source,
            destination: meta.local,
            dscp: 0,
            timestamp_ns: now,
        };
        match end.producer.push(&datagram, payload) {
            Ok(()) => self.counters.sip_received.add(1),
            Err(PushError::Full | PushError::TooLong) => self.counters.sip_ring_full.add(1),
            Err(PushError::Fenced) => self.counters.sip_no_controller.add(1),
        }
    }

    /// A SIP datagram that was relayed without the controller.
    pub(super) fn sip_relayed(
        &mut self,
        send: SipSend,
        (realm, source, destination): (u16, SocketAddr, SocketAddr),
        mut packet: Mbuf,
        now: u64,
    ) {
        match send {
            SipSend::Transmit { port, checksums } => {
                packet.set_tx_checksums(tx_checksums(checksums));
                self.send(port, packet, now);
            }
            SipSend::Unresolved | SipSend::TooLong => {
                let meta = DatagramMeta {
                    realm,
                    source,
                    destination,
                    dscp: 0,
                    timestamp_ns: now,
                };
                self.exception.sip(&meta, packet.data());
            }
            SipSend::Refused => self.counters.sip_not_sent.add(1),
        }
    }

    /// Wakes a controller that sleeps.
    pub(super) fn flush_sip(&mut self) {
        if let Some(session) = &mut self.session {
            for end in &mut session.ends {
                end.producer.flush();
            }
        }
    }

    /// Sends what the controller wants to send, and does what it wants done.
    pub(super) fn take_sip(&mut self, now: u64) -> usize {
        let mut done = 0;
        let mut empty = 0;
        while done < TURN {
            let Some(session) = &mut self.session else {
                break;
            };
            // From each reader in turn, so that a busy one does not keep the others waiting.
            let readers = session.ends.len();
            let turn = session.turn;
            session.turn = if turn + 1 < readers { turn + 1 } else { 0 };
            let Some(end) = session.ends.get_mut(turn) else {
                break;
            };
            // A command whose answer would find no room waits for a controller that reads.
            let popped = if end.producer.has_room(ANSWERS, ANSWERS * FLOW_MESSAGE) {
                end.consumer.pop(&mut self.buffer)
            } else {
                Ok(None)
            };
            match popped {
                Ok(Some((Record::Datagram(meta), length))) => {
                    empty = 0;
                    self.send_sip(&meta, length, now);
                }
                Ok(Some((Record::Message, length))) => {
                    empty = 0;
                    self.flow_command(turn, length, now);
                }
                Ok(None) => {
                    empty += 1;
                    if empty >= readers {
                        break;
                    }
                    continue;
                }
                Err(PopError::Corrupt) => self.counters.sip_ring_corrupt.add(1),
                Err(PopError::Fenced) => {
                    self.drop_session();
                    break;
                }
            }
            done += 1;
        }
        done
    }

    fn send_sip(&mut self, meta: &DatagramMeta, length: usize, now: u64) {
        let payload = self.buffer.get(..length).unwrap_or_default();
        let Some(mut packet) = self.pool.take() else {
            self.counters.no_buffer.add(1);
            return;
        };
        let (realm, from, to) = (meta.realm, meta.source, meta.destination);
        let sent = with_frame(&mut packet, |frame| {
            self.relay.send_sip(now, realm, from, to, payload, frame)
        });
        match sent {
            Some(SipSend::Transmit { port, checksums }) => {
                packet.set_tx_checksums(tx_checksums(checksums));
                self.counters.sip_sent.add(1);
                self.send(port, packet, now);
            }
            // The kernel resolves it and sends the datagram then, or cuts it into fragments.
            Some(SipSend::Unresolved | SipSend::TooLong) => self.exception.sip(meta, payload),
            Some(SipSend::Refused) | None => self.counters.sip_not_sent.add(1),
        }
    }
}
