//! A worker: polls its ports, runs each packet to completion, and obeys the control thread
//! between bursts. No locks, no allocation and no system calls on a packet's path, but for
//! doorbells of those who sleep.

mod exception;
mod flows;
mod orders;
pub(crate) mod pace;
mod sender;
mod sip;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) use exception::ToException;
pub(crate) use sender::Sender;
use tandem_config::Idle;
use tandem_dpdk::{
    BURST, Burst, Checksum, Eal, Mbuf, Mempool, Registration, RxQueue, pause, prefetch,
};
use tandem_link::Direction;
use tandem_relay::{Frame, Look, Plain, Relay, RxChecksums, TxChecksums, Verdict};
use tandem_shm::PayloadBuffer;
use tracing::{error, warn};

use crate::capture::Capture;
use crate::clock;
use crate::counters::WorkerCounters;
use crate::health::pulse::{Beat, Phase};
use crate::message::{FromWorker, Readers, ToWorker};
use crate::passed::Passed;
use crate::privileges::{Kind, Privileges};
use crate::system;
use crate::waker::Waker;
use orders::{Classifying, Listing};
use pace::Pacer;

/// Packets taken from one ring of another thread before the others have their turn.
const TURN: usize = 32;

/// Flows looked at for timeouts in one turn.
const EXPIRE: usize = 32;

/// Turns without anything to do before a pausing worker sleeps.
const PATIENCE: u32 = 64;

/// The first and the longest sleep of a pausing worker.
const PAUSE: (Duration, Duration) = (Duration::from_micros(10), Duration::from_micros(100));

/// A turn of so many nanoseconds: the process was stopped, or the machine stood still. No flow is blamed for the silence
/// before it has had some time to be heard.
const STOOD_STILL: u64 = 1_000_000_000;
const GRACE: u64 = 5_000_000_000;

/// Bytes of an 802.1Q tag.
const TAG: usize = 4;

/// What a worker is made of.
pub(crate) struct Worker {
    pub(crate) core: u16,
    pub(crate) idle: Idle,
    pub(crate) eal: Eal,
    pub(crate) pool: Mempool,
    pub(crate) relay: Relay,
    /// By port; none for a port that others poll.
    pub(crate) rx: Vec<Option<RxQueue>>,
    pub(crate) sender: Sender,
    /// Packets from the other workers and the exception thread.
    pub(crate) passed: Vec<rtrb::Consumer<Passed>>,
    pub(crate) exception: ToException,
    pub(crate) orders: rtrb::Consumer<ToWorker>,
    pub(crate) control: ToControl,
    pub(crate) counters: Arc<WorkerCounters>,
    pub(crate) pacer: Pacer,
    pub(crate) stop: Arc<AtomicBool>,
    /// Until then no flow times out.
    pub(crate) hold_expiry: u64,
    pub(crate) session: Option<Box<Readers>>,
    pub(crate) capture: Option<Box<Capture>>,
    /// What of a burst comes last: never more than that, so it allocates nothing.
    pub(crate) later: Vec<(Mbuf, Look)>,
    pub(crate) listing: Option<Listing>,
    pub(crate) classifying: Option<Classifying>,
    pub(crate) buffer: PayloadBuffer,
    pub(crate) beat: Beat,
    pub(crate) privileges: Privileges,
}

/// A worker's ring to the control thread.
pub(crate) struct ToControl {
    reports: rtrb::Producer<FromWorker>,
    waker: Arc<Waker>,
    counters: Arc<WorkerCounters>,
    waiting: bool,
}

impl ToControl {
    pub(crate) fn new(
        reports: rtrb::Producer<FromWorker>,
        waker: Arc<Waker>,
        counters: Arc<WorkerCounters>,
    ) -> Self {
        Self {
            reports,
            waker,
            counters,
            waiting: false,
        }
    }

    /// Slots that are free.
    fn room(&self) -> usize {
        self.reports.slots()
    }

    fn report(&mut self, report: FromWorker) {
        self.waiting = true;
        if self.reports.push(report).is_err() {
            self.counters.report_ring_full.add(1);
        }
    }

    fn flush(&mut self) {
        if std::mem::take(&mut self.waiting) {
            self.waker.wake();
        }
    }
}

