//! Requests outside of calls that pass to the other side.

use super::*;

fn message(branch: &str) -> String {
    Request {
        method: "MESSAGE",
        uri: "sip:100@198.51.100.1",
        me: CARRIER,
        branch,
        from: CALLER,
        to: CALLED,
        call_id: "m1",
        cseq: 7,
        extra: "X-Odd:  kept \r\n",
        body: "",
    }
    .text()
    .replace(
        "Content-Length: 0\r\n\r\n",
        "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi",
    )
    .replace("Contact: <sip:user@203.0.113.10:5060>\r\n", "")
}

fn at_some_pool(world: &mut World) -> (String, String) {
    let mut found = POOL.into_iter().flat_map(|pool| {
        let mut sent = world.sent_to(pool);
        sent.dedup();
        sent.into_iter().map(move |text| (pool.to_owned(), text))
    });
    let one = found.next().expect("a request at the pool");
    assert_eq!(found.next(), None);
    one
}

#[test]
fn a_message_passes_with_its_answer() {
    let mut world = World::new();
    world.from(CARRIER, &message("m"));
    let (pool, inside) = at_some_pool(&mut world);
    assert_eq!(start(&inside), format!("MESSAGE sip:100@{pool} SIP/2.0"));
    assert_eq!(body(&inside), "hi");
    assert_eq!(headers(&inside, "Via").len(), 1);
    assert_eq!(header(&inside, "Max-Forwards"), "69");
    assert!(headers(&inside, "Record-Route").is_empty());
    assert!(inside.contains("X-Odd: kept"));
    // Repeated by its sender: nothing more happens.
    world.from(CARRIER, &message("m"));
    assert!(world.sent.is_empty());
    world.from(&pool, &answer(&inside, &pool, "202 Accepted", "x", "", ""));
    let ok = world.one_to(CARRIER);
    assert!(ok.starts_with("SIP/2.0 202 Accepted"));
    assert_hides(&ok, &["10.0.0."]);
    world.from(CARRIER, &message("m"));
    assert_eq!(world.one_to(CARRIER), ok);
    assert_eq!(world.counter("passages"), 1);
    assert!(world.cdrs.is_empty());
    world.assert_clean();
}

#[test]
fn methods_that_nobody_knows_and_options_to_a_user_pass() {
    for method in ["OPTIONS", "FROBNICATE"] {
        let mut world = World::new();
        world.from(CARRIER, &message("m").replace("MESSAGE", method));
        let (_, inside) = at_some_pool(&mut world);
        assert!(inside.starts_with(method), "{inside}");
    }
}

#[test]
fn a_target_that_is_silent_or_out_of_order_is_passed_over() {
    for status in [None, Some("503 Service Unavailable")] {
        let mut world = World::new();
        world.from(CARRIER, &message("m"));
        let (first, inside) = at_some_pool(&mut world);
        match status {
            None => world.wait(secs(3)),
            Some(status) => world.from(&first, &answer(&inside, &first, status, "x", "", "")),
        }
        world.sent_to(&first);
        let (second, again) = at_some_pool(&mut world);
        assert_ne!(first, second);
        world.from(&second, &answer(&again, &second, "200 OK", "y", "", ""));
        assert!(world.one_to(CARRIER).starts_with("SIP/2.0 200"));
        // What comes from the first now is too late.
        world.from(&first, &answer(&inside, &first, "200 OK", "x", "", ""));
        assert!(world.sent_to(CARRIER).is_empty());
        world.assert_clean();
    }
}

#[test]
fn when_nobody_answers_nothing_is_said() {
    let mut world = World::new();
    world.from(CARRIER, &message("m"));
    world.wait(secs(40));
    assert!(world.sent_to(CARRIER).is_empty());
    world.assert_clean();
}

#[test]
fn a_pool_member_reaches_the_trunk() {
    let mut world = World::new();
    let text = message("m").replace(CARRIER, POOL[0]);
    world.from(POOL[0], &text);
    let outside = world.one_to(TRUNK);
    assert_hides(&outside, &["10.0.0."]);
    world.from(
        TRUNK,
        &answer(&outside, TRUNK, "404 Not Found", "x", "", ""),
    );
    assert!(world.one_to(POOL[0]).starts_with("SIP/2.0 404"));
    world.assert_clean();
}
