//! Offers and answers, one by one.

use super::*;

#[test]
fn an_offer_and_its_answer() {
    let mut call = Call::new();
    let offered = call
        .offer(Party::Caller, &audio("198.51.100.7", 5004))
        .unwrap();
    let flow = call.flow();
    let (a, b) = local(&flow);
    assert_eq!(offered, audio("10.0.0.1", b));
    let leg_a = LegSpec {
        realm: EXTERNAL,
        local: ip("192.0.2.1"),
        port: a,
        remote: at("198.51.100.7:5004"),
        remote_rtcp: at("198.51.100.7:5005"),
        latched: None,
        latched_rtcp: None,
        learn: 1,
        dscp: 46,
        strict: false,
        event_type: None,
    };
    let leg_b = LegSpec {
        realm: INTERNAL,
        local: ip("10.0.0.1"),
        port: b,
        remote: None,
        remote_rtcp: None,
        learn: 0,
        ..leg_a.clone()
    };
    let mut expected = FlowSpec {
        id: FlowId(0xabc << 12 | 1),
        cookie: Cookie(0xabc),
        kind: FlowKind::Rtp,
        media: tandem_link::MediaKind::Audio,
        clock_rate: 0,
        a: leg_a,
        b: leg_b,
        timeout_s: 0,
        limit: tandem_link::RateLimit::default(),
    };
    assert_eq!(flow, expected);
    assert_eq!(call.commands(), [Command::PutFlow(expected.clone())]);

    let answered = call
        .answer(Party::Callee, "t1", &audio("10.0.0.50", 6004))
        .unwrap();
    assert_eq!(answered, audio("192.0.2.1", a));
    expected.b.remote = at("10.0.0.50:6004");
    expected.b.remote_rtcp = at("10.0.0.50:6005");
    expected.b.learn = 1;
    assert_eq!(call.commands(), [Command::PutFlow(expected.clone())]);

    // Media timeouts begin with the 2xx.
    call.session.settle(&mut call.ports);
    expected.timeout_s = 60;
    assert_eq!(call.commands(), [Command::PutFlow(expected)]);
    assert_eq!(call.used(), [1, 1, 0]);
    assert_eq!(call.counters(), [""; 0]);
    call.close();
}

#[test]
fn a_late_offer_and_its_answer_in_the_ack() {
    let mut call = Call::new();
    let offered = call
        .offer(Party::Callee, &audio("10.0.0.50", 6004))
        .unwrap();
    call.session.settle(&mut call.ports);
    let (a, b) = local(&call.flow());
    assert_eq!(offered, audio("192.0.2.1", a));
    assert_eq!(call.flow().b.remote, at("10.0.0.50:6004"));
    let answered = call
        .answer(Party::Caller, "t1", &audio("198.51.100.7", 5004))
        .unwrap();
    assert_eq!(answered, audio("10.0.0.1", b));
    let flow = call.flow();
    assert_eq!((flow.a.remote, flow.a.learn), (at("198.51.100.7:5004"), 1));
    assert_eq!((flow.b.learn, flow.timeout_s), (1, 60));
    call.close();
}

#[test]
fn each_side_speaks_its_own_family() {
    let mut call = Call::new();
    let offered = call
        .offer(Party::Caller, &audio("2001:db8:7::7", 5004))
        .unwrap();
    let flow = call.flow();
    assert_eq!(
        offered,
        audio("10.0.0.1", flow.b.port),
        "the internal realm has IPv4 alone"
    );
    assert_eq!(
        (flow.a.local, flow.a.remote),
        (ip("2001:db8::1"), at("[2001:db8:7::7]:5004"))
    );
    let answered = call
        .answer(Party::Callee, "t1", &audio("10.0.0.50", 6004))
        .unwrap();
    assert_eq!(answered, audio("2001:db8::1", flow.a.port));
    call.close();

    let mut call = Call::between(EXTERNAL, 2);
    let offered = call
        .offer(Party::Caller, &audio("198.51.100.7", 5004))
        .unwrap();
    assert_eq!(offered, audio("fd00::1", call.flow().b.port));
    // Where the realm of the party that answers has both, the offer's family is taken.
    let mut call = Call::between(INTERNAL, EXTERNAL);
    let offered = call
        .offer(Party::Caller, &audio("10.0.0.50", 5004))
        .unwrap();
    assert_eq!(offered, audio("192.0.2.1", call.flow().b.port));
}

