//! What an administrator sees and orders, and how long things took.

use tandem_call::Input;
use tandem_policy::EndCause;

use super::*;

#[test]
fn an_order_ends_an_answered_call_on_both_sides() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    let pool = dialog.pool.clone();
    let call = world.core.calls_after(0, 10).remove(0);
    assert_eq!(world.core.call_counts().confirmed, 1);
    assert_eq!(world.core.calls_named(b"c1", None, None), [call.key]);
    assert_eq!(world.core.calls_named(b"c1", Some(b"none"), None), [0; 0]);
    assert_eq!(world.core.calls_named(b"c2", None, None), [0; 0]);
    assert_eq!((world.core.flows(), call.flows.len()), (1, 1));
    world.sent.clear();
    world.input(Input::EndCall { key: call.key });
    for side in [pool.as_str(), CARRIER] {
        let bye = world.sent_to(side).remove(0);
        assert!(bye.starts_with("BYE"), "{bye}");
        assert!(header(&bye, "Reason").contains("administrator"), "{bye}");
        world.from(side, &answer(&bye, side, "200 OK", "", "", ""));
    }
    assert_eq!(world.cdrs[0].cause, EndCause::Administrator);
    assert_eq!(world.counter("calls_ended_by_administrator"), 1);
    assert!(!world.core.has_call(call.key));
    world.input(Input::EndCall { key: call.key });
    assert_eq!(
        world.cdrs.len(),
        1,
        "an order for a call that is over does nothing"
    );
    world.assert_clean();
}

#[test]
fn an_order_refuses_a_call_that_is_not_answered() {
    let mut world = World::new();
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    let (pool, asked) = at_pool(&mut world);
    world.from(&pool, &answer(&asked, &pool, "180 Ringing", "t", "", ""));
    let key = world.core.calls_after(0, 1).remove(0).key;
    assert_eq!(world.core.call_counts().setup, 1);
    world.sent.clear();
    world.input(Input::EndCall { key });
    assert!(
        world
            .sent_to(CARRIER)
            .iter()
            .any(|m| m.starts_with("SIP/2.0 480"))
    );
    assert!(world.sent_to(&pool).iter().any(|m| m.starts_with("CANCEL")));
    assert_eq!(world.cdrs[0].cause, EndCause::Administrator);
}

#[test]
fn pages_of_calls_follow_one_another_and_leave_calls_at_rest() {
    let mut world = World::new();
    for n in 0..7 {
        establish(&mut world, &format!("c{n}"));
    }
    world.wait(secs(60));
    let resting = world.core.footprint().resting;
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = world.core.calls_after(after, 3);
        let Some(last) = page.last() else { break };
        after = last.key;
        seen.extend(page.into_iter().map(|call| call.call_id));
    }
    seen.sort();
    assert_eq!(seen, ["c0", "c1", "c2", "c3", "c4", "c5", "c6"]);
    assert_eq!(world.core.footprint().resting, resting);
    assert_eq!(world.core.call_counts().confirmed, 7);
    assert_eq!(world.core.call(after).map(|c| c.key), Some(after));
    assert_eq!(world.core.call(after + 1), None);
}

#[test]
fn ringing_and_answer_are_timed_once_for_each_call() {
    let mut world = World::new();
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    let (pool, asked) = at_pool(&mut world);
    let took = |world: &World, name: &str| {
        let mut all = world.core.histograms();
        let (_, histogram) = all.find(|(n, _)| *n == name).unwrap();
        (histogram.count(), histogram.sum().as_millis())
    };
    world.wait(Duration::from_millis(300));
    for status in ["180 Ringing", "183 Session Progress"] {
        world.from(&pool, &answer(&asked, &pool, status, "t", "", ""));
        world.wait(Duration::from_millis(200));
    }
    world.from(
        &pool,
        &answer(&asked, &pool, "200 OK", "t", "", &sdp("10.0.0.11", 20_000)),
    );
    assert_eq!(took(&world, "call_post_dial_delay_seconds"), (1, 300));
    assert_eq!(took(&world, "call_answer_delay_seconds"), (1, 700));
    assert!(took(&world, "sip_message_wait_seconds").0 >= 4);
}
