//! Policing of SIP before anybody reads it: whose datagram it is, and whether it may pass.
//!
//! Every source is of a class ([`SourceClass`]) that the signaling plane has set, and unknown without. Each has its token
//! bucket; all registered and all unknown sources together have one more; and all SIP has one, of which a part is kept for
//! those who are trusted. Classified sources are in a table that only the signaling plane fills; unknown ones are in another one, where
//! they displace each other. So however many sources a flood comes from, it passes no more than the unknown may, and
//! takes no memory, no place and no token of anybody else.
//!
//! What costs least is asked first: an unknown source is looked up nowhere while the bucket of all of them is empty.

pub(crate) mod bucket;
mod known;
mod networks;
pub(crate) mod source;
mod unknown;

use tandem_link::{PoliceLimits, PoliceReport, SourceClass, SourceReport};

use crate::counters::Counter;
use crate::endpoint::is_mapped;
use bucket::{Bucket, Rate};
pub use known::TRUSTED_SOURCES;
use known::{Entry, FOREVER, Known};
pub use networks::{TRUSTED_NETWORKS, TrustedNetworks};
use source::{Seed, Source};
use unknown::Unknown;

/// Nanoseconds in a millisecond.
const MILLISECOND: u64 = 1_000_000;
/// How long looking at the whole table of classified sources for those whose time is over takes at least, in nanoseconds.
const ROUND: u64 = 10_000_000_000;

/// Quarters of the bucket of all SIP that are kept for trusted sources, and for registered and trusted ones.
const FOR_TRUSTED: u64 = 1;
const FOR_KNOWN: u64 = 2;

/// How SIP is policed, said once at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoliceConfig {
    /// Until the signaling plane says others.
    pub limits: PoliceLimits,
    /// The most registered sources.
    pub most_registered: u32,
    /// Unknown sources that are remembered.
    pub most_unknown: u32,
    /// Whether all sources of a realm are trusted, by realm: those of the inside are.
    pub trusted_realms: Vec<bool>,
}

/// [`PoliceLimits`] in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Rates {
    trusted: Rate,
    registered: Rate,
    unknown: Rate,
    all_registered: Rate,
    all_unknown: Rate,
    all: Rate,
}

/// One worker's policing.
#[derive(Debug)]
pub(crate) struct Police {
    rates: Rates,
    known: Known,
    networks: Box<TrustedNetworks>,
    unknown: Unknown,
    all_registered: Bucket,
    all_unknown: Bucket,
    all: Bucket,
    trusted_realms: Vec<bool>,
    /// A full set has come.
    complete: bool,
    /// When [`Police::sweep`] was last called, and what of its places is still to be looked at.
    swept: u64,
}

impl Police {
    pub(crate) fn new(config: PoliceConfig, seed: Seed) -> Self {
        Self {
            rates: Rates::new(&config.limits),
            known: Known::new(config.most_registered as usize, seed),
            networks: Box::default(),
            unknown: Unknown::new(config.most_unknown as usize),
            all_registered: Bucket::default(),
            all_unknown: Bucket::default(),
            all: Bucket::default(),
            trusted_realms: config.trusted_realms,
            complete: false,
            swept: 0,
        }
    }

    /// Whether a datagram that came in on this realm may pass, and as whose; or the counter of its drop.
    #[inline]
    pub(crate) fn pass(
        &mut self,
        now: u64,
        realm: u16,
        source: &Source,
    ) -> Result<SourceClass, Counter> {
        let too_many = Counter::of(|c| &mut c.drop_sip_rate_source);
        let rates = self.rates;
        let class = if self.is_inside(realm) {
            SourceClass::Trusted
        } else if let Some(known) = self.find(now, source) {
            let rate = match known.class {
                SourceClass::Trusted => rates.trusted,
                _ => rates.registered,
            };
            take(known.bucket, now, rate).ok_or(too_many)?;
            known.class
        } else if self.complete {
            self.stranger(now, source)?;
            SourceClass::Unknown
        } else {
            // Nobody has said yet who is who: a carrier must not be taken for a stranger.
            SourceClass::Unknown
        };
        self.together(now, class)?;
        Ok(class)
    }