#[test]
fn a_peer_that_changes_its_family_gets_other_ports() {
    let mut call = Call::answered();
    let before = call.flow();
    call.offer(Party::Caller, &audio("2001:db8:7::7", 5004))
        .unwrap();
    assert_eq!(
        call.session.flows().len(),
        2,
        "the old one until the answer"
    );
    call.answer(Party::Callee, "t1", &audio("10.0.0.50", 6004))
        .unwrap();
    let after = call.flow();
    assert_ne!(after.id, before.id);
    assert_eq!(after.a.local, ip("2001:db8::1"));
    assert_eq!(call.used(), [1, 1, 0]);
    call.close();
}

#[test]
fn the_same_again_changes_nothing() {
    let mut call = Call::new();
    let offer = audio("198.51.100.7", 5004);
    let first = call.offer(Party::Caller, &offer).unwrap();
    call.commands();
    assert_eq!(
        call.offer(Party::Caller, &offer).unwrap(),
        first,
        "an offer that is repeated"
    );
    assert_eq!(call.commands(), []);
    let answer = audio("10.0.0.50", 6004);
    let first = call.answer(Party::Callee, "t1", &answer).unwrap();
    call.commands();
    // 183, then 200.
    assert_eq!(call.answer(Party::Callee, "t1", &answer).unwrap(), first);
    assert_eq!(call.commands(), []);
    call.session.settle(&mut call.ports);
    call.commands();
    // A session refresh.
    let flow = call.flow();
    call.offer(Party::Caller, &offer).unwrap();
    call.answer(Party::Callee, "t1", &answer).unwrap();
    assert_eq!(call.commands(), []);
    assert_eq!(call.flow(), flow);
    // SDP of the party that made the last offer is only rewritten.
    assert_eq!(
        call.answer(Party::Caller, "t1", &offer).unwrap(),
        audio("10.0.0.1", flow.b.port)
    );
    assert_eq!(call.commands(), []);
    call.close();
}

#[test]
fn a_new_address_takes_effect_with_the_answer() {
    let mut call = Call::answered();
    let before = call.flow();
    call.offer(Party::Callee, &audio("10.0.0.51", 7000))
        .unwrap();
    assert_eq!(call.commands(), []);
    call.answer(Party::Caller, "t1", &audio("198.51.100.7", 5004))
        .unwrap();
    let mut expected = before;
    expected.b.remote = at("10.0.0.51:7000");
    expected.b.remote_rtcp = at("10.0.0.51:7001");
    expected.b.learn = 2;
    assert_eq!(call.commands(), [Command::PutFlow(expected)]);
    assert_eq!(call.counters(), ["media_learning_reopened"]);
    call.close();
}

#[test]
fn a_refused_offer_leaves_no_trace() {
    let mut call = Call::answered();
    let before = call.flow();
    let more = format!("{}m=video 5008 RTP/AVP 99\r\n", audio("198.51.100.8", 5006));
    call.offer(Party::Caller, &more).unwrap();
    assert_eq!(call.used(), [2, 2, 0]);
    let added = call.session.flows()[1].clone();
    assert_eq!(call.commands(), [Command::PutFlow(added.clone())]);
    call.session.reject_offer(&mut call.ports);
    assert_eq!(call.commands(), [Command::remove(&added)]);
    assert_eq!(call.flow(), before);
    assert_eq!(call.used(), [1, 1, 0]);
    call.session.reject_offer(&mut call.ports);
    assert_eq!(call.commands(), []);
    call.close();
}

