//! Every call of a core. One that rests (answered, acknowledged, none of its transactions alive) is folded: kept as its
//! journal record, a seventh of what it takes open. It opens by itself for whoever looks at it, and is folded again by
//! [`Calls::fold`] behind the input that woke it.

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use crate::call::Call;
use crate::journal;

/// Every call, by its key and by its Call-ID.
#[derive(Default)]
pub(crate) struct Calls {
    slots: BTreeMap<u64, Slot>,
    by_call_id: HashMap<Box<[u8]>, Keys>,
    /// Calls that may rest: looked at since the last [`Self::fold`].
    awake: Cell<Vec<u64>>,
}

#[derive(Debug)]
enum Slot {
    Open(Box<Call>),
    Folded(Box<Folded>),
}

/// A call at rest.
#[derive(Debug)]
struct Folded {
    /// As in the journal.
    record: Box<[u8]>,
    /// The target among whose calls it is counted.
    counted: Option<i64>,
    /// The call itself, since somebody has looked at it.
    seen: OnceCell<Option<Box<Call>>>,
}

/// The calls with one Call-ID: nearly always one.
#[derive(Debug)]
enum Keys {
    One(u64),
    Several(Box<[u64]>),
}

impl Calls {
    /// A call; none when there is none with this key.
    pub(crate) fn get(&self, key: &u64) -> Option<&Call> {
        match self.slots.get(key)? {
            Slot::Open(call) => Some(call),
            Slot::Folded(folded) => {
                if folded.seen.get().is_none() {
                    self.may_rest(*key);
                }
                folded.seen.get_or_init(|| folded.open()).as_deref()
            }
        }
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, key: &u64) -> Option<&mut Call> {
        let slot = self.slots.get_mut(key)?;
        if let Slot::Folded(folded) = slot {
            let seen = folded.seen.take().flatten();
            *slot = Slot::Open(seen.or_else(|| folded.open())?);
            self.awake.get_mut().push(*key);
        }
        match slot {
            Slot::Open(call) => Some(call),
            Slot::Folded(_) => None,
        }
    }

    /// Takes a call up.
    pub(crate) fn insert(&mut self, key: u64, call: Call) {
        match self.by_call_id.get_mut(call.record.call_id.as_slice()) {
            Some(keys) => {
                let more = keys.as_slice().iter().copied().chain([key]).collect();
                *keys = Keys::Several(more);
            }
            None => {
                let call_id = call.record.call_id.as_slice().into();
                self.by_call_id.insert(call_id, Keys::One(key));
            }
        }
        self.slots.insert(key, Slot::Open(Box::new(call)));
    }

    /// Gives a call up.
    pub(crate) fn remove(&mut self, key: &u64) -> Option<Call> {
        let call = match self.slots.remove(key)? {
            Slot::Open(call) => *call,
            Slot::Folded(folded) => *folded.open()?,
        };
        let call_id = call.record.call_id.as_slice();
        if let Some(keys) = self.by_call_id.get_mut(call_id) {
            let left = keys.as_slice().iter().copied().filter(|k| k != key);
            match left.collect::<Box<[u64]>>() {
                left if left.is_empty() => drop(self.by_call_id.remove(call_id)),
                left => *keys = Keys::Several(left),
            }
        }
        Some(call)
    }

    /// The calls with this Call-ID.
    pub(crate) fn with_call_id(&self, call_id: &[u8]) -> &[u64] {
        self.by_call_id.get(call_id).map_or(&[], Keys::as_slice)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many Call-IDs they have.
    pub(crate) fn call_ids(&self) -> usize {
        self.by_call_id.len()
    }

    /// Those that do not rest.
    pub(crate) fn open(&self) -> impl Iterator<Item = (u64, &Call)> {
        self.slots.iter().filter_map(|(key, slot)| match slot {
            Slot::Open(call) => Some((*key, &**call)),
            Slot::Folded(_) => None,
        })
    }

    /// What `look` says of each of them. Those at rest are not kept open for it.
    pub(crate) fn map<T>(&self, look: impl Fn(u64, &Call) -> T) -> impl Iterator<Item = T> {
        let slots = self.slots.iter();
        slots.filter_map(move |(key, slot)| slot.look(*key, &look))
    }

    /// The same of those with keys above `after`, in their order.
    pub(crate) fn map_after<T>(
        &self,
        after: u64,
        look: impl Fn(u64, &Call) -> T,
    ) -> impl Iterator<Item = T> {
        let slots = self.slots.range((Bound::Excluded(after), Bound::Unbounded));
        slots.filter_map(move |(key, slot)| slot.look(*key, &look))
    }

    /// The targets among whose calls they are counted, one for each call that is.
    pub(crate) fn counted(&self) -> impl Iterator<Item = i64> {
        self.slots.values().filter_map(|slot| match slot {
            Slot::Open(call) => call.counted,
            Slot::Folded(folded) => folded.counted,
        })
    }

    /// A call may be at rest by now.
    pub(crate) fn may_rest(&self, key: u64) {
        let mut awake = self.awake.take();
        awake.push(key);
        self.awake.set(awake);
    }

    /// Folds those that were awake and are at rest again.
    pub(crate) fn fold(&mut self) {
        for key in self.awake.get_mut().drain(..) {
            let Some(slot) = self.slots.get_mut(&key) else {
                continue;
            };
            match slot {
                Slot::Open(call) if call.is_at_rest() => {
                    *slot = Slot::Folded(Box::new(Folded::new(call)));
                }
                Slot::Open(_) => {}
                // Looked at, not changed.
                Slot::Folded(folded) => drop(folded.seen.take()),
            }
        }
    }
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls")
            .field("slots", &self.slots)
            .field("by_call_id", &self.by_call_id)
            .finish_non_exhaustive()
    }
}

impl Slot {
    /// What `look` says of it; one at rest stays so.
    fn look<T>(&self, key: u64, look: impl Fn(u64, &Call) -> T) -> Option<T> {
        match self {
            Self::Open(call) => Some(look(key, call)),
            Self::Folded(folded) => match folded.seen.get() {
                Some(call) => call.as_deref().map(|call| look(key, call)),
                None => folded.open().map(|call| look(key, &call)),
            },
        }
    }
}

impl Folded {
    fn new(call: &Call) -> Self {
        Self {
            record: journal::encode(&call.record).into(),
            counted: call.counted,
            seen: OnceCell::new(),
        }
    }

    /// Never none: what was encoded can be decoded.
    fn open(&self) -> Option<Box<Call>> {
        let record = journal::decode(&self.record).ok()?;
        Some(Box::new(Call::answered(record, self.counted)))
    }
}

impl Keys {
    const fn as_slice(&self) -> &[u64] {
        match self {
            Self::One(key) => std::slice::from_ref(key),
            Self::Several(keys) => keys,
        }
    }
}
