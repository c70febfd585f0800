//! An address of record and its bindings.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

/// A contact of an address of record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The contact's URI.
    #[serde(with = "serde_bytes")]
    pub uri: Vec<u8>,
    /// Its preference, in thousandths.
    pub q: u16,
    /// Until when it counts, in Unix seconds.
    pub until_s: u64,
    /// The Call-ID of the REGISTER that it is from.
    #[serde(with = "serde_bytes")]
    pub call_id: Vec<u8>,
    /// Its CSeq.
    pub cseq: u32,
    /// `+sip.instance` (RFC 5626), without quotes; empty for none.
    #[serde(with = "serde_bytes")]
    pub instance: Vec<u8>,
    /// `reg-id` (RFC 5626); 0 for none.
    pub reg_id: u32,
    /// The methods that it takes, a bit each, as in Kamailio's `location`; none for all.
    pub methods: Option<u32>,
    /// Path headers of the REGISTER (RFC 3327), with commas between them.
    #[serde(with = "serde_bytes")]
    pub path: Vec<u8>,
    /// How the REGISTER came: opaque here.
    #[serde(with = "serde_bytes")]
    pub flow: Vec<u8>,
    /// User-Agent.
    #[serde(with = "serde_bytes")]
    pub user_agent: Vec<u8>,
}

impl Binding {
    /// Whether it counts.
    #[must_use]
    pub const fn is_alive(&self, now_ms: u64) -> bool {
        now_ms < self.until_s.saturating_mul(1_000)
    }

    /// For how many seconds it counts yet, rounded up.
    #[must_use]
    pub const fn left_s(&self, now_ms: u64) -> u64 {
        self.until_s
            .saturating_mul(1_000)
            .saturating_sub(now_ms)
            .div_ceil(1_000)
    }
}

/// An address of record with its bindings, the latest last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The journal's key.
    pub key: u64,
    /// The address of record: `user@domain`.
    #[serde(with = "serde_bytes")]
    pub aor: Vec<u8>,
    /// Its bindings.
    pub bindings: Vec<Binding>,
}

impl Record {
    /// The bindings that a request with this method (a bit, as in [`Binding::methods`]) may go to: sets to be asked one
    /// after the other, each in parallel, by falling preference (RFC 3261 section 16.6), the latest first in each. Of the flows of one
    /// instance only the latest is in its place; the others come at the end, for when that fails (RFC 5626 section 5.3).
    #[must_use]
    pub fn targets(&self, now_ms: u64, method: Option<u32>) -> Vec<Vec<&Binding>> {
        let takes = |b: &&Binding| match (b.methods, method) {
            (Some(methods), Some(method)) => methods & method != 0,
            _ => true,
        };
        let mut alive: Vec<&Binding> = self
            .bindings
            .iter()
            .rev()
            .filter(|b| b.is_alive(now_ms))
            .filter(takes)
            .collect();
        // Stable: among equals the latest stays first.
        alive.sort_by_key(|b| Reverse(b.q));
        let (mut sets, mut spare) = (Vec::<Vec<&Binding>>::new(), Vec::new());
        let mut instances: Vec<&[u8]> = Vec::new();
        for binding in alive {
            if binding.reg_id > 0 {
                if instances.contains(&binding.instance.as_slice()) {
                    spare.push(vec![binding]);
                    continue;
                }
                instances.push(&binding.instance);
            }
            match sets.last_mut() {
                Some(set) if set.first().is_some_and(|b| b.q == binding.q) => set.push(binding),
                _ => sets.push(vec![binding]),
            }
        }
        sets.extend(spare);
        sets
    }
}