#[test]
fn hold_with_a_null_address_and_back() {
    let mut call = Call::answered();
    let (_, b) = local(&call.flow());
    let hold = audio("198.51.100.7", 5004).replace("c=IN IP4 198.51.100.7", "c=IN IP4 0.0.0.0");
    let offered = call.offer(Party::Caller, &hold).unwrap();
    assert_eq!(
        offered,
        audio("10.0.0.1", b).replace("c=IN IP4 10.0.0.1", "c=IN IP4 0.0.0.0"),
        "the far side sees that it is on hold"
    );
    assert!(!call.session.on_hold(), "not before the answer");
    call.answer(Party::Callee, "t1", &audio("10.0.0.50", 6004))
        .unwrap();
    let flow = call.flow();
    assert!(call.session.on_hold());
    assert_eq!(
        (flow.a.remote, flow.a.remote_rtcp, flow.a.learn),
        (None, None, 1)
    );
    assert_eq!(flow.timeout_s, 3600);

    call.offer(Party::Caller, &audio("198.51.100.7", 5004))
        .unwrap();
    call.answer(Party::Callee, "t1", &audio("10.0.0.50", 6004))
        .unwrap();
    let flow = call.flow();
    assert!(!call.session.on_hold());
    assert_eq!((flow.a.remote, flow.a.learn), (at("198.51.100.7:5004"), 2));
    assert_eq!((flow.b.learn, flow.timeout_s), (1, 60));
    call.close();
}

#[test]
fn hold_by_direction_and_back() {
    for (said, heard, learn) in [
        ("sendonly", "recvonly", (1, 2)),
        ("inactive", "inactive", (2, 2)),
    ] {
        let mut call = Call::answered();
        let with = |address, port, direction| format!("{}a={direction}\r\n", audio(address, port));
        let offered = call
            .offer(Party::Caller, &with("198.51.100.7", 5004, said))
            .unwrap();
        assert_eq!(offered, with("10.0.0.1", call.flow().b.port, said));
        call.answer(Party::Callee, "t1", &with("10.0.0.50", 6004, heard))
            .unwrap();
        assert!(call.session.on_hold());
        let flow = call.flow();
        assert_eq!((flow.a.learn, flow.b.learn, flow.timeout_s), (1, 1, 3600));
        assert_eq!(flow.a.remote, at("198.51.100.7:5004"));
        // A NAT may have forgotten the silent party: its source is learned anew.
        call.offer(Party::Caller, &with("198.51.100.7", 5004, "sendrecv"))
            .unwrap();
        call.answer(Party::Callee, "t1", &audio("10.0.0.50", 6004))
            .unwrap();
        let flow = call.flow();
        assert_eq!(((flow.a.learn, flow.b.learn), flow.timeout_s), (learn, 60));
        assert!(!call.session.on_hold());
        call.close();
    }
}

#[test]
fn lines_are_added_removed_and_used_again() {
    let mut call = Call::answered();
    let video = |port: u16| format!("m=video {port} RTP/AVP 99\r\n");
    let first = call.flow().id;
    call.offer(Party::Caller, &(audio("198.51.100.7", 5004) + &video(5008)))
        .unwrap();
    call.answer(
        Party::Callee,
        "t1",
        &(audio("10.0.0.50", 6004) + &video(6008)),
    )
    .unwrap();
    let flows = call.session.flows();
    assert_eq!(flows[0].id, first);
    assert_eq!(flows[1].id, FlowId(0xabc << 12 | 1 << 8 | 2));
    assert_eq!(flows[1].b.remote, at("10.0.0.50:6008"));
    assert_eq!(call.used(), [2, 2, 0]);

    let offered = call
        .offer(Party::Callee, &(audio("10.0.0.50", 6004) + &video(0)))
        .unwrap();
    assert!(offered.ends_with("m=video 0 RTP/AVP 99\r\n"), "{offered}");
    assert_eq!(call.used(), [2, 2, 0], "until the answer");
    call.answer(
        Party::Caller,
        "t1",
        &(audio("198.51.100.7", 5004) + &video(0)),
    )
    .unwrap();
    assert_eq!(call.flow().id, first);
    assert_eq!(call.used(), [1, 1, 0]);

    call.offer(Party::Caller, &(audio("198.51.100.7", 5004) + &video(5010)))
        .unwrap();
    call.answer(
        Party::Callee,
        "t1",
        &(audio("10.0.0.50", 6004) + &video(6010)),
    )
    .unwrap();
    assert_eq!(call.session.flows()[1].id, FlowId(0xabc << 12 | 1 << 8 | 3));
    // An offer with fewer lines than before is not allowed, but it is met.
    call.offer(Party::Caller, &audio("198.51.100.7", 5004))
        .unwrap();
    call.answer(Party::Callee, "t1", &audio("10.0.0.50", 6004))
        .unwrap();
    assert_eq!(call.flow().id, first);
    assert_eq!(call.used(), [1, 1, 0]);
    call.close();
}

