//! What a message may bring.

use tandem_call::MessageLimits;

use super::world::*;

/// A world whose limits these are.
fn limited(limits: MessageLimits) -> World {
    World::with(tandem_call::CoreConfig { limits, ..config() })
}

/// An INVITE of the carrier with more header lines.
fn with(lines: &str) -> String {
    invite("lim", "").replace("Max-Forwards:", &format!("{lines}Max-Forwards:"))
}

fn lines(line: &str, n: usize) -> String {
    line.repeat(n)
}

/// What the carrier is told, 100 apart; nothing, if it went to the pool.
fn told(world: &mut World, text: &str) -> Option<String> {
    world.from(CARRIER, text);
    let told = world.sent_to(CARRIER).pop();
    told.map(|t| start(&t).to_owned())
        .filter(|line| line != "SIP/2.0 100 Trying")
}

/// The same message as an ACK and as a response: never answered.
fn is_dropped(world: &mut World, text: &str) {
    let ack = text.replace("INVITE", "ACK");
    let (_, headers) = text.split_once("\r\n").unwrap();
    for text in [ack, format!("SIP/2.0 200 OK\r\n{headers}")] {
        world.from(CARRIER, &text);
        assert!(world.sent.is_empty(), "{:?}", world.sent);
    }
}

#[test]
fn a_message_that_is_too_long_gets_513() {
    let text = with("");
    let limits = |bytes| MessageLimits {
        bytes,
        ..MessageLimits::default()
    };
    let mut world = limited(limits(text.len()));
    assert_eq!(told(&mut world, &text), None);
    assert_eq!(world.counter("sip_message_too_large"), 0);

    let mut world = limited(limits(text.len() - 1));
    let no = told(&mut world, &text);
    assert_eq!(no.as_deref(), Some("SIP/2.0 513 Message Too Large"));
    assert_eq!(world.counter("sip_message_too_large"), 1);
    assert_eq!(world.counter("calls"), 0);
    let longer = with("X-Filler: some more bytes of it\r\n");
    is_dropped(&mut world, &longer);
    assert_eq!(world.counter("sip_message_too_large"), 3);
    // Whoever sends no SIP is told nothing.
    world.from(CARRIER, &"x".repeat(text.len()));
    assert!(world.sent.is_empty());
    assert_eq!(world.counter("sip_message_too_large"), 4);
}

#[test]
fn too_many_headers_get_400() {
    let own = with("").split("\r\n\r\n").next().unwrap().lines().count() - 1;
    let limits = |headers| MessageLimits {
        headers,
        ..MessageLimits::default()
    };
    // The last is more than the index takes, too.
    for most in [own, own + 20, 256] {
        let mut world = limited(limits(most));
        let full = with(&lines("X-Filler: x\r\n", most - own));
        assert_eq!(told(&mut world, &full), None, "{most}");
        assert_eq!(world.counter("sip_headers_over_limit"), 0);

        let mut world = limited(limits(most));
        // Behind the others: what an answer repeats of the request stands before it.
        let over = full.replace("\r\n\r\n", "\r\nX-Last: x\r\n\r\n");
        let no = told(&mut world, &over);
        assert_eq!(
            no.as_deref(),
            Some("SIP/2.0 400 Too Many Headers"),
            "{most}"
        );
        is_dropped(&mut world, &over);
        assert_eq!(world.counter("sip_headers_over_limit"), 3);
        assert_eq!(world.counter("sip_not_sip"), 0);
        assert_eq!(world.counter("calls"), 0);
    }
}

#[test]
fn too_many_vias_get_483() {
    let limits = MessageLimits {
        vias: 5,
        ..MessageLimits::default()
    };
    let line =
        "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx, SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKy\r\n";
    let mut world = limited(limits);
    assert_eq!(told(&mut world, &with(&lines(line, 2))), None);
    assert_eq!(world.counter("sip_vias_over_limit"), 0);

    let mut world = limited(limits);
    let one = "v: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKz\r\n";
    let over = with(&(lines(line, 2) + one));
    world.from(CARRIER, &over);
    let no = world.one_to(CARRIER);
    assert_eq!(start(&no), "SIP/2.0 483 Too Many Hops");
    assert_eq!(headers(&no, "Via").len(), 6, "it finds its way back");
    assert_eq!(world.counter("sip_vias_over_limit"), 1);
    assert_eq!(world.counter("calls"), 0);
    is_dropped(&mut world, &over);
    // The ACK; a response has the Vias of its request.
    assert_eq!(world.counter("sip_vias_over_limit"), 2);
}
