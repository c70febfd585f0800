//! Self-defence: who is watched, who is not heard, and what is refused in time.

use std::net::IpAddr;
use std::time::Duration;

use tandem_call::{CoreConfig, Footprint, GuardConfig, Input};
use tandem_policy::defence::{Networks, OverloadConfig, Sight, Source};

use super::*;

const STRANGER: &str = "198.51.100.77:5060";
const TARGET: Duration = Duration::from_millis(10);
const INTERVAL: Duration = Duration::from_millis(100);

fn ip(text: &str) -> IpAddr {
    text.split_once(':').unwrap().0.parse().unwrap()
}

fn watched(world: &mut World) -> Vec<Sight> {
    let sights = std::mem::take(&mut world.sights);
    assert!(sights.iter().all(|(from, _)| *from == ip(STRANGER)));
    sights.into_iter().map(|(_, sight)| sight).collect()
}

fn options(me: &str, extra: &str) -> String {
    Request {
        method: "OPTIONS",
        uri: "sip:198.51.100.1",
        me,
        branch: "opt",
        from: CALLER,
        to: CALLED,
        call_id: "o1",
        cseq: 7,
        extra,
        body: "",
    }
    .text()
}

#[test]
fn who_is_not_trusted_is_watched() {
    let mut world = World::new();
    world.from(STRANGER, &options(STRANGER, ""));
    assert_eq!(watched(&mut world), [Sight::Request]);
    world.from(
        STRANGER,
        &options(STRANGER, "User-Agent: friendly-Scanner/1\r\n").replace("opt", "opt2"),
    );
    assert_eq!(watched(&mut world), [Sight::Request, Sight::Scanner]);
    world.from(STRANGER, "what is this?");
    assert_eq!(watched(&mut world), [Sight::Request]);
    world.from(STRANGER, &invite_from(STRANGER, "x1", "x", ""));
    assert_eq!(watched(&mut world), [Sight::Request, Sight::Failure]);
    // In somebody else's dialog.
    let dialog = establish(&mut world, "d1");
    let bye = dialog
        .by_caller("BYE", "bye", 2, "", "")
        .replace(CARRIER, STRANGER);
    world.from(STRANGER, &bye);
    assert_eq!(watched(&mut world), [Sight::Request, Sight::Failure]);
    // A response to nothing.
    let request = options(STRANGER, "");
    world.from(STRANGER, &answer(&request, STRANGER, "200 OK", "t", "", ""));
    assert_eq!(watched(&mut world), [Sight::Request]);
    assert_eq!(world.counter("watched_requests"), 6);
    assert_eq!(world.counter("watched_failures"), 2);
    assert_eq!(world.counter("watched_scanners"), 1);

    // Keepalives, carriers, trunks and the inside are not.
    for from in [CARRIER, TRUNK, POOL[0], "10.9.9.9:5060"] {
        world.from(from, &options(from, "User-Agent: sipvicious\r\n"));
    }
    world.from(STRANGER, "\r\n\r\n");
    assert_eq!(watched(&mut world), []);
}

#[test]
fn before_the_tables_nobody_is_watched_and_with_trusted_networks_those_are_not() {
    let mut world = World::without_tables();
    world.from(STRANGER, &options(STRANGER, ""));
    assert_eq!(watched(&mut world), []);
    for guard in [
        GuardConfig {
            trusted: Networks::new([(ip(STRANGER), 24)]),
            ..GuardConfig::default()
        },
        GuardConfig {
            watch: false,
            ..GuardConfig::default()
        },
    ] {
        let mut world = World::with(CoreConfig { guard, ..config() });
        world.from(STRANGER, &options(STRANGER, "User-Agent: sipvicious\r\n"));
        world.from(STRANGER, &invite_from(STRANGER, "x1", "x", ""));
        assert_eq!(watched(&mut world), []);
    }
}

#[test]
fn a_blocked_source_is_not_heard_until_it_is_unblocked_or_its_time_is_over() {
    let mut world = World::new();
    let source = Source::of(ip(STRANGER));
    let left = Duration::from_secs(300);
    world.input(Input::Block { source, left });
    world.from(STRANGER, &options(STRANGER, ""));
    assert!(world.sent.is_empty() && watched(&mut world).is_empty());
    assert_eq!(world.counter("sip_blocked"), 1);
    world.input(Input::Unblock(source));
    world.from(STRANGER, &options(STRANGER, ""));
    assert!(start(&world.one_to(STRANGER)).contains("200"));

    world.input(Input::Block { source, left });
    world.wait(left);
    world.from(STRANGER, &options(STRANGER, ""));
    assert!(start(&world.one_to(STRANGER)).contains("200"));
}