#[test]
fn a_line_that_the_answer_refuses() {
    let mut call = Call::new();
    let video = |port: u16| format!("m=video {port} RTP/AVP 99\r\n");
    call.offer(Party::Caller, &(audio("198.51.100.7", 5004) + &video(5008)))
        .unwrap();
    let table = SlotTable::deal(&[0, 1]);
    let owners: Vec<_> = call
        .session
        .flows()
        .iter()
        .map(|f| table.owner(f.a.port))
        .collect();
    assert_eq!(owners[0], owners[1], "one worker has the whole call");
    let answer = audio("10.0.0.50", 6004) + &video(0);
    let answered = call.answer(Party::Callee, "t1", &answer).unwrap();
    assert!(answered.ends_with("m=video 0 RTP/AVP 99\r\n"));
    assert_eq!(call.session.flows().len(), 1);
    assert_eq!(call.used(), [2, 2, 0], "another fork may accept it");
    call.session.settle(&mut call.ports);
    assert_eq!(call.used(), [1, 1, 0]);
    call.close();
}

#[test]
fn fax_takes_the_place_of_audio() {
    let mut call = Call::answered();
    let before = call.flow();
    let fax = |address, port| format!("{}m=image {port} udptl t38\r\n", head(address));
    let offered = call.offer(Party::Callee, &fax("10.0.0.50", 6100)).unwrap();
    assert_eq!(offered, fax("192.0.2.1", before.a.port));
    assert_eq!(call.flow(), before, "audio goes on until the answer");
    call.answer(Party::Caller, "t1", &fax("198.51.100.7", 5100))
        .unwrap();
    let flow = call.flow();
    assert_eq!((flow.id, flow.kind), (before.id, FlowKind::Raw));
    assert_eq!(
        (flow.b.remote, flow.b.remote_rtcp),
        (at("10.0.0.50:6100"), None)
    );
    call.close();
}

#[test]
fn rtcp_where_it_was_asked_for() {
    let rtcp = "a=rtcp:7001 IN IP4 198.51.100.9\r\n";
    let mut call = Call::new();
    let offered = call
        .offer(Party::Caller, &(audio("198.51.100.7", 5004) + rtcp))
        .unwrap();
    let (a, b) = local(&call.flow());
    assert_eq!(
        offered,
        format!(
            "{}a=rtcp:{} IN IP4 10.0.0.1\r\n",
            audio("10.0.0.1", b),
            b + 1
        )
    );
    assert_eq!(call.flow().a.remote_rtcp, at("198.51.100.9:7001"));

    // Multiplexed only when both say so.
    let mux = "a=rtcp-mux\r\na=rtcp:5004\r\n";
    let offered = call
        .offer(Party::Caller, &(audio("198.51.100.7", 5004) + mux))
        .unwrap();
    assert_eq!(
        offered,
        format!("{}a=rtcp-mux\r\na=rtcp:{b}\r\n", audio("10.0.0.1", b))
    );
    call.answer(Party::Callee, "t1", &audio("10.0.0.50", 6004))
        .unwrap();
    assert_eq!(call.flow().b.remote_rtcp, at("10.0.0.50:6005"));
    let answer = audio("10.0.0.50", 6004) + "a=rtcp-mux\r\n";
    let answered = call.answer(Party::Callee, "t1", &answer).unwrap();
    assert_eq!(answered, audio("192.0.2.1", a) + "a=rtcp-mux\r\n");
    let flow = call.flow();
    assert_eq!(flow.a.remote_rtcp, at("198.51.100.7:5004"));
    assert_eq!(flow.b.remote_rtcp, at("10.0.0.50:6004"));
    assert_eq!(
        (flow.a.learn, flow.b.learn),
        (2, 1),
        "the RTP address did not change"
    );
    call.close();
}

