//! A core between an outside and an inside.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use tandem_call::{
    CoreConfig, DispatcherConfig, GuardConfig, HidingConfig, KeyRing, MediaConfig, MessageLimits,
    NatConfig, RealmConfig, RoutingConfig, Side,
};

/// Our address outside.
pub const OUTSIDE: &str = "198.51.100.1:5060";
/// Our address inside.
pub const INSIDE: &str = "10.0.0.1:5060";

/// The core's configuration: two realms, as the appliance has it by default otherwise.
///
/// # Errors
/// None that can come to pass: the addresses are constants.
pub fn config() -> Result<CoreConfig, Box<dyn Error>> {
    let realm = |name: &str, side, sip: &str| -> Result<RealmConfig, Box<dyn Error>> {
        let address: SocketAddr = sip.parse()?;
        Ok(RealmConfig {
            name: name.into(),
            side,
            sip: vec![address],
            media: vec![address.ip()],
            media_ports: 2_048..=65_535,
        })
    };
    Ok(CoreConfig {
        node: 7,
        share: tandem_call::Share::default(),
        server: "tandem".into(),
        realms: vec![
            realm("outside", Side::External, OUTSIDE)?,
            realm("inside", Side::Internal, INSIDE)?,
        ],
        kernel: vec![],
        streams: vec![],
        t1: Duration::from_millis(500),
        timer_c: Duration::from_secs(185),
        dialog_table: false,
        max_calls: 1_000_000,
        limits: MessageLimits::default(),
        routing: RoutingConfig {
            conference: None,
            pool_set: 1,
            trunk_set: 100,
            carrier_group: 1,
            registrar_set: None,
            dids: false,
            follow_redirects: false,
            plan: std::sync::Arc::default(),
        },
        dispatcher: DispatcherConfig {
            plan: tandem_policy::Plan::default(),
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
            port_rest: Duration::from_secs(5),
        },
        // As the appliance does by default.
        nat: NatConfig::default(),
        registrar: None,
        hiding: HidingConfig {
            enabled: true,
            keys: Some(KeyRing::generate([7; 35])),
            ..HidingConfig::off()
        },
        guard: GuardConfig::default(),
    })
}
