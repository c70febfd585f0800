//! The generator's process: sends on two ports and receives on both, as one thread that never sleeps.
//!
//! It reads its [`Setup`] from a file, and then one [`Run`] in each line of its input, and answers each with one line, a [`Seen`]. While
//! no run goes on it does not touch its ports: the other end of a `net_memif` may go then.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tandem_dpdk::{
    BURST, Burst, Eal, EalSettings, Mempool, Port, PortConfig, RxQueue, Started, TxQueue,
};
use tandem_e2e::{Failure, Result, wait};

use crate::frames::{Ends, FRAME, Frames, Ports, sent_at};
use crate::histogram::{Histogram, Percentiles};
use crate::random::Random;

/// Without a packet for so long nothing is on its way any more.
const SILENCE: Duration = Duration::from_millis(50);
/// And this is waited at most.
const DRAIN: Duration = Duration::from_secs(2);
/// A frame's buffer.
const ROOM: u16 = 2_048;
const BUFFERS: u32 = 4_095;

/// What there is to know at the start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) core: u16,
    pub(crate) memory_mb: u32,
    pub(crate) sides: [Side; 2],
    /// UDP checksums, or none.
    pub(crate) checksums: bool,
}

/// One of the two wires.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Side {
    pub(crate) device: String,
    pub(crate) ends: Ends,
    /// By flow.
    pub(crate) ports: Vec<Ports>,
}

/// One run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Packets a second, both directions together; without it as many as the wires take.
    pub(crate) rate: Option<f64>,
    /// Seconds before anything counts.
    pub(crate) warm: f64,
    /// Seconds that count.
    pub(crate) seconds: f64,
}

/// What was seen in the time that counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) seconds: f64,
    /// Packets that the wires took, and that came back. With a rate: of all sent, the stragglers included.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Packets that were due, but found the wire full (with a rate they are lost).
    pub(crate) refused: u64,
    /// Of all attempts to send, how many found the wire full.
    pub(crate) full: f64,
    /// How much of its time the generator had something to do.
    pub(crate) busy: f64,
    /// From its sending to its arrival; of those alone that came at a rate.
    pub(crate) latency: Percentiles,
    /// Packets received in each hundredth of a second, to its end.
    pub(crate) timeline: Vec<u32>,
}

/// Seconds of a slot of the timeline.
const SLOT: f64 = 0.01;
/// The first slots of several that are to be above a rate, before it counts as reached.
const SUSTAINED: usize = 10;

impl Seen {
    /// Packets a second that came through.
    pub(crate) fn pps(&self) -> f64 {
        self.received as f64 / self.seconds.max(1e-9)
    }

    /// Packets that did not, of those of a run with a rate.
    pub(crate) fn lost(&self) -> u64 {
        (self.sent + self.refused).saturating_sub(self.received)
    }

    /// Packets a second that came between two moments, in seconds from the beginning.
    pub(crate) fn pps_between(&self, from: f64, to: f64) -> f64 {
        let slot = |at: f64| (at.max(0.0) / SLOT) as usize;
        let end = slot(to).min(self.timeline.len());
        let slots = self.timeline.get(slot(from)..end).unwrap_or_default();
        let sum: u64 = slots.iter().copied().map(u64::from).sum();
        sum as f64 / (slots.len().max(1) as f64 * SLOT)
    }

    /// From when on so many packets a second came for a tenth of a second, looked for from a moment on.
    pub(crate) fn first_above(&self, from: f64, pps: f64) -> Option<f64> {
        let first = (from.max(0.0) / SLOT) as usize;
        let slots = self.timeline.get(first..)?;
        let wanted = pps * SLOT * SUSTAINED as f64;
        let reached = |slots: &[u32]| slots.iter().copied().map(f64::from).sum::<f64>() >= wanted;
        let at = slots.windows(SUSTAINED).position(reached)?;
        Some((first + at) as f64 * SLOT)
    }
}

/// The process: until its input ends.
pub(crate) fn serve(setup: &Path) -> Result<()> {
    let text = std::fs::read_to_string(setup).map_err(Failure::while_("reading the setup"))?;
    let setup: Setup = serde_json::from_str(&text).map_err(Failure::while_("the setup"))?;
    let mut generator = Generator::start(&setup)?;
    answer(&"up")?;
    for line in std::io::stdin().lines() {
        let line = line.map_err(Failure::while_("reading a run"))?;
        let run = serde_json::from_str(&line).map_err(Failure::while_("a run"))?;
        answer(&generator.run(run))?;
    }
    Ok(())
}