#[test]
fn secured_media_passes_end_to_end() {
    let crypto = "m=audio 5004 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc\r\n";
    let dtls = "m=audio 5004 UDP/TLS/RTP/SAVPF 0\r\na=fingerprint:sha-256 AA\r\n";
    for (line, kind) in [(crypto, FlowKind::Srtp), (dtls, FlowKind::Raw)] {
        let mut call = Call::new();
        let offered = call
            .offer(Party::Caller, &(head("198.51.100.7") + line))
            .unwrap();
        let flow = call.flow();
        assert_eq!(flow.kind, kind);
        assert_eq!(
            offered,
            head("10.0.0.1") + &line.replace("5004", &flow.b.port.to_string())
        );
        call.close();
    }
}

#[test]
fn streams_are_not_carried_and_their_addresses_not_shown() {
    let path = "a=path:msrp://198.51.100.7:2855/x;tcp\r\n";
    let off = "m=message 0 TCP/MSRP *\r\n";
    let mut call = Call::new();
    let offer = format!(
        "{}m=message 2855 TCP/MSRP *\r\n{path}",
        audio("198.51.100.7", 5004)
    );
    let offered = call.offer(Party::Caller, &offer).unwrap();
    let (a, b) = local(&call.flow());
    assert_eq!(offered, audio("10.0.0.1", b) + off);
    assert_eq!(call.counters(), ["sdp_media_disabled"]);
    let answered = call
        .answer(Party::Callee, "t1", &(audio("10.0.0.50", 6004) + off))
        .unwrap();
    assert_eq!(answered, audio("192.0.2.1", a) + off);
    // Who answers with a port all the same is not believed.
    let bold = format!(
        "{}m=message 9 TCP/MSRP *\r\n{path}",
        audio("10.0.0.50", 6004)
    );
    let answered = call.answer(Party::Callee, "t1", &bold).unwrap();
    assert_eq!(answered, audio("192.0.2.1", a) + off);
    call.close();
}

#[test]
fn a_description_without_media_passes() {
    let mut call = Call::new();
    assert_eq!(
        call.offer(Party::Caller, &head("198.51.100.7")).unwrap(),
        head("10.0.0.1")
    );
    assert_eq!(
        call.answer(Party::Callee, "t1", &head("10.0.0.50"))
            .unwrap(),
        head("192.0.2.1")
    );
    assert!(!call.session.on_hold() && !call.session.all_idle());
    call.close();
}

