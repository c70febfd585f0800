//! How evenly calls load the cores: a simulation, the same numbers in every run.
//!
//! Calls come at random (a Poisson process) and last as their distribution says. Each has a stream of packets in either direction. Who
//! relays a stream is decided in four ways:
//!
//! - [`Way::InTurn`]: our allocator. Both legs' ports are an owner's, the owners have their turns, and the NIC steers on the destination
//!   port ([`SlotTable`]), or another core hands the packet over.
//! - [`Way::FewestCalls`]: the same if the owner with the fewest calls had its turn.
//! - [`Way::Port`]: the NIC hashes the destination port (Toeplitz, 128 entries) and whoever receives a stream has to relay it.
//! - [`Way::FiveTuple`]: the NIC hashes addresses and ports, as it does by default. A call's two streams are on different cores.
//!
//! What is told is the load of the busiest core, as a multiple of the mean: the mean of 40 looks, and the worst of them.

mod toeplitz;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;

use tandem_link::SlotTable;

pub use toeplitz::{KEY, toeplitz};

/// Numbers of cores.
pub const CORES: [usize; 8] = [1, 2, 4, 6, 8, 16, 24, 32];
/// Entries of the NIC's table from hash to queue.
const ENTRIES: usize = 128;
/// The first look, the last one, and the time between two: in mean call lengths.
const FIRST: f64 = 4.0;
const LAST: f64 = 6.0;
const STEP: f64 = 0.05;
/// Our media ports.
const PORTS: std::ops::Range<u32> = 10_240..65_536;

/// Who relays a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The owner whose turn it is.
    InTurn,
    /// The owner with the fewest calls.
    FewestCalls,
    /// By hash of the destination port.
    Port,
    /// By hash of addresses and ports.
    FiveTuple,
}

/// All of them, as the tables have them.
pub const WAYS: [Way; 4] = [Way::InTurn, Way::FewestCalls, Way::Port, Way::FiveTuple];

/// What calls are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// G.711 at 20 ms, lengths exponential.
    Uniform,
    /// Of a hundred calls 78 at 20 ms, 10 at 30 ms, 6 at 10 ms, 6 with silence suppression in one direction; lengths log-normal, half
    /// of all calls shorter than a third of the mean.
    Mixed,
    /// The same, but two of a hundred have video: 300 packets a second more in each direction.
    Video,
}

/// The busiest core's load by the mean: on average, and the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Imbalance {
    /// Of all looks.
    pub mean: f64,
    /// Of them.
    pub worst: f64,
}

/// One simulation of so many calls at a time: imbalances by way and number of cores.
#[must_use]
pub fn simulate(mix: Mix, calls: u32, seed: u64) -> Vec<[Imbalance; CORES.len()]> {
    let mut random = Random(seed);
    let mut loads: Vec<Loads> = WAYS
        .iter()
        .flat_map(|way| CORES.map(|cores| Loads::new(*way, cores)))
        .collect();
    let mut ends: BinaryHeap<Reverse<(u64, u32)>> = BinaryHeap::new();
    let mut placed: Vec<Placed> = Vec::new();
    let mut free: Vec<u32> = Vec::new();
    let (mut now, mut look) = (0.0, FIRST);
    loop {
        now += random.exponential() / f64::from(calls);
        // Times are not negative, so their bits are in their order.
        while let Some(Reverse((end, place))) = ends.peek().copied() {
            if f64::from_bits(end) > now.min(look) {
                break;
            }
            ends.pop();
            free.push(place);
            if let Some(gone) = placed.get(place as usize) {
                for (load, cores) in loads.iter_mut().zip(&gone.cores) {
                    load.leave(*cores, gone.call.weights);
                }
            }
        }
        if now >= look {
            loads.iter_mut().for_each(Loads::look);
            look += STEP;
            if look > LAST {
                break;
            }
        }
        let call = Call::new(mix, &mut random);
        let end = now + mix.length(&mut random);
        let cores = loads.iter_mut().map(|load| load.enter(&call)).collect();
        let new = Placed { call, cores };
        let place = free.pop().unwrap_or_else(|| {
            placed.push(Placed::default());
            placed.len() as u32 - 1
        });
        if let Some(room) = placed.get_mut(place as usize) {
            *room = new;
        }
        ends.push(Reverse((end.to_bits(), place)));
    }
    loads
        .chunks(CORES.len())
        .map(|chunk| {
            let mut row = [Imbalance::default(); CORES.len()];
            row.iter_mut()
                .zip(chunk)
                .for_each(|(to, load)| *to = load.seen());
            row
        })
        .collect()
}

