//! What an administrator sees of calls and registrations, a page at a time, and what he may do with them.

use tandem_policy::EndCause;
use tandem_policy::registrar::Record;

use super::Core;
use super::bindings::hash;
use super::view::call_view;
use crate::counters::Counter;
use crate::hiding::Flow;
use crate::io::Now;
use crate::views::{CallCounts, CallView};

impl Core {
    /// The calls whose numbers are above `after`, so many at most, in their order.
    #[must_use]
    pub fn calls_after(&self, after: u64, most: usize) -> Vec<CallView> {
        self.calls.map_after(after, call_view).take(most).collect()
    }

    /// A call.
    #[must_use]
    pub fn call(&self, key: u64) -> Option<CallView> {
        self.calls
            .map_after(key.checked_sub(1)?, call_view)
            .next()
            .filter(|c| c.key == key)
    }

    /// The numbers of the calls that have this Call-ID on one of their sides, and these tags if they are given.
    #[must_use]
    pub fn calls_named(
        &self,
        call_id: &[u8],
        from_tag: Option<&[u8]>,
        to_tag: Option<&[u8]>,
    ) -> Vec<u64> {
        let ids = self.call_ids(call_id);
        let keys = ids.iter().flat_map(|id| self.keys_of(id)).copied();
        let mut keys: Vec<u64> = keys
            .filter(|key| {
                self.calls.get(key).is_some_and(|call| {
                    let record = &call.record;
                    let to = record.confirmed.as_deref();
                    from_tag.is_none_or(|tag| tag == record.from_tag)
                        && to_tag.is_none_or(|tag| Some(tag) == to)
                })
            })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// How many calls are in each state.
    #[must_use]
    pub fn call_counts(&self) -> CallCounts {
        let mut counts = CallCounts::default();
        for (_, call) in self.calls.open() {
            match (&call.record.ending, &call.record.confirmed) {
                (Some(_), _) => counts.ending += 1,
                (None, Some(_)) => counts.confirmed += 1,
                (None, None) => counts.setup += 1,
            }
        }
        // Those at rest are answered.
        let open = counts.ending + counts.confirmed + counts.setup;
        counts.confirmed += (self.calls.len() as u64).saturating_sub(open);
        counts
    }

    /// Flow pairs that the calls have.
    #[must_use]
    pub fn flows(&self) -> u64 {
        let realms = (0..self.config.realms.len()).filter_map(|i| u16::try_from(i).ok());
        let used = realms.map(|realm| self.ports.usage(realm).used as u64);
        // Each has a pair of ports on both of its sides.
        used.sum::<u64>() / 2
    }

    /// Whether this call is here and goes on, so that [`crate::Input::EndCall`] ends it.
    #[must_use]
    pub fn has_call(&self, key: u64) -> bool {
        self.is_going_on(key)
    }

    /// Ends a call by order.
    pub(super) fn end_by_order(&mut self, now: Now, key: u64) {
        self.hang_up(now, key, EndCause::Administrator);
    }

    /// A user's registration; none if there is none here.
    #[must_use]
    pub fn registration(&self, now_ms: u64, aor: &[u8]) -> Option<Record> {
        let mut record = self.registrar.location.find(aor)?;
        record.bindings.retain(|b| b.is_alive(now_ms));
        (!record.bindings.is_empty()).then_some(record)
    }

    /// Registrations from this place of the table on, so many at most; and where the next ones begin, none behind the last. The
    /// places are those of a hash table: what registers meanwhile may be passed over, or seen twice.
    #[must_use]
    pub fn registrations(
        &self,
        now_ms: u64,
        place: usize,
        most: usize,
    ) -> (Vec<Record>, Option<usize>) {
        let (mut records, next) = self.registrar.location.page(place, most);
        for record in &mut records {
            record.bindings.retain(|b| b.is_alive(now_ms));
        }
        records.retain(|record| !record.bindings.is_empty());
        (records, next)
    }

    /// Removes a user's contacts by order.
    pub(super) fn unregister(&mut self, now: Now, aor: &[u8]) {
        let Some(record) = self.registrar.location.find(aor) else {
            return;
        };
        for binding in &record.bindings {
            if let Some(flow) = Flow::from_bytes(&binding.flow) {
                self.unlearn(now, flow, hash(aor));
            }
        }
        self.counters.add(Counter::RegistrationsRemoved);
        self.store(
            now,
            Record {
                bindings: Vec::new(),
                ..record
            },
        );
    }
}
