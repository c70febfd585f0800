//! A call's media.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use tandem_link::{Command, Cookie, FlowId, FlowKind, FlowSpec, LegSpec};

use super::controller::Controller;
use super::{Lab, PATIENCE};

/// A call between two sockets in the peers' namespaces.
pub(crate) struct Call {
    pub(crate) x: UdpSocket,
    pub(crate) y: UdpSocket,
    pub(crate) spec: FlowSpec,
}

impl Call {
    pub(crate) fn new(lab: &Lab, id: u64, x: &str, y: &str) -> Self {
        let socket = |side, net: &str| {
            let ip: IpAddr = format!("{net}2").parse().unwrap();
            lab.udp(side, &SocketAddr::new(ip, 0).to_string())
        };
        let (x_socket, y_socket) = (socket("x", x), socket("y", y));
        let (a, b) = (
            x_socket.local_addr().unwrap(),
            y_socket.local_addr().unwrap(),
        );
        Self {
            spec: spec(id, (x, y), Some(a), Some(b)),
            x: x_socket,
            y: y_socket,
        }
    }

    /// Sends RTP in both directions and checks that every packet arrives as it was sent, from the
    /// appliance's own address. The first ones may be lost until the next hop is resolved.
    pub(crate) fn talk(&self, controller: &mut Controller, packets: u16) {
        for (from, to, entry, exit) in [
            (&self.x, &self.y, &self.spec.a, &self.spec.b),
            (&self.y, &self.x, &self.spec.b, &self.spec.a),
        ] {
            let entry = SocketAddr::new(entry.local, entry.port);
            let exit = SocketAddr::new(exit.local, exit.port);
            self.warm_up(controller, from, to, entry);
            for sequence in 1000..1000 + packets {
                from.send_to(&rtp(sequence), entry).unwrap();
                let mut buffer = [0; 2048];
                let (length, source) = to.recv_from(&mut buffer).unwrap();
                assert_eq!((&buffer[..length], source), (&rtp(sequence)[..], exit));
            }
        }
    }

    fn warm_up(
        &self,
        controller: &mut Controller,
        from: &UdpSocket,
        to: &UdpSocket,
        entry: SocketAddr,
    ) {
        let mut buffer = [0; 2048];
        to.set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let since = Instant::now();
        while {
            from.send_to(&rtp(999), entry).unwrap();
            to.recv(&mut buffer).is_err()
        } {
            assert!(
                since.elapsed() < PATIENCE,
                "no media: {:?}",
                controller.ok(Command::Counters)
            );
        }
        println!("media after {:?}", since.elapsed());
        to.set_read_timeout(Some(PATIENCE)).unwrap();
        // What is still on its way is told from what follows by its number.
        from.send_to(&rtp(998), entry).unwrap();
        while {
            to.recv(&mut buffer).unwrap();
            buffer[3] != (998 & 0xFF) as u8
        } {}
    }
}

pub(crate) fn spec(
    id: u64,
    (x, y): (&str, &str),
    a: Option<SocketAddr>,
    b: Option<SocketAddr>,
) -> FlowSpec {
    let leg = |realm, net: &str, remote| LegSpec {
        realm,
        local: format!("{net}1").parse().unwrap(),
        port: 30000,
        remote,
        remote_rtcp: None,
        latched: None,
        latched_rtcp: None,
        learn: 0,
        dscp: 46,
        strict: false,
        event_type: None,
    };
    FlowSpec {
        id: FlowId(id),
        cookie: Cookie(id * 100),
        kind: FlowKind::Rtp,
        media: tandem_link::MediaKind::Audio,
        clock_rate: 0,
        a: leg(0, x, a),
        b: leg(1, y, b),
        timeout_s: 60,
        limit: tandem_link::RateLimit::default(),
    }
}

pub(crate) fn rtp(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend([1, 2, 3, 4]);
    packet.extend([0xD5; 160]);
    packet
}