/// The tables of docs/SCALING.md.
#[must_use]
pub fn tables() -> String {
    let mut text = String::new();
    let row = |text: &mut String, first: &str, cells: &[String]| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {first} | {} |", cells.join(" | "));
    };
    let head = |text: &mut String, first: &str| {
        row(text, first, &CORES.map(|n| n.to_string()));
        let _ = writeln!(text, "|---|{}", "---|".repeat(CORES.len()));
    };
    for (title, mix, calls) in [
        ("1,000 calls, mixed", Mix::Mixed, 1_000),
        ("10,000 calls, mixed", Mix::Mixed, 10_000),
        ("100,000 calls, mixed", Mix::Mixed, 100_000),
        ("10,000 calls, G.711 at 20 ms alone", Mix::Uniform, 10_000),
        (
            "10,000 calls, two of a hundred with video",
            Mix::Video,
            10_000,
        ),
    ] {
        if !text.is_empty() {
            text.push('\n');
        }
        head(&mut text, title);
        for (way, seen) in WAYS.iter().zip(simulate(mix, calls, 1)) {
            let name = match way {
                Way::InTurn => "owners in turn (ours)",
                Way::FewestCalls => "owner with the fewest calls",
                Way::Port => "hash of the destination port",
                Way::FiveTuple => "hash of addresses and ports",
            };
            let cells = seen.map(|i| format!("{:.2} ({:.2})", i.mean, i.worst));
            row(&mut text, name, &cells);
        }
    }
    text
}

impl Mix {
    /// In mean call lengths.
    fn length(self, random: &mut Random) -> f64 {
        match self {
            Self::Uniform => random.exponential(),
            // The mean of a log-normal is exp(mu + sigma^2 / 2): with sigma 1.5 the median is 0.325.
            Self::Mixed | Self::Video => (1.5 * random.normal() - 1.125).exp(),
        }
    }
}

/// A call: the headers and the packets a second of its two streams.
#[derive(Clone, Copy, Debug, Default)]
struct Call {
    streams: [Stream; 2],
    weights: [u32; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    source: [u8; 4],
    destination: [u8; 4],
    source_port: u16,
    /// Ours: even.
    destination_port: u16,
}

impl Call {
    fn new(mix: Mix, random: &mut Random) -> Self {
        let mut port = |low: u32, high: u32| (low + 2 * random.below((high - low) / 2)) as u16;
        let ports = [
            (port(10_000, 60_000), port(PORTS.start, PORTS.end)),
            (port(10_000, 60_000), port(PORTS.start, PORTS.end)),
        ];
        // A carrier's gateways, and media servers.
        let gateway = [198, 51, 100, random.below(20) as u8];
        let server = [10, 0, 0, random.below(8) as u8];
        let stream = |source, destination, (source_port, destination_port)| Stream {
            source,
            destination,
            source_port,
            destination_port,
        };
        let weights = match (mix, random.below(100)) {
            (Mix::Video, 98..) => [350, 350],
            (Mix::Uniform, _) | (_, 0..78) => [50, 50],
            (_, 78..88) => [33, 33],
            (_, 88..94) => [100, 100],
            _ => [50, 10],
        };
        Self {
            streams: [
                stream(gateway, [192, 0, 2, 10], ports[0]),
                stream(server, [10, 0, 0, 254], ports[1]),
            ],
            weights,
        }
    }
}

/// A call, and the cores of its streams by simulated machine.
#[derive(Debug, Default)]
struct Placed {
    call: Call,
    cores: Vec<[u8; 2]>,
}

/// A machine: what its cores relay.
struct Loads {
    way: Way,
    /// Packets a second, and calls, by core.
    packets: Vec<u64>,
    calls: Vec<u32>,
    /// Those that have ports, of which there are plenty.
    owners: Vec<u16>,
    turn: usize,
    looks: u32,
    sum: f64,
    worst: f64,
}

impl Loads {
    fn new(way: Way, cores: usize) -> Self {
        let workers: Vec<u16> = (0..cores as u16).collect();
        Self {
            way,
            packets: vec![0; cores],
            calls: vec![0; cores],
            owners: SlotTable::deal(&workers).workers(),
            turn: 0,
            looks: 0,
            sum: 0.0,
            worst: 0.0,
        }
    }

