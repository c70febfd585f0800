//! Numbers of ours: where carriers' calls to them go.

use std::sync::Arc;

use tandem_call::{Conference, Tables};
use tandem_policy::routing::Dids;
use tandem_policy::{DidRow, DispatcherRow};

use super::world::*;

const DESKS: &str = "10.0.0.40:5060";

fn world() -> World {
    let row = |tenant: &str, did: &str, dest_type: &str, destination: &str, setid| DidRow {
        tenant: tenant.into(),
        did: did.into(),
        dest_type: dest_type.into(),
        destination: destination.into(),
        setid,
        ..DidRow::default()
    };
    let (dids, bad) = Dids::new(&[
        row("acme.example", "1000", "ivr", "front", 0),
        row("Zeta.example", "1000", "desk", "", 5),
        row("", "49301", "queue", "sales", 5),
    ]);
    assert!(bad.is_empty());
    let mut dispatcher = tables().dispatcher;
    let desks = DispatcherRow {
        id: 9,
        setid: 5,
        destination: format!("sip:{DESKS}"),
        ..dispatcher[0].clone()
    };
    dispatcher.push(desks);
    let tables = Tables {
        dids: Arc::new(dids),
        dispatcher,
        ..tables()
    };
    let mut config = config();
    config.routing.dids = true;
    config.routing.conference = Some(Conference {
        set: 5,
        prefix: "conf".into(),
    });
    World::with_tables(config, tables)
}

/// A carrier's call to this URI, with a lie about what it is for.
fn call(n: u32, uri: &str) -> String {
    let text = invite_from(CARRIER, &format!("c{n}"), &format!("b{n}"), "");
    let (_, rest) = text.split_once(" SIP/2.0").unwrap();
    let lie = "X-Dest-Type: root\r\nMax-Forwards:";
    format!("INVITE {uri} SIP/2.0{rest}").replacen("Max-Forwards:", lie, 1)
}

#[test]
fn the_same_number_of_two_tenants_goes_to_two_places() {
    let mut world = world();
    world.from(CARRIER, &call(1, "sip:1000@acme.example"));
    let (at, invite) = at_pool(&mut world);
    assert!(POOL.contains(&at.as_str()));
    assert_eq!(start(&invite), format!("INVITE sip:front@{at} SIP/2.0"));
    assert_eq!(headers(&invite, "X-Dest-Type"), ["ivr"]);
    world.from(
        CARRIER,
        &call(2, "sip:+1000;x=y@zeta.EXAMPLE;transport=udp"),
    );
    let invite = world.one_to(DESKS);
    assert_eq!(headers(&invite, "X-Dest-Type"), ["desk"]);
    assert!(start(&invite).starts_with("INVITE sip:+1000"), "{invite}");
    // By our address it is nobody's in particular, and so is an unknown tenant's.
    for (n, host) in [(3, "198.51.100.1:5060"), (4, "other.example")] {
        world.from(CARRIER, &call(n, &format!("sip:+49-30-1@{host}")));
        let invite = world.one_to(DESKS);
        assert_eq!(start(&invite), format!("INVITE sip:sales@{DESKS} SIP/2.0"));
        assert_eq!(headers(&invite, "X-Dest-Type"), ["queue"]);
    }
}

#[test]
fn an_unknown_number_is_answered_404_and_a_conference_is_none() {
    let mut world = world();
    for (n, uri) in [
        (1, "sip:1000@198.51.100.1"),
        (2, "sip:1001@acme.example"),
        (3, "sip:acme.example"),
    ] {
        world.from(CARRIER, &call(n, uri));
        let answers = world.sent_to(CARRIER);
        let answer = answers.last().unwrap();
        assert!(answer.starts_with("SIP/2.0 404 "), "{uri}: {answer}");
    }
    assert_eq!(world.counter("dids_unknown"), 3);
    let codes: Vec<u16> = world.cdrs.iter().map(|cdr| cdr.sip_code).collect();
    assert_eq!(codes, [404; 3], "each has a CDR");
    world.from(CARRIER, &call(4, "sip:conf7@acme.example"));
    let invite = world.one_to(DESKS);
    assert!(start(&invite).starts_with("INVITE sip:conf7@"), "{invite}");
}

#[test]
fn calls_out_of_the_pool_are_not_looked_up() {
    let mut world = world();
    let text = invite_from(POOL[0], "out", "b1", "");
    world.from(POOL[0], &text);
    let invite = world.one_to(TRUNK);
    assert!(start(&invite).starts_with("INVITE "), "{invite}");
}