#[test]
fn who_becomes_trusted_is_heard_and_pardoned() {
    let mut world = World::new();
    let left = Duration::from_secs(300);
    for peer in [CARRIER, STRANGER] {
        let source = Source::of(ip(peer));
        world.input(Input::Block { source, left });
    }
    world.from(CARRIER, &options(CARRIER, ""));
    assert!(
        start(&world.one_to(CARRIER)).contains("200"),
        "it is trusted"
    );
    world.input(Input::Tables(std::sync::Arc::new(tables())));
    assert_eq!(world.pardons, [Source::of(ip(CARRIER))]);
}

/// A world with a queue that stands.
fn overloaded() -> World {
    let overload = OverloadConfig {
        target: TARGET,
        interval: INTERVAL,
        retry_after: 5,
    };
    let guard = GuardConfig {
        overload,
        ..GuardConfig::default()
    };
    let mut world = World::with(CoreConfig { guard, ..config() });
    world.waited = TARGET * 2;
    stand(&mut world);
    world
}

/// Messages come for longer than the interval, and wait as long as the world says.
fn stand(world: &mut World) {
    for _ in 0..15 {
        world.wait(TARGET);
        world.from(CARRIER, "\r\n\r\n");
    }
}

fn told(world: &mut World, text: &str) -> Vec<String> {
    world.from(CARRIER, text);
    let told = world.sent_to(CARRIER);
    told.iter().map(|t| start(t).to_owned()).collect()
}

#[test]
fn under_overload_new_requests_that_waited_are_refused_and_those_that_did_not_are_served() {
    let mut world = overloaded();
    world.from(CARRIER, &invite("a", ""));
    let refusal = world.one_to(CARRIER);
    assert_eq!(start(&refusal), "SIP/2.0 503 Service Unavailable");
    let seconds: u32 = header(&refusal, "Retry-After").parse().unwrap();
    assert!((5..=10).contains(&seconds));
    assert!(world.sent.is_empty(), "{:?}", world.sent);
    assert_eq!(world.core.footprint(), Footprint::default());

    // Its ACK ends with us.
    let tagged = header(&refusal, "To");
    let ack = invite("a", "")
        .replace("INVITE", "ACK")
        .replace(CALLED, tagged);
    world.from(CARRIER, &ack);
    assert!(world.sent.is_empty(), "{:?}", world.sent);
    assert_eq!(world.counter("sip_acks_unmatched"), 1);

    // A copy of it that waited less is not another call.
    world.waited = Duration::ZERO;
    assert_eq!(
        told(&mut world, &invite("a", "")),
        ["SIP/2.0 503 Service Unavailable"]
    );
    assert_eq!(
        told(&mut world, &invite_from(CARRIER, "b", "b", "")),
        ["SIP/2.0 100 Trying"]
    );
    assert_eq!(world.counter("overload_refused"), 2);

    // With the queue gone, everything is served, the refused copy aside.
    stand(&mut world);
    world.waited = TARGET * 2;
    assert_eq!(
        told(&mut world, &invite_from(CARRIER, "c", "c", "")),
        ["SIP/2.0 100 Trying"]
    );
    assert_eq!(
        told(&mut world, &invite("a", "")),
        ["SIP/2.0 503 Service Unavailable"]
    );
}

#[test]
fn under_overload_calls_go_on_and_emergency_calls_are_set_up() {
    let mut world = World::new();
    let dialog = establish(&mut world, "d1");
    world.waited = Duration::from_secs(1);
    stand(&mut world);
    assert_eq!(
        told(&mut world, &invite("a", "")),
        ["SIP/2.0 503 Service Unavailable"]
    );
    let emergency = invite("sos", "").replacen("sip:", "sip:112@x;y=", 1);
    assert_eq!(told(&mut world, &emergency), ["SIP/2.0 100 Trying"]);
    world.sent.clear();
    // Ours alone are cheap, and tell whether we live.
    assert_eq!(told(&mut world, &options(CARRIER, "")), ["SIP/2.0 200 OK"]);
    world.from(CARRIER, &dialog.by_caller("BYE", "bye", 2, "", ""));
    assert!(world.sent.iter().any(|p| p.text.starts_with("BYE ")));
}
