//! What several targets feed.

use std::sync::Arc;
use std::time::Duration;

use tandem_call::{
    CoreConfig, DispatcherConfig, GuardConfig, HidingConfig, KeyRing, MediaConfig, MessageLimits,
    NatConfig, RealmConfig, RoutingConfig, Share, Side, Tables,
};
use tandem_policy::{DispatcherRow, Plan};

/// The registrars' set.
const REGISTRARS: u32 = 2;

/// A core between an outside and an inside, that hides by these keys.
#[must_use]
pub fn config(keys: KeyRing) -> CoreConfig {
    let realm = |name: &str, side, sip: &str| RealmConfig {
        name: name.into(),
        side,
        sip: vec![format!("{sip}:5060").parse().expect("an address")],
        media: vec![sip.parse().expect("an address")],
        media_ports: 30_000..=30_199,
    };
    CoreConfig {
        node: 1,
        share: Share::default(),
        server: "tandem".into(),
        realms: vec![
            realm("outside", Side::External, "198.51.100.1"),
            realm("inside", Side::Internal, "10.0.0.1"),
        ],
        kernel: vec![],
        streams: vec![],
        t1: Duration::from_millis(500),
        timer_c: Duration::from_secs(185),
        dialog_table: true,
        max_calls: 10,
        limits: MessageLimits::default(),
        routing: RoutingConfig {
            conference: None,
            pool_set: 1,
            trunk_set: 100,
            carrier_group: 1,
            registrar_set: Some(REGISTRARS),
            dids: false,
            follow_redirects: false,
            plan: std::sync::Arc::default(),
        },
        dispatcher: DispatcherConfig {
            plan: Plan::default(),
            probe_interval: Duration::ZERO,
            probe_timeout: Duration::from_secs(4),
            probe_failures: 3,
            probe_successes: 3,
            first_response: Duration::from_secs(2),
        },
        media: MediaConfig {
            dscp: 46,
            timeout: Duration::from_secs(60),
            hold_timeout: Duration::from_secs(3600),
            max_duration: Duration::ZERO,
            guard: tandem_call::MediaGuard::default(),
            port_rest: std::time::Duration::from_secs(5),
        },
        nat: NatConfig::default(),
        hiding: HidingConfig {
            enabled: true,
            keys: Some(keys),
            hide_software: true,
            strip_headers: vec!["X-*".into()],
            domains: vec!["pbx.example".into()],
        },
        guard: GuardConfig::default(),
        registrar: None,
    }
}

/// A pool of one server, a trunk, and this registrar.
#[must_use]
pub fn tables(registrar: &str) -> Tables {
    let row = |id, setid, at: &str| DispatcherRow {
        id,
        setid,
        destination: format!("sip:{at}"),
        flags: 0,
        priority: 0,
        attrs: String::new(),
        description: String::new(),
    };
    Tables {
        dids: std::sync::Arc::default(),
        routes: std::sync::Arc::default(),
        dispatcher: vec![
            row(1, 1, "10.0.0.11:5060"),
            row(2, 100, "203.0.113.50:5060"),
            row(3, REGISTRARS, registrar),
        ],
        address: vec![],
        subscribers: Arc::default(),
    }
}
