//! Figures of one direction: loss and order by sequence number (RFC 3550 appendix A.1 and A.3),
//! jitter (A.8).

use tandem_link::{DirectionStats, MediaKind, RateLimit, StreamStats};
use tandem_wire::RtpHeader;

use crate::learn::coarse;

/// A jump forward by so much or more is a restart, not loss (A.1).
const MAX_DROPOUT: u16 = 3_000;
/// A packet at most so far behind is late, not a restart (A.1).
const MAX_MISORDER: u16 = 100;
/// No payload type: it has 7 bits.
const NO_PAYLOAD_TYPE: u8 = u8::MAX;
/// Comfort noise (RFC 3389): its packets come when they like.
const COMFORT_NOISE: u8 = 13;
/// A second of credit, in nanoseconds.
const FULL: u64 = 1_000_000_000;
/// The most RTCP packets of a leg in a millisecond: a flood is more, and no peer's reports and feedback are.
const RTCP_AT_ONCE: u16 = 4;
/// The largest step of the jitter, so that one jump of a clock is forgotten in a few seconds.
const MAX_STEP: u64 = 1 << 20;

/// What a flow carries, in two bytes: whether it is audio, and the clock rate of dynamic payload types in units of 25 Hz, of which
/// every rate of RFC 3551 is a multiple; 0 when it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Carried(u16);

impl Carried {
    const OTHER: u16 = 1 << 15;

    pub(crate) fn new(media: MediaKind, clock_hz: u32) -> Self {
        let units = u16::try_from(clock_hz / 25).unwrap_or(0);
        let units = if units < Self::OTHER { units } else { 0 };
        Self(match media {
            MediaKind::Audio => units,
            MediaKind::Other => units | Self::OTHER,
        })
    }

    pub(crate) const fn media(self) -> MediaKind {
        if self.0 & Self::OTHER == 0 {
            MediaKind::Audio
        } else {
            MediaKind::Other
        }
    }

    pub(crate) const fn clock_hz(self) -> u32 {
        (self.0 & !Self::OTHER) as u32 * 25
    }
}

/// What was received of one RTP stream: one cache line.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct RtpStats {
    pub(crate) bytes: u64,
    /// When the last valid packet of an accepted source came; 0 for never.
    pub(crate) last_seen: u64,
    /// Four bytes: at the 50 a second of a call they last 2.7 years.
    pub(crate) packets: u32,
    ssrc: u32,
    /// The highest extended sequence number since the stream's (re)start.
    highest: u32,
    /// What it would be if none of them was lost.
    unbroken: u32,
    lost_before: u32,
    reordered: u32,
    /// Scaled by 16.
    jitter: u32,
    timestamp: u32,
    /// Nanoseconds of the rate limit's credit.
    credit: u32,
    wrong_source: u32,
    /// The number that confirms a restart, after a jump.
    restart_at: u16,
    payload_type_changes: u16,
    stream: Stream,
    /// Of speech: events and comfort noise do not count.
    payload_type: u8,
    /// The payload type that the next packet has to have to be like the last one.
    expected: u8,
    /// That of telephone-event, or none.
    event_type: u8,
}

/// Whether there is a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    None,
    Running,
    /// After a jump, whose number awaits its successor.
    Restarting,
}

/// What few packets have to do with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RtpMore {
    /// Packets above the rate.
    pub(crate) policed: u32,
    ssrc_before: u32,
    ssrc_changes: u16,
    ssrc_returns: u16,
    events: u16,
    /// The low half of the last event's timestamp.
    event_at: u16,
}

/// Where a packet stands in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Ahead,
    Late,
}

impl Default for RtpStats {
    fn default() -> Self {
        Self {
            bytes: 0,
            last_seen: 0,
            packets: 0,
            ssrc: 0,
            highest: 0,
            unbroken: 0,
            lost_before: 0,
            reordered: 0,
            jitter: 0,
            timestamp: 0,
            credit: 0,
            wrong_source: 0,
            restart_at: 0,
            payload_type_changes: 0,
            stream: Stream::None,
            payload_type: NO_PAYLOAD_TYPE,
            expected: NO_PAYLOAD_TYPE,
            event_type: NO_PAYLOAD_TYPE,
        }
    }
}

