//! Names: of targets, and in what peers say of themselves.

use std::time::Duration;

use tandem_call::{Input, Side, StreamConfig, Tables};
use tandem_policy::Transport;
use tandem_policy::locate::{Errand, Finding, Host, Located, NotLocated, Place, Wanted, Why};

use crate::world::*;

const S: Duration = Duration::from_secs(1);

/// The pool is one name.
fn named_tables(destination: &str) -> Tables {
    let mut tables = tables();
    tables.dispatcher.remove(1);
    tables.dispatcher[0].destination = destination.into();
    tables
}

fn named_pool() -> World {
    World::with_tables(config(), named_tables("sip:pool.example"))
}

/// Where a name leads: these servers, the first ones first.
fn located(transport: Transport, servers: &[&str], ttl: Duration) -> Located {
    let place = |(priority, at): (u16, &&str)| Place {
        priority,
        weight: 0,
        addresses: vec![at.parse().unwrap()],
    };
    Located {
        transport,
        server_name: "pool.example".into(),
        places: (0..).zip(servers).map(place).collect(),
        ttl,
    }
}

fn host(errand: &Errand) -> String {
    match errand.wanted.host() {
        Host::Name(name) => name.to_string(),
        Host::Address(ip) => panic!("{ip} looked up"),
    }
}

/// Takes the one errand that there is.
fn errand(world: &mut World, name: &str) -> Errand {
    assert_eq!(world.errands.len(), 1, "{:?}", world.errands);
    let errand = world.errands.remove(0);
    assert_eq!(host(&errand), name);
    errand
}

fn find(world: &mut World, errand: &Errand, outcome: Result<Located, NotLocated>) {
    world.input(Input::Located(Finding {
        errand: errand.clone(),
        outcome,
        stale: false,
    }));
}

fn found(world: &mut World, errand: &Errand, servers: &[&str]) {
    find(world, errand, Ok(located(Transport::Udp, servers, 60 * S)));
}

fn nothing(why: Why) -> Result<Located, NotLocated> {
    Err(NotLocated { why, ttl: 5 * S })
}

fn call(world: &mut World, id: &str) {
    let text = invite_from(CARRIER, id, id, &sdp("203.0.113.10", 40_000));
    world.from(CARRIER, &text);
}

/// Says no to the INVITE that is at a server, so that the call ends.
fn refuse(world: &mut World, server: &str, status: &str) {
    let inside = world.one_to(server);
    assert!(inside.starts_with("INVITE "), "{inside}");
    world.from(server, &answer(&inside, server, status, "t", "", ""));
    assert!(world.one_to(server).starts_with("ACK "));
}

#[test]
fn a_target_is_looked_up_ahead_and_called_by_its_name() {
    let mut world = named_pool();
    let errand = errand(&mut world, "pool.example");
    assert_eq!(errand.means.transports, [Transport::Udp]);
    assert!(errand.means.ipv4 && !errand.means.ipv6);
    call(&mut world, "early");
    assert!(
        world
            .sent_to(CARRIER)
            .pop()
            .unwrap()
            .starts_with("SIP/2.0 503")
    );
    assert_eq!(world.counter("targets_without_address"), 1);

    found(&mut world, &errand, &POOL);
    call(&mut world, "c");
    let inside = world.one_to(POOL[0]);
    assert_eq!(start(&inside), "INVITE sip:100@pool.example SIP/2.0");
    world.from(
        POOL[0],
        &answer(&inside, POOL[0], "200 OK", "b", "", &sdp("10.0.0.11", 9)),
    );
    // Who is found by a name may call, too.
    let out = invite_from(POOL[1], "o", "o", &sdp("10.0.0.12", 4_000));
    world.from(POOL[1], &out);
    assert!(world.one_to(TRUNK).starts_with("INVITE "));
    assert!(world.errands.is_empty());
}

#[test]
fn the_next_server_is_tried_before_the_next_target() {
    let mut tables = tables();
    tables.dispatcher.remove(1);
    tables.dispatcher[0].destination = "sip:pool.example".into();
    let mut second = tables.dispatcher[0].clone();
    (second.id, second.destination) = (9, "sip:10.0.0.99".into());
    tables.dispatcher.push(second);
    let mut world = World::with_tables(config(), tables);
    let pool = errand(&mut world, "pool.example");
    found(&mut world, &pool, &POOL);

    // Whichever target is first: with two servers of one, a call that finds all dead asks three.
    for (round, failure) in ["silence", "503", "icmp"].into_iter().enumerate() {
        // What failed before is forgotten.
        world.wait(61 * S);
        found(&mut world, &pool, &POOL);
        world.sent.clear();
        call(&mut world, &format!("c{round}"));
        let mut asked = Vec::new();
        while let Some(at) = world.sent.iter().position(|p| p.text.starts_with("INVITE")) {
            let packet = world.sent.remove(at);
            let server = packet.to.to_string();
            match failure {
                "silence" => world.wait(2 * S),
                "503" => {
                    let no = answer(&packet.text, &server, "503 Busy", "t", "", "");
                    world.from(&server, &no);
                }
                _ => world.unreachable(&server),
            }
            world.sent.retain(|p| p.to.to_string() != server);
            asked.push(server);
        }
        let at = |server: &str| asked.iter().position(|a| a == server).unwrap();
        assert_eq!(asked.len(), 3, "{asked:?}");
        assert_eq!(at(POOL[0]) + 1, at(POOL[1]), "{failure}: {asked:?}");
    }
    // Each call counts once against the target, when its last server has failed.
    let failures: Vec<u32> = world.core.dispatcher().map(|t| t.failures).collect();
    assert_eq!(failures, [3, 0, 3]);
}

