//! Where a request goes that begins something: what the rules, the tables of numbers and the configuration say of it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use tandem_policy::EndCause;
use tandem_policy::routing::{
    Action, Country, Did, Facts, Number, Purpose, Rule, Sender, Trunk, ask,
};
use tandem_sip::{Host, Uri};

use super::Core;
use super::choice::says;
use super::invite::Decision;
use super::reply::Answer;
use super::request::Arrival;
use crate::counters::Counter;
use crate::edits::{DEST_TYPE, Edits};
use crate::message::Message;
use crate::record::{Admission, Direction};

/// What the rules say of a request, before anything else is looked up.
#[derive(Debug)]
pub(super) struct Ruled {
    /// The tenant whose it is; empty for none.
    pub(super) tenant: String,
    /// The trunk that it comes from; empty for none.
    pub(super) source_trunk: String,
    /// Headers.
    pub(super) edits: Edits,
    action: Option<Action>,
    /// The places of the rules that it goes by.
    rules: Vec<usize>,
}

impl Ruled {
    /// Whether a rule says where the request goes.
    pub(super) const fn has_way(&self) -> bool {
        !matches!(self.action, Some(Action::Default) | None)
    }
}

/// The way of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Route {
    /// Dispatcher sets: the first one with targets that take calls has it.
    pub(super) sets: Vec<u32>,
    /// Trunks, one after the other, when there are no sets.
    pub(super) carriers: VecDeque<Arc<Trunk>>,
    /// The user part that is asked for instead.
    pub(super) user: Option<Box<str>>,
}

/// Why a request goes nowhere.
#[derive(Debug)]
pub(super) struct NoRoute {
    pub(super) counter: Counter,
    pub(super) answer: Answer,
    pub(super) cause: EndCause,
}

impl NoRoute {
    fn new(counter: Counter, code: u16, reason: &str) -> Self {
        Self {
            counter,
            answer: Answer::new(code, reason),
            cause: EndCause::Rejected,
        }
    }
}

impl Core {
    /// Asks the rules.
    pub(super) fn ask_rules(&self, arrival: Arrival<'_, '_>, decision: Decision) -> Ruled {
        let plan = Arc::clone(&self.config.routing.plan);
        let message = arrival.message;
        let sender = decision.sender();
        let ip = arrival.hop.peer.ip();
        let source_trunk = match sender {
            Sender::Carrier => self.trunk_from(ip),
            Sender::User | Sender::Pool => None,
        };
        let tenant = self.tenant_of(sender, message);
        let uri = Uri::parse(message.uri());
        let asks_country = plan.rules.iter().any(|rule| !rule.countries.is_empty());
        let facts = Facts {
            sender,
            trunk: source_trunk.as_ref().map(|t| t.name.as_str()),
            tenant: tenant.as_deref(),
            domain: host_text(message.uri()).unwrap_or_default(),
            method: message.method(),
            user: uri.map(|u| bare_user(u.user)).unwrap_or_default(),
            country: asks_country.then(|| self.country(ip)).flatten(),
        };
        let verdict = ask(&plan.rules, &facts);
        let mut edits = Edits::default();
        // What a media server takes for our word is not for others to say.
        if decision.direction == Direction::Inbound {
            edits.remove_type();
        }
        for rule in &verdict.edits {
            for name in &rule.remove {
                edits.remove(name.clone());
            }
            for (name, value) in &rule.add {
                edits.add(name, &value.render(|field| says(message, ip, field)));
            }
        }
        let went_by = verdict.edits.iter().chain(&verdict.rule);
        let place = |rule: &&Rule| plan.rules.iter().position(|r| std::ptr::eq(r, *rule));
        let mut rules: Vec<usize> = went_by.filter_map(place).collect();
        rules.dedup();
        Ruled {
            rules,
            action: verdict.action().cloned(),
            source_trunk: source_trunk.map(|t| t.name.clone()).unwrap_or_default(),
            tenant: tenant.unwrap_or_default(),
            edits,
        }
    }

    /// A request goes by the rules that were asked for it.
    pub(super) fn note_rules(&self, ruled: &Ruled) {
        let plan = &self.config.routing.plan;
        for rule in ruled.rules.iter().filter_map(|at| plan.rules.get(*at)) {
            plan.usages.ruled(&rule.name);
        }
    }

    /// The names of the rules that a request goes by.
    pub(super) fn names_of_rules(&self, ruled: &Ruled) -> Vec<String> {
        let plan = &self.config.routing.plan;
        let rules = ruled.rules.iter().filter_map(|at| plan.rules.get(*at));
        rules.map(|rule| rule.name.clone()).collect()
    }

