//! How speech sounds to who hears it, by its codec, its lost packets and its delay: the E-model (ITU-T G.107, 06/2015), and the mean
//! opinion score that follows from its rating R.
//!
//! The telephone at either end, its loudness and its noise are the Recommendation's default values (table 3): R is 93.2 for
//! G.711 without loss or delay, and MOS 4.41. What the network does is measured: loss, the delay that its jitter costs, and the path where RTCP
//! tells of its round trip. Loss is taken
//! as random (BurstR = 1), since only its sum is known. There is no advantage factor (A = 0).
//!
//! The scale is that of narrow-band telephones. Wideband codecs have a scale of their own (G.107.1), and no values for most codecs in
//! use (Opus has none): they have no score here rather than one that cannot be compared.

/// What a codec costs (ITU-T G.113).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Codec {
    /// Equipment impairment factor Ie.
    pub ie: f64,
    /// Packet-loss robustness factor Bpl.
    pub bpl: f64,
    /// Milliseconds from mouth to packet: its frame, its look-ahead, and what is collected for one packet (20 ms, 30 for G.723.1).
    pub delay_ms: f64,
}

/// G.711 whose receiver conceals lost packets (G.711 Appendix I): what media servers and telephones do. G.113 Appendix I.
pub const G711_PLC: Codec = Codec {
    ie: 0.0,
    bpl: 25.1,
    delay_ms: 20.0,
};

/// G.711 whose receiver plays silence for lost packets. G.113 Appendix I.
pub const G711: Codec = Codec {
    ie: 0.0,
    bpl: 4.3,
    delay_ms: 20.0,
};

impl Codec {
    /// The codec of this encoding name, as in `a=rtpmap` (`PCMU/8000`); none for one without published values for narrow-band speech.
    ///
    /// G.711 counts as concealed. G.726 and GSM full rate have no published Bpl: that of G.711 without concealment is taken, which errs to the bad
    /// side. AMR counts as its best mode (12.2 kbit/s, the same codec as GSM EFR). iLBC's values are those in general use; they are
    /// not in Appendix I (05/2002).
    #[must_use]
    pub fn of(encoding: &str) -> Option<Self> {
        let (name, rest) = encoding.split_once('/')?;
        if rest.split('/').next() != Some("8000") {
            return None;
        }
        let (ie, bpl, delay_ms) = match name.to_ascii_uppercase().as_str() {
            "PCMU" | "PCMA" => return Some(G711_PLC),
            "G726-40" => (2.0, 4.3, 20.0),
            "G726-32" => (7.0, 4.3, 20.0),
            "G726-24" => (25.0, 4.3, 20.0),
            "G726-16" => (50.0, 4.3, 20.0),
            "G728" => (7.0, 4.3, 20.0),
            "GSM" => (20.0, 4.3, 20.0),
            "GSM-EFR" | "AMR" => (5.0, 10.0, 25.0),
            "G729" => (11.0, 19.0, 25.0),
            "G723" => (15.0, 16.1, 37.5),
            "ILBC" => (11.0, 32.0, 30.0),
            _ => return None,
        };
        Some(Self { ie, bpl, delay_ms })
    }
}

/// What became of the speech on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Way {
    /// Lost packets, in percent: 0 to 100.
    pub loss_percent: f64,
    /// From mouth to ear, in milliseconds.
    pub delay_ms: f64,
}

/// Milliseconds that a path is taken to cost whose round trip is not known: a relay sees packets pass, and not how long they were on the way.
pub const PATH_MS: f64 = 20.0;

/// Milliseconds that are waited for late packets at least.
const LEAST_BUFFER_MS: f64 = 20.0;

impl Way {
    /// By what was counted. Delay: the codec's, the path's (half of its round trip, or [`PATH_MS`]), and a buffer of twice the jitter that was seen.
    #[must_use]
    pub fn counted(codec: Codec, received: u64, lost: u64, jitter_ms: f64, path_ms: f64) -> Self {
        let buffer = (2.0 * jitter_ms).clamp(LEAST_BUFFER_MS, 1_000.0);
        Self {
            loss_percent: loss_percent(received, lost),
            delay_ms: codec.delay_ms + path_ms + buffer,
        }
    }
}

/// One way of a path with this round trip in microseconds, in milliseconds.
#[must_use]
pub fn path_ms(round_trip_us: Option<u32>) -> f64 {
    round_trip_us.map_or(PATH_MS, |us| f64::from(us) / 2_000.0)
}

/// Lost packets of all that were sent, in percent.
#[must_use]
pub fn loss_percent(received: u64, lost: u64) -> f64 {
    let all = received.saturating_add(lost);
    if all == 0 {
        return 0.0;
    }
    lost as f64 * 100.0 / all as f64
}

