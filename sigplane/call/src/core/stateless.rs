//! What the dataplane is told of targets, so that it finds them without us.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tandem_link::{MOST_SENDERS, MOST_TARGETS, StatelessSpec, StatelessTarget};
use tandem_policy::{Algorithm, Target, Transport, WEIGHT_KEY, place};

use super::Core;
use crate::config::Side;
use crate::io::Path;

/// What is to be relayed without us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatelessPlan {
    /// The realms whose requests are.
    pub realms: Vec<u16>,
    /// The set of targets; none for the pool's.
    pub set: Option<u32>,
    /// Whether dialogs stay on our way.
    pub record_route: bool,
}

impl Core {
    /// A number that is another one whenever [`Core::stateless`] may say something else.
    #[must_use]
    pub fn target_changes(&self) -> u64 {
        self.dispatcher.changes()
    }

    /// The plan with its targets, as the dataplane wants it; those of the set's fallback when none of the set takes calls, as for
    /// calls of our own. Targets that are not reached over UDP through a realm are left out.
    #[must_use]
    pub fn stateless(&self, plan: &StatelessPlan) -> StatelessSpec {
        let Some(key) = self.config.hiding.keys.as_ref() else {
            return StatelessSpec::default();
        };
        if plan.realms.is_empty() {
            return StatelessSpec::default();
        }
        let set = plan.set.unwrap_or(self.config.routing.pool_set);
        let mut sets = self.dispatcher.reachable(set).map(|set| self.targets(set));
        let first = sets.next().unwrap_or_default();
        let is_up = |targets: &[StatelessTarget]| targets.iter().any(|t| t.up && t.weight > 0);
        let targets = if is_up(&first) {
            first
        } else {
            let other = sets.find(|targets| is_up(targets));
            other.unwrap_or(first)
        };
        StatelessSpec {
            realms: plan.realms.clone(),
            record_route: plan.record_route,
            key: key.derived(b"stateless"),
            hash: WEIGHT_KEY,
            senders: self.senders(),
            targets,
        }
    }

    /// Who may call from outside without more: the carriers of the address table, and the trunks' addresses.
    fn senders(&self) -> Vec<(IpAddr, u8)> {
        let mut senders = self.access.networks(self.config.routing.carrier_group);
        let outer: BTreeSet<u32> = self.outer_sets().collect();
        let trunks = outer.iter().flat_map(|set| self.dispatcher.members(*set));
        for address in trunks.flat_map(Target::addresses) {
            senders.push((address.ip(), if address.is_ipv4() { 32 } else { 128 }));
        }
        senders.truncate(MOST_SENDERS);
        senders
    }

    /// The targets of a set, with their shares under the set's algorithm. What depends on a memory of calls cannot be had.
    fn targets(&self, set: u32) -> Vec<StatelessTarget> {
        let algorithm = self.dispatcher.algorithm(set);
        let members = self.dispatcher.members(set);
        let top = self.dispatcher.members(set).map(|t| t.row.priority).max();
        let target = |target: &Target| {
            let mut servers = target.servers(0).into_iter();
            let server = servers.find(|server| server.transport == Transport::Udp)?;
            let way = self
                .config
                .way(Side::Internal, Transport::Udp, server.address);
            let Some((Path::Realm(realm), _)) = way else {
                return None;
            };
            let attributes = &target.attributes;
            let weight = match algorithm {
                Algorithm::Weight => attributes.weight.unwrap_or(0),
                Algorithm::RelativeWeight => attributes.relative_weight.unwrap_or(0),
                Algorithm::Priority if Some(target.row.priority) != top => 0,
                _ => 1,
            };
            Some(StatelessTarget {
                address: server.address,
                realm,
                weight,
                up: target.state.takes_calls(),
                place: place(&target.wanted),
            })
        };
        let mut targets: Vec<_> = members.filter_map(target).take(MOST_TARGETS).collect();
        // Where nobody has a weight, all have the same.
        if targets.iter().all(|target| target.weight == 0) {
            targets.iter_mut().for_each(|target| target.weight = 1);
        }
        targets
    }
}
