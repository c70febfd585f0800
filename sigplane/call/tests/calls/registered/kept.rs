//! What is remembered of registrations, for how long, and how a NAT is kept open meanwhile.

use super::*;

#[test]
fn a_nat_is_kept_open_as_long_as_somebody_answers() {
    let mut world = world();
    registered(&mut world);
    for _ in 0..3 {
        world.wait(secs(30));
        let ping = world.one_to(AGENT);
        assert_eq!(start(&ping), format!("OPTIONS sip:{AGENT} SIP/2.0"));
        assert!(!ping.contains("10.0.0."), "{ping}");
        world.from(AGENT, &answer(&ping, BEHIND, "404 Not Found", "x", "", ""));
    }
    assert_eq!(world.counter("nat_keepalives_answered"), 3);
    assert_eq!(world.counter("sip_responses_unmatched"), 0);
    // Somebody else's answer is none.
    world.wait(secs(30));
    let ping = world.one_to(AGENT);
    world.from(OTHER, &answer(&ping, BEHIND, "200 OK", "x", "", ""));
    assert_eq!(world.counter("sip_responses_unmatched"), 1);
    // Now it is silent.
    world.wait(secs(300));
    assert_eq!(world.sent_to(AGENT).len(), 2);
    assert_eq!(world.counter("nat_keepalives_missed"), 3);
    assert_eq!(world.counter("nat_keepalives_stopped"), 1);
    // It may call all the same, and when it registers again it goes on; after a crash, too.
    registered_for(&mut world, "again", 600);
    let mut world = crash(world);
    world.wait(secs(30));
    assert_eq!(world.sent_to(AGENT).len(), 1);
}

#[test]
fn who_is_where_its_contact_says_needs_no_keepalive() {
    let mut world = world();
    let at_home = |text: String| text.replace(BEHIND, AGENT);
    world.from(AGENT, &at_home(register("a", "")));
    let inside = world.one_to(REGISTRAR);
    world.from(REGISTRAR, &at_home(accepted(&inside, 600)));
    world.one_to(AGENT);
    world.wait(secs(300));
    assert!(world.sent.is_empty());
    assert_eq!(world.counter("bindings_now"), 1);
}

#[test]
fn flows_are_remembered_up_to_a_limit() {
    let mut config = with_registrar();
    config.nat.max_bindings = 0;
    let mut world = World::with_tables(config, registrar_tables());
    let path = registered(&mut world);
    assert_eq!(world.counter("bindings_over_limit"), 1);
    world.from(AGENT, &outgoing("c1"));
    assert!(
        world
            .sent_to(AGENT)
            .pop()
            .unwrap()
            .starts_with("SIP/2.0 403")
    );
    // Calls to it need no memory.
    world.from(REGISTRAR, &call(&path, REGISTRAR, "c2"));
    assert!(world.one_to(AGENT).starts_with("INVITE"));
}

#[test]
fn wrong_credentials_are_told_and_the_first_challenge_is_not() {
    use tandem_policy::defence::Sight;
    let failures = |status: &str, challenge: &str, credentials: bool| {
        let mut world = world();
        let mut text = register("a", "");
        if !credentials {
            text = text.replace("Authorization: Digest", "X-No: Digest");
        }
        world.from(AGENT, &text);
        let inside = world.one_to(REGISTRAR);
        let challenge = format!("WWW-Authenticate: Digest realm=\"x\", nonce=\"n\"{challenge}\r\n");
        world.from(
            REGISTRAR,
            &answer(&inside, REGISTRAR, status, "r", &challenge, ""),
        );
        let failed = |s: &&(std::net::IpAddr, Sight)| s.1 == Sight::Failure;
        world.sights.iter().filter(failed).count()
    };
    assert_eq!(failures("401 Unauthorized", "", false), 0);
    assert_eq!(failures("401 Unauthorized", ", stale=true", true), 0);
    assert_eq!(failures("401 Unauthorized", "", true), 1);
    assert_eq!(failures("403 Forbidden", "", false), 1);
    assert_eq!(failures("423 Interval Too Brief", "", true), 0);
}

#[test]
fn every_worker_knows_who_may_call() {
    let mut world = world();
    registered_for(&mut world, "a", 60);
    let told = std::mem::take(&mut world.told);
    assert_eq!(told.len(), 1);
    let mut other = self::world();
    other.input(Input::Registered(told[0]));
    other.from(AGENT, &outgoing("c1"));
    assert!(other.sent_to(AGENT)[0].starts_with("SIP/2.0 100"));
    assert!(other.journal.len() == 1 && other.counter("bindings_now") == 0);
    // A crash tells them anew; the end of the registration ends it there too.
    let mut world = crash(world);
    assert_eq!(world.told, told);
    registered_for(&mut world, "b", 0);
    other.input(Input::Registered(*world.told.last().unwrap()));
    other.from(AGENT, &outgoing("c2"));
    assert!(
        other
            .sent_to(AGENT)
            .pop()
            .unwrap()
            .starts_with("SIP/2.0 403")
    );
    // By itself as well, and not before each of them has taken it back.
    other.input(Input::Registered(told[0]));
    let again = Registered {
        worker: 5,
        ..told[0]
    };
    other.input(Input::Registered(again));
    other.input(Input::Registered(*world.told.last().unwrap()));
    other.from(AGENT, &outgoing("c4"));
    assert!(
        other
            .sent_to(AGENT)
            .pop()
            .unwrap()
            .starts_with("SIP/2.0 100")
    );
    other.wait(secs(61));
    other.from(AGENT, &outgoing("c3"));
    assert!(
        other
            .sent_to(AGENT)
            .pop()
            .unwrap()
            .starts_with("SIP/2.0 403")
    );
}

