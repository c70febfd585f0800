//! What crossed a wire, seen by tcpdump at the peers' ends: which RTP packets were sent and which
//! came through.

use std::collections::HashMap;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::{Failure, Lab, Namespace, Process, Result, wait};

/// Bytes kept of each packet: headers, and as much of a payload as RTP's own header.
const KEPT: usize = 128;

/// A running capture.
pub struct Capture {
    process: Process,
    file: PathBuf,
}

/// An RTP packet that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtp {
    /// When, in microseconds since the Unix epoch.
    pub time_us: u64,
    /// Its sender.
    pub source: SocketAddr,
    /// Its receiver.
    pub destination: SocketAddr,
    /// Its synchronisation source.
    pub ssrc: u32,
    /// Its sequence number.
    pub sequence: u16,
    /// DSCP of its IP header.
    pub dscp: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// The VLAN of its tag, if it had one.
    pub vlan: Option<u16>,
}

/// All RTP of one capture.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The packets in the order of time.
    pub packets: Vec<Rtp>,
}

impl Capture {
    /// Begins to capture UDP at an interface.
    ///
    /// # Errors
    /// When tcpdump does not start.
    pub fn start(lab: &Lab, namespace: &Namespace, name: &str, interface: &str) -> Result<Self> {
        Self::keeping(KEPT, lab, namespace, name, interface)
    }

    /// The same, and of all packets all bytes are kept.
    ///
    /// # Errors
    /// When tcpdump does not start.
    pub fn whole(lab: &Lab, namespace: &Namespace, name: &str, interface: &str) -> Result<Self> {
        Self::keeping(0, lab, namespace, name, interface)
    }

    fn keeping(
        kept: usize,
        lab: &Lab,
        namespace: &Namespace,
        name: &str,
        interface: &str,
    ) -> Result<Self> {
        let file = lab.dir().join(format!("{name}.pcap"));
        let mut command = namespace.command("tcpdump");
        // Each packet is written as it comes, and the buffer is large: a packet that is lost here
        // would look like one lost on the way.
        command.args([
            "-i",
            interface,
            "-Z",
            "root",
            "-n",
            "-U",
            "--immediate-mode",
        ]);
        command.args(["-B", "65536", "-s"]);
        command
            .arg(kept.to_string())
            .arg("-w")
            .arg(&file)
            .arg("udp or (vlan and udp)");
        let mut process = Process::start(name, command, lab.log(name))?;
        process.wait_for_words("listening on", 1, Duration::from_secs(10))?;
        Ok(Self { process, file })
    }

    /// Ends it and reads what was seen.
    ///
    /// # Errors
    /// When tcpdump itself lost packets, or the file cannot be read.
    pub fn finish(self) -> Result<Seen> {
        let file = self.stop()?;
        let bytes =
            std::fs::read(&file).map_err(Failure::while_(format!("reading {}", file.display())))?;
        Ok(Seen {
            packets: packets(&bytes),
        })
    }

    /// Ends it: the file with what was seen.
    ///
    /// # Errors
    /// When tcpdump itself lost packets.
    pub fn stop(mut self) -> Result<PathBuf> {
        self.wait_until_still()?;
        self.process.signal(Signal::SIGINT)?;
        self.process.wait(Duration::from_secs(10))?;
        let said = self.process.said();
        let lost = said
            .lines()
            .find_map(|l| l.strip_suffix(" packets dropped by kernel"));
        if lost.is_none_or(|n| n.trim() != "0") {
            return Err(Failure::new(format!(
                "the capture itself is not complete: {said}"
            )));
        }
        Ok(self.file)
    }
}

impl Capture {
    /// Waits until the file has not grown for a while: tcpdump may lag behind the wire.
    fn wait_until_still(&self) -> Result<()> {
        let (mut size, mut since) = (0, Instant::now());
        wait::until("the wire becoming quiet", Duration::from_secs(20), || {
            let now = std::fs::metadata(&self.file).map_or(0, |m| m.len());
            if now != size {
                (size, since) = (now, Instant::now());
            }
            (since.elapsed() > Duration::from_millis(300)).then_some(())
        })
    }
}

impl Seen {
    /// SSRC and sequence number of every packet from `source` (an address, any port).
    #[must_use]
    pub fn from(&self, source: IpAddr) -> HashSet<(u32, u16)> {
        let of = self.packets.iter().filter(|p| p.source.ip() == source);
        of.map(|p| (p.ssrc, p.sequence)).collect()
    }

    /// SSRC and sequence number of every packet to `destination`.
    #[must_use]
    pub fn to(&self, destination: IpAddr) -> HashSet<(u32, u16)> {
        let of = self
            .packets
            .iter()
            .filter(|p| p.destination.ip() == destination);
        of.map(|p| (p.ssrc, p.sequence)).collect()
    }

    /// The longest time without a packet from `source` in any stream that was there before and
    /// after it.
    #[must_use]
    pub fn longest_gap(&self, source: IpAddr) -> Duration {
        let mut last: HashMap<u32, u64> = HashMap::new();
        let mut longest = 0;
        for p in self.packets.iter().filter(|p| p.source.ip() == source) {
            if let Some(before) = last.insert(p.ssrc, p.time_us) {
                longest = longest.max(p.time_us.saturating_sub(before));
            }
        }
        Duration::from_micros(longest)
    }
}

