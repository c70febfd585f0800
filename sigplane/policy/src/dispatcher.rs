//! Which target takes a call.
//!
//! Each set has its [`Algorithm`]; by default it is the hash of the Call-ID. A hash chooses the target with the highest
//! random weight for it (rendezvous hashing): a target that leaves takes only its own calls with it, and one that comes takes only
//! its share. The hash's key is fixed, so every node and every life of the process decides alike.

mod algorithm;
mod attributes;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hasher;
use std::net::IpAddr;
use std::time::Duration;

use siphasher::sip::SipHasher13;

pub use algorithm::{Algorithm, Expression, Field};
pub use attributes::Attributes;

use crate::locate::{Host, Located, NotLocated, Wanted};
use crate::rows::{BadRow, DispatcherRow};
use crate::target::{StateChange, Target, TargetState};

/// Sets that are asked one after the other, each the fallback of the one before.
const FALLBACKS: usize = 8;

/// The fixed key of the weights: of SipHash-1-3 over a request's key and the target's [`place`].
pub const WEIGHT_KEY: (u64, u64) = (0x7461_6e64_656d_2d31, 0x6469_7370_6174_6368);

/// When results change a target's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Failures in a row that make a target inactive.
    pub failures: u32,
    /// Successes in a row that make it active again.
    pub successes: u32,
    /// Whether targets are probed at all; without, failures never make one inactive.
    pub probing: bool,
}

/// How sets share their calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Of sets that are not named.
    pub algorithm: Algorithm,
    /// Of those that are.
    pub sets: BTreeMap<u32, SetPlan>,
}

/// How a set shares its calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetPlan {
    /// How.
    pub algorithm: Algorithm,
    /// The set whose turn it is when none of its targets takes calls.
    pub fallback: Option<u32>,
}

/// What a choice is made for.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    /// The Call-ID.
    pub call_id: &'a [u8],
    /// A number that nobody can predict.
    pub random: u64,
}

/// All sets of targets, with what was learned about them.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    thresholds: Thresholds,
    plan: Plan,
    targets: BTreeMap<i64, Target>,
    sets: HashMap<u32, Members>,
    /// What the administrator decided of targets, by set and destination.
    held: BTreeMap<(u32, String), TargetState>,
    /// Goes up with whatever changes where calls go.
    changes: u64,
}

/// The targets of a set.
#[derive(Clone, Debug, Default)]
struct Members {
    /// Ascending.
    ids: Vec<i64>,
    /// Whose turn it was, in round robin.
    last: i64,
}

impl Dispatcher {
    /// Without targets.
    #[must_use]
    pub fn new(thresholds: Thresholds, plan: Plan) -> Self {
        Self {
            thresholds,
            plan,
            targets: BTreeMap::new(),
            sets: HashMap::new(),
            held: BTreeMap::new(),
            changes: 0,
        }
    }

    /// A number that is another one whenever targets, where they are, or whether they take calls may have changed.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// Other thresholds and another plan, from now on. What was learned of targets stays; without probes nothing would ever bring back
    /// those that they made inactive, so these are again as their rows say.
    pub fn set(&mut self, thresholds: Thresholds, plan: Plan) {
        if self.thresholds.probing && !thresholds.probing {
            let learned = |t: &&mut Target| t.state == TargetState::Inactive;
            for target in self.targets.values_mut().filter(learned) {
                target.unlearn();
            }
        }
        self.thresholds = thresholds;
        self.plan = plan;
        self.changes += 1;
    }

    /// Replaces the table. Targets that stay keep what was learned about them; rows that cannot be
    /// used are skipped and named, and so are attributes.
    pub fn load(&mut self, rows: &[DispatcherRow]) -> Vec<BadRow> {
        self.changes += 1;
        let mut earlier = std::mem::take(&mut self.targets);
        let turns = std::mem::take(&mut self.sets);
        let mut bad = Vec::new();
        for row in rows {
            let (id, set) = (row.id, row.setid);
            let named = |reason| BadRow {
                table: "dispatcher",
                id,
                reason,
            };
            if self.targets.contains_key(&id) {
                bad.push(named(
                    "its id occurs twice: each row needs its own; the row is not used".into(),
                ));
                continue;
            }
            match Target::new(row.clone()) {
                Ok((mut target, wrong)) => {
                    bad.extend(wrong.into_iter().map(named));
                    let place = (set, row.destination.clone());
                    if let Some(known) = earlier.remove(&id) {
                        if known.row.flags != row.flags {
                            // The table's word is the newer one.
                            self.held.remove(&place);
                        }
                        target.inherit(&known);
                    }
                    if let Some(state) = self.held.get(&place) {
                        target.set_state(*state);
                    }
                    self.targets.insert(id, target);
                    self.sets.entry(set).or_default().ids.push(id);
                }
                Err(reason) => bad.push(named(format!("{reason}; the row is not used"))),
            }
        }
        for (set, members) in &mut self.sets {
            members.ids.sort_unstable();
            members.last = turns.get(set).map_or(i64::MIN, |earlier| earlier.last);
        }
        bad
    }

