//! What the core needs to know of the configuration.

use std::net::SocketAddr;
use std::sync::Arc;

use tandem_call::{
    Conference, CoreConfig, DispatcherConfig, GuardConfig, HidingConfig, KernelConfig, MediaConfig,
    MediaGuard, MessageLimits, NatConfig, RealmConfig, RegistrarConfig, RoutingConfig, Share, Side,
    StreamConfig,
};
use tandem_config::{Config, MediaSource, PathRule, StreamTransport};
use tandem_policy::defence::{EmergencyNumbers, Networks, OverloadConfig, Scanners};
use tandem_policy::digest;
use tandem_policy::routing::Usages;
use tandem_policy::{Algorithm, Plan, SetPlan, Transport};

use crate::route_plan::route_plan;

/// Calls that the node takes at a time. Memory is what bounds them: a call and its transactions
/// need some 10 KB while it is set up.
const MAX_CALLS: usize = 200_000;

/// A core's configuration, for its share of the node's work: limits are shared out as the calls are. `kernel` and
/// `streams` have the addresses that those listeners really have, `usages` what trunks and tenants use.
pub(crate) fn core_config(
    config: &Config,
    share: Share,
    kernel: &[SocketAddr],
    streams: &[SocketAddr],
    hiding: HidingConfig,
    nonce_key: [u8; 32],
    usages: &Usages,
) -> CoreConfig {
    let part = |limit: usize| limit.div_ceil(usize::from(share.shards.workers()));
    CoreConfig {
        node: config.node.id,
        share,
        server: config.sip.server.clone(),
        realms: config
            .realms
            .iter()
            .map(|realm| RealmConfig {
                name: realm.name.clone(),
                side: side(realm.side),
                sip: realm.sip.clone(),
                media: realm.media.clone(),
                media_ports: realm.media_ports.clone(),
            })
            .collect(),
        kernel: config
            .sip
            .kernel
            .iter()
            .zip(kernel)
            .map(|(listener, bound)| KernelConfig {
                listen: *bound,
                side: side(listener.side),
            })
            .collect(),
        streams: config
            .sip
            .listen
            .iter()
            .zip(streams)
            .map(|(listener, bound)| StreamConfig {
                listen: *bound,
                transport: match listener.transport {
                    StreamTransport::Tcp => Transport::Tcp,
                    StreamTransport::Tls => Transport::Tls,
                    StreamTransport::Ws => Transport::Ws,
                    StreamTransport::Wss => Transport::Wss,
                },
                side: side(listener.side),
                realm: listener.realm,
            })
            .collect(),
        t1: config.sip.t1,
        timer_c: config.sip.timer_c,
        dialog_table: config.database.dialog,
        max_calls: part(MAX_CALLS),
        limits: MessageLimits {
            bytes: config.sip.max_message,
            headers: config.sip.max_headers,
            vias: config.sip.max_vias,
        },
        routing: RoutingConfig {
            pool_set: config.routing.pool_set,
            trunk_set: config.routing.trunk_set,
            carrier_group: config.routing.carrier_group,
            registrar_set: config.routing.registrar_set,
            conference: config.routing.conference_set.map(|set| Conference {
                set,
                prefix: config.routing.conference_prefix.clone(),
            }),
            dids: config.routing.dids,
            follow_redirects: config.routing.follow_redirects,
            plan: Arc::new(route_plan(config, usages)),
        },
        dispatcher: DispatcherConfig {
            plan: plan(&config.dispatcher),
            probe_interval: config.dispatcher.probe_interval,
            probe_timeout: config.dispatcher.probe_timeout,
            probe_failures: config.dispatcher.probe_failures,
            probe_successes: config.dispatcher.probe_successes,
            first_response: config.dispatcher.first_response,
        },
        media: MediaConfig {
            dscp: config.media.dscp,
            timeout: config.media.timeout,
            hold_timeout: config.media.hold_timeout,
            max_duration: config.media.max_duration,
            guard: media_guard(config),
            port_rest: config.media.port_rest,
        },
        hiding,
        guard: GuardConfig {
            watch: config.defence.enabled,
            trusted: Networks::new(
                config
                    .defence
                    .trusted
                    .iter()
                    .map(|network| (network.address, network.length)),
            ),
            scanners: Scanners::new(&config.defence.scanners),
            overload: OverloadConfig {
                target: config.overload.target,
                interval: config.overload.interval,
                retry_after: config.overload.retry_after,
            },
            emergency: EmergencyNumbers::new(&config.overload.emergency_numbers),
            ..GuardConfig::default()
        },
        nat: NatConfig {
            path_always: config.nat.path == PathRule::Always,
            keepalive: config.nat.keepalive,
            keepalive_misses: config.nat.keepalive_misses,
            max_bindings: config.nat.max_bindings as usize,
            max_registering: part(config.nat.max_registering as usize),
        },
        registrar: (!config.registrar.domains.is_empty())
            .then(|| registrar(&config.registrar, nonce_key, part)),
    }
}

