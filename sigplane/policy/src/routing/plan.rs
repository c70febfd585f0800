//! What the configuration says of routing beyond one pool and one trunk.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::carrier::{Tenant, Trunk};
use super::geo::Place;
use super::limits::{Limit, Purpose, Usages};
use super::rules::{Action, Rule};

/// Tenants, trunks and rules. The names that one says of another are there: the configuration has checked them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutePlan {
    /// In the order of the configuration.
    pub trunks: Vec<Arc<Trunk>>,
    /// In the order of the configuration.
    pub tenants: Vec<Tenant>,
    /// In the order in which they are asked.
    pub rules: Vec<Rule>,
    /// Where dispatcher sets are.
    pub places: BTreeMap<u32, Place>,
    /// Whether calls out of the pool leave by the table `trunk_routing`.
    pub table: bool,
    /// What trunks and tenants use.
    pub usages: Usages,
}

impl RoutePlan {
    /// The trunk with this name.
    #[must_use]
    pub fn trunk(&self, name: &str) -> Option<&Arc<Trunk>> {
        self.trunks.iter().find(|t| t.name == name)
    }

    /// The tenant with this name.
    #[must_use]
    pub fn tenant(&self, name: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|t| t.name == name)
    }

    /// The tenant whose domain a host is.
    #[must_use]
    pub fn tenant_of(&self, host: &[u8]) -> Option<&Tenant> {
        let is = |domain: &String| host.eq_ignore_ascii_case(domain.as_bytes());
        self.tenants.iter().find(|t| t.domains.iter().any(is))
    }

    /// The trunk whose session border controllers are a dispatcher set.
    #[must_use]
    pub fn trunk_of_set(&self, set: u32) -> Option<&Arc<Trunk>> {
        self.trunks.iter().find(|t| t.set == set)
    }

    /// The sets inside that are named, some of them perhaps several times.
    pub fn inner_sets(&self) -> impl Iterator<Item = u32> + '_ {
        let tenants = self.tenants.iter().filter_map(|t| t.pool_set);
        tenants.chain(self.rules.iter().flat_map(|rule| rule_sets(rule, false)))
    }

    /// The sets outside that are named, some of them perhaps several times.
    pub fn outer_sets(&self) -> impl Iterator<Item = u32> + '_ {
        let trunks = self.trunks.iter().map(|t| t.set);
        trunks.chain(self.rules.iter().flat_map(|rule| rule_sets(rule, true)))
    }

    /// The sets of `sets`, the nearest to a place first; those that are nowhere come last, in their order. Without a
    /// place all stay in theirs.
    #[must_use]
    pub fn by_distance(&self, sets: &[u32], from: Option<Place>) -> Vec<u32> {
        let mut order = sets.to_vec();
        if let Some(from) = from {
            let far = |set: &u32| {
                let place = self.places.get(set);
                place.map_or(f64::INFINITY, |place| place.distance_km(from))
            };
            order.sort_by(|a, b| far(a).total_cmp(&far(b)));
        }
        order
    }

    /// Whether any trunk is told another caller than the one who calls.
    #[must_use]
    pub fn changes_from(&self) -> bool {
        self.trunks.iter().any(|t| t.identity.changes_from())
    }

    /// The limit of one of them by its name; none for one that is not there (any more).
    #[must_use]
    pub fn limit(&self, purpose: Purpose, name: &str) -> Option<Limit> {
        match purpose {
            Purpose::TrunkOut => self.trunk(name).map(|t| t.outgoing.limit),
            Purpose::TrunkIn => self.trunk(name).map(|t| t.incoming.limit),
            Purpose::Tenant => self.tenant(name).map(|t| t.allowance.limit),
        }
    }
}

/// The dispatcher sets that a rule sends to on this side.
fn rule_sets(rule: &Rule, outer: bool) -> Vec<u32> {
    use super::rules::Sender;
    let from_pool = rule.senders.is_empty() || rule.senders.contains(&Sender::Pool);
    let from_outside = rule.senders.is_empty() || rule.senders.iter().any(|s| *s != Sender::Pool);
    match &rule.action {
        Some(Action::Dispatch(set)) if (outer && from_pool) || (!outer && from_outside) => {
            vec![*set]
        }
        Some(Action::Nearest(sets)) if !outer => sets.clone(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::rules::Sender;

    fn rule(senders: Vec<Sender>, action: Action) -> Rule {
        Rule {
            senders,
            action: Some(action),
            ..Rule::default()
        }
    }

    #[test]
    fn sets_are_on_the_side_that_they_are_for() {
        let plan = RoutePlan {
            rules: vec![
                rule(vec![Sender::Carrier], Action::Dispatch(1)),
                rule(vec![Sender::Pool], Action::Dispatch(2)),
                rule(vec![], Action::Dispatch(3)),
                rule(vec![], Action::Nearest(vec![4, 5])),
                rule(vec![], Action::Did),
            ],
            ..RoutePlan::default()
        };
        assert_eq!(plan.inner_sets().collect::<Vec<_>>(), [1, 3, 4, 5]);
        assert_eq!(plan.outer_sets().collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn the_nearest_set_comes_first() {
        let place = |a, b| Place::new(a, b).unwrap();
        let plan = RoutePlan {
            places: [(1, place(52.5, 13.4)), (2, place(48.9, 2.4))].into(),
            ..RoutePlan::default()
        };
        let cologne = Some(place(50.9, 7.0));
        assert_eq!(plan.by_distance(&[3, 1, 2], cologne), [2, 1, 3]);
        assert_eq!(
            plan.by_distance(&[3, 1, 2], Some(place(52.2, 21.0))),
            [1, 2, 3]
        );
        assert_eq!(plan.by_distance(&[3, 1, 2], None), [3, 1, 2]);
    }
}
