//! What the peers say of each other's streams in their RTCP reports, and how far away they are (RFC 3550 section 6.4).
//!
//! A sender report that came in on one leg went out on the other. When that leg's peer repeats its time in a report block (LSR), with how long
//! it kept it (DLSR), the rest of the time that went by here was the round trip between here and that peer.

use tandem_link::PeerReport;
use tandem_wire::rtcp::{ReportBlock, SenderInfo};

/// The longest round trip that is believed: 10 s, in 1/65,536 s. What is longer is somebody's clock.
const LONGEST: i32 = 10 << 16;
/// How far below 0 a round trip may come out: peers round what they say, and their clocks run as they like.
const SLACK: i32 = 1 << 10;

/// What a leg's peer says: half a cache line.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quality {
    /// The middle of the NTP timestamp of the last sender report that came in on this leg; 0 for none.
    sender: u32,
    /// When that was, in 1/65,536 s.
    sender_at: u32,
    /// Of the round trips, in 1/65,536 s.
    sum: u32,
    /// Cumulative loss of the stream that it reports on now.
    lost: i32,
    round_trips: u16,
    /// In 4/65,536 s.
    longest: u16,
    reports: u16,
    /// Cumulative loss of the streams before.
    lost_before: u16,
    /// The low half of the source that it reports on.
    source: u16,
    /// In 100 us.
    jitter: u16,
    worst_jitter: u16,
    fraction: u8,
    worst_fraction: u8,
}

impl Quality {
    /// A sender report came in on this leg.
    pub(crate) fn sent(&mut self, now: u64, sender: &SenderInfo) {
        self.sender = sender.middle();
        self.sender_at = short(now);
    }

    /// Its peer reports on the stream that came in on the `other` leg, whose timestamps have so many units a second.
    pub(crate) fn heard(&mut self, now: u64, other: &Self, block: &ReportBlock, rate: u32) {
        let source = block.ssrc as u16;
        if self.reports > 0 && source != self.source {
            let lost = u16::try_from(self.lost.max(0)).unwrap_or(u16::MAX);
            self.lost_before = self.lost_before.saturating_add(lost);
        }
        self.source = source;
        self.lost = block.lost;
        self.reports = self.reports.saturating_add(1);
        self.fraction = block.fraction_lost;
        self.worst_fraction = self.worst_fraction.max(block.fraction_lost);
        let jitter = u64::from(block.jitter) * 10_000 / u64::from(rate.max(1));
        self.jitter = u16::try_from(jitter).unwrap_or(u16::MAX);
        self.worst_jitter = self.worst_jitter.max(self.jitter);
        if other.sender != 0 && block.last_report == other.sender {
            let away = short(now).wrapping_sub(other.sender_at);
            self.round_trip(away.wrapping_sub(block.delay) as i32);
        }
    }

    fn round_trip(&mut self, measured: i32) {
        if !(-SLACK..=LONGEST).contains(&measured) {
            return;
        }
        let round_trip = measured.max(0) as u32;
        if self.sum > u32::MAX / 2 || self.round_trips == u16::MAX {
            // The mean stays, and what comes counts for more.
            self.sum /= 2;
            self.round_trips /= 2;
        }
        self.sum += round_trip;
        self.round_trips += 1;
        let longest = u16::try_from(round_trip / 4).unwrap_or(u16::MAX);
        self.longest = self.longest.max(longest);
    }

    pub(crate) fn report(&self) -> PeerReport {
        let micros = |short: u64| ((short * 1_000_000) >> 16) as u32;
        let round_trips = u64::from(self.round_trips);
        let mean = u64::from(self.sum).checked_div(round_trips).unwrap_or(0);
        // The longest is kept less exactly than the mean.
        let longest = (u64::from(self.longest) * 4).max(mean);
        PeerReport {
            reports: self.reports.into(),
            fraction_lost: self.fraction,
            worst_fraction_lost: self.worst_fraction,
            lost: u32::from(self.lost_before).saturating_add(self.lost.max(0).unsigned_abs()),
            jitter_us: u32::from(self.jitter) * 100,
            worst_jitter_us: u32::from(self.worst_jitter) * 100,
            round_trips: self.round_trips.into(),
            round_trip_us: micros(mean),
            worst_round_trip_us: micros(longest),
        }
    }
}