    /// The cores of a new call's streams.
    fn enter(&mut self, call: &Call) -> [u8; 2] {
        let cores = match self.way {
            Way::InTurn => {
                let turn = self.turn % self.owners.len().max(1);
                let owner = self.owners.get(turn).copied();
                self.turn += 1;
                [owner.unwrap_or(0) as u8; 2]
            }
            Way::FewestCalls => {
                let least = (0..self.calls.len()).min_by_key(|core| self.calls.get(*core));
                [least.unwrap_or(0) as u8; 2]
            }
            Way::Port => call.streams.map(|s| {
                let [high, low] = s.destination_port.to_be_bytes();
                self.queue(toeplitz(&KEY, &[high, low]))
            }),
            Way::FiveTuple => call.streams.map(|s| self.queue(toeplitz(&KEY, &s.tuple()))),
        };
        for (core, weight) in cores.into_iter().zip(call.weights) {
            if let Some(load) = self.packets.get_mut(usize::from(core)) {
                *load += u64::from(weight);
            }
        }
        if let Some(calls) = self.calls.get_mut(usize::from(cores[0])) {
            *calls += 1;
        }
        cores
    }

    fn leave(&mut self, cores: [u8; 2], weights: [u32; 2]) {
        for (core, weight) in cores.into_iter().zip(weights) {
            if let Some(load) = self.packets.get_mut(usize::from(core)) {
                *load = load.saturating_sub(u64::from(weight));
            }
        }
        if let Some(calls) = self.calls.get_mut(usize::from(cores[0])) {
            *calls = calls.saturating_sub(1);
        }
    }

    /// A NIC's queue: the low bits of the hash name an entry, the entries name the queues in turn.
    fn queue(&self, hash: u32) -> u8 {
        (hash as usize % ENTRIES % self.packets.len().max(1)) as u8
    }

    fn look(&mut self) {
        let sum: u64 = self.packets.iter().sum();
        let most = self.packets.iter().max().copied().unwrap_or(0);
        let mean = sum as f64 / self.packets.len() as f64;
        let ratio = if mean > 0.0 { most as f64 / mean } else { 1.0 };
        self.looks += 1;
        self.sum += ratio;
        self.worst = self.worst.max(ratio);
    }

    fn seen(&self) -> Imbalance {
        Imbalance {
            mean: self.sum / f64::from(self.looks.max(1)),
            worst: self.worst,
        }
    }
}

impl Stream {
    /// As it is hashed: both addresses, then both ports.
    fn tuple(&self) -> [u8; 12] {
        let mut bytes = [0; 12];
        let parts = self.source.into_iter().chain(self.destination);
        let ports = [self.source_port, self.destination_port];
        let all = parts.chain(ports.into_iter().flat_map(u16::to_be_bytes));
        bytes.iter_mut().zip(all).for_each(|(to, from)| *to = from);
        bytes
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u32) -> u32 {
        ((u64::from(self.next() as u32) * u64::from(end)) >> 32) as u32
    }

    /// Above 0, up to 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Of mean 1.
    fn exponential(&mut self) -> f64 {
        -self.unit().ln()
    }

    /// Of mean 0 and variance 1 (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_has_it_all_and_more_cores_are_less_even() {
        let seen = simulate(Mix::Uniform, 500, 3);
        for row in &seen {
            assert_eq!(
                row[0],
                Imbalance {
                    mean: 1.0,
                    worst: 1.0
                }
            );
            assert!(row[7].mean > row[1].mean, "{row:?}");
            assert!(row.iter().all(|i| i.worst >= i.mean && i.mean >= 1.0));
        }
        let at = |way: Way| seen[WAYS.iter().position(|w| *w == way).unwrap()][7].mean;
        assert!(at(Way::FewestCalls) < at(Way::InTurn));
        assert!(at(Way::InTurn) < at(Way::FiveTuple), "{seen:?}");
    }

    #[test]
    fn as_many_calls_stand_as_were_wanted() {
        // Little's law, with mean length 1 in both distributions.
        let mut random = Random(5);
        for mix in [Mix::Uniform, Mix::Mixed] {
            let sum: f64 = (0..200_000).map(|_| mix.length(&mut random)).sum();
            assert!((sum / 200_000.0 - 1.0).abs() < 0.03, "{mix:?}: {sum}");
        }
    }
}