impl RtpStats {
    /// A packet from an accepted source. Answers how long ago the one before came, in nanoseconds; none if it is above the rate.
    #[inline(always)]
    pub(crate) fn heard(&mut self, now: u64, bytes: usize, limit: RateLimit) -> Option<u64> {
        let elapsed = now.saturating_sub(self.last_seen);
        self.last_seen = now.max(1);
        // It pays out of the credit that the time has filled.
        let credit = u64::from(self.credit).wrapping_add(elapsed).min(FULL);
        let cost = limit.cost_ns(bytes);
        if credit < cost {
            self.credit = credit as u32;
            return None;
        }
        self.credit = (credit - cost) as u32;
        Some(elapsed)
    }

    /// An RTP packet inside of the rate.
    #[inline(always)]
    pub(crate) fn heard_rtp(
        &mut self,
        elapsed: u64,
        rtp: RtpHeader<'_>,
        carried: Carried,
        more: &mut RtpMore,
    ) {
        if rtp.ssrc() != self.ssrc || rtp.payload_type() != self.expected {
            return self.heard_unlike(rtp, more);
        }
        // The way of nearly every packet.
        if self.follows(rtp.sequence()).is_some() {
            self.jitter(elapsed, rtp, carried);
        }
        self.timestamp = rtp.timestamp();
    }

    /// A packet that is not like the one before: the first, of another source or payload type, an event, or behind one.
    #[inline(never)]
    fn heard_unlike(&mut self, rtp: RtpHeader<'_>, more: &mut RtpMore) {
        let payload_type = rtp.payload_type();
        let mut ahead = true;
        if self.stream == Stream::None || rtp.ssrc() != self.ssrc {
            if self.stream != Stream::None {
                more.other_source(self.ssrc, rtp.ssrc());
            }
            self.ssrc = rtp.ssrc();
            self.restart(rtp.sequence());
        } else {
            ahead = self.follows(rtp.sequence()) == Some(Order::Ahead);
        }
        if payload_type == self.event_type || payload_type == COMFORT_NOISE {
            // Their timestamps stand still, so that the next packet of speech is not measured against them.
            self.expected = NO_PAYLOAD_TYPE;
            if payload_type == self.event_type && ahead {
                more.event(rtp);
            }
            return;
        }
        if self.payload_type != NO_PAYLOAD_TYPE && self.payload_type != payload_type {
            self.payload_type_changes = self.payload_type_changes.saturating_add(1);
        }
        self.payload_type = payload_type;
        self.expected = payload_type;
        self.timestamp = rtp.timestamp();
    }

    /// Takes a sequence number of the stream. None if it jumps.
    #[inline(always)]
    fn follows(&mut self, sequence: u16) -> Option<Order> {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if ahead < MAX_DROPOUT {
            // A packet twice (0) makes up for one that was lost, as in A.3.
            self.highest = self.highest.wrapping_add(ahead.into());
            self.unbroken = self.unbroken.wrapping_add(1);
            return Some(Order::Ahead);
        }
        self.falls_back(sequence, ahead)
    }

    #[inline(never)]
    fn falls_back(&mut self, sequence: u16, ahead: u16) -> Option<Order> {
        if ahead > u16::MAX - MAX_MISORDER {
            self.unbroken = self.unbroken.wrapping_add(1);
            self.reordered = self.reordered.saturating_add(1);
            return Some(Order::Late);
        }
        if self.stream == Stream::Restarting && sequence == self.restart_at {
            // The second in a row after a jump: the sender began anew. Its predecessor counts.
            self.restart(sequence.wrapping_sub(1));
            self.highest = self.highest.wrapping_add(1);
            self.unbroken = self.highest;
        } else {
            self.restart_at = sequence.wrapping_add(1);
            self.stream = Stream::Restarting;
        }
        None
    }

    /// A packet came from another source.
    pub(crate) fn strange(&mut self) {
        self.wrong_source = self.wrong_source.saturating_add(1);
    }

    /// What the payload type of telephone-event is.
    pub(crate) fn set_event_type(&mut self, event_type: Option<u8>) {
        self.event_type = event_type.unwrap_or(NO_PAYLOAD_TYPE);
    }

    /// The same.
    pub(crate) fn event_type(&self) -> Option<u8> {
        Some(self.event_type).filter(|p| *p != NO_PAYLOAD_TYPE)
    }

    /// The stream's source and how many of its timestamp units are a second; none without a stream.
    pub(crate) fn source(&self, carried: Carried) -> Option<(u32, u32)> {
        let rate = match self.payload_type {
            NO_PAYLOAD_TYPE => carried.clock_hz().max(8_000),
            payload_type => clock_rate(payload_type, carried),
        };
        (self.stream != Stream::None).then_some((self.ssrc, rate))
    }

