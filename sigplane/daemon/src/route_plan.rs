//! Rules, trunks, tenants and sites of the configuration, as the core has them.

use std::sync::Arc;

use tandem_config::{Config, Rule as ConfigRule, Sender as ConfigSender};
use tandem_policy::Expression;
use tandem_policy::defence::Networks;
use tandem_policy::routing::{
    Action, Allowance, Asserted, Codes, Country, HeaderName, Identity, Limit, Number, Pattern,
    Place, Purpose, Rewrite, RoutePlan, Rule, Sender, Tenant, Trunk, Usages,
};

/// The plan. `usages` says what trunks and tenants use, whatever the configuration is.
pub(crate) fn route_plan(config: &Config, usages: &Usages) -> RoutePlan {
    let trunks = config.trunks.iter().map(|t| Arc::new(trunk(t, usages)));
    let tenants = config.tenants.iter().map(|t| tenant(t, usages));
    let places = config.sites.iter().flat_map(|site| {
        let place = Place::new(site.latitude.degrees(), site.longitude.degrees());
        let sets = site.sets.iter();
        sets.filter_map(move |set| Some((*set, place?)))
    });
    RoutePlan {
        trunks: trunks.collect(),
        tenants: tenants.collect(),
        rules: config.rules.iter().map(rule).collect(),
        places: places.collect(),
        table: config.routing.trunk_routing,
        usages: usages.clone(),
    }
}

fn trunk(trunk: &tandem_config::Trunk, usages: &Usages) -> Trunk {
    let allowance = |purpose, calls, rate| Allowance {
        limit: Limit { calls, rate },
        usage: usages.of(purpose, &trunk.name),
    };
    // What the configuration has read is right: a test below compares the two.
    let failover = trunk.failover.as_ref();
    let failover = failover.and_then(|codes| Codes::parse(codes.iter().map(String::as_str)).ok());
    let rewrites = |all: &[tandem_config::Rewrite]| {
        let read = all.iter().map(|r| Rewrite::parse(&r.pattern, &r.to));
        read.filter_map(Result::ok).collect()
    };
    let networks = trunk.networks.iter();
    Trunk {
        name: trunk.name.clone(),
        set: trunk.set,
        networks: Networks::new(networks.map(|n| (n.address, n.length))),
        outgoing: allowance(Purpose::TrunkOut, trunk.max_calls, trunk.max_cps),
        incoming: allowance(Purpose::TrunkIn, trunk.max_calls_in, trunk.max_cps_in),
        called: rewrites(&trunk.called),
        identity: Identity {
            calling: rewrites(&trunk.calling),
            caller_id: trunk.caller_id.clone(),
            from_domain: trunk.from_domain.clone(),
            asserted: match trunk.asserted {
                tandem_config::Asserted::Pass => Asserted::Pass,
                tandem_config::Asserted::Set => Asserted::Set,
                tandem_config::Asserted::Remove => Asserted::Remove,
            },
        },
        failover: failover.unwrap_or_default(),
    }
}

fn tenant(tenant: &tandem_config::Tenant, usages: &Usages) -> Tenant {
    Tenant {
        name: tenant.name.clone(),
        domains: tenant.domains.clone(),
        pool_set: tenant.pool_set,
        allowance: Allowance {
            limit: Limit {
                calls: tenant.max_calls,
                rate: tenant.max_cps,
            },
            usage: usages.of(Purpose::Tenant, &tenant.name),
        },
    }
}

fn rule(rule: &ConfigRule) -> Rule {
    let senders = rule.from.iter().map(|sender| match sender {
        ConfigSender::Carrier => Sender::Carrier,
        ConfigSender::User => Sender::User,
        ConfigSender::Pool => Sender::Pool,
    });
    let prefixes = rule.prefix.iter();
    let names = rule.remove_headers.iter();
    let headers = rule.add_headers.iter();
    Rule {
        name: rule.name.clone(),
        senders: senders.collect(),
        trunks: rule.trunk.clone(),
        tenants: rule.tenant.clone(),
        domains: rule.domain.clone(),
        methods: rule.method.clone(),
        prefixes: prefixes
            .filter_map(|p| Number::parse(p.as_bytes()))
            .collect(),
        number: rule.number.as_deref().and_then(|n| Pattern::parse(n).ok()),
        // "unknown" is no code.
        countries: rule.country.iter().map(|c| Country::parse(c)).collect(),
        remove: names.map(|n| HeaderName(n.clone())).collect(),
        add: headers
            .filter_map(|h| Some((h.name.clone(), Expression::text(&h.value).ok()?)))
            .collect(),
        action: action(rule),
    }
}

fn action(rule: &ConfigRule) -> Option<Action> {
    use tandem_config::Action as Config;
    Some(match rule.action? {
        Config::Dispatch => Action::Dispatch(rule.set?),
        Config::Nearest => Action::Nearest(rule.sets.clone()),
        Config::Trunk => Action::Trunks(rule.trunks.clone()),
        Config::Routes => Action::Routes,
        Config::Did => Action::Did,
        Config::Default => Action::Default,
        Config::Reject => {
            let code = rule.code?;
            let reason = rule.reason.clone();
            Action::Reject {
                code,
                reason: reason.unwrap_or_else(|| usual_reason(code).to_owned()),
            }
        }
    })
}

/// The reason phrase that RFC 3261 section 21 gives a code, of those that somebody would refuse a call with.
const fn usual_reason(code: u16) -> &'static str {
    match code {
        400 => "Bad Request",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        410 => "Gone",
        480 => "Temporarily Unavailable",
        484 => "Address Incomplete",
        486 => "Busy Here",
        488 => "Not Acceptable Here",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        _ => "Rejected",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_configuration_reads_is_known_here() {
        let text = include_str!("../../../config/tandem.example.toml");
        let full: String = text
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.starts_with('[') || rest.contains(" = ") => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let config = tandem_config::parse(&full).unwrap();
        let plan = route_plan(&config, &Usages::default());
        let [trunk] = plan.trunks.as_slice() else {
            panic!("{plan:?}")
        };
        assert_eq!((trunk.called.len(), trunk.identity.calling.len()), (1, 1));
        assert_eq!(trunk.failover.has(404), Codes::default().has(404));
        assert!((300..700).all(|c| trunk.failover.has(c) == Codes::default().has(c)));
        assert_eq!(plan.rules.len(), config.rules.len());
        let first = plan.rules.first().unwrap();
        let asked = (
            &first.prefixes.len(),
            first.number.is_some(),
            first.add.len(),
        );
        assert_eq!(asked, (&1, true, 1));
        assert_eq!(first.countries, [Country::parse("DE"), None]);
        assert!(plan.rules.iter().all(|rule| rule.action.is_some()));
        assert_eq!(plan.places.keys().copied().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn every_variable_of_a_header_is_known() {
        for variable in ["$ci", "$rU", "$hdr(X-Y)", "$$", "plain"] {
            let text = include_str!("../../../config/tandem.example.toml");
            let rule =
                format!("{text}\n[[rule]]\nname = \"x\"\nadd_headers = [\"X: {variable}\"]\n");
            let config = tandem_config::parse(&rule).unwrap();
            let plan = route_plan(&config, &Usages::default());
            assert_eq!(plan.rules[0].add.len(), 1, "{variable}");
        }
    }
}
