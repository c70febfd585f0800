//! Which target takes a call.
//!
//! The first target is the one with the highest random weight for the Call-ID (rendezvous
//! hashing): a target that leaves takes only its own calls with it, and one that comes takes only
//! its share. The hash's key is fixed, so every node and every life of the process decides alike.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hasher;
use std::net::IpAddr;
use std::time::Duration;

use siphasher::sip::SipHasher13;

use crate::locate::{Host, Located, NotLocated, Wanted};
use crate::rows::{BadRow, DispatcherRow};
use crate::target::{StateChange, Target};

/// The fixed key of the weights.
const KEY: (u64, u64) = (0x7461_6e64_656d_2d31, 0x6469_7370_6174_6368);

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

/// All sets of targets, with what was learned about them.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    thresholds: Thresholds,
    targets: BTreeMap<i64, Target>,
    sets: HashMap<u32, Vec<i64>>,
}

impl Dispatcher {
    /// Without targets.
    #[must_use]
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            targets: BTreeMap::new(),
            sets: HashMap::new(),
        }
    }

    /// Replaces the table. Targets that stay keep what was learned about them; rows that cannot be
    /// used are skipped and named.
    pub fn load(&mut self, rows: &[DispatcherRow]) -> Vec<BadRow> {
        let mut earlier = std::mem::take(&mut self.targets);
        self.sets.clear();
        let mut bad = Vec::new();
        for row in rows {
            let (id, set) = (row.id, row.setid);
            let refused = |reason| BadRow {
                table: "dispatcher",
                id,
                reason,
            };
            if self.targets.contains_key(&id) {
                bad.push(refused(
                    "its id occurs twice: each row needs its own".into(),
                ));
                continue;
            }
            match Target::new(row.clone()) {
                Ok(mut target) => {
                    if let Some(known) = earlier.remove(&id) {
                        target.inherit(&known);
                    }
                    self.targets.insert(id, target);
                    self.sets.entry(set).or_default().push(id);
                }
                Err(reason) => bad.push(refused(reason)),
            }
        }
        bad
    }

    /// The targets of `set` that take calls, in the order in which a call with this Call-ID tries
    /// them: the heaviest first, then the others by priority, equals by weight.
    #[must_use]
    pub fn order(&self, set: u32, call_id: &[u8]) -> Vec<i64> {
        let mut candidates: Vec<(u64, &Target)> = self
            .members(set)
            .filter(|t| t.state.takes_calls())
            .map(|t| (weight(call_id, &t.wanted), t))
            .collect();
        candidates.sort_by_key(|(weight, target)| (std::cmp::Reverse(*weight), target.row.id));
        if let Some((_, others)) = candidates.split_first_mut() {
            // Stable: equals of priority stay in the order of their weights.
            others.sort_by_key(|(_, t)| std::cmp::Reverse(t.row.priority));
        }
        candidates.into_iter().map(|(_, t)| t.row.id).collect()
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
            .flatten()
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

    /// The target answered a probe after so long.
    pub fn succeeded(&mut self, id: i64, latency: Duration) -> Option<StateChange> {
        self.targets
            .get_mut(&id)?
            .succeeded(self.thresholds, latency)
    }

    /// The target failed: `silent` when it did not answer at all.
    pub fn failed(&mut self, id: i64, silent: bool) -> Option<StateChange> {
        self.targets.get_mut(&id)?.failed(self.thresholds, silent)
    }
}