    /// A packet was relayed.
    #[inline]
    pub(crate) fn relayed(&mut self, bytes: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.bytes += bytes as u64;
    }

    /// The stream is another from now on; what was lost stays counted.
    pub(crate) fn end_stream(&mut self) {
        self.lost_before = self.lost_before.saturating_add(self.lost());
        self.unbroken = self.highest;
        self.stream = Stream::None;
        self.expected = NO_PAYLOAD_TYPE;
    }

    fn restart(&mut self, sequence: u16) {
        self.lost_before = self.lost_before.saturating_add(self.lost());
        self.highest = sequence.into();
        self.unbroken = self.highest;
        self.stream = Stream::Running;
    }

    /// Since the (re)start; never below 0.
    fn lost(&self) -> u32 {
        u32::try_from(self.highest.wrapping_sub(self.unbroken) as i32).unwrap_or(0)
    }

    #[inline(always)]
    fn jitter(&mut self, elapsed: u64, rtp: RtpHeader<'_>, carried: Carried) {
        let arrived = (u128::from(elapsed) * units(rtp.payload_type(), carried)) >> UNITS;
        let sent = i64::from(rtp.timestamp().wrapping_sub(self.timestamp) as i32);
        let step = (arrived as i64).wrapping_sub(sent).unsigned_abs();
        // A.8 with integers.
        self.jitter += step.min(MAX_STEP) as u32;
        self.jitter -= (self.jitter + 8) >> 4;
    }

    pub(crate) fn report(&self, now: u64, carried: Carried) -> DirectionStats {
        let payload_type = Some(self.payload_type).filter(|p| *p != NO_PAYLOAD_TYPE);
        DirectionStats {
            packets: self.packets.into(),
            bytes: self.bytes,
            payload_type,
            clock_rate: payload_type.map_or(0, |p| clock_rate(p, carried)),
            lost: u64::from(self.lost_before) + u64::from(self.lost()),
            reordered: self.reordered.into(),
            jitter: self.jitter >> 4,
            wrong_source: self.wrong_source.into(),
            last_seen_ms: age_ms(self.last_seen, now),
        }
    }
}

impl RtpMore {
    /// A packet is above the rate.
    #[cold]
    pub(crate) fn police(&mut self) -> bool {
        self.policed = self.policed.saturating_add(1);
        false
    }

    fn other_source(&mut self, before: u32, now: u32) {
        self.ssrc_changes = self.ssrc_changes.saturating_add(1);
        if self.ssrc_changes > 1 && now == self.ssrc_before {
            self.ssrc_returns = self.ssrc_returns.saturating_add(1);
        }
        self.ssrc_before = before;
    }

    /// A packet of an event: each event has a timestamp of its own that all of its packets repeat (RFC 4733 section 2.5.1.2). One longer than its
    /// duration field goes on 65,535 units later, without the marker (section 2.5.1.3).
    fn event(&mut self, rtp: RtpHeader<'_>) {
        let at = rtp.timestamp() as u16;
        let is_same = self.events > 0 && at == self.event_at;
        let goes_on = !rtp.marker() && at == self.event_at.wrapping_sub(1);
        if !is_same && (self.events == 0 || !goes_on) {
            self.events = self.events.saturating_add(1);
        }
        self.event_at = at;
    }

    pub(crate) fn report(&self, rtp: &RtpStats) -> StreamStats {
        StreamStats {
            ssrc: rtp.source(Carried(0)).map(|(ssrc, _)| ssrc),
            ssrc_changes: self.ssrc_changes.into(),
            ssrc_returns: self.ssrc_returns.into(),
            payload_type_changes: rtp.payload_type_changes.into(),
            events: self.events.into(),
            policed: self.policed.into(),
        }
    }
}

/// What was received of one RTCP stream, but for when.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RtcpStats {
    bytes: u32,
    packets: u32,
    wrong_source: u16,
    /// Packets at the moment of the last one.
    at_once: u16,
}

impl RtcpStats {
    /// A packet from an accepted source; answers whether it is inside of the rate. `last_seen` is by coarse time; 0 for never.
    pub(crate) fn heard(&mut self, now: u64, last_seen: &mut u32) -> bool {
        let now = coarse(now).max(1);
        self.at_once = if *last_seen == now {
            self.at_once.saturating_add(1)
        } else {
            1
        };
        *last_seen = now;
        self.at_once <= RTCP_AT_ONCE
    }