#[test]
fn what_is_refused_and_with_which_counter() {
    let bare = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nt=0 0\r\n";
    let full = head("198.51.100.7");
    let m = "m=audio 5004 RTP/AVP 0\r\n";
    for (sdp, status, counter) in [
        (format!("{bare}{m}"), 488, "sdp_no_connection"),
        (
            format!("{bare}c=IN IP4 pbx.example.com\r\n{m}"),
            488,
            "sdp_connection_name",
        ),
        (
            format!("{bare}c=IN IP4 224.2.1.1/127\r\n{m}"),
            488,
            "sdp_multicast",
        ),
        (
            format!("{full}m=audio 5004/2 RTP/AVP 0\r\n"),
            488,
            "sdp_port_count",
        ),
        (
            format!("{full}{}", m.repeat(100)),
            488,
            "sdp_too_many_media",
        ),
        (
            format!("{full}{}", "a=x\r\n".repeat(9000)),
            488,
            "sdp_too_long",
        ),
        (format!("{full}{m}a=rtcp:x\r\n"), 400, "sdp_bad_rtcp"),
        ("nonsense".to_owned(), 400, "sdp_bad_line"),
        (String::new(), 400, "sdp_empty"),
    ] {
        // As an offer, as a later offer, and as an answer; each time without a trace.
        let mut call = Call::new();
        let refusal = call.offer(Party::Caller, &sdp).unwrap_err();
        assert_eq!(
            (refusal.status, refusal.counter),
            (status, counter),
            "{sdp:.80}"
        );
        assert_eq!((call.commands(), call.used()), (vec![], [0, 0, 0]));
        let mut call = Call::answered();
        let before = call.flow();
        assert_eq!(call.offer(Party::Callee, &sdp).unwrap_err(), refusal);
        call.offer(Party::Callee, &audio("10.0.0.51", 7000))
            .unwrap();
        assert_eq!(call.answer(Party::Caller, "t1", &sdp).unwrap_err(), refusal);
        assert_eq!((call.commands(), call.flow()), (vec![], before));
        call.close();
    }
}

#[test]
fn families_that_a_realm_does_not_have() {
    let mut call = Call::between(2, INTERNAL);
    let refusal = call
        .offer(Party::Caller, &audio("198.51.100.7", 5004))
        .unwrap_err();
    assert_eq!(
        (refusal.status, refusal.counter),
        (488, "sdp_family_unavailable")
    );
    let mut call = Call::new();
    call.offer(Party::Caller, &audio("198.51.100.7", 5004))
        .unwrap();
    let refusal = call
        .answer(Party::Callee, "t1", &audio("fd00::50", 6004))
        .unwrap_err();
    assert_eq!(refusal.counter, "sdp_family_unavailable");
    assert_eq!(call.flow().b.remote, None);
}

#[test]
fn answers_that_do_not_fit() {
    let mut call = Call::new();
    let refusal = call
        .answer(Party::Callee, "t1", &audio("10.0.0.50", 6004))
        .unwrap_err();
    assert_eq!(
        (refusal.status, refusal.counter),
        (488, "sdp_answer_without_offer")
    );
    call.offer(Party::Caller, &audio("198.51.100.7", 5004))
        .unwrap();
    let more = audio("10.0.0.50", 6004) + "m=video 6008 RTP/AVP 99\r\n";
    let refusal = call.answer(Party::Callee, "t1", &more).unwrap_err();
    assert_eq!((refusal.status, refusal.counter), (488, "sdp_answer_lines"));
}

#[test]
fn no_ports_left() {
    let realm = |address: &str| RealmMedia {
        addresses: vec![ip(address)],
        ports: 30000..=30003,
    };
    let mut ports = Ports::new(
        &[realm("192.0.2.1"), realm("10.0.0.1")],
        SlotTable::deal(&[0]),
        1,
        Share::default(),
    );
    let mut session = Session::new(Cookie(1), 0, 1, SETTINGS);
    let three = audio("198.51.100.7", 5004) + &"m=video 5008 RTP/AVP 99\r\n".repeat(2);
    let refusal = session
        .offer(&mut ports, Party::Caller, b"", three.as_bytes())
        .unwrap_err();
    assert_eq!(
        (refusal.status, refusal.counter),
        (503, "media_ports_exhausted")
    );
    assert_eq!(refusal.reason, "no media ports");
    assert_eq!((ports.usage(0).used, ports.usage(1).used), (0, 0));
    let mut nowhere = Session::new(Cookie(1), 0, 7, SETTINGS);
    let one = audio("198.51.100.7", 5004);
    let refusal = nowhere
        .offer(&mut ports, Party::Caller, b"", one.as_bytes())
        .unwrap_err();
    assert_eq!(refusal.status, 503);
}