/// A target's weight for a call. Over its host and port, not its row id: the same pool written down
/// anew decides the same, and so it does whatever DNS says.
fn weight(call_id: &[u8], target: &Wanted) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(KEY.0, KEY.1);
    hasher.write(call_id);
    match target.host() {
        Host::Address(IpAddr::V4(ip)) => hasher.write(&ip.octets()),
        Host::Address(IpAddr::V6(ip)) => hasher.write(&ip.octets()),
        Host::Name(name) => hasher.write(name.as_str().as_bytes()),
    }
    let default = target.default_transport().default_port();
    hasher.write(&target.port().unwrap_or(default).to_be_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locate::Why;
    use crate::target::TargetState;
    use proptest::prelude::*;

    const THRESHOLDS: Thresholds = Thresholds {
        failures: 3,
        successes: 2,
        probing: true,
    };

    fn row(id: i64, setid: u32, destination: &str) -> DispatcherRow {
        DispatcherRow {
            id,
            setid,
            destination: destination.into(),
            flags: 0,
            priority: 0,
            attrs: String::new(),
            description: String::new(),
        }
    }

    fn pool(n: i64) -> Vec<DispatcherRow> {
        (1..=n)
            .map(|i| row(i, 1, &format!("sip:10.0.0.{i}:5060")))
            .collect()
    }

    fn dispatcher(rows: &[DispatcherRow]) -> Dispatcher {
        let mut dispatcher = Dispatcher::new(THRESHOLDS);
        assert_eq!(dispatcher.load(rows), []);
        dispatcher
    }

    #[test]
    fn bad_rows_are_named_and_skipped() {
        let mut dispatcher = Dispatcher::new(THRESHOLDS);
        let bad = dispatcher.load(&[
            row(1, 1, "sip:fs1 example.net"),
            row(2, 1, "sip:10.0.0.2"),
            row(2, 1, "sip:10.0.0.3"),
        ]);
        assert_eq!(bad.iter().map(|b| b.id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(dispatcher.order(1, b"x"), [2]);
        assert_eq!(
            bad[0].to_string().split(':').next(),
            Some("table dispatcher, id 1")
        );
    }

    #[test]
    fn a_name_has_servers_when_it_was_looked_up() {
        let mut d = dispatcher(&[row(1, 1, "sip:pool.example"), row(2, 1, "sip:10.0.0.2")]);
        let ip = |last: u8| IpAddr::from([10, 0, 0, last]);
        assert!(d.target(1).unwrap().servers(0).is_empty() && d.is_member(1, ip(2)));
        let located = |last: u8| {
            let host = Host::Address(ip(last));
            let wanted = Wanted::new(false, host, None, None).unwrap();
            Located::known(&wanted).unwrap()
        };
        let failure = |why| NotLocated {
            why,
            ttl: Duration::from_secs(1),
        };
        let has = |d: &Dispatcher, last: u8| d.is_member(1, ip(last));
        d.locate(1, Ok(located(7)));
        assert!(has(&d, 7) && d.target(1).unwrap().servers(0).len() == 1);
        d.locate(1, Ok(located(8)));
        assert!(has(&d, 8) && !has(&d, 7));
        // A silent DNS takes nothing away, one that says so does; a reload keeps what is known.
        d.locate(1, Err(failure(Why::Unanswered)));
        d.load(&[row(1, 1, "sip:pool.example")]);
        assert!(has(&d, 8) && !has(&d, 2));
        d.locate(1, Err(failure(Why::NoAddress)));
        assert!(!has(&d, 8));
    }

    #[test]
    fn thresholds_take_a_target_out_and_bring_it_back() {
        let mut d = dispatcher(&pool(2));
        assert_eq!(d.failed(1, true), None);
        assert_eq!(d.failed(1, true), None);
        assert_eq!(d.failed(1, true), Some(StateChange::Deactivated));
        assert_eq!(d.failed(1, true), None);
        assert_eq!(d.order(1, b"any"), [2]);
        let ms = Duration::from_millis;
        assert_eq!(d.succeeded(1, ms(4)), None);
        assert_eq!(
            d.failed(1, false),
            None,
            "one failure starts the count anew"
        );
        assert_eq!(d.succeeded(1, ms(4)), None);
        assert_eq!(d.succeeded(1, ms(6)), Some(StateChange::Activated));
        assert_eq!(d.order(1, b"any").len(), 2);
        let latency = d.target(1).unwrap().latency;
        assert_eq!(
            (latency.timeouts, latency.last, latency.max),
            (4, Some(ms(6)), Some(ms(6)))
        );
    }

    #[test]
    fn without_probing_failures_never_take_a_target_out() {
        let mut d = Dispatcher::new(Thresholds {
            probing: false,
            ..THRESHOLDS
        });
        d.load(&pool(1));
        for _ in 0..10 {
            assert_eq!(d.failed(1, true), None);
        }
        assert_eq!(d.order(1, b"x"), [1]);
    }

    #[test]
    fn flags_are_kamailios() {
        let mut rows = pool(4);
        for (row, flags) in rows.iter_mut().zip([0, 1, 4, 8]) {
            row.flags = flags;
        }
        let d = dispatcher(&rows);
        let states: Vec<_> = d.targets().map(|t| t.state).collect();
        use TargetState::{Active, Disabled, Inactive, Probing};
        assert_eq!(states, [Active, Inactive, Disabled, Probing]);
        let mut order = d.order(1, b"x");
        order.sort_unstable();
        assert_eq!(order, [1, 4]);
        assert!(d.is_member(1, "10.0.0.3".parse().unwrap()));
    }

    #[test]
    fn a_reload_keeps_what_was_learned_unless_the_flags_changed() {
        let mut rows = pool(2);
        let mut d = dispatcher(&rows);
        for id in [1, 2] {
            for _ in 0..3 {
                d.failed(id, true);
            }
        }
        d.call_begins(1);
        rows[1].flags = 8;
        assert_eq!(d.load(&rows), []);
        assert_eq!(d.target(1).unwrap().state, TargetState::Inactive);
        assert_eq!(d.target(1).unwrap().calls, 1);
        assert_eq!(d.target(2).unwrap().state, TargetState::Probing);
        d.call_ends(1);
        d.call_ends(1);
        assert_eq!(d.target(1).unwrap().calls, 0);
    }

    #[test]
    fn failover_goes_by_priority_after_the_hash() {
        let mut rows = pool(5);
        for row in &mut rows {
            row.priority = i32::try_from(row.id).unwrap();
        }
        let d = dispatcher(&rows);
        let order = d.order(1, b"call");
        assert!(order[1..].windows(2).all(|w| w[0] > w[1]), "{order:?}");
    }

    #[test]
    fn calls_spread_evenly() {
        let d = dispatcher(&pool(4));
        let mut counts = [0_u32; 4];
        for i in 0..4000 {
            let first = d.order(1, format!("call-{i}@example").as_bytes())[0];
            counts[usize::try_from(first).unwrap() - 1] += 1;
        }
        assert!(counts.iter().all(|c| (850..1150).contains(c)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn only_a_leaving_targets_calls_move(
            n in 2_i64..12, leaving in 1_i64..12, call_id in proptest::collection::vec(any::<u8>(), 1..40)
        ) {
            let leaving = (leaving - 1) % n + 1;
            let all = dispatcher(&pool(n));
            let mut rows = pool(n);
            rows.retain(|r| r.id != leaving);
            let fewer = dispatcher(&rows);
            let before = all.order(1, &call_id);
            let after = fewer.order(1, &call_id);
            prop_assert_eq!(before.len(), after.len() + 1);
            if before[0] == leaving {
                prop_assert_eq!(before[1], after[0]);
            } else {
                prop_assert_eq!(before[0], after[0]);
            }
        }

        #[test]
        fn the_order_holds_each_target_once(n in 1_i64..12, call_id: Vec<u8>) {
            let mut order = dispatcher(&pool(n)).order(1, &call_id);
            order.sort_unstable();
            prop_assert_eq!(order, (1..=n).collect::<Vec<_>>());
        }
    }
}