    pub(crate) fn relayed(&mut self, bytes: usize) {
        self.packets = self.packets.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes as u32);
    }

    /// A packet came from another source.
    pub(crate) fn strange(&mut self) {
        self.wrong_source = self.wrong_source.saturating_add(1);
    }

    pub(crate) fn report(&self, now: u64, last_seen: u32) -> DirectionStats {
        let age = u64::from(coarse(now).wrapping_sub(last_seen)) << 20;
        DirectionStats {
            packets: self.packets.into(),
            bytes: self.bytes.into(),
            wrong_source: self.wrong_source.into(),
            last_seen_ms: (last_seen != 0).then_some(age / 1_000_000),
            ..DirectionStats::default()
        }
    }
}

fn age_ms(last_seen: u64, now: u64) -> Option<u64> {
    (last_seen != 0).then(|| now.saturating_sub(last_seen) / 1_000_000)
}

/// The RTP clock's rate in Hz: by static payload type (RFC 3551 tables 4 and 5), or as the controller says of dynamic ones. What
/// it does not say counts as 8,000, the telephone's.
const fn clock_rate(payload_type: u8, carried: Carried) -> u32 {
    match payload_type {
        6 => 16_000,
        10 | 11 => 44_100,
        14 | 25..=34 => 90_000,
        16 => 11_025,
        17 => 22_050,
        96..=127 if carried.clock_hz() != 0 => carried.clock_hz(),
        _ => 8_000,
    }
}

/// Timestamp units of a nanosecond, scaled by 2^[`UNITS`]: a multiplication, where a division by 10^9 is dear.
#[inline(always)]
fn units(payload_type: u8, carried: Carried) -> u128 {
    if payload_type >= 96 && carried.clock_hz() != 0 {
        return u128::from(scaled(25) * (carried.clock_hz() / 25));
    }
    let units = STATIC_UNITS.get(usize::from(payload_type));
    units.copied().unwrap_or_default().into()
}

/// The largest rate of [`Carried`] stays below 2^32 by this.
const UNITS: u32 = 42;

/// [`units`] of all payload types, where the controller says nothing.
static STATIC_UNITS: [u32; 128] = {
    let mut units = [0; 128];
    let (mut left, mut payload_type) = (units.as_mut_slice(), 0);
    while let [first, rest @ ..] = left {
        *first = scaled(clock_rate(payload_type, Carried(0)));
        payload_type += 1;
        left = rest;
    }
    units
};