fn answer(what: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(what).map_err(Failure::while_("an answer"))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(Failure::while_("answering"))
}

struct Generator {
    sides: Vec<Way>,
    pool: Mempool,
    begin: Instant,
    latency: Histogram,
}

/// A side's port, and what is sent on it.
struct Way {
    _port: Port,
    rx: RxQueue,
    tx: TxQueue,
    frames: Frames,
    /// The flows in the order in which they have their turn.
    order: Vec<u32>,
    at: usize,
    /// Made, and not yet taken by the wire.
    out: Burst,
    attempts: u64,
    full: u64,
    taken: u64,
    refused: u64,
}

impl Generator {
    fn start(setup: &Setup) -> Result<Self> {
        let settings = EalSettings {
            main_core: setup.core,
            memory_mb: Some(setup.memory_mb),
            devices: vec![],
            further: vec![],
        };
        let while_ = |what: &str| Failure::while_::<tandem_dpdk::Error>(what.to_owned());
        let eal = Eal::init(&settings.arguments()).map_err(while_("starting DPDK"))?;
        let pool = Mempool::create(eal, "generator", BUFFERS, 256, ROOM)
            .map_err(while_("making buffers"))?;
        let mut sides = Vec::new();
        for (index, side) in setup.sides.iter().enumerate() {
            let device = side.device.parse().map_err(while_("naming a device"))?;
            let config = PortConfig {
                promiscuous: true,
                ..PortConfig::default()
            };
            let Started { port, rx, tx, .. } =
                Port::start(eal, &device, &config, &pool).map_err(while_("starting a port"))?;
            wait::until("a link", Duration::from_secs(20), || {
                port.link().ok().filter(|link| link.up)
            })?;
            let mut order: Vec<u32> = (0..side.ports.len() as u32).collect();
            Random::new(index as u64 + 1).shuffle(&mut order);
            let queue = || Failure::new("a port without queue");
            sides.push(Way {
                _port: port,
                rx: rx.into_iter().next().ok_or_else(queue)?,
                tx: tx.into_iter().next().ok_or_else(queue)?,
                frames: Frames::new(side.ends, &side.ports, setup.checksums),
                order,
                at: 0,
                out: Burst::new(),
                attempts: 0,
                full: 0,
                taken: 0,
                refused: 0,
            });
        }
        Ok(Self {
            sides,
            pool,
            begin: Instant::now(),
            latency: Histogram::new(),
        })
    }

    fn run(&mut self, run: Run) -> Seen {
        self.receive(false);
        let warm = Duration::from_secs_f64(run.warm);
        let counted = Duration::from_secs_f64(run.seconds);
        if !warm.is_zero() {
            self.phase(run.rate, warm);
            if run.rate.is_some() {
                self.drain(&mut Seen::default());
            }
        }
        let mut seen = self.phase(run.rate, counted);
        let in_time = seen.received;
        self.drain(&mut seen);
        if run.rate.is_none() {
            seen.received = in_time;
        }
        for way in &mut self.sides {
            way.out.clear();
        }
        seen.latency = self.latency.percentiles();
        seen
    }

    /// Sends and receives for so long.
    fn phase(&mut self, rate: Option<f64>, long: Duration) -> Seen {
        for way in &mut self.sides {
            (way.attempts, way.full, way.taken, way.refused) = (0, 0, 0, 0);
        }
        self.latency.clear();
        let begin = Instant::now();
        let mut last = begin;
        let mut busy = Duration::ZERO;
        let (mut received, mut made) = (0, 0_u64);
        let mut timeline = vec![0; (long.as_secs_f64() / SLOT) as usize + 1];
        let mut worked = false;
        loop {
            let now = Instant::now();
            if worked {
                busy += now - last;
            }
            last = now;
            let passed = now - begin;
            if passed >= long {
                break;
            }
            let came = self.receive(rate.is_some());
            if came > 0 {
                received += came;
                if let Some(slot) = timeline.get_mut((passed.as_secs_f64() / SLOT) as usize) {
                    *slot += came as u32;
                }
            }
            let sent = match rate {
                None => self.send(BURST, false) + self.send_other(BURST, false),
                Some(rate) => {
                    let due = (passed.as_secs_f64() * rate) as u64 - made;
                    let due = due.min(2 * BURST as u64) as usize;
                    let first = due.div_ceil(2);
                    made += due as u64;
                    self.send(first, true) + self.send_other(due - first, true)
                }
            };
            worked = came > 0 || sent > 0;
        }
        let all = |of: fn(&Way) -> u64| self.sides.iter().map(of).sum::<u64>();
        Seen {
            seconds: (last - begin).as_secs_f64(),
            sent: all(|w| w.taken),
            received,
            refused: all(|w| w.refused),
            full: all(|w| w.full) as f64 / all(|w| w.attempts).max(1) as f64,
            busy: busy.as_secs_f64() / (last - begin).as_secs_f64(),
            latency: Percentiles::default(),
            timeline,
        }
    }

