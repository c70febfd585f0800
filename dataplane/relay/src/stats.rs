//! Figures of a stream: loss and order by sequence number (RFC 3550 A.1, A.3), jitter (A.8).

use tandem_link::DirectionStats;
use tandem_wire::rtp::{Rtp, clock_rate};

/// A jump forward by so much or more is a restart, not loss (RFC 3550 A.1).
const MAX_DROPOUT: u16 = 3_000;
/// A packet so far behind is late, not a restart (RFC 3550 A.1).
const MAX_MISORDER: u16 = 100;

/// What was received of one RTP stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RtpStats {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) last_seen: u64,
    /// Since the stream's (re)start: first and highest extended sequence number, and packets.
    base: u32,
    highest: u32,
    since: u32,
    /// Lost before the last restart.
    lost_before: u32,
    reordered: u32,
    ssrc: u32,
    transit: u32,
    /// Scaled by 16.
    jitter: u32,
    pub(crate) wrong_source: u32,
}

impl RtpStats {
    /// A packet that is no RTP, or whose header is not looked at.
    #[inline]
    pub(crate) fn raw(&mut self, now: u64, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
        self.last_seen = now;
    }

    /// An RTP packet of `bytes` payload.
    #[inline]
    pub(crate) fn rtp(&mut self, now: u64, bytes: usize, rtp: &Rtp) {
        let first = self.since == 0;
        self.raw(now, bytes);
        let ahead = rtp.sequence.wrapping_sub(self.highest as u16);
        if first || rtp.ssrc != self.ssrc {
            self.restart(now, rtp);
        } else if (1..MAX_DROPOUT).contains(&ahead) {
            self.highest = self.highest.wrapping_add(u32::from(ahead));
            self.since = self.since.saturating_add(1);
            self.jitter(now, rtp);
        } else if ahead == 0 || ahead > u16::MAX - MAX_MISORDER {
            // A duplicate makes up for one lost packet in the count, as in RFC 3550 A.3.
            self.since = self.since.saturating_add(1);
            self.reordered += u32::from(ahead != 0);
        } else {
            self.restart(now, rtp);
        }
    }

    fn restart(&mut self, now: u64, rtp: &Rtp) {
        self.lost_before = self.lost_before.saturating_add(self.lost_since());
        self.base = u32::from(rtp.sequence);
        self.highest = self.base;
        self.since = 1;
        self.ssrc = rtp.ssrc;
        self.transit = arrival(now, rtp).wrapping_sub(rtp.timestamp);
    }

    fn jitter(&mut self, now: u64, rtp: &Rtp) {
        let transit = arrival(now, rtp).wrapping_sub(rtp.timestamp);
        let difference = (transit.wrapping_sub(self.transit) as i32).unsigned_abs();
        self.transit = transit;
        // A.8, with rounding; a jump of the clock does not spoil it for ever.
        let difference = difference.min(1 << 24);
        self.jitter = self.jitter.saturating_add(difference) - ((self.jitter + 8) >> 4);
    }

    fn lost_since(&self) -> u32 {
        if self.since == 0 {
            return 0;
        }
        (self.highest.wrapping_sub(self.base).wrapping_add(1)).saturating_sub(self.since)
    }

    pub(crate) fn report(&self, now: u64) -> DirectionStats {
        DirectionStats {
            packets: self.packets,
            bytes: self.bytes,
            lost: u64::from(self.lost_before) + u64::from(self.lost_since()),
            reordered: self.reordered.into(),
            jitter: self.jitter >> 4,
            wrong_source: self.wrong_source.into(),
            last_seen_ms: age_ms(self.packets, self.last_seen, now),
        }
    }
}

/// What was received of one RTCP stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RtcpStats {
    pub(crate) bytes: u64,
    pub(crate) last_seen: u64,
    pub(crate) packets: u32,
    pub(crate) wrong_source: u32,
}

impl RtcpStats {
    #[inline]
    pub(crate) fn packet(&mut self, now: u64, bytes: usize) {
        self.packets = self.packets.saturating_add(1);
        self.bytes += bytes as u64;
        self.last_seen = now;
    }

    pub(crate) fn report(&self, now: u64) -> DirectionStats {
        DirectionStats {
            packets: self.packets.into(),
            bytes: self.bytes,
            wrong_source: self.wrong_source.into(),
            last_seen_ms: age_ms(self.packets.into(), self.last_seen, now),
            ..DirectionStats::default()
        }
    }
}

/// The arrival time in the stream's timestamp units.
#[inline]
fn arrival(now: u64, rtp: &Rtp) -> u32 {
    ((now / 1_000).wrapping_mul(u64::from(clock_rate(rtp.payload_type))) / 1_000_000) as u32
}

fn age_ms(packets: u64, last_seen: u64, now: u64) -> Option<u64> {
    (packets > 0).then(|| now.saturating_sub(last_seen) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u16, timestamp: u32, ssrc: u32) -> Rtp {
        Rtp { marker: false, payload_type: 0, sequence, timestamp, ssrc, header_length: 12 }
    }

    fn after(sequences: &[u16]) -> DirectionStats {
        let mut stats = RtpStats::default();
        for (i, s) in sequences.iter().enumerate() {
            stats.rtp(i as u64 * 20_000_000, 172, &packet(*s, i as u32 * 160, 7));
        }
        stats.report(0)
    }

    #[test]
    fn a_gap_is_loss_and_a_late_packet_takes_it_back() {
        assert_eq!(after(&[1, 2, 5]).lost, 2);
        let late = after(&[1, 2, 5, 3]);
        assert_eq!((late.lost, late.reordered), (1, 1));
    }

    #[test]
    fn a_wrap_is_no_loss() {
        assert_eq!(after(&[65_534, 65_535, 0, 1]).lost, 0);
        assert_eq!(after(&[65_534, 1]).lost, 2);
    }

    #[test]
    fn a_restart_keeps_what_was_lost_before() {
        assert_eq!(after(&[1, 3, 40_000, 40_001, 40_003]).lost, 2);
    }

    #[test]
    fn a_new_source_starts_its_own_count() {
        let mut stats = RtpStats::default();
        stats.rtp(0, 172, &packet(100, 0, 1));
        stats.rtp(1, 172, &packet(60_000, 0, 2));
        stats.rtp(2, 172, &packet(60_001, 160, 2));
        assert_eq!((stats.report(0).lost, stats.report(0).packets), (0, 3));
    }

    #[test]
    fn even_spacing_has_no_jitter_and_uneven_spacing_has() {
        let mut even = RtpStats::default();
        let mut uneven = RtpStats::default();
        for i in 0..200u32 {
            let rtp = packet(i as u16, i * 160, 7);
            let now = u64::from(i) * 20_000_000;
            even.rtp(now, 172, &rtp);
            // Every other packet 10 ms late: 80 units of 8 kHz.
            uneven.rtp(now + u64::from(i % 2) * 10_000_000, 172, &rtp);
        }
        assert_eq!(even.report(0).jitter, 0);
        assert!((70..=80).contains(&uneven.report(0).jitter), "{}", uneven.report(0).jitter);
    }
}