#[test]
fn a_server_that_failed_is_tried_last_for_a_while() {
    let mut world = named_pool();
    let pool = errand(&mut world, "pool.example");
    found(&mut world, &pool, &POOL);
    call(&mut world, "c1");
    assert!(world.one_to(POOL[0]).starts_with("INVITE "));
    world.wait(2 * S);
    world.sent_to(POOL[0]);
    refuse(&mut world, POOL[1], "486 Busy Here");
    assert_eq!(world.core.dispatcher().next().unwrap().failures, 0);

    call(&mut world, "c2");
    assert!(world.sent_to(POOL[0]).iter().all(|m| !m.contains("c2")));
    refuse(&mut world, POOL[1], "486 Busy Here");
    world.wait(60 * S);
    world.sent.clear();
    call(&mut world, "c3");
    refuse(&mut world, POOL[0], "486 Busy Here");
}

#[test]
fn a_target_is_looked_up_again_when_dns_says_so() {
    let mut world = named_pool();
    let pool = errand(&mut world, "pool.example");
    found(&mut world, &pool, &POOL[..1]);
    world.wait(60 * S - Duration::from_millis(1));
    assert!(world.errands.is_empty());
    world.wait(Duration::from_millis(1));
    let again = errand(&mut world, "pool.example");
    assert_eq!(again, pool);
    // The old answer serves until the new one is there.
    call(&mut world, "c1");
    refuse(&mut world, POOL[0], "486 Busy Here");
    found(&mut world, &pool, &POOL[1..]);
    call(&mut world, "c2");
    refuse(&mut world, POOL[1], "486 Busy Here");

    // A DNS that is silent takes nothing away, and is asked again; one that says no does.
    world.wait(60 * S);
    find(&mut world, &pool, nothing(Why::Unanswered));
    call(&mut world, "c3");
    refuse(&mut world, POOL[1], "486 Busy Here");
    world.errands.clear();
    world.wait(5 * S);
    errand(&mut world, "pool.example");
    find(&mut world, &pool, nothing(Why::NoAddress));
    call(&mut world, "c4");
    assert!(
        world
            .sent_to(CARRIER)
            .pop()
            .unwrap()
            .starts_with("SIP/2.0 503")
    );
    let counted = ["asked", "located", "unanswered", "not_found"]
        .map(|name| world.counter(&format!("names_{name}")));
    assert_eq!(counted, [4, 2, 1, 1]);
}

#[test]
fn a_look_up_whose_answer_is_lost_is_made_again() {
    let mut world = named_pool();
    errand(&mut world, "pool.example");
    world.wait(30 * S);
    errand(&mut world, "pool.example");
    // And none for what has left the table.
    world.input(Input::Tables(tables().into()));
    world.wait(120 * S);
    assert!(world.errands.is_empty());
}

#[test]
fn probes_go_to_another_server_when_the_first_fails() {
    let mut config = config();
    config.dispatcher.probe_interval = 10 * S;
    let mut world = World::with_tables(config, named_tables("sip:pool.example"));
    world.wait(Duration::ZERO);
    assert_eq!(world.counter("probes_without_address"), 1);
    let pool = errand(&mut world, "pool.example");
    found(&mut world, &pool, &POOL);
    world.wait(Duration::ZERO);
    let probe = world.one_to(POOL[0]);
    assert_eq!(start(&probe), "OPTIONS sip:pool.example SIP/2.0");
    world.unreachable(POOL[0]);
    for _ in 0..5 {
        world.sent.clear();
        world.wait(10 * S);
        found(&mut world, &pool, &POOL);
        let probe = world.one_to(POOL[1]);
        world.from(POOL[1], &answer(&probe, POOL[1], "200 OK", "t", "", ""));
    }
    let target = world.core.dispatcher().next().unwrap();
    assert_eq!((target.state, target.failures), ("active", 0));
}

