//! Values counted in buckets whose width grows with the value: constant memory, constant time, 3 % of error.

use serde::{Deserialize, Serialize};

/// Buckets in each doubling of the value: 2 to this power.
const BITS: u32 = 5;
const PART: u64 = 1 << BITS;
/// Enough for all of 64 bits.
const BUCKETS: usize = ((64 - BITS as usize) + 1) << BITS;

/// A histogram of nanoseconds (or of anything else).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

/// What a histogram says in short. All values in the unit of what was recorded; 0 when nothing was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many values.
    pub count: u64,
    /// The least.
    pub min: u64,
    /// The arithmetic mean.
    pub mean: u64,
    /// Half are not above it.
    pub p50: u64,
    /// 90 of 100 are not above it.
    pub p90: u64,
    /// 99 of 100 are not above it.
    pub p99: u64,
    /// 999 of 1,000 are not above it.
    pub p999: u64,
    /// The greatest.
    pub max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            count: 0,
            sum: 0,
            min: u64::MAX,
            max: 0,
        }
    }
}

impl Histogram {
    /// Counts a value.
    #[inline]
    pub fn record(&mut self, value: u64) {
        if let Some(count) = self.counts.get_mut(bucket(value)) {
            *count += 1;
        }
        self.count += 1;
        self.sum += u128::from(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// How many values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The least value that so many of 1,000 are not above of, within the width of its bucket.
    #[must_use]
    pub fn permille(&self, permille: u64) -> u64 {
        let wanted = (self.count * permille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(index).clamp(self.min, self.max);
            }
        }
        0
    }

    /// The figures that reports show.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        if self.count == 0 {
            return Percentiles::default();
        }
        let mean = self.sum / u128::from(self.count);
        Percentiles {
            count: self.count,
            min: self.min,
            mean: u64::try_from(mean).unwrap_or(u64::MAX),
            p50: self.permille(500),
            p90: self.permille(900),
            p99: self.permille(990),
            p999: self.permille(999),
            max: self.max,
        }
    }

    /// Adds all values of another.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Forgets all values; the memory stays.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        (self.count, self.sum, self.min, self.max) = (0, 0, u64::MAX, 0);
    }

    /// The buckets that are not empty: the greatest value that falls in, and how many did.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let all = self.counts.iter().enumerate();
        all.filter(|(_, count)| **count > 0)
            .map(|(index, count)| (upper(index), *count))
    }
}

#[inline]
fn bucket(value: u64) -> usize {
    if value < PART {
        return value as usize;
    }
    let shift = 63 - value.leading_zeros() - BITS;
    let part = (value >> shift) - PART;
    ((shift as usize + 1) << BITS) + part as usize
}

/// The greatest value in a bucket.
fn upper(index: usize) -> u64 {
    let (row, part) = ((index >> BITS) as u32, (index as u64) & (PART - 1));
    match row {
        0 => part,
        _ => ((PART + part) << (row - 1)) + ((1u64 << (row - 1)) - 1),
    }
}

/// As it stands in a file: the buckets that are not empty.
#[derive(Serialize, Deserialize)]
struct Stored {
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
    /// The greatest value in a bucket, and its count.
    buckets: Vec<(u64, u64)>,
}

impl Serialize for Histogram {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let stored = Stored {
            count: self.count,
            sum: self.sum,
            min: if self.count == 0 { 0 } else { self.min },
            max: self.max,
            buckets: self.buckets().collect(),
        };
        stored.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(from)?;
        let mut all = Self::default();
        for (value, count) in stored.buckets {
            if let Some(place) = all.counts.get_mut(bucket(value)) {
                *place += count;
            }
        }
        all.count = stored.count;
        all.sum = stored.sum;
        all.max = stored.max;
        if stored.count > 0 {
            all.min = stored.min;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentiles_of_a_thousand_values() {
        let mut all = Histogram::default();
        (1..=1000).for_each(|v| all.record(v));
        let p = all.percentiles();
        assert_eq!((p.count, p.min, p.max, p.mean), (1000, 1, 1000, 500));
        assert!((500..=516).contains(&p.p50), "{p:?}");
        assert!((990..=1000).contains(&p.p99), "{p:?}");
        assert!((999..=1000).contains(&p.p999), "{p:?}");
        assert_eq!(Histogram::default().percentiles(), Percentiles::default());
    }

    #[test]
    fn it_comes_back_from_a_file_as_it_was() {
        let mut all = Histogram::default();
        for value in [0, 31, 32, 20_000_000, u64::MAX] {
            all.record(value);
        }
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Histogram>(&text).unwrap(), all);
        let mut twice = all.clone();
        twice.add(&all);
        assert_eq!(twice.count(), 10);
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_values_within_3_percent(value: u64) {
            let top = upper(bucket(value));
            prop_assert!(top >= value);
            prop_assert!((top - value) as f64 <= value as f64 / 32.0);
            prop_assert_eq!(bucket(top), bucket(value));
        }
    }
}
