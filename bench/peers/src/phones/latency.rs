//! How long registrations took.

use std::time::Duration;

/// All of them, in microseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latency(Vec<u32>);

impl Latency {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0
            .push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    /// Milliseconds that this share of them stayed below; 0 without any.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() as f64 * share) as usize;
        let value = sorted.get(at.min(sorted.len().saturating_sub(1)));
        value.map_or(0.0, |us| f64::from(*us) / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_all_in_order() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantile_ms(0.5), 0.0);
        for ms in (1..=100).rev() {
            latency.add(Duration::from_millis(ms));
        }
        assert_eq!(latency.quantile_ms(0.5), 51.0);
        assert_eq!(latency.quantile_ms(0.99), 100.0);
        assert_eq!(latency.quantile_ms(1.0), 100.0);
    }
}