#[test]
fn tls_asks_for_the_name_that_led_there() {
    let mut config = config();
    config.streams = vec![StreamConfig {
        listen: "10.0.0.1:5061".parse().unwrap(),
        transport: Transport::Tls,
        side: Side::Internal,
        realm: Some(1),
    }];
    let mut world = World::with_tables(config, named_tables("sips:pool.example"));
    let pool = errand(&mut world, "pool.example");
    assert_eq!(pool.means.transports, [Transport::Udp, Transport::Tls]);
    let tls = located(Transport::Tls, &["10.0.0.11:5061"], 60 * S);
    find(&mut world, &pool, Ok(tls));
    call(&mut world, "c");
    let packet = world.sent.iter().find(|p| p.text.starts_with("INVITE"));
    let packet = packet.unwrap();
    assert_eq!(packet.server_name.as_deref(), Some("pool.example"));
    assert_eq!(packet.to, "10.0.0.11:5061".parse().unwrap());
}

/// An answered call whose callee calls itself by this URI.
fn with_contact(world: &mut World, contact: &str) -> Dialog {
    call(world, "c");
    let (pool, inside) = at_pool(world);
    let ok = answer(
        &inside,
        &pool,
        "200 OK",
        "bob",
        "",
        &sdp("10.0.0.11", 20_000),
    )
    .replace(&format!("sip:media@{pool}"), contact);
    world.from(&pool, &ok);
    let ok = world.sent_to(CARRIER).pop().unwrap();
    Dialog {
        call_id: "c".into(),
        tag: "bob".into(),
        seen_by_caller: uri(header(&ok, "Contact")).into(),
        seen_by_callee: uri(header(&inside, "Contact")).into(),
        pool,
    }
}

fn methods(messages: &[String]) -> Vec<&str> {
    messages
        .iter()
        .filter_map(|m| m.split(' ').next())
        .collect()
}

#[test]
fn a_request_waits_until_it_is_known_where_its_target_is() {
    let mut world = World::new();
    let dialog = with_contact(&mut world, "sip:media@fs.example");
    // Looked up ahead, when the call was answered.
    let fs = errand(&mut world, "fs.example");
    let ack = dialog.by_caller("ACK", "a", 1, "", "");
    let info = dialog.by_caller("INFO", "i", 2, "", "");
    world.from(CARRIER, &ack);
    world.from(CARRIER, &info);
    world.from(CARRIER, &info);
    assert!(world.sent.is_empty() && world.errands.is_empty());
    assert_eq!(world.counter("in_dialog_held_for_name"), 2);
    assert_eq!(world.counter("sip_requests_absorbed"), 1);

    let other = "10.0.0.77:5070";
    found(&mut world, &fs, &[other]);
    let sent = world.sent_to(other);
    assert_eq!(methods(&sent), ["ACK", "INFO"]);
    assert_eq!(start(&sent[1]), "INFO sip:media@fs.example SIP/2.0");
    world.from(other, &answer(&sent[1], other, "200 OK", "bob", "", ""));
    assert!(world.one_to(CARRIER).starts_with("SIP/2.0 200"));

    // While it counts nothing waits; then it is asked again.
    world.from(CARRIER, &dialog.by_caller("INFO", "j", 3, "", ""));
    assert_eq!(methods(&world.sent_to(other)), ["INFO"]);
    world.wait(60 * S);
    world.sent.clear();
    world.from(CARRIER, &dialog.by_caller("BYE", "b", 4, "", ""));
    assert!(world.sent.is_empty());
    errand(&mut world, "fs.example");
    found(&mut world, &fs, &[other]);
    let bye = world.one_to(other);
    world.from(other, &answer(&bye, other, "200 OK", "bob", "", ""));
    world.assert_clean();
}

#[test]
fn a_name_that_is_too_slow_or_leads_nowhere_holds_nobody_up() {
    let mut world = World::new();
    let dialog = with_contact(&mut world, "sip:media@fs.example");
    let fs = errand(&mut world, "fs.example");
    let pool = dialog.pool.clone();
    world.from(CARRIER, &dialog.by_caller("ACK", "a", 1, "", ""));
    world.wait(3 * S - Duration::from_millis(1));
    assert!(world.sent_to(&pool).is_empty());
    world.wait(Duration::from_millis(1));
    assert_eq!(methods(&world.sent_to(&pool)), ["ACK"]);
    assert_eq!(world.counter("in_dialog_held_too_long"), 1);
    // The others do not wait for it again.
    world.from(CARRIER, &dialog.by_caller("INFO", "i", 2, "", ""));
    assert_eq!(methods(&world.sent_to(&pool)), ["INFO"]);

    for (n, why) in [(3, Why::NoAddress), (4, Why::Unanswered)] {
        world.wait(6 * S);
        world.sent.clear();
        world.from(
            CARRIER,
            &dialog.by_caller("UPDATE", &format!("u{n}"), n, "", ""),
        );
        assert!(world.sent.is_empty());
        find(&mut world, &fs, nothing(why));
        assert_eq!(methods(&world.sent_to(&pool)), ["UPDATE"]);
    }
}

