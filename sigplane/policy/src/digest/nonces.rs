//! Nonces that need no memory until they are used: each says when it was made, under a signature. What was used is
//! remembered as long as it counts, so that no request is taken twice (RFC 7616 section 3.4, `nc`).

use std::collections::{HashMap, VecDeque};

use ring::hmac;

use super::algorithm::{hex, unhex};

/// Bytes of the signature that are sent.
const SIGNATURE: usize = 16;
/// Bytes before it: the time, the worker, and what is drawn.
const BODY: usize = 8 + 2 + 8;

/// The maker and keeper of one worker's nonces.
#[derive(Debug)]
pub struct Nonces {
    key: hmac::Key,
    worker: u16,
    lifetime_ms: u64,
    limit: usize,
    used: HashMap<u64, Window>,
    /// What is used, the oldest first: when it was made, and what was drawn for it.
    order: VecDeque<(u64, u64)>,
    /// The time of the youngest nonce that had to be forgotten: whatever is as old counts no more.
    forgotten_ms: Option<u64>,
    /// The time of the youngest that was forgotten since it counts no more: it does not, whatever lifetime there will be.
    over_ms: Option<u64>,
}

/// Which counts of a nonce were used: the highest, and the 64 up to it, as in IPsec (RFC 4303 section 3.4.3).
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    highest: u32,
    seen: u64,
}

/// What a nonce is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonce {
    /// It counts.
    Fresh(Fresh),
    /// Ours, but too old, of a life before, or another worker's: another one is to be used.
    Stale,
    /// Nobody here made it.
    Forged,
}

/// A nonce that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fresh {
    made_ms: u64,
    drawn: u64,
}

impl Nonces {
    /// Nonces that count for `lifetime_ms`, of which `limit` that were used are remembered. All workers of a node have the
    /// same key; each has nonces of its own, so that a request is not taken twice by two of them.
    #[must_use]
    pub fn new(key: &[u8; 32], worker: u16, lifetime_ms: u64, limit: usize) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            worker,
            lifetime_ms,
            limit: limit.max(1),
            used: HashMap::new(),
            order: VecDeque::new(),
            forgotten_ms: None,
            over_ms: None,
        }
    }

    /// Other limits, from now on.
    pub(super) fn set(&mut self, lifetime_ms: u64, limit: usize) {
        if lifetime_ms > self.lifetime_ms {
            // What was used and is over by the old lifetime is not remembered: it must not count again.
            self.forgotten_ms = self.forgotten_ms.max(self.over_ms);
        }
        self.lifetime_ms = lifetime_ms;
        self.limit = limit.max(1);
    }

    /// Makes one, for a realm. `drawn` must be unpredictable.
    #[must_use]
    pub fn make(&self, now_ms: u64, drawn: u64, realm: &[u8]) -> String {
        let mut body = now_ms.to_be_bytes().to_vec();
        body.extend(self.worker.to_be_bytes());
        body.extend(drawn.to_be_bytes());
        let signature = self.sign(&body, realm);
        body.extend(signature.as_ref().iter().take(SIGNATURE));
        String::from_utf8(hex(&body)).unwrap_or_default()
    }

    /// What a nonce is that came with this realm.
    #[must_use]
    pub fn look(&self, now_ms: u64, nonce: &[u8], realm: &[u8]) -> Nonce {
        let whole = unhex(nonce).filter(|n| n.len() == BODY + SIGNATURE);
        let Some(whole) = whole else {
            return Nonce::Forged;
        };
        let (body, signature) = whole.split_at_checked(BODY).unwrap_or_default();
        let ours = self.sign(body, realm);
        let same = ours
            .as_ref()
            .get(..SIGNATURE)
            .is_some_and(|ours| same_text(ours, signature));
        let number = |from: usize, to: usize| {
            let bytes = body.get(from..to).unwrap_or_default();
            bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b))
        };
        if !same {
            return Nonce::Forged;
        }
        let (made_ms, worker, drawn) = (number(0, 8), number(8, 10), number(10, BODY));
        let is_over = now_ms.saturating_sub(made_ms) >= self.lifetime_ms;
        // A clock that was set back makes no nonce live longer than its time.
        let is_early = made_ms.saturating_sub(now_ms) >= self.lifetime_ms;
        let is_forgotten = self.forgotten_ms.is_some_and(|ms| made_ms <= ms);
        if is_over || is_early || worker != u64::from(self.worker) {
            return Nonce::Stale;
        }
        if is_forgotten && !self.used.contains_key(&drawn) {
            return Nonce::Stale;
        }
        Nonce::Fresh(Fresh { made_ms, drawn })
    }

    /// Uses a nonce with this count; without counts (`None`) it may be used once. Whether that is the first time. To be asked
    /// when all else is right, so that nobody else uses up a user's counts.
    pub fn use_up(&mut self, now_ms: u64, nonce: Fresh, count: Option<u32>) -> bool {
        let count = count.unwrap_or(u32::MAX);
        if count == 0 {
            return false;
        }
        self.forget(now_ms);
        let Fresh { made_ms, drawn } = nonce;
        if !self.used.contains_key(&drawn) {
            let at = self.order.partition_point(|(made, _)| *made <= made_ms);
            self.order.insert(at, (made_ms, drawn));
        }
        self.used.entry(drawn).or_default().take(count)
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }

    /// Drops what is over, and the oldest if there are too many.
    fn forget(&mut self, now_ms: u64) {
        while let Some((made_ms, drawn)) = self.order.front().copied() {
            let is_over = now_ms.saturating_sub(made_ms) >= self.lifetime_ms;
            if !is_over && self.order.len() < self.limit {
                break;
            }
            let forgotten = if is_over {
                &mut self.over_ms
            } else {
                &mut self.forgotten_ms
            };
            *forgotten = (*forgotten).max(Some(made_ms));
            self.order.pop_front();
            self.used.remove(&drawn);
        }
    }

    fn sign(&self, body: &[u8], realm: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(body);
        context.update(realm);
        context.sign()
    }
}

impl Window {
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            let ahead = count - self.highest;
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let Some(bit) = 1_u64.checked_shl(self.highest - count) else {
            return false;
        };
        let is_new = self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }
}

/// Whether two texts are the same, in a time that depends on their lengths alone.
pub(super) fn same_text(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |odd, (a, b)| odd | (a ^ b)) == 0
}
