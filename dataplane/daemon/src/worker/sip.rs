//! SIP between the wire and the controller's rings.

use tandem_dpdk::Mbuf;
use tandem_relay::{SipMeta, SipSend};
use tandem_shm::{DatagramMeta, PopError, PushError};

use crate::worker::{TURN, Worker, tx_checksums, with_frame};

impl Worker {
    /// A SIP datagram for the controller.
    pub(super) fn sip_received(&mut self, meta: &SipMeta, packet: &Mbuf, now: u64) {
        let Some(session) = &mut self.session else {
            self.counters.sip_no_controller.add(1);
            return;
        };
        let payload = packet.buf().get(meta.payload.clone()).unwrap_or_default();
        let datagram = DatagramMeta {
            realm: meta.realm,
            source: meta.source,
            destination: meta.local,
            dscp: 0,
            timestamp_ns: now,
        };
        match session.producer.push(&datagram, payload) {
            Ok(()) => self.counters.sip_received.add(1),
            Err(PushError::Full | PushError::TooLong) => self.counters.sip_ring_full.add(1),
            Err(PushError::Fenced) => self.counters.sip_no_controller.add(1),
        }
    }

    /// Wakes a controller that sleeps.
    pub(super) fn flush_sip(&mut self) {
        if let Some(session) = &mut self.session {
            session.producer.flush();
        }
    }

    /// Sends what the controller wants to send.
    pub(super) fn take_sip(&mut self, now: u64) -> usize {
        let mut done = 0;
        for _ in 0..TURN {
            let Some(session) = &mut self.session else {
                break;
            };
            match session.consumer.pop(&mut self.buffer) {
                Ok(Some((meta, length))) => self.send_sip(&meta, length, now),
                Ok(None) => break,
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
