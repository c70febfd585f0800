//! Latencies in buckets: exact below 64, then 32 buckets for each doubling (3 %).

use serde::{Deserialize, Serialize};

/// Buckets for each doubling.
const STEPS: usize = 32;
/// Enough for 64 bits.
const BUCKETS: usize = 60 * STEPS + 2 * STEPS;

/// Nanoseconds, counted by size.
#[derive(Clone)]
pub(crate) struct Histogram {
    buckets: Box<[u64]>,
    count: u64,
    most: u64,
}

/// What is told of them, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) most: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            buckets: vec![0; BUCKETS].into(),
            count: 0,
            most: 0,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.buckets.fill(0);
        (self.count, self.most) = (0, 0);
    }

    #[inline]
    pub(crate) fn add(&mut self, ns: u64) {
        if let Some(bucket) = self.buckets.get_mut(bucket_of(ns)) {
            *bucket += 1;
        }
        self.count += 1;
        self.most = self.most.max(ns);
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        Percentiles {
            p50: self.at(0.5),
            p90: self.at(0.9),
            p99: self.at(0.99),
            p999: self.at(0.999),
            most: self.most,
        }
    }

    /// The upper end of the bucket below which `share` of all are.
    fn at(&self, share: f64) -> u64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return upper_end(bucket).min(self.most);
            }
        }
        self.most
    }
}

#[inline]
fn bucket_of(ns: u64) -> usize {
    let steps = STEPS as u64;
    if ns < 2 * steps {
        return ns as usize;
    }
    // The leading bit and the five behind it.
    let shift = ns.ilog2() - steps.ilog2();
    (u64::from(shift) * steps + (ns >> shift)) as usize
}

fn upper_end(bucket: usize) -> u64 {
    let (bucket, steps) = (bucket as u64, STEPS as u64);
    if bucket < 2 * steps {
        return bucket;
    }
    let shift = bucket / steps - 1;
    let top = bucket - shift * steps;
    (top << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_it_says() {
        for ns in [0, 1, 63, 64, 65, 127, 128, 1_000, 12_345, 1 << 40] {
            let end = upper_end(bucket_of(ns));
            assert!(end >= ns, "{ns}: {end}");
            assert!(end <= ns + ns / 32, "{ns}: {end}");
        }
    }

    #[test]
    fn percentiles_of_a_thousand() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.percentiles(), Percentiles::default());
        (1..=1_000).for_each(|us| histogram.add(us * 1_000));
        let seen = histogram.percentiles();
        assert!((500_000..=516_000).contains(&seen.p50), "{seen:?}");
        assert!((990_000..=1_000_000).contains(&seen.p99), "{seen:?}");
        assert_eq!(seen.most, 1_000_000);
        histogram.clear();
        assert_eq!(histogram.percentiles(), Percentiles::default());
    }
}