    /// What the signaling plane has said of a source: that it is trusted counts more than who is registered there.
    #[inline]
    fn find(&mut self, now: u64, source: &Source) -> Option<Classified<'_>> {
        let entry = self.known.get_mut(now, source);
        if let Some(entry) = entry {
            if entry.is_trusted || self.networks.len() == 0 {
                return Some(Classified::by_address(entry, source));
            }
            let index = self.networks.find(&source.address);
            return Some(match index {
                Some(index) => Classified::by_network(&mut self.networks, index, source)?,
                None => Classified::by_address(entry, source),
            });
        }
        let index = self.networks.find(&source.address)?;
        Classified::by_network(&mut self.networks, index, source)
    }

    /// An unknown source's own bucket; first of all whether those that it shares have anything left.
    #[inline]
    fn stranger(&mut self, now: u64, source: &Source) -> Result<(), Counter> {
        if !self.all_unknown.has(now, self.rates.all_unknown, 0) {
            return Err(Counter::of(|c| &mut c.drop_sip_rate_unknown));
        }
        if !self.all.has(now, self.rates.all, FOR_KNOWN) {
            return Err(Counter::of(|c| &mut c.drop_sip_rate_all));
        }
        if self.unknown.pass(now, source.hash, self.rates.unknown) {
            Ok(())
        } else {
            Err(Counter::of(|c| &mut c.drop_sip_rate_source))
        }
    }

    /// The buckets that a source shares with others. One that one of them does not let pass takes nothing of the other.
    #[inline]
    fn together(&mut self, now: u64, class: SourceClass) -> Result<(), Counter> {
        let rates = &self.rates;
        let keep = match class {
            SourceClass::Trusted => 0,
            SourceClass::Registered => FOR_TRUSTED,
            SourceClass::Unknown if self.complete => FOR_KNOWN,
            SourceClass::Unknown => 0,
        };
        if !self.all.has(now, rates.all, keep) {
            return Err(Counter::of(|c| &mut c.drop_sip_rate_all));
        }
        match class {
            SourceClass::Trusted => {}
            SourceClass::Registered => take(&mut self.all_registered, now, rates.all_registered)
                .ok_or(Counter::of(|c| &mut c.drop_sip_rate_registered))?,
            SourceClass::Unknown if self.complete => {
                self.all_unknown.take(now, rates.all_unknown);
            }
            SourceClass::Unknown => {}
        }
        self.all.take(now, rates.all);
        Ok(())
    }

    #[inline]
    fn is_inside(&self, realm: u16) -> bool {
        let inside = self.trusted_realms.get(usize::from(realm));
        inside.copied().unwrap_or(false)
    }

    pub(crate) fn set_limits(&mut self, limits: &PoliceLimits) {
        self.rates = Rates::new(limits);
    }

    /// A source has this class from now on, by the full set with this number or since. Whether there was room.
    pub(crate) fn classify(
        &mut self,
        source: &Source,
        class: SourceClass,
        until: u64,
        generation: u16,
    ) -> bool {
        match class {
            SourceClass::Trusted => self.known.trust(source, generation),
            SourceClass::Registered => self.known.register(source, until, generation),
            SourceClass::Unknown => {
                self.known.unregister(source);
                true
            }
        }
    }

    /// A full set is complete. Gives back the networks from before.
    pub(crate) fn classified(
        &mut self,
        generation: u16,
        networks: Box<TrustedNetworks>,
    ) -> Box<TrustedNetworks> {
        self.known.begin_generation(generation);
        self.complete = true;
        std::mem::replace(&mut self.networks, networks)
    }

    /// Takes out of the table whose time is over: as many places as the time that went by since the last call allows, at
    /// most so many.
    #[inline]
    pub(crate) fn sweep(&mut self, now: u64, most: usize) {
        let gone = now.saturating_sub(self.swept).min(ROUND);
        let due = (self.known.places() as u64).saturating_mul(gone) / ROUND;
        if due < 16 {
            return;
        }
        self.swept = now;
        self.known
            .sweep(now, usize::try_from(due).unwrap_or(most).min(most));
    }

    /// How full everything is, and what is known of a source.
    pub(crate) fn report(&mut self, now: u64, source: Option<(&Source, bool)>) -> PoliceReport {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        PoliceReport {
            complete: self.complete,
            trusted: count(self.known.trusted()),
            networks: count(self.networks.len()),
            registered: count(self.known.registered()),
            most_registered: count(self.known.most_registered()),
            unknown: count(self.unknown.len(now)),
            most_unknown: count(self.unknown.capacity()),
            source: source.map(|(source, blocked)| self.source_report(now, source, blocked)),
        }
    }

    fn source_report(&mut self, now: u64, source: &Source, blocked: bool) -> SourceReport {
        let rates = self.rates;
        let Some(known) = self.find(now, source) else {
            return SourceReport {
                class: SourceClass::Unknown,
                length: if is_mapped(&source.address) { 32 } else { 64 },
                left_ms: None,
                blocked,
                credit: self.unknown.credit(now, source.hash, rates.unknown),
            };
        };
        let rate = match known.class {
            SourceClass::Trusted => rates.trusted,
            _ => rates.registered,
        };
        let until = u64::from(known.until_s).saturating_mul(1_000 * MILLISECOND);
        SourceReport {
            class: known.class,
            length: known.length,
            left_ms: (known.until_s != FOREVER).then(|| until.saturating_sub(now) / MILLISECOND),
            blocked,
            credit: known.bucket.credit(now, rate),
        }
    }
}