const fn scaled(hz: u32) -> u32 {
    ((hz as u64) << UNITS).div_ceil(1_000_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_wire::{Rtp, RtpRepr};

    const UNKNOWN: Carried = Carried(0);
    const STEP: u64 = 20_000_000;

    fn hear(stats: &mut RtpStats, now: u64, sequence: u16, timestamp: u32, ssrc: u32) {
        let mut bytes = [0; 12];
        let repr = RtpRepr {
            marker: false,
            payload_type: 0,
            sequence,
            timestamp,
            ssrc,
        };
        repr.emit(&mut bytes).unwrap();
        take(stats, now, &bytes, UNKNOWN);
    }

    fn take(stats: &mut RtpStats, now: u64, bytes: &[u8], carried: Carried) {
        let elapsed = stats.heard(now, bytes.len(), RateLimit::default()).unwrap();
        let rtp = Rtp::parse(bytes).unwrap();
        stats.heard_rtp(elapsed, *rtp, carried, &mut RtpMore::default());
    }

    fn after(sequences: &[u16]) -> DirectionStats {
        let mut stats = RtpStats::default();
        for (i, sequence) in (0u32..).zip(sequences) {
            hear(&mut stats, u64::from(i) * STEP, *sequence, i * 160, 7);
        }
        stats.report(0, UNKNOWN)
    }

    #[test]
    fn a_gap_is_loss_and_a_late_packet_takes_it_back() {
        assert_eq!(
            (after(&[1, 2, 5]).lost, after(&[1, 2, 5]).reordered),
            (2, 0)
        );
        assert_eq!(
            (after(&[1, 2, 5, 3]).lost, after(&[1, 2, 5, 3]).reordered),
            (1, 1)
        );
        assert_eq!(after(&[1, 2, 2, 2]).lost, 0);
    }

    #[test]
    fn a_wrap_is_no_loss() {
        assert_eq!(after(&[65_534, 65_535, 0, 1]).lost, 0);
        assert_eq!(after(&[65_534, 1]).lost, 2);
        assert_eq!(after(&[65_535, 1, 0]).lost, 0);
    }

    #[test]
    fn a_restart_is_confirmed_by_a_second_packet_and_keeps_what_was_lost_before() {
        assert_eq!(after(&[1, 3, 40_000, 40_001, 40_003]).lost, 2);
        // One wild number changes nothing.
        assert_eq!(after(&[1, 3, 40_000, 4, 5]).lost, 1);
        assert_eq!(after(&[40_000, 10, 11, 12]).lost, 0);
    }

    #[test]
    fn another_ssrc_starts_its_own_count() {
        let mut stats = RtpStats::default();
        hear(&mut stats, 0, 100, 0, 1);
        hear(&mut stats, STEP, 102, 320, 1);
        hear(&mut stats, 2 * STEP, 60_000, 0, 2);
        hear(&mut stats, 3 * STEP, 60_001, 160, 2);
        assert_eq!(stats.report(0, UNKNOWN).lost, 1);
    }

    #[test]
    fn even_spacing_has_no_jitter_and_uneven_spacing_has() {
        let (mut even, mut uneven) = (RtpStats::default(), RtpStats::default());
        for i in 0..300u32 {
            let now = u64::from(i) * STEP + 1;
            hear(&mut even, now, i as u16, i * 160, 7);
            // Every other packet 10 ms late: 80 units of 8 kHz.
            hear(
                &mut uneven,
                now + u64::from(i % 2) * 10_000_000,
                i as u16,
                i * 160,
                7,
            );
        }
        assert_eq!(even.report(0, UNKNOWN).jitter, 0);
        let jitter = uneven.report(0, UNKNOWN).jitter;
        assert!((72..=80).contains(&jitter), "{jitter}");
    }

    #[test]
    fn jitter_of_a_dynamic_payload_type_is_in_its_clock() {
        let (mut opus, mut unknown) = (RtpStats::default(), RtpStats::default());
        for i in 0..300u32 {
            let mut bytes = [0; 12];
            let repr = RtpRepr {
                marker: false,
                payload_type: 111,
                sequence: i as u16,
                timestamp: i * 960,
                ssrc: 7,
            };
            repr.emit(&mut bytes).unwrap();
            // Every other packet 10 ms late: 480 units of 48 kHz.
            let now = u64::from(i) * STEP + u64::from(i % 2) * 10_000_000;
            take(
                &mut opus,
                now,
                &bytes,
                Carried::new(MediaKind::Audio, 48_000),
            );
            take(&mut unknown, now, &bytes, UNKNOWN);
        }
        let report = opus.report(0, Carried::new(MediaKind::Audio, 48_000));
        assert_eq!(
            (report.payload_type, report.clock_rate),
            (Some(111), 48_000)
        );
        assert!((432..=480).contains(&report.jitter), "{}", report.jitter);
        assert_eq!(unknown.report(0, UNKNOWN).clock_rate, 8_000);
        assert!(
            unknown.report(0, UNKNOWN).jitter > 700,
            "by the wrong clock"
        );
        assert_eq!(RtpStats::default().report(0, UNKNOWN).payload_type, None);
    }

    #[test]
    fn a_jump_of_the_timestamp_does_not_overflow() {
        let mut stats = RtpStats::default();
        for i in 0..1000u16 {
            hear(
                &mut stats,
                u64::from(i),
                i,
                u32::from(i % 2) * 0x8000_0000,
                7,
            );
        }
        assert!(stats.report(0, UNKNOWN).jitter <= MAX_STEP as u32);
    }

    #[test]
    fn every_clock_of_rfc_3551_has_room_in_two_bytes() {
        for hz in [
            8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 90_000, 192_000,
        ] {
            for media in [MediaKind::Audio, MediaKind::Other] {
                let carried = Carried::new(media, hz);
                assert_eq!((carried.clock_hz(), carried.media()), (hz, media));
            }
        }
        assert_eq!(Carried::new(MediaKind::Audio, u32::MAX), UNKNOWN);
        assert_eq!(Carried::new(MediaKind::Audio, 1_000_000), UNKNOWN);
    }

    #[test]
    fn figures_fit_in_a_cache_line() {
        assert_eq!(size_of::<RtpStats>(), 64);
        assert_eq!((size_of::<RtcpStats>(), size_of::<RtpMore>()), (12, 16));
    }
}
