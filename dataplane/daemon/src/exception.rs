//! The exception thread: the only one that reads and writes the TAPs, so that no worker ever
//! makes a system call for them.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tandem_dpdk::{Mbuf, Mempool};
use tandem_shm::{Consumer, Doorbell, PayloadBuffer, Record, payload_buffer};
use tracing::debug;

use crate::counters::ExceptionCounters;
use crate::kernel_sip::KernelSip;
use crate::passed::{Passed, ToKernel};
use crate::tap::Tap;
use crate::waker::Waker;

/// Frames taken from one TAP or one ring before the next one has its turn.
const TURN: usize = 64;

/// Bytes of an 802.1Q tag.
const TAG: usize = 4;

/// A realm's way through the kernel.
pub(crate) struct RealmPath {
    pub(crate) tap: Tap,
    /// Index of its port.
    pub(crate) port: u16,
    /// Its tag on the wire.
    pub(crate) vlan: Option<u16>,
    /// Index into [`Exception::to_workers`] of the worker that sends on its port.
    pub(crate) worker: usize,
}

/// What the exception thread works with.
pub(crate) struct Exception {
    /// By realm.
    pub(crate) realms: Vec<RealmPath>,
    /// Frames for the kernel, one ring per worker.
    pub(crate) frames: Vec<rtrb::Consumer<ToKernel>>,
    /// SIP for the kernel to send, one ring per worker.
    pub(crate) sip: Vec<Consumer>,
    /// Rung for `sip`.
    pub(crate) sip_bell: Doorbell,
    /// Frames of the kernel to be sent, one ring per worker.
    pub(crate) to_workers: Vec<rtrb::Producer<Passed>>,
    pub(crate) pool: Mempool,
    /// Rung for `frames`, and at the end.
    pub(crate) waker: Arc<Waker>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) counters: Arc<ExceptionCounters>,
}

impl Exception {
    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let taps = self.realms.iter().map(|r| r.tap.name.clone()).collect();
        let mut kernel_sip = KernelSip::new(taps);
        let mut buffer = payload_buffer();
        while !self.stop.load(Ordering::Relaxed) {
            let mut done = self.feed_kernel();
            done += self.feed_sip(&mut kernel_sip, &mut buffer);
            done += self.drain_kernel();
            if done == 0 {
                self.sleep();
            }
        }
    }

    fn feed_kernel(&mut self) -> usize {
        let mut done = 0;
        for ring in &mut self.frames {
            for _ in 0..TURN {
                let Ok(ToKernel { realm, frame }) = ring.pop() else {
                    break;
                };
                done += 1;
                let written = match self.realms.get(usize::from(realm)) {
                    Some(realm) => write(realm, frame.data()),
                    None => Err(ErrorKind::NotFound.into()),
                };
                match written {
                    Ok(()) => self.counters.tap_written.add(1),
                    Err(error) => {
                        debug!("a frame for the kernel: {error}");
                        self.counters.tap_write_failed.add(1);
                    }
                }
            }
        }
        done
    }

    fn feed_sip(&mut self, kernel: &mut KernelSip, buffer: &mut PayloadBuffer) -> usize {
        let mut done = 0;
        for ring in &mut self.sip {
            while let Ok(Some((Record::Datagram(meta), length))) = ring.pop(buffer) {
                done += 1;
                let payload = buffer.get(..length).unwrap_or_default();
                match kernel.send(&meta, payload) {
                    Ok(()) => self.counters.kernel_sip_sent.add(1),
                    Err(error) => {
                        debug!("SIP to {} by the kernel: {error}", meta.destination);
                        self.counters.kernel_sip_failed.add(1);
                    }
                }
            }
        }
        done
    }

    fn drain_kernel(&mut self) -> usize {
        let mut done = 0;
        for realm in &self.realms {
            for _ in 0..TURN {
                let Some(mut packet) = self.pool.take() else {
                    // Taken and dropped, since a frame that stays keeps this thread awake.
                    if realm.tap.receive(&mut [0]).is_err() {
                        break;
                    }
                    self.counters.tap_read_dropped.add(1);
                    continue;
                };
                match read(realm, &mut packet) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => {
                        debug!("a frame of {}: {error}", realm.tap.name);
                        self.counters.tap_read_dropped.add(1);
                        break;
                    }
                }
                done += 1;
                let passed = Passed::Transmit {
                    port: realm.port,
                    packet,
                };
                match self
                    .to_workers
                    .get_mut(realm.worker)
                    .map(|ring| ring.push(passed))
                {
                    Some(Ok(())) => self.counters.tap_read.add(1),
                    _ => self.counters.tap_read_dropped.add(1),
                }
            }
        }
        done
    }

    /// Sleeps until there is something to do.
    fn sleep(&self) {
        self.waker.prepare_sleep();
        let idle = self.sip.iter().all(Consumer::prepare_sleep)
            && self.frames.iter().all(rtrb::Consumer::is_empty)
            && !self.stop.load(Ordering::Relaxed);
        if idle {
            let own = [self.waker.as_fd(), self.sip_bell.as_fd()];
            let taps = self.realms.iter().map(|r| r.tap.as_fd());
            let mut fds: Vec<_> = own
                .into_iter()
                .chain(taps)
                .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
                .collect();
            let _ = poll(&mut fds, PollTimeout::NONE);
        }
        self.sip.iter().for_each(Consumer::awake);
        self.sip_bell.silence();
        self.waker.awake(true);
    }
}

/// Writes a frame as it came from the wire to the realm's TAP, without its tag.
fn write(realm: &RealmPath, frame: &[u8]) -> io::Result<()> {
    let tagged = realm.vlan.is_some() && frame.get(12..14) == Some(&[0x81, 0x00]);
    match (frame.get(..12), frame.get(12 + TAG..)) {
        (Some(addresses), Some(rest)) if tagged => realm.tap.send_parts(addresses, rest)?,
        _ => realm.tap.send(frame)?,
    };
    Ok(())
}

/// Reads a frame from the realm's TAP into `packet`, with its tag.
fn read(realm: &RealmPath, packet: &mut Mbuf) -> io::Result<()> {
    let start = packet.start();
    let room = packet.buf_mut().get_mut(start + TAG..).unwrap_or_default();
    let length = realm.tap.receive(room)?;
    let window = match realm.vlan {
        None => packet.set_window(start + TAG, length),
        Some(vlan) => {
            let buffer = packet.buf_mut();
            buffer.copy_within(start + TAG..start + TAG + 12, start);
            if let Some(tag) = buffer.get_mut(start + 12..start + 12 + TAG) {
                let [high, low] = vlan.to_be_bytes();
                tag.copy_from_slice(&[0x81, 0x00, high, low]);
            }
            packet.set_window(start, length + TAG)
        }
    };
    window.map_err(io::Error::other)
}