/// What is known of a source.
struct Classified<'a> {
    class: SourceClass,
    /// Bits of the network that it is known by, of its own family's.
    length: u8,
    until_s: u32,
    bucket: &'a mut Bucket,
}

impl<'a> Classified<'a> {
    #[inline]
    fn by_address(entry: &'a mut Entry, source: &Source) -> Self {
        let is_v4 = is_mapped(&source.address);
        let (class, length) = match (entry.is_trusted, is_v4) {
            (true, true) => (SourceClass::Trusted, 32),
            (true, false) => (SourceClass::Trusted, 128),
            (false, true) => (SourceClass::Registered, 32),
            (false, false) => (SourceClass::Registered, 64),
        };
        Self {
            class,
            length,
            until_s: entry.until_s,
            bucket: &mut entry.bucket,
        }
    }

    #[inline]
    fn by_network(
        networks: &'a mut TrustedNetworks,
        index: usize,
        source: &Source,
    ) -> Option<Self> {
        let bits = networks.length(index);
        let is_v4 = is_mapped(&source.address);
        Some(Self {
            class: SourceClass::Trusted,
            length: if is_v4 { bits.saturating_sub(96) } else { bits },
            until_s: FOREVER,
            bucket: networks.bucket(index)?,
        })
    }
}

impl Rates {
    fn new(limits: &PoliceLimits) -> Self {
        Self {
            trusted: Rate::new(limits.trusted),
            registered: Rate::new(limits.registered),
            unknown: Rate::new(limits.unknown),
            all_registered: Rate::new(limits.all_registered),
            all_unknown: Rate::new(limits.all_unknown),
            all: Rate::new(limits.all),
        }
    }
}