impl Worker {
    /// Runs on its own thread until told to stop.
    pub(crate) fn run(mut self) {
        if let Err(error) = system::pin(self.core) {
            error!(
                "no core {} for a worker ({error}): it runs where the kernel lets it",
                self.core
            );
        }
        if self.idle == Idle::Pause {
            system::precise_sleep();
        }
        let _registration = Registration::register(self.eal)
            .inspect_err(|error| warn!("a worker without buffer cache: {error}"));
        self.relay.settle();
        self.privileges.confine(Kind::Worker);
        self.beat.begin();
        let mut burst = Burst::new();
        let mut rest = Rest::new(self.idle);
        let mut last = clock::now();
        let mut busy = false;
        while !self.stop.load(Ordering::Relaxed) {
            let now = clock::now();
            let took = now.saturating_sub(last);
            if busy {
                self.counters.poll_busy.add(1);
                self.counters.poll_busy_ns.add(took);
            } else {
                self.counters.poll_idle.add(1);
                self.counters.poll_idle_ns.add(took);
            }
            self.pacer.turn(took, self.relay.counters().relayed);
            if took >= STOOD_STILL {
                self.hold_expiry = now.saturating_add(GRACE);
            }
            last = now;
            busy = self.turn(&mut burst, now);
            self.beat.at(Phase::REST);
            rest.after(busy);
        }
    }

    /// One turn of the loop; answers whether there was anything to do.
    fn turn(&mut self, burst: &mut Burst, now: u64) -> bool {
        self.beat.turn();
        let mut done = self.poll_ports(burst, now);
        self.beat.at(Phase::HANDED_OVER);
        done += self.take_passed(now);
        self.beat.at(Phase::SIP);
        done += self.take_sip(now);
        self.beat.at(Phase::ORDERS);
        done += self.take_orders(now);
        self.beat.at(Phase::EXPIRY);
        if now >= self.hold_expiry {
            self.relay.expire(now, EXPIRE);
        }
        self.report();
        self.beat.at(Phase::SENDING);
        self.sender.flush(now);
        self.beat.at(Phase::BELLS);
        self.flush_sip();
        self.exception.flush();
        self.control.flush();
        done > 0
    }

    fn poll_ports(&mut self, burst: &mut Burst, now: u64) -> usize {
        let mut done = 0;
        for index in 0..self.rx.len() {
            let Some(Some(queue)) = self.rx.get_mut(index) else {
                continue;
            };
            let port = u16::try_from(index).unwrap_or(u16::MAX);
            self.beat.at(Phase::port(port));
            let count = queue.receive(burst);
            if count == 0 {
                continue;
            }
            done += count;
            burst.iter().for_each(Mbuf::prefetch);
            // The relay looks at all before it decides on one: the flows' memory comes meanwhile.
            let mut looks = [Look::NOTHING; BURST];
            for (packet, look) in burst.iter_mut().zip(&mut looks) {
                if let Some(tag) = packet.stripped_vlan() {
                    restore_tag(packet, tag);
                }
                *look = self.relay.look(port, packet.data());
                if let Some(lines) = self.relay.lines(look) {
                    lines.into_iter().for_each(prefetch);
                }
            }
            for (packet, look) in burst.drain().zip(looks) {
                if packet.segments() != 1 {
                    self.counters.rx_segmented.add(1);
                } else if look.is_media() {
                    self.received(packet, look, port, now);
                } else {
                    self.later.push((packet, look));
                }
            }
            self.received_later(port, now);
        }
        done
    }

    /// SIP and what is for the kernel, once the media of the same burst is on its way: however much of it comes, media waits
    /// for one burst of it at most.
    fn received_later(&mut self, port: u16, now: u64) {
        if self.later.is_empty() {
            return;
        }
        self.sender.flush(now);
        let mut later = std::mem::take(&mut self.later);
        for (packet, look) in later.drain(..) {
            self.received(packet, look, port, now);
        }
        // With its room for a burst.
        self.later = later;
    }

    /// A packet from the wire, that the relay has looked at.
    #[inline(always)]
    fn received(&mut self, mut packet: Mbuf, look: Look, port: u16, now: u64) {
        if let Some(capture) = &mut self.capture {
            capture.offer(
                now,
                port,
                Direction::Received,
                packet.data(),
                &self.counters,
            );
            self.control.waiting = true;
        }
        let done = with_frame(&mut packet, |frame| {
            self.relay.relay_plain(now, frame, look)
        });
        // Not by way of a verdict: that is so large that it goes through memory, which costs as much as half a relayed packet.
        match done.flatten() {
            Some(Plain::Relayed { port, checksums }) => {
                packet.set_tx_checksums(tx_checksums(checksums));
                self.send(port, packet, now);
            }
            Some(Plain::Dropped) => drop(packet),
            None => self.received_otherwise(packet, look, now),
        }
    }

    #[inline(never)]
    fn received_otherwise(&mut self, mut packet: Mbuf, look: Look, now: u64) {
        let verdict = with_frame(&mut packet, |frame| {
            self.relay.decide_otherwise(now, frame, look)
        });
        self.obey(verdict, packet, now);
    }