/// A time in 1/65,536 s, as RTCP has it: it wraps around after 18 hours.
fn short(now: u64) -> u32 {
    let (seconds, nanos) = (now / 1_000_000_000, now % 1_000_000_000);
    ((seconds << 16) + ((nanos << 16) / 1_000_000_000)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;
    const NTP: u64 = 0xe000_0000_8000_0000;

    fn sender(ntp: u64) -> SenderInfo {
        SenderInfo {
            ssrc: 7,
            ntp,
            timestamp: 0,
            packets: 0,
            octets: 0,
        }
    }

    fn block(last_report: u32, delay: u32) -> ReportBlock {
        ReportBlock {
            ssrc: 7,
            fraction_lost: 0,
            lost: 0,
            highest: 0,
            jitter: 0,
            last_report,
            delay,
        }
    }

    #[test]
    fn the_round_trip_is_the_time_away_without_the_time_that_it_was_kept() {
        // Far beyond what 32 bits have room for.
        let began = 400_000 * SECOND;
        let (mut from, mut to) = (Quality::default(), Quality::default());
        from.sent(began, &sender(NTP));
        let middle = sender(NTP).middle();
        // Kept for 2 s, away for 2.08 s.
        to.heard(began + 2_080_000_000, &from, &block(middle, 2 << 16), 8_000);
        let report = to.report();
        assert_eq!((report.round_trips, report.reports), (1, 1));
        assert!(
            (79_900..=80_100).contains(&report.round_trip_us),
            "{report:?}"
        );
        // Another report's time, none, and one that cannot be.
        to.heard(
            began + 2_080_000_000,
            &from,
            &block(middle + 1, 2 << 16),
            8_000,
        );
        to.heard(began + 2_080_000_000, &from, &block(0, 0), 8_000);
        to.heard(began + 2_080_000_000, &from, &block(middle, 3 << 16), 8_000);
        assert_eq!((to.report().round_trips, to.report().reports), (1, 4));
        to.heard(began + 2_240_000_000, &from, &block(middle, 2 << 16), 8_000);
        let report = to.report();
        assert!(
            (159_000..=160_500).contains(&report.round_trip_us),
            "{report:?}"
        );
        assert!(
            (239_000..=240_500).contains(&report.worst_round_trip_us),
            "{report:?}"
        );
        // Nobody's time is nobody's: not even that of no report at all.
        to.heard(SECOND, &Quality::default(), &block(0, 0), 8_000);
        assert_eq!(to.report().round_trips, 2);
    }

    #[test]
    fn loss_and_jitter_are_the_last_and_the_worst() {
        let mut quality = Quality::default();
        let mut say = |ssrc, lost, fraction_lost, jitter| {
            let block = ReportBlock {
                ssrc,
                lost,
                fraction_lost,
                jitter,
                ..block(0, 0)
            };
            quality.heard(SECOND, &Quality::default(), &block, 8_000);
            quality.report()
        };
        say(7, 10, 128, 800);
        let report = say(7, 12, 3, 80);
        assert_eq!(
            (
                report.lost,
                report.fraction_lost,
                report.worst_fraction_lost
            ),
            (12, 3, 128)
        );
        assert_eq!(
            (report.jitter_us, report.worst_jitter_us),
            (10_000, 100_000)
        );
        // Another stream begins at 0, or below when packets came twice.
        assert_eq!(say(8, -1, 0, 0).lost, 12);
        assert_eq!(say(8, 5, 0, 0).lost, 17);
    }

    proptest! {
        #[test]
        fn any_reports_give_figures(
            blocks in proptest::collection::vec((any::<u32>(), any::<u8>(), any::<i32>(), any::<u32>(), any::<bool>(), any::<u32>(), any::<u64>()), 0..200),
            rate in any::<u32>(),
        ) {
            let mut other = Quality::default();
            let mut quality = Quality::default();
            for (ssrc, fraction_lost, lost, jitter, known, delay, now) in blocks {
                other.sent(now, &sender(u64::from(delay) << 16));
                let last_report = if known { delay } else { jitter };
                let block = ReportBlock { ssrc, fraction_lost, lost, highest: 0, jitter, last_report, delay: delay >> 20 };
                quality.heard(now.saturating_add(u64::from(jitter)), &other, &block, rate);
                let report = quality.report();
                prop_assert!(report.worst_round_trip_us <= 10_100_000 && report.round_trip_us <= report.worst_round_trip_us);
                prop_assert!(report.jitter_us <= report.worst_jitter_us);
                prop_assert!(report.fraction_lost <= report.worst_fraction_lost);
            }
        }
    }

    #[test]
    fn a_mean_of_very_many_stays() {
        let mut quality = Quality::default();
        for _ in 0..200_000 {
            quality.round_trip(1 << 16);
        }
        let report = quality.report();
        assert!(
            (990_000..=1_000_000).contains(&report.round_trip_us),
            "{report:?}"
        );
        assert_eq!(size_of::<Quality>(), 32);
    }
}