#[test]
fn an_invite_that_waits_can_be_cancelled() {
    let mut world = World::new();
    let dialog = with_contact(&mut world, "sip:media@fs.example");
    world.from(CARRIER, &dialog.by_caller("ACK", "a", 1, "", ""));
    let offer = sdp("203.0.113.10", 40_002);
    let invite = dialog.by_caller("INVITE", "re", 2, "", &offer);
    world.from(CARRIER, &invite);
    assert!(world.sent.is_empty());
    world.from(CARRIER, &dialog.by_caller("CANCEL", "re", 2, "", ""));
    let said = world.sent_to(CARRIER);
    assert!(
        said.iter()
            .any(|m| m.starts_with("SIP/2.0 200") && m.contains("CANCEL"))
    );
    // A CANCEL may not go before a provisional response.
    let onward = world.sent_to(&dialog.pool);
    assert_eq!(methods(&onward), ["INVITE"]);
    let trying = answer(&onward[0], &dialog.pool, "100 Trying", "", "", "");
    world.from(&dialog.pool, &trying);
    assert_eq!(methods(&world.sent_to(&dialog.pool)), ["CANCEL"]);
}

#[test]
fn a_name_is_believed_no_more_than_an_address() {
    // Ourselves, another family, and of two the one that was seen.
    for (servers, expected) in [
        (&[INSIDE][..], "seen"),
        (&["[2001:db8::7]:5060"], "seen"),
        (&["127.0.0.1:5060"], "seen"),
        (&["10.0.0.77:5060", INSIDE], "10.0.0.77:5060"),
    ] {
        let mut world = World::new();
        let dialog = with_contact(&mut world, "sip:media@fs.example");
        let fs = errand(&mut world, "fs.example");
        found(&mut world, &fs, servers);
        world.from(CARRIER, &dialog.by_caller("ACK", "a", 1, "", ""));
        let expected = if expected == "seen" {
            &dialog.pool
        } else {
            expected
        };
        assert_eq!(methods(&world.sent_to(expected)), ["ACK"], "{servers:?}");
    }
    let mut world = World::new();
    let dialog = with_contact(&mut world, "sip:media@fs.example");
    let fs = errand(&mut world, "fs.example");
    let seen = dialog.pool.replace("5060", "5090");
    found(
        &mut world,
        &fs,
        &["10.0.0.77:5060", "10.0.0.78:5060", &seen],
    );
    world.from(CARRIER, &dialog.by_caller("ACK", "a", 1, "", ""));
    assert_eq!(methods(&world.sent_to(&seen)), ["ACK"]);
}

#[test]
fn made_up_names_are_not_looked_up() {
    for contact in [
        "sip:media@df7jal23ls0d.invalid",
        "sip:media@fs.example;transport=ws",
        "sip:media@fs.example;transport=sctp",
        "tel:+4930123",
    ] {
        let mut world = World::new();
        let dialog = with_contact(&mut world, contact);
        world.from(CARRIER, &dialog.by_caller("ACK", "a", 1, "", ""));
        assert_eq!(methods(&world.sent_to(&dialog.pool)), ["ACK"], "{contact}");
        assert!(world.errands.is_empty(), "{contact}");
    }
}

#[test]
fn there_is_a_bound_to_what_waits() {
    let mut world = World::new();
    let dialog = with_contact(&mut world, "sip:media@fs.example");
    for n in 0..1_030 {
        world.from(
            CARRIER,
            &dialog.by_caller("INFO", &format!("i{n}"), 2 + n, "", ""),
        );
    }
    assert_eq!(world.counter("in_dialog_held_for_name"), 1_024);
    assert_eq!(world.counter("in_dialog_held_over_limit"), 6);
    assert_eq!(world.sent_to(&dialog.pool).len(), 6);
    world.wait(3 * S);
    assert_eq!(world.counter("in_dialog_held_too_long"), 1_024);
    assert_eq!(world.counter("in_dialog_requests"), 1_030);
}

#[test]
fn a_made_up_finding_does_no_harm() {
    let mut world = World::new();
    let name = Host::Name(tandem_policy::locate::Domain::parse(b"x.example").unwrap());
    let errand = Errand {
        wanted: Wanted::new(false, name, None, None).unwrap(),
        means: tandem_policy::locate::Means::default(),
    };
    found(&mut world, &errand, &POOL);
    find(&mut world, &errand, nothing(Why::NotOffered));
    world.assert_clean();
}
