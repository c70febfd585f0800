//! All addresses of record of one worker.

use std::collections::BTreeMap;
use std::hash::Hasher;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::binding::Record;

/// How fine the times are at which bindings are looked at for being over, in milliseconds.
const GRAIN: u64 = 4_000;
/// Places of the table that a page looks at.
const PLACES: usize = 16_384;

/// The bindings of many addresses of record. Each record is one block of bytes, as [`Record`] is encoded.
pub struct Location {
    key: (u64, u64),
    records: HashTable<Box<[u8]>>,
    /// The hashes of records of which something may be over, by time.
    due: BTreeMap<u64, Vec<u64>>,
    contacts: usize,
}

/// Bytes that are no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord;

impl Location {
    /// Without any. `seed` must be unpredictable: user agents choose what is hashed.
    #[must_use]
    pub fn new(seed: [u8; 16]) -> Self {
        let (low, high) = seed.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b));
        Self {
            key: (number(low), number(high)),
            records: HashTable::new(),
            due: BTreeMap::new(),
            contacts: 0,
        }
    }

    /// How many addresses of record have contacts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many contacts there are, those that are over and not looked at yet among them.
    #[must_use]
    pub const fn contacts(&self) -> usize {
        self.contacts
    }

    /// The record of an address of record.
    #[must_use]
    pub fn find(&self, aor: &[u8]) -> Option<Record> {
        let hash = hash(self.key, aor);
        let bytes = self.records.find(hash, |bytes| aor_of(bytes) == aor)?;
        decode(bytes)
    }

    /// Replaces a record; one without bindings is removed. Gives its bytes, for the journal; none for one that was removed.
    pub fn put(&mut self, record: &Record) -> Option<Vec<u8>> {
        let hash = hash(self.key, &record.aor);
        for until in due_times(record) {
            self.due.entry(until).or_default().push(hash);
        }
        self.replace(record)
    }

    fn replace(&mut self, record: &Record) -> Option<Vec<u8>> {
        let hash = hash(self.key, &record.aor);
        let known = self
            .records
            .find_entry(hash, |bytes| aor_of(bytes) == record.aor);
        if let Ok(entry) = known {
            let (bytes, _) = entry.remove();
            self.contacts -= decode(&bytes).map_or(0, |r| r.bindings.len());
        }
        if record.bindings.is_empty() {
            if self.records.is_empty() {
                self.due.clear();
            }
            return None;
        }
        self.contacts += record.bindings.len();
        let bytes = encode(record);
        let key = self.key;
        self.records
            .insert_unique(hash, bytes.clone().into(), |bytes| {
                self::hash(key, aor_of(bytes))
            });
        Some(bytes)
    }

    /// Takes up a record from its bytes.
    ///
    /// # Errors
    /// They are no record.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<Record, BadRecord> {
        let record = decode(bytes).filter(|r| !r.aor.is_empty() && !r.bindings.is_empty());
        let record = record.ok_or(BadRecord)?;
        self.put(&record);
        Ok(record)
    }

    /// When [`Self::expire`] has something to say, in Unix milliseconds.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.due
            .keys()
            .next()
            .map(|slot| slot.saturating_add(1).saturating_mul(GRAIN))
    }

    /// Removes bindings that are over, looking at about `budget` records: what that leaves of each record in which there were
    /// some, by its journal's key, as [`Self::put`] gives it.
    pub fn expire(&mut self, now_ms: u64, budget: usize) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut changed = Vec::new();
        for _ in 0..budget {
            let Some(mut slot) = self.due.first_entry() else {
                break;
            };
            if slot.key().saturating_add(1).saturating_mul(GRAIN) > now_ms {
                break;
            }
            let Some(hash) = slot.get_mut().pop() else {
                slot.remove();
                continue;
            };
            let of_hash = self.records.iter_hash(hash).filter_map(|b| decode(b));
            let over: Vec<Record> = of_hash
                .filter(|r| !r.bindings.iter().all(|b| b.is_alive(now_ms)))
                .collect();
            for mut record in over {
                record.bindings.retain(|b| b.is_alive(now_ms));
                let bytes = self.replace(&record);
                changed.push((record.key, bytes));
            }
        }
        changed
    }

    /// Records from this place of the table on, so many at most, and where the next ones begin; none behind the last. As many
    /// places are looked at as take little time, so a page may be short.
    #[must_use]
    pub fn page(&self, place: usize, most: usize) -> (Vec<Record>, Option<usize>) {
        let places = self.records.num_buckets();
        let end = place.saturating_add(PLACES).min(places);
        let mut records = Vec::new();
        for at in place..end {
            if records.len() == most {
                return (records, Some(at));
            }
            records.extend(self.records.get_bucket(at).and_then(|bytes| decode(bytes)));
        }
        (records, (end < places).then_some(end))
    }

    /// Every record, in no order.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.records.iter().filter_map(|bytes| decode(bytes))
    }
}

impl std::fmt::Debug for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            records, contacts, ..
        } = self;
        write!(
            f,
            "Location({} records, {contacts} contacts)",
            records.len()
        )
    }
}

/// The times at which something of a record may be over, each once.
fn due_times(record: &Record) -> Vec<u64> {
    let times = record
        .bindings
        .iter()
        .map(|b| b.until_s.saturating_mul(1_000) / GRAIN);
    let mut times: Vec<u64> = times.collect();
    times.sort_unstable();
    times.dedup();
    times
}

fn hash(key: (u64, u64), aor: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(key.0, key.1);
    hasher.write(aor);
    hasher.finish()
}

fn encode(record: &Record) -> Vec<u8> {
    // postcard fails only on types without a known length, which a record does not have.
    postcard::to_allocvec(record).unwrap_or_default()
}

/// A record from its bytes, as [`Location::put`] gives them; none if they are none.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Record> {
    match postcard::take_from_bytes(bytes) {
        Ok((record, [])) => Some(record),
        _ => None,
    }
}

/// The address of record in a record's bytes, without reading the rest.
fn aor_of(bytes: &[u8]) -> &[u8] {
    let read: Result<(u64, &serde_bytes::Bytes), _> =
        postcard::take_from_bytes(bytes).map(|(start, _)| start);
    read.map_or(&[], |(_, aor)| aor)
}