    /// The targets that a request for `set` tries, in their order: the first one by the set's algorithm, the others by
    /// priority, equals by the hash of the Call-ID. Only those that take calls and are not full; if there is none, those of the
    /// set's fallback. `field` says what the request says.
    #[must_use]
    pub fn order(
        &mut self,
        set: u32,
        draw: Draw<'_>,
        mut field: impl FnMut(&Field) -> Vec<u8>,
    ) -> Vec<i64> {
        let mut set = set;
        for _ in 0..FALLBACKS {
            let order = self.order_in(set, draw, &mut field);
            let fallback = self.plan.sets.get(&set).and_then(|plan| plan.fallback);
            match fallback {
                Some(next) if order.is_empty() => set = next,
                _ => return order,
            }
        }
        Vec::new()
    }

    fn order_in(
        &mut self,
        set: u32,
        draw: Draw<'_>,
        field: &mut impl FnMut(&Field) -> Vec<u8>,
    ) -> Vec<i64> {
        let mut candidates: Vec<&Target> = self
            .members(set)
            .filter(|t| t.state.takes_calls() && !t.is_full())
            .collect();
        candidates.sort_by_cached_key(|t| {
            let weight = weight(draw.call_id, &t.wanted);
            (Reverse(t.row.priority), Reverse(weight), t.row.id)
        });
        let algorithm = match self.plan.sets.get(&set) {
            Some(plan) => &plan.algorithm,
            None => &self.plan.algorithm,
        };
        let first = match algorithm {
            Algorithm::Hash(expression) => {
                let key = expression.evaluate(field);
                if key.is_empty() {
                    self.after_last(set, &candidates)
                } else {
                    heaviest(&candidates, &key)
                }
            }
            Algorithm::RoundRobin => self.after_last(set, &candidates),
            Algorithm::Random => (draw.random as usize)
                .checked_rem(candidates.len())
                .and_then(|n| candidates.get(n))
                .map(|t| t.row.id),
            Algorithm::Priority => candidates.first().map(|t| t.row.id),
            // Of equals the hash decides, so that they share.
            Algorithm::CallLoad => candidates
                .iter()
                .min_by_key(|t| (t.load(), Reverse(weight(draw.call_id, &t.wanted))))
                .map(|t| t.row.id),
            Algorithm::Weight => return self.weighted(&ids(&candidates), |a| a.weight),
            Algorithm::RelativeWeight => {
                return self.weighted(&ids(&candidates), |a| a.relative_weight);
            }
        };
        let mut order = ids(&candidates);
        if let Some(members) = self.sets.get_mut(&set)
            && let Some(first) = first
        {
            members.last = first;
            to_front(&mut order, first);
        }
        order
    }

    /// Who comes after the one whose turn it was.
    fn after_last(&self, set: u32, candidates: &[&Target]) -> Option<i64> {
        let last = self.sets.get(&set).map_or(i64::MIN, |m| m.last);
        let ids = || candidates.iter().map(|t| t.row.id);
        ids().filter(|id| *id > last).min().or_else(|| ids().min())
    }

    /// Smooth weighted round robin: in as many turns as the weights' sum everybody has had his share, and nobody has it in
    /// one piece. Where nobody has a weight, all have the same.
    fn weighted(&mut self, candidates: &[i64], of: fn(&Attributes) -> Option<u32>) -> Vec<i64> {
        let mut order = candidates.to_vec();
        let weights = candidates
            .iter()
            .filter_map(|id| self.targets.get(id))
            .map(|t| of(&t.attributes).unwrap_or(0))
            .map(i64::from);
        let mut weights: Vec<i64> = weights.collect();
        if weights.iter().all(|w| *w == 0) {
            weights.fill(1);
        }
        let total: i64 = weights.iter().sum();
        let mut best: Option<(i64, i64)> = None;
        for (id, weight) in candidates.iter().zip(weights) {
            if let Some(target) = self.targets.get_mut(id) {
                target.credit += weight;
                if weight > 0 && best.is_none_or(|(credit, _)| target.credit > credit) {
                    best = Some((target.credit, *id));
                }
            }
        }
        if let Some((_, first)) = best {
            if let Some(target) = self.targets.get_mut(&first) {
                target.credit -= total;
            }
            to_front(&mut order, first);
        }
        order
    }

    /// Whether `ip` is the address of a target of `set`, in whatever state.
    #[must_use]
    pub fn is_member(&self, set: u32, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.members(set).any(|t| t.has(ip))
    }

    /// The targets of `set`.
    pub fn members(&self, set: u32) -> impl Iterator<Item = &Target> {
        self.sets
            .get(&set)
            .into_iter()
            .flat_map(|members| &members.ids)
            .filter_map(|id| self.targets.get(id))
    }

