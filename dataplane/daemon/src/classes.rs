//! The control thread's part in classifying sources of SIP: numbers full sets, and cuts what the controller says into what the
//! workers take. What is classified is in the workers' tables alone.

use std::net::IpAddr;
use std::sync::Arc;

use tandem_link::{ClassifiedSource, CommandError, SOURCES_A_COMMAND, SourceClass};
use tandem_relay::{TRUSTED_NETWORKS, TrustedNetworks};

/// Nanoseconds in a millisecond.
const MILLISECOND: u64 = 1_000_000;

/// Sources with their classes, and until when (monotonic nanoseconds): the same memory for all workers.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The full set that they belong to, or that they came after.
    pub(crate) generation: u16,
    pub(crate) sources: Vec<(IpAddr, SourceClass, u64)>,
}

/// The full set that is being said, or was said last.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    generation: u16,
    /// Its networks, while it is not complete.
    networks: Option<Vec<ClassifiedSource>>,
}

impl Classes {
    /// A full set begins. One that was not completed is left where it is.
    pub(crate) fn begin(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.networks = Some(Vec::new());
    }

    /// Sources of the set, or that have changed since. Answers what the workers are told.
    pub(crate) fn add(
        &mut self,
        now: u64,
        sources: &[ClassifiedSource],
    ) -> Result<Arc<Batch>, CommandError> {
        if sources.len() > SOURCES_A_COMMAND {
            return Err(CommandError::BadSources);
        }
        let mut batch = Vec::with_capacity(sources.len());
        for one in sources {
            if one.is_host() {
                let until = now.saturating_add(one.left_ms.saturating_mul(MILLISECOND));
                batch.push((one.source, one.class, until));
            } else {
                let networks = self.networks.as_mut().ok_or(CommandError::BadSources)?;
                if networks.len() >= 2 * TRUSTED_NETWORKS {
                    return Err(CommandError::SourcesFull);
                }
                networks.push(*one);
            }
        }
        Ok(self.batch(batch))
    }

    /// Nobody is registered there any more.
    pub(crate) fn take_away(&self, sources: &[IpAddr]) -> Result<Arc<Batch>, CommandError> {
        if sources.len() > SOURCES_A_COMMAND {
            return Err(CommandError::BadSources);
        }
        let unknown = sources.iter().map(|ip| (*ip, SourceClass::Unknown, 0));
        Ok(self.batch(unknown.collect()))
    }

    /// The set is complete: its number, and a copy of its networks for each worker.
    pub(crate) fn done(
        &mut self,
        workers: usize,
    ) -> Result<(u16, Vec<TrustedNetworks>), CommandError> {
        let networks = self.networks.take().ok_or(CommandError::BadSources)?;
        let mut copies = Vec::with_capacity(workers);
        for _ in 0..workers {
            let (copy, is_all) = TrustedNetworks::new(&networks);
            if !is_all {
                tracing::warn!(
                    "more than {TRUSTED_NETWORKS} trusted networks: the last ones are unknown"
                );
            }
            copies.push(copy);
        }
        Ok((self.generation, copies))
    }

    fn batch(&self, sources: Vec<(IpAddr, SourceClass, u64)>) -> Arc<Batch> {
        Arc::new(Batch {
            generation: self.generation,
            sources,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(ip: &str, length: u8) -> ClassifiedSource {
        ClassifiedSource {
            source: ip.parse().unwrap(),
            length,
            class: SourceClass::Trusted,
            left_ms: u64::MAX,
        }
    }

    #[test]
    fn networks_come_in_full_sets_and_addresses_at_any_time() {
        let mut classes = Classes::default();
        let list = [one("192.0.2.1", 32), one("198.51.100.0", 24)];
        assert_eq!(
            classes.add(0, &list).map(|_| ()),
            Err(CommandError::BadSources)
        );
        assert!(classes.done(1).is_err());
        classes.begin();
        let batch = classes.add(7, &list).unwrap();
        assert_eq!(batch.generation, 1);
        assert_eq!(
            batch.sources,
            [(list[0].source, SourceClass::Trusted, u64::MAX)]
        );
        let (generation, networks) = classes.done(3).unwrap();
        assert_eq!((generation, networks.len()), (1, 3));
        let batch = classes.add(7, &list[..1]).unwrap();
        assert_eq!(batch.generation, 1);
        let batch = classes.take_away(&[list[0].source]).unwrap();
        assert_eq!(batch.sources, [(list[0].source, SourceClass::Unknown, 0)]);
        let many = vec![list[0]; SOURCES_A_COMMAND + 1];
        assert!(classes.add(0, &many).is_err());
    }
}