    /// Packets that other threads passed on.
    fn take_passed(&mut self, now: u64) -> usize {
        let mut done = 0;
        for index in 0..self.passed.len() {
            for _ in 0..TURN {
                let Some(ring) = self.passed.get_mut(index) else {
                    break;
                };
                let Ok(passed) = ring.pop() else { break };
                done += 1;
                match passed {
                    Passed::Transmit { port, packet } => self.send(port, packet, now),
                    Passed::Received {
                        port,
                        passes,
                        mut packet,
                    } => {
                        let verdict = with_frame(&mut packet, |frame| {
                            self.relay.received_by_hand_off(now, port, passes, frame)
                        });
                        self.obey(verdict, packet, now);
                    }
                }
            }
        }
        done
    }

    /// Does with a packet what the relay says; the relay has counted it.
    fn obey(&mut self, verdict: Option<Verdict>, mut packet: Mbuf, now: u64) {
        match verdict {
            Some(Verdict::Transmit {
                port, checksums, ..
            }) => {
                packet.set_tx_checksums(tx_checksums(checksums));
                self.send(port, packet, now);
            }
            Some(Verdict::Drop) | None => drop(packet),
            Some(other) => self.obey_other(other, packet, now),
        }
    }

    #[inline(never)]
    fn obey_other(&mut self, verdict: Verdict, packet: Mbuf, now: u64) {
        match verdict {
            Verdict::Exception { realm } => self.exception.frame(realm, packet, now),
            Verdict::Sip(meta) => self.sip_received(&meta, &packet, now),
            Verdict::SipRelayed {
                send,
                realm,
                source,
                destination,
            } => self.sip_relayed(send, (realm, source, destination), packet, now),
            Verdict::HandOff {
                worker,
                port,
                passes,
            } => self.sender.hand_off(worker, port, passes, packet),
            Verdict::Transmit { .. } | Verdict::Drop => drop(packet),
        }
    }

    #[inline(always)]
    fn send(&mut self, port: u16, packet: Mbuf, now: u64) {
        self.sender
            .send(port, packet, now, self.capture.as_deref_mut());
    }
}

/// Shows a packet to the relay, and takes over the window that it leaves. None if the packet's
/// window is not inside of its buffer, which DPDK does not do.
#[inline(always)]
fn with_frame<T>(packet: &mut Mbuf, relay: impl FnOnce(&mut Frame<'_>) -> T) -> Option<T> {
    let (start, length) = (packet.start(), packet.len());
    let device = packet.rx_checksums();
    let checksums = RxChecksums {
        ip: checksum(device.ip),
        udp: checksum(device.l4),
    };
    let mut frame = Frame::new(packet.buf_mut(), start, length, checksums)?;
    let answer = relay(&mut frame);
    let (start, length) = (frame.start(), frame.len());
    packet.set_window(start, length).ok()?;
    Some(answer)
}

#[inline]
fn checksum(device: Checksum) -> tandem_relay::Checksum {
    match device {
        Checksum::Unknown => tandem_relay::Checksum::Unknown,
        Checksum::Good => tandem_relay::Checksum::Good,
        Checksum::Bad => tandem_relay::Checksum::Bad,
        Checksum::Absent => tandem_relay::Checksum::Absent,
    }
}

#[inline]
fn tx_checksums(wanted: TxChecksums) -> tandem_dpdk::TxChecksums {
    tandem_dpdk::TxChecksums {
        ipv4: wanted.ipv4,
        udp: wanted.udp,
        ipv6: wanted.ipv6,
        l2_len: wanted.l2_len,
        l3_len: wanted.l3_len,
    }
}

/// Puts a tag back that the device took out (net_af_packet always does: the kernel strips it).
fn restore_tag(packet: &mut Mbuf, tag: u16) {
    let (start, length) = (packet.start(), packet.len());
    let Some(front) = start.checked_sub(TAG) else {
        return;
    };
    if length < 12 {
        return;
    }
    let buffer = packet.buf_mut();
    buffer.copy_within(start..start + 12, front);
    let [high, low] = tag.to_be_bytes();
    if let Some(place) = buffer.get_mut(front + 12..front + 12 + TAG) {
        place.copy_from_slice(&[0x81, 0x00, high, low]);
    }
    let _ = packet.set_window(front, length + TAG);
}

/// What a worker does between turns that find nothing.
struct Rest {
    idle: Idle,
    empty: u32,
    sleep: Duration,
}

impl Rest {
    fn new(idle: Idle) -> Self {
        Self {
            idle,
            empty: 0,
            sleep: PAUSE.0,
        }
    }

    fn after(&mut self, busy: bool) {
        if busy {
            self.empty = 0;
            self.sleep = PAUSE.0;
            return;
        }
        self.empty = self.empty.saturating_add(1);
        if self.idle == Idle::Poll || self.empty < PATIENCE {
            return pause();
        }
        std::thread::sleep(self.sleep);
        self.sleep = (self.sleep * 2).min(PAUSE.1);
    }
}