    /// The target with this row id.
    #[must_use]
    pub fn target(&self, id: i64) -> Option<&Target> {
        self.targets.get(&id)
    }

    /// All targets, by row id.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.values()
    }

    /// What DNS says of where a target is.
    pub fn locate(&mut self, id: i64, outcome: Result<Located, NotLocated>) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.locate(outcome);
            self.changes += 1;
        }
    }

    /// A call was given to the target.
    pub fn call_begins(&mut self, id: i64) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.calls = target.calls.saturating_add(1);
        }
    }

    /// A call of the target's ended or went to another one.
    pub fn call_ends(&mut self, id: i64) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.calls = target.calls.saturating_sub(1);
        }
    }

    /// Another worker has so many calls of the target's.
    pub fn load_elsewhere(&mut self, id: i64, worker: u16, calls: u64) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.load_elsewhere(worker, calls);
        }
    }

    /// The administrator sets a target's state. Whether there is such a target.
    pub fn set_state(&mut self, id: i64, state: TargetState) -> bool {
        let Some(target) = self.targets.get_mut(&id) else {
            return false;
        };
        target.set_state(state);
        self.changes += 1;
        let place = (target.row.setid, target.row.destination.clone());
        self.hold(place, state);
        true
    }

    /// The same by set and destination, also before there is such a target.
    pub fn hold(&mut self, place: (u32, String), state: TargetState) {
        self.changes += 1;
        for target in self.targets.values_mut() {
            if (target.row.setid, &target.row.destination) == (place.0, &place.1) {
                target.set_state(state);
            }
        }
        if state.is_held() {
            self.held.insert(place, state);
        } else {
            self.held.remove(&place);
        }
    }

    /// What the administrator decided, by set and destination.
    #[must_use]
    pub fn held(&self) -> &BTreeMap<(u32, String), TargetState> {
        &self.held
    }

    /// The sets that calls for `set` may go to: itself, its fallback, and so on.
    pub fn reachable(&self, set: u32) -> impl Iterator<Item = u32> + '_ {
        let next = |set: &u32| self.plan.sets.get(set).and_then(|plan| plan.fallback);
        std::iter::successors(Some(set), next).take(FALLBACKS)
    }

    /// How a set shares its calls.
    #[must_use]
    pub fn algorithm(&self, set: u32) -> &Algorithm {
        let plan = self.plan.sets.get(&set);
        plan.map_or(&self.plan.algorithm, |plan| &plan.algorithm)
    }

    /// The target answered a probe after so long.
    pub fn succeeded(&mut self, id: i64, latency: Duration) -> Option<StateChange> {
        let target = self.targets.get_mut(&id)?;
        let change = target.succeeded(self.thresholds, latency);
        self.changes += u64::from(change.is_some());
        change
    }

    /// The target failed: `silent` when it did not answer at all.
    pub fn failed(&mut self, id: i64, silent: bool) -> Option<StateChange> {
        let target = self.targets.get_mut(&id)?;
        let change = target.failed(self.thresholds, silent);
        self.changes += u64::from(change.is_some());
        change
    }
}

fn ids(targets: &[&Target]) -> Vec<i64> {
    targets.iter().map(|t| t.row.id).collect()
}

fn to_front(order: &mut Vec<i64>, first: i64) {
    if let Some(place) = order.iter().position(|id| *id == first) {
        order.remove(place);
        order.insert(0, first);
    }
}

fn heaviest(candidates: &[&Target], key: &[u8]) -> Option<i64> {
    candidates
        .iter()
        .max_by_key(|t| (weight(key, &t.wanted), Reverse(t.row.id)))
        .map(|t| t.row.id)
}

/// A target's weight for a key. Over its host and port, not its row id: the same pool written down
/// anew decides the same, and so it does whatever DNS says.
fn weight(key: &[u8], target: &Wanted) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(WEIGHT_KEY.0, WEIGHT_KEY.1);
    hasher.write(key);
    with_place(target, |part| hasher.write(part));
    hasher.finish()
}

/// What stands for a target where its weight is reckoned.
#[must_use]
pub fn place(target: &Wanted) -> Vec<u8> {
    let mut place = Vec::new();
    with_place(target, |part| place.extend_from_slice(part));
    place
}

fn with_place(target: &Wanted, mut write: impl FnMut(&[u8])) {
    match target.host() {
        Host::Address(IpAddr::V4(ip)) => write(&ip.octets()),
        Host::Address(IpAddr::V6(ip)) => write(&ip.octets()),
        Host::Name(name) => write(name.as_str().as_bytes()),
    }
    let default = target.default_transport().default_port();
    write(&target.port().unwrap_or(default).to_be_bytes());
}

#[cfg(test)]
mod tests;