/// Takes a token, if there is one.
#[inline]
fn take(bucket: &mut Bucket, now: u64, rate: Rate) -> Option<()> {
    bucket.has(now, rate, 0).then(|| bucket.take(now, rate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr};
    use tandem_link::{ClassifiedSource, PoliceLimit};

    const SEED: [u8; 16] = [9; 16];
    const SECOND: u64 = 1_000_000_000;
    const REALM: u16 = 0;

    fn limit(rate: u32, burst: u32) -> PoliceLimit {
        PoliceLimit { rate, burst }
    }

    fn limits() -> PoliceLimits {
        PoliceLimits {
            trusted: limit(2_000, 100),
            registered: limit(200, 50),
            unknown: limit(50, 100),
            all_registered: limit(5_000, 2_500),
            all_unknown: limit(5_000, 2_500),
            all: limit(50_000, 20_000),
            fragments: limit(0, 0),
        }
    }

    fn source(ip: Ipv4Addr) -> Source {
        Source::of(Seed::new(SEED), ip.into())
    }

    /// 100 trusted addresses and a network, 100 registered ones.
    fn police() -> Police {
        let config = PoliceConfig {
            limits: limits(),
            most_registered: 1_000,
            most_unknown: 4_096,
            trusted_realms: vec![],
        };
        let mut police = Police::new(config, Seed::new(SEED));
        for n in 0..100u32 {
            let trusted = source(Ipv4Addr::from(0xc000_0200 + n));
            let registered = source(Ipv4Addr::from(0xcb00_7100 + n));
            assert!(police.classify(&trusted, SourceClass::Trusted, u64::MAX, 1));
            assert!(police.classify(&registered, SourceClass::Registered, u64::MAX, 1));
        }
        let network = ClassifiedSource {
            source: IpAddr::from(Ipv4Addr::new(198, 51, 100, 0)),
            length: 24,
            class: SourceClass::Trusted,
            left_ms: u64::MAX,
        };
        police.classified(1, Box::new(TrustedNetworks::new(&[network]).0));
        police
    }

    /// Not as good as others, and the same each time.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }
    }

    #[test]
    fn a_million_sources_take_nothing_from_those_who_are_known() {
        let mut police = police();
        let mut random = Random(1);
        let known = [
            (Ipv4Addr::new(192, 0, 2, 7), 2_000, SourceClass::Trusted),
            (Ipv4Addr::new(198, 51, 100, 9), 2_000, SourceClass::Trusted),
            (Ipv4Addr::new(203, 0, 113, 7), 200, SourceClass::Registered),
        ];
        let memory = |p: &Police| (p.known.places(), p.unknown.capacity());
        let before = memory(&police);
        // A second: a microsecond for each stranger, and each of the known at its rate.
        let (mut strangers, mut now) = (0u64, 7 * SECOND);
        for step in 0..1_000_000u64 {
            now += 1_000;
            let stranger = source(Ipv4Addr::from(0x0100_0000 | random.next() as u32 >> 8));
            strangers += u64::from(police.pass(now, REALM, &stranger).is_ok());
            for (ip, rate, class) in known {
                if step % (1_000_000 / rate) == 0 {
                    let is = police.pass(now, REALM, &source(ip)).ok();
                    assert_eq!(is, Some(class), "{ip} at {step}");
                }
            }
        }
        // The burst, and a second of the rate.
        assert!(strangers <= 2_500 + 5_000, "{strangers}");
        assert!(strangers >= 7_000, "{strangers}");
        let report = police.report(now, None);
        assert_eq!(
            (report.trusted, report.networks, report.registered),
            (100, 1, 100)
        );
        assert_eq!(memory(&police), before);
    }

    #[test]
    fn one_that_floods_leaves_other_strangers_their_share() {
        let mut police = police();
        let (loud, quiet) = (Ipv4Addr::new(5, 5, 5, 5), Ipv4Addr::new(6, 6, 6, 6));
        let (mut now, mut heard) = (SECOND, 0);
        for step in 0..1_000_000u64 {
            now += 1_000;
            let _ = police.pass(now, REALM, &source(loud));
            if step % 50_000 == 0 {
                heard += u32::from(police.pass(now, REALM, &source(quiet)).is_ok());
            }
        }
        assert_eq!(heard, 20);
    }

    #[test]
    fn the_end_of_time_comes_without_a_panic() {
        let mut police = police();
        for now in [0, u64::MAX - 1, u64::MAX, 5, u64::MAX / 2] {
            for ip in [
                [192, 0, 2, 7],
                [198, 51, 100, 9],
                [203, 0, 113, 7],
                [9, 9, 9, 9],
            ] {
                let source = source(Ipv4Addr::from(ip));
                let _ = police.pass(now, REALM, &source);
                let _ = police.report(now, Some((&source, false)));
            }
            police.sweep(now, 64);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn who_is_known_is_never_displaced(seed in 1..u64::MAX, gap in 0..3_000u64) {
            let mut police = police();
            let mut random = Random(seed);
            let mut now = SECOND;
            for _ in 0..20_000 {
                now += gap;
                // Anybody, those that are known included.
                let ip = match random.next() % 8 {
                    0 => 0xc000_0200 + random.next() as u32 % 100,
                    1 => 0xcb00_7100 + random.next() as u32 % 100,
                    _ => random.next() as u32,
                };
                let _ = police.pass(now, REALM, &source(Ipv4Addr::from(ip)));
                police.sweep(now, 32);
            }
            for n in 0..100u32 {
                let trusted = source(Ipv4Addr::from(0xc000_0200 + n));
                let registered = source(Ipv4Addr::from(0xcb00_7100 + n));
                let class = |p: &mut Police, s| p.find(now, s).map(|c| c.class);
                prop_assert_eq!(class(&mut police, &trusted), Some(SourceClass::Trusted));
                prop_assert_eq!(class(&mut police, &registered), Some(SourceClass::Registered));
            }
        }
    }
}