#[test]
fn a_second_address_serves_when_the_first_is_full() {
    let realm = |addresses: &[&str]| RealmMedia {
        addresses: addresses.iter().map(|a| ip(a)).collect(),
        ports: 30000..=30001,
    };
    let realms = [
        realm(&["192.0.2.1", "192.0.2.2"]),
        realm(&["10.0.0.1", "10.0.0.2"]),
    ];
    let mut ports = Ports::new(&realms, SlotTable::deal(&[0]), 1, Share::default());
    let mut session = Session::new(Cookie(1), 0, 1, SETTINGS);
    let two = audio("198.51.100.7", 5004) + "m=video 5008 RTP/AVP 99\r\n";
    let out = session
        .offer(&mut ports, Party::Caller, b"", two.as_bytes())
        .unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        audio("10.0.0.1", 30000) + "m=video 30000 RTP/AVP 99\r\nc=IN IP4 10.0.0.2\r\n"
    );
}

#[test]
fn idle_calls() {
    let mut call = Call::answered();
    let video = |port: u16| format!("m=video {port} RTP/AVP 99\r\n");
    call.offer(Party::Caller, &(audio("198.51.100.7", 5004) + &video(5008)))
        .unwrap();
    call.answer(
        Party::Callee,
        "t1",
        &(audio("10.0.0.50", 6004) + &video(6008)),
    )
    .unwrap();
    let ids: Vec<_> = call.session.flows().iter().map(|f| f.id).collect();
    call.session.timed_out(ids[0]);
    call.session.timed_out(FlowId(0));
    assert!(!call.session.all_idle(), "video flows");
    call.session.timed_out(ids[1]);
    assert!(call.session.all_idle());
    call.session.resumed(ids[1]);
    assert!(!call.session.all_idle());
    // A line on hold does not keep a call alive whose other line is dead.
    let held = video(5008) + "a=inactive\r\n";
    call.offer(Party::Caller, &(audio("198.51.100.7", 5004) + &held))
        .unwrap();
    call.answer(Party::Callee, "t1", &(audio("10.0.0.50", 6004) + &held))
        .unwrap();
    assert!(!call.session.on_hold());
    assert!(call.session.all_idle());
    // Another limit: the dataplane counts anew, so what it had reported is void.
    let all_held = audio("198.51.100.7", 5004) + "a=inactive\r\n" + &held;
    call.offer(Party::Caller, &all_held).unwrap();
    call.answer(
        Party::Callee,
        "t1",
        &all_held.replace("198.51.100.7", "10.0.0.50"),
    )
    .unwrap();
    assert!(call.session.on_hold() && !call.session.all_idle());
    call.session.timed_out(ids[0]);
    call.session.timed_out(ids[1]);
    assert!(call.session.all_idle());
    call.close();
}

#[test]
fn a_restarted_dataplane_is_told_the_learned_sources() {
    let mut call = Call::answered();
    let id = call.flow().id;
    let source: SocketAddr = "203.0.113.5:1024".parse().unwrap();
    let event = |leg, rtcp| Event::Latched {
        flow: id,
        cookie: Cookie(0xabc),
        leg,
        rtcp,
        source,
    };
    call.session.latched(&event(Leg::A, false));
    call.session.latched(&event(Leg::B, true));
    assert_eq!(call.commands(), []);
    let flow = call.flow();
    assert_eq!((flow.a.latched, flow.a.latched_rtcp), (Some(source), None));
    assert_eq!((flow.b.latched, flow.b.latched_rtcp), (None, Some(source)));
    // New SDP: the learned source counts no more.
    call.offer(Party::Caller, &audio("198.51.100.8", 5004))
        .unwrap();
    call.answer(Party::Callee, "t1", &audio("10.0.0.50", 6004))
        .unwrap();
    let flow = call.flow();
    assert_eq!((flow.a.latched, flow.a.learn), (None, 2));
    assert_eq!(flow.b.latched_rtcp, Some(source));
    call.close();
}