/// The rating R of a connection, 0 to 100.
#[must_use]
pub fn rating(codec: Codec, way: Way) -> f64 {
    let loss = way.loss_percent.clamp(0.0, 100.0);
    // Ie,eff (section 7.5), BurstR = 1.
    let equipment = codec.ie + (95.0 - codec.ie) * loss / (loss + codec.bpl);
    let base = Base::new();
    let delay = way.delay_ms.max(0.0);
    (base.signal - base.simultaneous - base.delayed(delay) - equipment).clamp(0.0, 100.0)
}

/// The estimated mean opinion score of a rating (Annex B), 1 to 4.5.
#[must_use]
pub fn opinion(rating: f64) -> f64 {
    if rating <= 0.0 {
        return 1.0;
    }
    if rating >= 100.0 {
        return 4.5;
    }
    let score = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6;
    // The polynomial dips below 1 under R = 6.5.
    score.clamp(1.0, 4.5)
}

/// What does not depend on the network, by the default values of table 3.
struct Base {
    /// Ro.
    signal: f64,
    /// Is.
    simultaneous: f64,
    /// No.
    noise: f64,
}

// Table 3.
const SLR: f64 = 8.0;
const RLR: f64 = 2.0;
const STMR: f64 = 15.0;
const DR: f64 = 3.0;
const DS: f64 = 3.0;
const TELR: f64 = 65.0;
const WEPL: f64 = 110.0;
const QDU: f64 = 1.0;
const NC: f64 = -70.0;
const NFOR: f64 = -64.0;
const PS: f64 = 35.0;
const PR: f64 = 35.0;

impl Base {
    fn new() -> Self {
        // Section 7.2.
        let power = |db: f64| 10f64.powf(db / 10.0);
        let (olr, lstr) = (SLR + RLR, STMR + DR);
        let sent = PS - SLR - DS - 100.0 + 0.004 * (PS - olr - DS - 14.0).powi(2);
        let effective = PR + 10.0 * (1.0 + power(10.0 - lstr)).log10();
        let received = RLR - 121.0 + effective + 0.008 * (effective - 35.0).powi(2);
        let floor = NFOR + RLR;
        let noise = 10.0 * (power(NC) + power(sent) + power(received) + power(floor)).log10();
        let signal = 15.0 - 1.5 * (SLR + noise);
        // Section 7.3.
        let loud = olr + 0.2 * (64.0 + noise - RLR);
        let too_loud = 20.0 * ((1.0 + (loud / 8.0).powi(8)).powf(1.0 / 8.0) - loud / 8.0);
        let masked = -10.0 * (power(-STMR) + power(-TELR)).log10();
        let side_tone = 12.0 * (1.0 + ((masked - 13.0) / 6.0).powi(8)).powf(1.0 / 8.0)
            - 28.0 * (1.0 + ((masked + 1.0) / 19.4).powi(35)).powf(1.0 / 35.0)
            - 13.0 * (1.0 + ((masked - 3.0) / 33.0).powi(13)).powf(1.0 / 13.0)
            + 29.0;
        let q = 37.0 - 15.0 * QDU.log10();
        let g = 1.07 + 0.258 * q + 0.0602 * q * q;
        let y = (signal - 100.0) / 15.0 + 46.0 / 8.4 - g / 9.0;
        let z = 46.0 / 30.0 - g / 40.0;
        let quantising = 15.0 * (1.0 + 10f64.powf(y) + 10f64.powf(z)).log10();
        Self {
            signal,
            simultaneous: too_loud + side_tone + quantising,
            noise,
        }
    }

    /// Id (section 7.4), where all of the delay is in the echo's way, too: T = Ta, Tr = 2 T.
    fn delayed(&self, t: f64) -> f64 {
        // Of the talker's echo.
        let heard = TELR - 40.0 * ((1.0 + t / 10.0) / (1.0 + t / 150.0)).log10()
            + 6.0 * (-0.3 * t * t).exp();
        let (roe, re) = (-1.5 * (self.noise - RLR), 80.0 + 2.5 * (heard - 14.0));
        let talker = ((roe - re) / 2.0 + ((roe - re).powi(2) / 4.0 + 100.0).sqrt() - 1.0)
            * (1.0 - (-t).exp());
        // Of the listener's echo.
        let rle = 10.5 * (WEPL + 7.0) * (2.0 * t + 1.0).powf(-0.25);
        let half = (self.signal - rle) / 2.0;
        let listener = half + (half * half + 169.0).sqrt();
        talker + listener + absolute(t)
    }
}

