//! Forks, failover, and calls that come back from the journal.

use super::*;

#[test]
fn another_fork_takes_the_place_of_the_first() {
    let mut call = Call::new();
    call.offer(Party::Caller, &audio("198.51.100.7", 5004))
        .unwrap();
    let first = call
        .answer(Party::Callee, "t1", &audio("10.0.0.50", 6004))
        .unwrap();
    call.commands();
    let second = call
        .answer(Party::Callee, "t2", &audio("10.0.0.60", 8000))
        .unwrap();
    assert_eq!(first, second, "the caller sees one address of ours");
    let flow = call.flow();
    assert_eq!((flow.b.remote, flow.b.learn), (at("10.0.0.60:8000"), 2));
    assert_eq!(flow.a.learn, 1);
    assert_eq!(call.commands(), [Command::PutFlow(flow)]);
    // The same address under another tag may be another endpoint behind it.
    call.answer(Party::Callee, "t3", &audio("10.0.0.60", 8000))
        .unwrap();
    assert_eq!(call.flow().b.learn, 3);
    call.answer(Party::Callee, "t3", &audio("10.0.0.60", 8000))
        .unwrap();
    assert_eq!(call.flow().b.learn, 3);
    assert_eq!(call.counters(), ["media_learning_reopened"; 2]);
    call.close();
}

#[test]
fn what_one_fork_refuses_another_may_accept() {
    let video = |port: u16| format!("m=video {port} RTP/AVP 99\r\n");
    let mut call = Call::new();
    let offered = call
        .offer(Party::Caller, &(audio("198.51.100.7", 5004) + &video(5008)))
        .unwrap();
    let before = call.session.flows()[1].clone();
    assert!(offered.contains(&format!("m=video {} ", before.b.port)));
    call.answer(Party::Callee, "t1", &(audio("10.0.0.50", 6004) + &video(0)))
        .unwrap();
    assert_eq!(call.session.flows().len(), 1);
    let answered = call
        .answer(
            Party::Callee,
            "t2",
            &(audio("10.0.0.60", 8000) + &video(8008)),
        )
        .unwrap();
    let after = call.session.flows()[1].clone();
    assert_eq!(
        local(&after),
        local(&before),
        "the ports that the offer had named"
    );
    assert_ne!(after.id, before.id);
    assert!(answered.contains(&format!("m=video {} ", after.a.port)));
    call.session.settle(&mut call.ports);
    assert_eq!(call.used(), [2, 2, 0]);
    call.close();
}

#[test]
fn failover_keeps_the_callers_ports_alone() {
    for answered_early in [false, true] {
        let mut call = Call::new();
        call.offer(Party::Caller, &audio("198.51.100.7", 5004))
            .unwrap();
        if answered_early {
            call.answer(Party::Callee, "t1", &audio("10.0.0.50", 6004))
                .unwrap();
        }
        let before = call.flow();
        call.commands();
        call.session.next_target(&mut call.ports, 2);
        assert_eq!(call.commands(), [Command::remove(&before)]);
        assert_eq!(call.used(), [1, 0, 0]);
        let offered = call
            .offer(Party::Caller, &audio("198.51.100.7", 5004))
            .unwrap();
        let after = call.flow();
        assert_eq!(offered, audio("fd00::1", after.b.port));
        assert_eq!(
            (after.a.local, after.a.port),
            (before.a.local, before.a.port)
        );
        assert_ne!(after.id, before.id);
        assert_eq!((after.b.remote, after.b.learn, after.b.realm), (None, 0, 2));
        let table = SlotTable::deal(&[0, 1]);
        assert_eq!(table.owner(after.a.port), table.owner(after.b.port));
        assert_eq!(call.used(), [1, 0, 1]);
        call.answer(Party::Callee, "t1", &audio("fd00::50", 6004))
            .unwrap();
        assert_eq!(call.flow().b.remote, at("[fd00::50]:6004"));
        call.close();
    }
}

#[test]
fn failover_twice_and_the_end_without_a_target() {
    let mut call = Call::new();
    call.offer(Party::Caller, &audio("198.51.100.7", 5004))
        .unwrap();
    call.session.next_target(&mut call.ports, INTERNAL);
    call.session.next_target(&mut call.ports, INTERNAL);
    assert_eq!(call.used(), [1, 0, 0]);
    // Another offer that cannot use the kept ports gives them back.
    call.offer(Party::Caller, &audio("2001:db8:7::7", 5004))
        .unwrap();
    assert_eq!(call.used(), [1, 1, 0]);
    call.commands();
    call.session.next_target(&mut call.ports, INTERNAL);
    call.session.next_target(&mut call.ports, INTERNAL);
    call.close();
}

#[test]
fn a_refused_offer_to_the_next_target_keeps_what_was_kept() {
    let mut call = Call::new();
    call.offer(Party::Caller, &audio("198.51.100.7", 5004))
        .unwrap();
    call.session.next_target(&mut call.ports, 9);
    assert_eq!(
        call.offer(Party::Caller, &audio("198.51.100.7", 5004))
            .unwrap_err()
            .status,
        503
    );
    assert_eq!(call.used(), [1, 0, 0]);
    call.close();
}

#[test]
fn a_session_comes_back_from_the_journal() {
    let video = "m=video 6008 RTP/AVP 99\r\n";
    let mut call = Call::answered();
    call.offer(Party::Caller, &(audio("198.51.100.7", 5004) + video))
        .unwrap();
    let bytes = postcard::to_allocvec(&call.session).unwrap();
    let mut session: Session = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(session.flows(), call.session.flows());
    assert_eq!(session.command(), None);

    let mut fresh = ports();
    session.restore(&mut fresh).unwrap();
    assert_eq!([0, 1].map(|r| fresh.usage(r).used), [2, 2]);
    let error = session.clone().restore(&mut fresh).unwrap_err();
    assert!(error.to_string().contains("is taken"), "{error}");
    assert_eq!(
        [0, 1].map(|r| fresh.usage(r).used),
        [2, 2],
        "the failed one took nothing"
    );
    session.reject_offer(&mut fresh);
    assert_eq!([0, 1].map(|r| fresh.usage(r).used), [1, 1]);
    session.close(&mut fresh);
    assert_eq!([0, 1].map(|r| fresh.usage(r).used), [0, 0]);
}