/// How many of the packets `sent` are not among those that `came`.
#[must_use]
pub fn missing(sent: &HashSet<(u32, u16)>, came: &HashSet<(u32, u16)>) -> usize {
    sent.difference(came).count()
}

/// Reads a pcap file (the classic format, little endian, Ethernet).
fn packets(file: &[u8]) -> Vec<Rtp> {
    let mut packets = Vec::new();
    let mut at = 24;
    while let (Some(header), true) = (file.get(at..at + 16), file.len() >= 24) {
        let word = |i: usize| {
            header
                .get(i..i + 4)
                .and_then(|b| b.try_into().ok())
                .map_or(0, u32::from_le_bytes)
        };
        let length = usize::try_from(word(8)).unwrap_or(0);
        let Some(frame) = file.get(at + 16..at + 16 + length) else {
            break;
        };
        let time_us = u64::from(word(0)) * 1_000_000 + u64::from(word(4));
        packets.extend(rtp(frame, time_us));
        at += 16 + length;
    }
    packets
}

fn rtp(frame: &[u8], time_us: u64) -> Option<Rtp> {
    let mut at = 12;
    let (mut kind, mut vlan) = (be16(frame, at)?, None);
    if kind == 0x8100 {
        vlan = Some(be16(frame, at + 2)? & 0x0fff);
        at += 4;
        kind = be16(frame, at)?;
    }
    let ip = frame.get(at + 2..)?;
    let (source, destination, traffic_class, ttl, udp) = match kind {
        0x0800 => {
            let header = usize::from(ip.first()? & 0x0f) * 4;
            let address = |i: usize| {
                let octets: [u8; 4] = ip.get(i..i + 4)?.try_into().ok()?;
                Some(IpAddr::V4(Ipv4Addr::from(octets)))
            };
            if *ip.get(9)? != 17 {
                return None;
            }
            (
                address(12)?,
                address(16)?,
                *ip.get(1)?,
                *ip.get(8)?,
                ip.get(header..)?,
            )
        }
        0x86dd => {
            let address = |i: usize| {
                let octets: [u8; 16] = ip.get(i..i + 16)?.try_into().ok()?;
                Some(IpAddr::V6(Ipv6Addr::from(octets)))
            };
            if *ip.get(6)? != 17 {
                return None;
            }
            let class = (be16(ip, 0)? >> 4) & 0xff;
            (
                address(8)?,
                address(24)?,
                u8::try_from(class).ok()?,
                *ip.get(7)?,
                ip.get(40..)?,
            )
        }
        _ => return None,
    };
    let (from, to) = (be16(udp, 0)?, be16(udp, 2)?);
    let payload = udp.get(8..)?;
    let (first, kind) = (*payload.first()?, *payload.get(1)?);
    let is_rtcp = (192..=223).contains(&kind);
    if first >> 6 != 2 || is_rtcp || payload.len() < 12 {
        return None;
    }
    Some(Rtp {
        time_us,
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
        ssrc: u32::from(be16(payload, 8)?) << 16 | u32::from(be16(payload, 10)?),
        sequence: be16(payload, 2)?,
        dscp: traffic_class >> 2,
        ttl,
        vlan,
    })
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;

    #[test]
    fn an_rtp_packet_is_read_from_a_file() {
        let (source, destination) = (
            "192.0.2.1:6000".parse().unwrap(),
            "192.0.2.2:6002".parse().unwrap(),
        );
        let frame = frame::udp4(
            [1; 6],
            [2; 6],
            source,
            destination,
            &frame::rtp(7, 0xca11, 8, 160),
        );
        let mut file = vec![0; 24];
        for word in [1u32, 5, u32::try_from(frame.len()).unwrap(), 0] {
            file.extend(word.to_le_bytes());
        }
        file.extend(&frame);
        file.extend([0; 7]);
        let seen = packets(&file);
        assert_eq!(seen.len(), 1);
        let p = seen[0];
        assert_eq!((p.ssrc, p.sequence, p.time_us), (0xca11, 7, 1_000_005));
        assert_eq!(
            (p.source, p.destination),
            (source.into(), destination.into())
        );
    }

    #[test]
    fn gaps_are_looked_for_in_each_stream() {
        let rtp = |ssrc, ms: u64| Rtp {
            time_us: ms * 1_000,
            source: "192.0.2.1:1".parse().unwrap(),
            destination: "192.0.2.2:2".parse().unwrap(),
            ssrc,
            sequence: 0,
            dscp: 0,
            ttl: 64,
            vlan: None,
        };
        let seen = Seen {
            packets: vec![rtp(1, 0), rtp(2, 10), rtp(1, 20), rtp(1, 500), rtp(2, 510)],
        };
        assert_eq!(
            seen.longest_gap("192.0.2.1".parse().unwrap()),
            Duration::from_millis(500)
        );
    }
}
