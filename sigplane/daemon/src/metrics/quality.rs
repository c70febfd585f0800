//! How calls sounded, of each side and trunk and tenant: recorded when a call has ended, read by whoever scrapes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tandem_policy::quality::loss_percent;
use tandem_policy::{Cdr, CdrMedia, CdrQuality};

/// As many label sets at most: a configuration that is changed again and again does not fill the memory.
const MOST: usize = 1_000;

/// What is measured: the metric, its help, and its bounds.
pub(super) const MEASURED: [(&str, &str, &[f64]); 4] = [
    (
        "tandem_call_mos",
        "Mean opinion score by the E-model of what came from a side of a call, at its end.",
        &[
            1.5, 2.0, 2.5, 2.8, 3.1, 3.4, 3.6, 3.8, 4.0, 4.1, 4.2, 4.3, 4.4,
        ],
    ),
    (
        "tandem_call_loss_ratio",
        "Packets from a side of a call that were lost on the way here, of all that were sent, at its end.",
        &[
            0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5,
        ],
    ),
    (
        "tandem_call_jitter_seconds",
        "Interarrival jitter of what came from a side of a call, at its end.",
        &[
            0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5,
        ],
    ),
    (
        "tandem_call_round_trip_seconds",
        "Mean round trip between here and a side of a call by its RTCP, at its end.",
        &[
            0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0,
        ],
    ),
];

/// Whose figures these are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Whose {
    pub(super) side: &'static str,
    pub(super) trunk: String,
    pub(super) tenant: String,
}

/// A histogram of one of [`MEASURED`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Measured {
    /// Calls by the first bound that they are not above; the last are above all.
    counts: Vec<u64>,
    pub(super) sum: f64,
}

impl Measured {
    fn record(&mut self, bounds: &[f64], value: f64) {
        self.counts.resize(bounds.len() + 1, 0);
        let at = bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.sum += value;
    }

    /// Calls that are not above each bound.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = u64> + '_ {
        self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        })
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// By whose, in the order of [`MEASURED`].
pub(super) type All = BTreeMap<Whose, [Measured; MEASURED.len()]>;

/// The figures of all calls that have ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Qualities(Arc<Mutex<All>>);

impl Qualities {
    /// A call has ended.
    pub(crate) fn ended(&self, cdr: &Cdr) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (side, media, quality) in [
            ("caller", &cdr.caller_media, &cdr.caller_quality),
            ("callee", &cdr.callee_media, &cdr.callee_quality),
        ] {
            if media.packets == 0 {
                continue;
            }
            let whose = |trunk: &str, tenant: &str| Whose {
                side,
                trunk: trunk.to_owned(),
                tenant: tenant.to_owned(),
            };
            let mut key = whose(&cdr.trunk, &cdr.tenant);
            if all.len() >= MOST && !all.contains_key(&key) {
                key = whose("other", "other");
            }
            let place = all.entry(key).or_default();
            for ((measured, value), (.., bounds)) in
                place.iter_mut().zip(values(media, quality)).zip(MEASURED)
            {
                if let Some(value) = value {
                    measured.record(bounds, value);
                }
            }
        }
    }

    pub(super) fn all(&self) -> All {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// In the order of [`MEASURED`].
fn values(media: &CdrMedia, quality: &CdrQuality) -> [Option<f64>; MEASURED.len()] {
    [
        media.mos.map(|mos| f64::from(mos) / 100.0),
        Some(loss_percent(media.packets, media.lost) / 100.0),
        media.jitter_us.map(|us| f64::from(us) / 1e6),
        quality.round_trip_us.map(|us| f64::from(us) / 1e6),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_bucket_of_its_bound() {
        let mut measured = Measured::default();
        let bounds = [1.0, 2.0];
        for value in [0.5, 1.0, 1.5, 9.0] {
            measured.record(&bounds, value);
        }
        assert_eq!(measured.cumulative().collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!((measured.count(), measured.sum), (4, 12.0));
        assert!(MEASURED.iter().all(|(.., bounds)| bounds.is_sorted()));
    }
}