    /// The answer of a rule that refuses.
    pub(super) fn refused_by_rule(ruled: &Ruled) -> Option<NoRoute> {
        match &ruled.action {
            Some(Action::Reject { code, reason }) => {
                Some(NoRoute::new(Counter::RulesRejected, *code, reason))
            }
            _ => None,
        }
    }

    /// The way of a request that is not for a user agent. What it is told to the media server is put into `ruled`.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn route(
        &mut self,
        arrival: Arrival<'_, '_>,
        decision: Decision,
        ruled: &mut Ruled,
    ) -> Result<Route, NoRoute> {
        if let Some(refused) = Self::refused_by_rule(ruled) {
            return Err(refused);
        }
        let plan = Arc::clone(&self.config.routing.plan);
        let to = |sets: Vec<u32>| Route {
            sets,
            ..Route::default()
        };
        match ruled.action.clone() {
            Some(Action::Dispatch(set)) => Ok(match decision.direction {
                Direction::Outbound => self.by_set(set),
                Direction::Inbound => to(vec![set]),
            }),
            Some(Action::Nearest(sets)) => {
                let place = self.geo.as_ref();
                let place = place.and_then(|geo| geo.place(arrival.hop.peer.ip()));
                if place.is_none() {
                    self.counters.add(Counter::PlacesUnknown);
                }
                Ok(to(plan.by_distance(&sets, place)))
            }
            Some(Action::Trunks(names)) => {
                let trunks = names.iter().filter_map(|name| plan.trunk(name));
                Ok(Route {
                    carriers: trunks.cloned().collect(),
                    ..Route::default()
                })
            }
            Some(Action::Routes) => self.by_table(arrival.message, &ruled.tenant),
            Some(Action::Did) => self.by_number(arrival.message, decision, ruled),
            Some(Action::Default) | Some(Action::Reject { .. }) | None => {
                match decision.direction {
                    Direction::Outbound if plan.table => {
                        self.by_table(arrival.message, &ruled.tenant)
                    }
                    Direction::Outbound => Ok(self.by_set(decision.set)),
                    Direction::Inbound if self.is_number_of_ours(decision, arrival.message) => {
                        self.by_number(arrival.message, decision, ruled)
                    }
                    Direction::Inbound => Ok(to(vec![self.tenants_set(decision, &ruled.tenant)])),
                }
            }
        }
    }

    /// A set outside: the trunk's whose it is.
    fn by_set(&self, set: u32) -> Route {
        match self.config.routing.plan.trunk_of_set(set) {
            Some(trunk) => Route {
                carriers: [Arc::clone(trunk)].into(),
                ..Route::default()
            },
            None => Route {
                sets: vec![set],
                ..Route::default()
            },
        }
    }

    /// By the longest prefix of the number.
    fn by_table(&mut self, message: &Message<'_>, tenant: &str) -> Result<Route, NoRoute> {
        let random = self.tokens.number();
        let plan = &self.config.routing.plan;
        let user = Uri::parse(message.uri()).map(|uri| uri.user);
        let number = Number::parse(user.unwrap_or_default());
        let carriers: VecDeque<Arc<Trunk>> = number
            .map(|number| self.routes.carriers(tenant, &number, random))
            .unwrap_or_default()
            .into_iter()
            .filter_map(|place| self.routes.names().get(usize::from(place)))
            .filter_map(|name| plan.trunk(name))
            .cloned()
            .collect();
        if carriers.is_empty() {
            return Err(NoRoute::new(Counter::RoutesUnknown, 404, "No Route"));
        }
        Ok(Route {
            carriers,
            ..Route::default()
        })
    }

    /// Whether the numbers of ours are asked without a rule.
    fn is_number_of_ours(&self, decision: Decision, message: &Message<'_>) -> bool {
        let routing = &self.config.routing;
        let is_conference =
            routing.conference.as_ref().map(|c| c.set) == Some(self.inner_set_for(message.uri()));
        routing.dids && !decision.registered && !is_conference
    }

    /// By the numbers of ours. The tenant is known by its name or by the host of the Request-URI.
    fn by_number(
        &self,
        message: &Message<'_>,
        decision: Decision,
        ruled: &mut Ruled,
    ) -> Result<Route, NoRoute> {
        let uri = Uri::parse(message.uri());
        let host = match uri.as_ref().and_then(|uri| uri.host) {
            Some(Host::Name(name)) => String::from_utf8_lossy(name).to_ascii_lowercase(),
            _ => String::new(),
        };
        let user = uri.map(|uri| uri.user).unwrap_or_default();
        let Some(did) = self.dids.find(&[&ruled.tenant, &host], user) else {
            return Err(NoRoute::new(Counter::DidsUnknown, 404, "Not Found"));
        };
        let Did {
            dest_type,
            destination,
            setid,
        } = did;
        ruled.edits.add(DEST_TYPE, dest_type.as_bytes());
        let set = match setid {
            0 => self.tenants_set(decision, &ruled.tenant),
            set => *set,
        };
        Ok(Route {
            sets: vec![set],
            user: (!destination.is_empty()).then(|| destination.clone()),
            ..Route::default()
        })
    }

    /// The usual set inside: the tenant's own, unless the request is for somewhere in particular.
    fn tenants_set(&self, decision: Decision, tenant: &str) -> u32 {
        let routing = &self.config.routing;
        let own = routing.plan.tenant(tenant).and_then(|t| t.pool_set);
        own.filter(|_| decision.set == routing.pool_set)
            .unwrap_or(decision.set)
    }

    /// The trunk that this address is one of: by its networks, or as one of its targets.
    pub(super) fn trunk_from(&self, ip: IpAddr) -> Option<&Arc<Trunk>> {
        let trunks = &self.config.routing.plan.trunks;
        let is_target = |trunk: &Trunk| {
            let mut sets = self.dispatcher.reachable(trunk.set);
            sets.any(|set| self.dispatcher.is_member(set, ip))
        };
        trunks
            .iter()
            .find(|trunk| trunk.networks.contains(ip) || is_target(trunk))
    }

    /// Whether a trunk's calls may come from this address.
    pub(super) fn is_of_trunk(&self, ip: IpAddr) -> bool {
        let mut trunks = self.config.routing.plan.trunks.iter();
        trunks.any(|trunk| trunk.networks.contains(ip))
    }

    /// The tenant of a request. A carrier says in the Request-URI whom it calls; what it says in From is not to be believed.
    fn tenant_of(&self, sender: Sender, message: &Message<'_>) -> Option<String> {
        let plan = &self.config.routing.plan;
        let of = |uri: &[u8]| plan.tenant_of(host_text(uri)?);
        let from = match sender {
            Sender::Carrier => None,
            Sender::User | Sender::Pool => of(message.uri_of_from()),
        };
        let tenant = from.or_else(|| of(message.uri()))?;
        Some(tenant.name.clone())
    }

    fn country(&self, ip: IpAddr) -> Option<Country> {
        self.geo.as_ref()?.country(ip)
    }

    /// The limits that a new call falls under before it goes anywhere: its tenant's, and those of the trunk that it comes
    /// from.
    pub(super) fn own_limits(&self, ruled: &Ruled) -> Vec<Admission> {
        let of = |purpose, name: &String| Admission {
            purpose,
            name: name.clone(),
        };
        let mut limits = Vec::new();
        if !ruled.tenant.is_empty() {
            limits.push(of(Purpose::Tenant, &ruled.tenant));
        }
        if !ruled.source_trunk.is_empty() {
            limits.push(of(Purpose::TrunkIn, &ruled.source_trunk));
        }
        limits
    }
}