/// Idd: too long a delay, even without echo (sT = 1, mT = 100 ms).
fn absolute(t: f64) -> f64 {
    if t <= 100.0 {
        return 0.0;
    }
    let x = (t / 100.0).log2();
    25.0 * ((1.0 + x.powi(6)).powf(1.0 / 6.0) - 3.0 * (1.0 + (x / 3.0).powi(6)).powf(1.0 / 6.0)
        + 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOTHING: Way = Way {
        loss_percent: 0.0,
        delay_ms: 0.0,
    };

    fn close(value: f64, expected: f64, by: f64) {
        assert!((value - expected).abs() <= by, "{value} is not {expected}");
    }

    #[test]
    fn the_default_values_give_the_recommended_rating() {
        // G.107 section 7.7.
        close(rating(G711, NOTHING), 93.2, 0.05);
        close(opinion(rating(G711, NOTHING)), 4.41, 0.005);
    }

    #[test]
    fn ratings_have_the_opinions_of_annex_b() {
        for (rating, score) in [
            (90.0, 4.34),
            (80.0, 4.03),
            (70.0, 3.60),
            (60.0, 3.10),
            (50.0, 2.58),
        ] {
            close(opinion(rating), score, 0.007);
        }
        assert_eq!(
            (opinion(-1.0), opinion(0.0), opinion(100.0)),
            (1.0, 1.0, 4.5)
        );
    }

    #[test]
    fn loss_costs_what_the_codecs_robustness_says() {
        let at = |codec, loss_percent| {
            93.2 - rating(
                codec,
                Way {
                    loss_percent,
                    ..NOTHING
                },
            )
        };
        // 95 * 5 / (5 + Bpl).
        close(at(G711, 5.0), 51.1, 0.1);
        close(at(G711_PLC, 5.0), 15.8, 0.1);
        // 11 + 84 * 2 / (2 + 19).
        close(at(Codec::of("G729/8000").unwrap(), 2.0), 19.0, 0.1);
    }

    #[test]
    fn delay_costs_little_at_first_and_much_when_it_is_long() {
        let at = |delay_ms| {
            93.2 - rating(
                G711,
                Way {
                    delay_ms,
                    ..NOTHING
                },
            )
        };
        assert!(
            at(100.0) < 5.0 && at(150.0) < 8.0,
            "{} {}",
            at(100.0),
            at(150.0)
        );
        assert!(at(400.0) > 20.0 && at(400.0) < 35.0, "{}", at(400.0));
        close(absolute(100.0), 0.0, 1e-9);
        close(absolute(100.001), 0.0, 1e-6);
    }

    #[test]
    fn codecs_are_known_by_their_names_in_sdp() {
        assert_eq!(Codec::of("pcmu/8000"), Some(G711_PLC));
        assert_eq!(Codec::of("AMR/8000/1").map(|c| c.ie), Some(5.0));
        for wide in [
            "G722/8000",
            "opus/48000/2",
            "AMR-WB/16000",
            "PCMU/16000",
            "PCMU",
            "",
            "x/8000",
        ] {
            assert_eq!(Codec::of(wide), None, "{wide}");
        }
    }

    #[test]
    fn what_was_counted_is_a_way() {
        let way = Way::counted(G711_PLC, 99, 1, 30.0, path_ms(None));
        assert_eq!((way.loss_percent, way.delay_ms), (1.0, 100.0));
        let way = Way::counted(G711_PLC, 99, 1, 30.0, path_ms(Some(300_000)));
        assert_eq!(way.delay_ms, 230.0);
        assert_eq!(Way::counted(G711_PLC, 0, 0, 0.0, 20.0).loss_percent, 0.0);
        assert_eq!(loss_percent(u64::MAX, u64::MAX), 100.0);
    }

    fn codecs() -> impl Strategy<Value = Codec> {
        let named = |name| Codec::of(name).unwrap();
        prop_oneof![
            Just(G711),
            Just(named("PCMA/8000")),
            Just(named("G729/8000")),
            Just(named("G723/8000")),
            Just(named("iLBC/8000")),
            Just(named("AMR/8000")),
            Just(named("GSM/8000")),
            Just(named("G726-16/8000")),
        ]
    }

    proptest! {
        #[test]
        fn more_loss_and_more_delay_never_sound_better(
            codec in codecs(),
            loss in (0.0..100.0f64, 0.0..100.0f64),
            delay in (0.0..2_000.0f64, 0.0..2_000.0f64),
        ) {
            let score = |loss_percent, delay_ms| opinion(rating(codec, Way { loss_percent, delay_ms }));
            let (low, high) = (loss.0.min(loss.1), loss.0.max(loss.1));
            let (soon, late) = (delay.0.min(delay.1), delay.0.max(delay.1));
            for (better, worse) in [
                (score(low, soon), score(high, soon)),
                (score(low, soon), score(low, late)),
            ] {
                prop_assert!((1.0..=4.5).contains(&better) && (1.0..=4.5).contains(&worse));
                prop_assert!(worse <= better + 1e-9, "{} {}", better, worse);
            }
        }

        #[test]
        fn any_numbers_have_a_score(loss in any::<f64>(), delay in any::<f64>(), rated in any::<f64>()) {
            let way = Way { loss_percent: loss, delay_ms: delay };
            let score = opinion(rating(G711_PLC, way));
            prop_assert!(score.is_nan() && (loss.is_nan() || delay.is_nan()) || (1.0..=4.5).contains(&score));
            let score = opinion(rated);
            prop_assert!(rated.is_nan() || (1.0..=4.5).contains(&score));
        }
    }
}
