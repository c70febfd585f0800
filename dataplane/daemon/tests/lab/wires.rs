//! The other ends of the daemon's ports, over shared memory.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::time::Instant;

use tandem_dpdk::{Burst, Device, Eal, EalSettings, Mbuf, Mempool, Port, PortConfig, Started};

use crate::lab::{Lab, PATIENCE};

/// Lets nobody answer there but us; and no damaged frame may teach the kernel otherwise.
pub(crate) fn quiet(lab: &Lab) {
    for (side, net) in [("x", 1), ("y", 2)] {
        lab.execute(
            "a",
            &format!("sysctl -qw net.ipv6.conf.t{side}.accept_ra=0"),
        );
        let peer = format!("lladdr 04:00:00:00:00:0{net} dev t{side} nud permanent");
        lab.ip("a", &format!("neigh replace 10.{net}.0.2 {peer}"));
        lab.ip("a", &format!("neigh replace fd0{net}::2 {peer}"));
    }
}

/// The other ends of the daemon's ports.
pub(crate) struct Wires {
    pool: Mempool,
    ends: Vec<Started>,
    sending: [Burst; 2],
    received: Burst,
}

impl Wires {
    pub(crate) fn new(lab: &Lab) -> Self {
        let settings = EalSettings {
            main_core: 0,
            memory_mb: Some(128),
            devices: Vec::new(),
            further: vec![format!("--file-prefix=tnd-wires-{}", std::process::id())],
        };
        let eal = Eal::init(&settings.arguments()).unwrap();
        let pool = Mempool::create(eal, "wires", 8191, 0, 4096).unwrap();
        let end = |side: &str| {
            let socket = lab.memif_socket(side);
            let device = format!(
                "net_memif_{side},role=client,socket={},socket-abstract=no,rsize=11,bsize=4096",
                socket.display()
            );
            let device: Device = device.parse().unwrap();
            let config = PortConfig {
                checksums: false,
                ..PortConfig::default()
            };
            let started = Port::start(eal, &device, &config, &pool).unwrap();
            let since = Instant::now();
            while !started.port.link().unwrap().up {
                assert!(since.elapsed() < PATIENCE, "{side} was not connected");
                std::thread::yield_now();
            }
            started
        };
        let ends = vec![end("x"), end("y")];
        Self {
            pool,
            ends,
            sending: [Burst::new(), Burst::new()],
            received: Burst::new(),
        }
    }

    /// Fills a burst with frames that `write` makes, and sends what the wire takes; answers how many.
    pub(crate) fn send(&mut self, side: usize, mut write: impl FnMut(&mut Mbuf)) -> u64 {
        let burst = &mut self.sending[side];
        if burst.is_empty() {
            self.pool.fill(burst);
            burst.iter_mut().for_each(&mut write);
        }
        self.ends[side].tx[0].send(burst) as u64
    }

    /// Sends what is left of the last burst.
    pub(crate) fn finish(&mut self, side: usize) {
        while !self.sending[side].is_empty() {
            self.ends[side].tx[0].send(&mut self.sending[side]);
        }
    }

    /// Takes what the daemon sent.
    pub(crate) fn drain(&mut self) {
        for end in &mut self.ends {
            end.rx[0].receive(&mut self.received);
            self.received.clear();
        }
    }

    /// Takes what the daemon sent on a side; answers how many of it were such.
    pub(crate) fn take(&mut self, side: usize, such: impl Fn(&[u8]) -> bool) -> u64 {
        self.ends[side].rx[0].receive(&mut self.received);
        self.received
            .drain()
            .filter(|packet| such(packet.data()))
            .count() as u64
    }

    /// Waits for media to the peer's UDP port of side y.
    pub(crate) fn await_media(&mut self, peer: [u8; 6], port: u16) {
        let since = Instant::now();
        loop {
            self.ends[1].rx[0].receive(&mut self.received);
            let hit = self.received.drain().any(|packet| {
                packet.data().starts_with(&peer)
                    && packet.data().get(36..38) == Some(&port.to_be_bytes())
            });
            if hit {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "no media came");
        }
    }
}