fn registrar(
    config: &tandem_config::Registrar,
    nonce_key: [u8; 32],
    part: impl Fn(usize) -> usize,
) -> RegistrarConfig {
    let algorithms = config.algorithms.iter();
    let algorithms = algorithms.filter_map(|name| digest::Algorithm::parse(name.as_bytes()));
    RegistrarConfig {
        domains: config.domains.clone(),
        settings: tandem_policy::registrar::Settings {
            default_expires: config.default_expires,
            min_expires: config.min_expires,
            max_expires: config.max_expires,
            max_contacts: config.max_contacts as usize,
        },
        location_table: config.location_table,
        max_records: part(config.max_users as usize),
        digest: digest::Settings {
            algorithms: algorithms.collect(),
            without_qop: config.without_qop,
            ..digest::Settings::default()
        },
        nonce_key,
        nonce_lifetime_ms: u64::try_from(config.nonce_lifetime.as_millis()).unwrap_or(u64::MAX),
        // Of each user that there may be, as many as are asked for in a while.
        max_nonces: part(2 * config.max_users as usize),
    }
}

fn plan(dispatcher: &tandem_config::Dispatcher) -> Plan {
    // The configuration has only what this reads: a test below compares the two.
    let algorithm = |of: &tandem_config::Algorithm| {
        Algorithm::parse(of.name, &of.expression).unwrap_or_default()
    };
    let set = |set: &tandem_config::DispatcherSet| {
        let algorithm = algorithm(&set.algorithm);
        let fallback = set.fallback;
        let plan = SetPlan {
            algorithm,
            fallback,
        };
        (set.set, plan)
    };
    Plan {
        algorithm: algorithm(&dispatcher.algorithm),
        sets: dispatcher.sets.iter().map(set).collect(),
    }
}

const fn side(side: tandem_config::Side) -> Side {
    match side {
        tandem_config::Side::External => Side::External,
        tandem_config::Side::Internal => Side::Internal,
    }
}

fn media_guard(config: &Config) -> MediaGuard {
    let strict = |realm: &&tandem_config::Realm| {
        realm.media_source.unwrap_or(config.media.source) == MediaSource::Strict
    };
    let realms = (0..).zip(&config.realms);
    MediaGuard {
        strict: realms
            .filter(|(_, r)| strict(r))
            .map(|(index, _)| index)
            .collect(),
        max_packets: config.media.max_packets_per_second,
        max_bytes: config.media.max_bytes_per_second,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configurations_lists_are_those_of_the_policies() {
        let small = include_str!("../../../config/tandem.example.toml");
        let config = tandem_config::parse(small).unwrap();
        let core = core_config(
            &config,
            Share::default(),
            &[],
            &[],
            HidingConfig::off(),
            [0; 32],
            &Usages::default(),
        );
        assert_eq!(core.guard, GuardConfig::default());
        assert_eq!(core.dispatcher.plan, Plan::default());
    }

    #[test]
    fn every_algorithm_and_variable_of_the_configuration_is_known() {
        let small = include_str!("../../../config/tandem.example.toml");
        let variables = "ci fu fU fd tu tU td ru rU rd au si ua hdr(X-Y) (rU)";
        for number in 0..=11 {
            for variable in variables.split(' ') {
                let expression = match number {
                    7 => format!("expression = \"a$$${variable}b\"\n"),
                    _ => String::new(),
                };
                let of = format!("[dispatcher]\nalgorithm = {number}\n{expression}");
                let config = tandem_config::parse(&small.replacen("[dispatcher]\n", &of, 1));
                let algorithm = config.unwrap().dispatcher.algorithm;
                let known = Algorithm::parse(algorithm.name, &algorithm.expression).unwrap();
                assert_eq!(known.to_string(), algorithm.name, "{variable}");
            }
        }
    }
}