impl Decision {
    const fn sender(&self) -> Sender {
        match (self.direction, self.registered) {
            (Direction::Outbound, _) => Sender::Pool,
            (Direction::Inbound, true) => Sender::User,
            (Direction::Inbound, false) => Sender::Carrier,
        }
    }
}

/// A user part without its parameters.
fn bare_user(user: &[u8]) -> &[u8] {
    user.split(|c| *c == b';').next().unwrap_or_default()
}

/// The host of a URI as it is written.
fn host_text(uri: &[u8]) -> Option<&[u8]> {
    match Uri::parse(uri)?.host? {
        Host::Name(name) => Some(name),
        Host::Address(_) => {
            // As it stands there, without user, port and parameters.
            let rest = uri
                .iter()
                .position(|c| *c == b':')
                .and_then(|at| uri.get(at + 1..))?;
            let at = rest.iter().position(|c| *c == b'@').map_or(0, |at| at + 1);
            let rest = rest.get(at..)?;
            let end = if rest.starts_with(b"[") {
                rest.iter().position(|c| *c == b']')? + 1
            } else {
                let is_end = |c: &u8| matches!(c, b':' | b';' | b'?');
                rest.iter().position(is_end).unwrap_or(rest.len())
            };
            rest.get(..end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_as_they_are_written() {
        for (uri, host) in [
            ("sip:a@Acme.Example;x=y", Some("Acme.Example")),
            ("sip:a@192.0.2.1:5060;x=y", Some("192.0.2.1")),
            ("sip:192.0.2.1", Some("192.0.2.1")),
            ("sip:a@[2001:db8::1]:5060", Some("[2001:db8::1]")),
            ("tel:+49", None),
        ] {
            let said = host_text(uri.as_bytes()).map(|h| std::str::from_utf8(h).unwrap());
            assert_eq!(said, host, "{uri}");
        }
        assert_eq!(bare_user(b"+49;x=y"), b"+49");
    }
}