    /// Receives what is still on its way.
    fn drain(&mut self, seen: &mut Seen) {
        let begin = Instant::now();
        let mut heard = begin;
        loop {
            let now = Instant::now();
            let came = self.receive(true);
            seen.received += came;
            if came > 0 {
                heard = now;
            } else if now - heard > SILENCE || now - begin > DRAIN {
                return;
            }
        }
    }

    /// Takes what came on both ports; answers how many of ours there were.
    fn receive(&mut self, timed: bool) -> u64 {
        let mut came = 0;
        let mut burst = Burst::new();
        for way in &mut self.sides {
            if way.rx.receive(&mut burst) == 0 {
                continue;
            }
            let now = self.begin.elapsed().as_nanos() as u64;
            for packet in burst.iter() {
                let Some(sent) = sent_at(packet.data()) else {
                    continue;
                };
                came += 1;
                if timed {
                    self.latency.add(now.saturating_sub(sent));
                }
            }
            burst.clear();
        }
        came
    }

    fn send(&mut self, count: usize, drop_refused: bool) -> usize {
        self.send_on(0, count, drop_refused)
    }

    fn send_other(&mut self, count: usize, drop_refused: bool) -> usize {
        self.send_on(1, count, drop_refused)
    }

    /// Fills up to `count` frames and gives them to the wire; answers how many it took. What it refuses waits, or is dropped and
    /// counted.
    fn send_on(&mut self, side: usize, count: usize, drop_refused: bool) -> usize {
        let now = self.begin.elapsed().as_nanos() as u64;
        let Some(way) = self.sides.get_mut(side) else {
            return 0;
        };
        while way.out.len() < count {
            let Some(mut packet) = self.pool.take() else {
                break;
            };
            if packet
                .set_window(usize::from(tandem_dpdk::HEADROOM), FRAME)
                .is_err()
            {
                break;
            }
            if let Some(frame) = packet.data_mut().first_chunk_mut::<FRAME>() {
                let flow = way.order.get(way.at).copied().unwrap_or(0);
                way.at += 1;
                if way.at >= way.order.len() {
                    way.at = 0;
                }
                way.frames.next(flow as usize, now, frame);
            }
            if way.out.push(packet).is_err() {
                break;
            }
        }
        if way.out.is_empty() {
            return 0;
        }
        let taken = way.tx.send(&mut way.out);
        way.attempts += 1;
        way.taken += taken as u64;
        if !way.out.is_empty() {
            way.full += 1;
            if drop_refused {
                way.refused += way.out.clear() as u64;
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_seen_in_the_timeline() {
        let mut timeline = vec![100; 300];
        timeline[100..200].fill(0);
        let seen = Seen {
            timeline,
            ..Seen::default()
        };
        assert!((seen.pps_between(0.0, 1.0) - 10_000.0).abs() < 1.0);
        assert!(seen.pps_between(1.2, 1.8) < 1.0);
        let back = seen.first_above(1.5, 9_000.0).unwrap();
        assert!((1.98..2.01).contains(&back), "{back}");
        assert_eq!(seen.first_above(1.5, 11_000.0), None);
        assert_eq!(seen.first_above(9.0, 1.0), None);
    }

    #[test]
    fn what_was_refused_is_lost() {
        let seen = Seen {
            seconds: 2.0,
            sent: 90,
            refused: 10,
            received: 80,
            ..Seen::default()
        };
        assert_eq!((seen.lost(), seen.pps() as u64), (20, 40));
    }
}