#[test]
fn what_was_registered_by_a_connection_ends_with_it() {
    let over_tcp = |world: &mut World, branch: &str| {
        let text = register(branch, "").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
        world.sent.clear();
        world.from_stream(TCP_OUTSIDE, AGENT, &text);
        let inside = world.one_to(REGISTRAR);
        world.from(REGISTRAR, &accepted(&inside, 600));
        world.sent.clear();
    };
    let calls = |world: &mut World, call_id: &str| {
        let text = outgoing(call_id).replace("SIP/2.0/UDP", "SIP/2.0/TCP");
        world.from_stream(TCP_OUTSIDE, AGENT, &text);
        world.sent_to(AGENT).pop().unwrap()
    };
    let mut world = world();
    over_tcp(&mut world, "a");
    assert!(calls(&mut world, "c1").starts_with("SIP/2.0 100"));
    world.input(Input::Unreachable {
        path: Path::Stream(TCP_OUTSIDE),
        destination: AGENT.parse().unwrap(),
        error: SendError::Closed,
    });
    assert!(calls(&mut world, "c2").starts_with("SIP/2.0 403"));
    assert_eq!(world.counter("bindings_closed"), 1);
    // No connection outlives the process.
    over_tcp(&mut world, "b");
    let mut world = crash(world);
    assert!(calls(&mut world, "c3").starts_with("SIP/2.0 403"));
    assert_eq!(world.counter("bindings_closed"), 1);
}

#[test]
fn registers_under_way_have_a_limit() {
    let mut config = with_registrar();
    config.nat.max_registering = 2;
    let mut world = World::with_tables(config, registrar_tables());
    let ask = |world: &mut World, n: u32| {
        world.from(AGENT, &register(&format!("r{n}"), ""));
        world.sent_to(REGISTRAR).len()
    };
    assert_eq!(
        (ask(&mut world, 1), ask(&mut world, 2), ask(&mut world, 3)),
        (1, 1, 0)
    );
    let refused = world.one_to(AGENT);
    assert!(refused.starts_with("SIP/2.0 503"), "{refused}");
    assert_eq!(header(&refused, "Retry-After"), "30");
    assert_eq!(world.counter("registers_over_limit"), 1);
    // It left nothing behind; when the others are over, there is room.
    world.wait(secs(70));
    world.sent.clear();
    assert_eq!(ask(&mut world, 4), 1);
}

/// A NAT's port is where a user agent is answered that does not ask for it (RFC 3581), in dialogs too.
#[test]
fn who_knows_no_rport_is_answered_where_it_registered_from() {
    let mut world = world();
    registered(&mut world);
    let old = |text: &str| text.replace(";rport", "");
    world.from(AGENT, &old(&outgoing("c1")));
    let inside = world.one_to(REGISTRAR);
    let cancel = old(&outgoing("c1")).replace("INVITE", "CANCEL");
    let cancel = format!(
        "{}\r\nContent-Length: 0\r\n\r\n",
        cancel.split("\r\nContact").next().unwrap()
    );
    world.sent.clear();
    world.from(AGENT, &cancel);
    assert!(world.one_to(AGENT).starts_with("SIP/2.0 200"));
    world.from(
        REGISTRAR,
        &answer(
            &inside,
            REGISTRAR,
            "200 OK",
            "box",
            "",
            &sdp("10.0.0.20", 20_000),
        ),
    );
    world.sent.clear();
    let bye = Request {
        method: "BYE",
        uri: "sip:media@198.51.100.1",
        me: BEHIND,
        branch: "bye",
        from: "<sip:bob@example.com>;tag=bob",
        to: "<sip:100@example.com>;tag=box",
        call_id: "c1",
        cseq: 2,
        extra: "",
        body: "",
    };
    world.from(AGENT, &bye.text());
    let passed = world.sent_to(REGISTRAR).pop().unwrap();
    assert!(passed.starts_with("BYE"), "{passed}");
    world.from(REGISTRAR, &answer(&passed, REGISTRAR, "200 OK", "", "", ""));
    assert!(world.one_to(AGENT).starts_with("SIP/2.0 200"));
}

#[test]
fn keepalives_follow_their_interval_at_once_and_stop_when_they_are_switched_off() {
    let mut world = world();
    registered(&mut world);
    let with = |interval| {
        let mut config = with_registrar();
        config.nat.keepalive = interval;
        tandem_call::Input::Config(Box::new(config))
    };
    world.input(with(secs(0)));
    world.sent.clear();
    world.wait(secs(100));
    assert_eq!(world.counter("nat_keepalives_sent"), 0);
    world.input(with(secs(8)));
    world.wait(secs(9));
    assert_eq!(world.counter("nat_keepalives_sent"), 1);
    world.input(with(secs(0)));
    world.wait(secs(100));
    assert_eq!(world.counter("nat_keepalives_sent"), 1);
}
