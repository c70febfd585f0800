//! The transactions against the tables and figures of RFC 3261 section 17 and RFC 6026.

use std::time::Duration;

use proptest::prelude::*;
use tandem_transaction::{
    Bytes, ClientId, ClientKey, Hop, InviteRequest, Layer, Method, Output, Received, Response,
    ServerKey, Settings,
};

/// How a message goes in these tests: way 9 is reliable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way(u8);

impl Hop for Way {
    fn is_reliable(&self) -> bool {
        self.0 == 9
    }
}

const T1: Duration = Duration::from_millis(500);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn layer() -> Layer<Way> {
    Layer::new(Settings::with_t1(T1))
}

fn bytes(text: &str) -> Bytes {
    text.as_bytes().into()
}

fn client_key(branch: &str, method: Method) -> ClientKey<'_> {
    ClientKey {
        branch: branch.as_bytes(),
        method,
    }
}

fn server_key(method: Method) -> ServerKey<'static> {
    ServerKey {
        branch: b"z9hG4bKs",
        sent_by: b"a:5060",
        method,
    }
}

fn invite(layer: &mut Layer<Way>) -> ClientId {
    let request = InviteRequest {
        request: bytes("INVITE"),
        ack_head: bytes("ACK head\r\n"),
    };
    layer.invite(Duration::ZERO, b"b", Way(7), request)
}

/// Runs the timers one by one up to `until`; returns what came out, with the time.
fn run(layer: &mut Layer<Way>, until: Duration) -> Vec<(u64, String)> {
    let mut all = drain(layer, Duration::ZERO);
    while let Some(at) = layer.next_timeout().filter(|at| *at <= until) {
        layer.expire(at);
        all.extend(drain(layer, at));
    }
    all
}

fn drain(layer: &mut Layer<Way>, at: Duration) -> Vec<(u64, String)> {
    let at = at.as_secs() * 1000 + u64::from(at.subsec_millis());
    std::iter::from_fn(|| layer.output())
        .map(|output| {
            let text = match output {
                Output::Send { bytes, again, .. } => {
                    format!(
                        "{}{}",
                        String::from_utf8_lossy(&bytes),
                        if again { " again" } else { "" }
                    )
                }
                Output::TimedOut(_) => "timed out".into(),
                Output::ClientEnded(_) => "client ended".into(),
                Output::NoAck(_) => "no ack".into(),
                Output::ServerEnded(_) => "server ended".into(),
            };
            (at, text)
        })
        .collect()
}

fn times(events: &[(u64, String)], text: &str) -> Vec<u64> {
    events
        .iter()
        .filter(|(_, t)| t == text)
        .map(|(at, _)| *at)
        .collect()
}

#[test]
fn an_unanswered_invite_is_repeated_and_times_out() {
    let mut layer = layer();
    invite(&mut layer);
    let events = run(&mut layer, ms(100_000));
    assert_eq!(times(&events, "INVITE"), [0]);
    assert_eq!(
        times(&events, "INVITE again"),
        [500, 1500, 3500, 7500, 15500, 31500]
    );
    assert_eq!(times(&events, "timed out"), [32000]);
    assert_eq!(times(&events, "client ended"), [32000]);
    assert!(layer.is_empty());
    assert_eq!(layer.next_timeout(), None);
}

#[test]
fn a_provisional_response_stops_retransmission_for_good() {
    let mut layer = layer();
    let id = invite(&mut layer);
    let key = client_key("b", Method::Invite);
    assert!(layer.is_silent(id));
    assert_eq!(layer.response(ms(10), &key, 100, b"to"), Response::Pass(id));
    assert!(!layer.is_silent(id));
    assert_eq!(layer.response(ms(20), &key, 180, b"to"), Response::Pass(id));
    assert_eq!(run(&mut layer, ms(100_000)).len(), 1);
    assert_eq!(layer.len(), (1, 0));
}

#[test]
fn a_failure_is_acknowledged_as_often_as_it_comes() {
    let mut layer = layer();
    let id = invite(&mut layer);
    let key = client_key("b", Method::Invite);
    assert_eq!(
        layer.response(ms(10), &key, 503, b"<sip:x>;tag=9"),
        Response::Pass(id)
    );
    assert_eq!(
        layer.response(ms(20), &key, 503, b"<sip:x>;tag=9"),
        Response::Absorbed(id)
    );
    let ack = "ACK head\r\nTo: <sip:x>;tag=9\r\nContent-Length: 0\r\n\r\n";
    let events = run(&mut layer, ms(100_000));
    assert_eq!(times(&events, ack), [0]);
    assert_eq!(times(&events, &format!("{ack} again")), [0]);
    assert_eq!(times(&events, "client ended"), [32010]);
    assert_eq!(
        layer.response(ms(40_000), &key, 503, b"x"),
        Response::Unmatched
    );
}

#[test]
fn every_2xx_passes_until_timer_m() {
    let mut layer = layer();
    let id = invite(&mut layer);
    let key = client_key("b", Method::Invite);
    assert_eq!(layer.response(ms(10), &key, 200, b"x"), Response::Pass(id));
    assert_eq!(layer.response(ms(510), &key, 200, b"x"), Response::Pass(id));
    assert_eq!(
        layer.response(ms(520), &key, 180, b"x"),
        Response::Absorbed(id)
    );
    assert_eq!(
        layer.response(ms(530), &key, 486, b"x"),
        Response::Absorbed(id)
    );
    let events = run(&mut layer, ms(100_000));
    assert_eq!(times(&events, "client ended"), [32010]);
}

#[test]
fn other_requests_are_repeated_up_to_t2() {
    let mut layer = layer();
    layer.request(Duration::ZERO, b"b", Method::Other, Way(1), bytes("BYE"));
    let events = run(&mut layer, ms(100_000));
    let expected = [
        500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500,
    ];
    assert_eq!(times(&events, "BYE again"), expected);
    assert_eq!(times(&events, "timed out"), [32000]);
}

#[test]
fn a_final_response_ends_another_request_after_t4() {
    let mut layer = layer();
    let id = layer.request(Duration::ZERO, b"b", Method::Other, Way(1), bytes("BYE"));
    let key = client_key("b", Method::Other);
    assert_eq!(layer.response(ms(1), &key, 100, b"x"), Response::Pass(id));
    assert_eq!(layer.response(ms(2), &key, 200, b"x"), Response::Pass(id));
    assert_eq!(
        layer.response(ms(3), &key, 200, b"x"),
        Response::Absorbed(id)
    );
    let events = run(&mut layer, ms(100_000));
    assert_eq!(times(&events, "client ended"), [5002]);
    assert_eq!(times(&events, "timed out"), []);
}

#[test]
fn cancel_shares_the_branch_but_not_the_transaction() {
    let mut layer = layer();
    let invite = invite(&mut layer);
    let cancel = layer.request(
        Duration::ZERO,
        b"b",
        Method::Cancel,
        Way(7),
        bytes("CANCEL"),
    );
    let response = layer.response(ms(1), &client_key("b", Method::Cancel), 200, b"x");
    assert_eq!(response, Response::Pass(cancel));
    let response = layer.response(ms(2), &client_key("b", Method::Invite), 487, b"x");
    assert_eq!(response, Response::Pass(invite));
}

#[test]
fn giving_up_stops_retransmission_but_matches_late_responses() {
    let mut layer = layer();
    let id = invite(&mut layer);
    layer.give_up(ms(0), id);
    assert_eq!(times(&run(&mut layer, ms(20_000)), "INVITE again"), []);
    assert_eq!(
        layer.response(ms(20_000), &client_key("b", Method::Invite), 200, b"x"),
        Response::Pass(id)
    );
}

#[test]
fn a_given_up_invite_ends_though_it_rings() {
    let key = client_key("b", Method::Invite);
    let mut layer = layer();
    let id = invite(&mut layer);
    layer.give_up(ms(2_000), id);
    layer.response(ms(10_000), &key, 180, b"x");
    assert_eq!(times(&run(&mut layer, ms(100_000)), "timed out"), [42_000]);

    let id = invite(&mut layer);
    layer.response(ms(10), &key, 180, b"x");
    layer.give_up(ms(5_000), id);
    assert_eq!(times(&run(&mut layer, ms(100_000)), "timed out"), [37_000]);
    assert!(layer.is_empty());
}

#[test]
fn a_repeated_invite_gets_the_last_provisional_again() {
    let mut layer = layer();
    let key = server_key(Method::Invite);
    assert_eq!(layer.receive(ms(0), &key, false), Received::New);
    let id = layer.accept(key, Way(1));
    assert_eq!(layer.receive(ms(1), &key, false), Received::Repeated);
    layer.respond(ms(2), id, 100, bytes("100"));
    layer.respond(ms(3), id, 180, bytes("180"));
    assert_eq!(layer.receive(ms(4), &key, false), Received::Repeated);
    let texts: Vec<_> = drain(&mut layer, ms(4))
        .into_iter()
        .map(|(_, t)| t)
        .collect();
    assert_eq!(texts, ["100", "180", "180 again"]);
}

#[test]
fn a_failure_is_repeated_until_its_ack() {
    let mut layer = layer();
    let key = server_key(Method::Invite);
    let id = layer.accept(key, Way(1));
    layer.respond(Duration::ZERO, id, 486, bytes("486"));
    let events = run(&mut layer, ms(4_000));
    assert_eq!(times(&events, "486 again"), [500, 1500, 3500]);
    assert_eq!(layer.receive(ms(4_000), &key, true), Received::Acknowledged);
    assert_eq!(layer.receive(ms(4_001), &key, true), Received::Acknowledged);
    let events = run(&mut layer, ms(100_000));
    assert_eq!(events, [(9_000, "server ended".to_string())]);
}

#[test]
fn a_missing_ack_is_reported() {
    let mut layer = layer();
    let id = layer.accept(server_key(Method::Invite), Way(1));
    layer.respond(Duration::ZERO, id, 486, bytes("486"));
    let events = run(&mut layer, ms(100_000));
    assert_eq!(times(&events, "no ack"), [32_000]);
    assert!(layer.is_empty());
}

#[test]
fn an_accepted_invite_absorbs_and_lets_2xx_pass() {
    let mut layer = layer();
    let key = server_key(Method::Invite);
    let id = layer.accept(key, Way(1));
    layer.respond(ms(0), id, 200, bytes("200"));
    assert!(!layer.is_open(id));
    assert_eq!(layer.receive(ms(1), &key, false), Received::Repeated);
    layer.respond(ms(2), id, 200, bytes("200"));
    layer.respond(ms(3), id, 486, bytes("486"));
    assert_eq!(layer.receive(ms(4), &key, true), Received::New);
    let events = run(&mut layer, ms(100_000));
    let texts: Vec<_> = events.iter().map(|(_, t)| t.as_str()).collect();
    assert_eq!(texts, ["200", "200 again", "server ended"]);
}

#[test]
fn another_request_gets_its_final_response_again() {
    let mut layer = layer();
    let key = server_key(Method::Other);
    let id = layer.accept(key, Way(1));
    assert_eq!(layer.receive(ms(1), &key, false), Received::Repeated);
    layer.respond(ms(2), id, 200, bytes("200"));
    layer.respond(ms(3), id, 500, bytes("500"));
    assert_eq!(layer.receive(ms(4), &key, false), Received::Repeated);
    let events = run(&mut layer, ms(100_000));
    let texts: Vec<_> = events.iter().map(|(_, t)| t.as_str()).collect();
    assert_eq!(texts, ["200", "200 again", "server ended"]);
}

#[test]
fn a_cancel_finds_its_invite() {
    let mut layer = layer();
    let id = layer.accept(server_key(Method::Invite), Way(1));
    assert_eq!(layer.to_cancel(&server_key(Method::Cancel)), Some(id));
    let other = ServerKey {
        sent_by: b"b",
        ..server_key(Method::Cancel)
    };
    assert_eq!(layer.to_cancel(&other), None);
}

#[test]
fn a_transport_error_finds_who_has_heard_nothing() {
    let mut layer = layer();
    let a = invite(&mut layer);
    let b = layer.request(ms(0), b"c", Method::Other, Way(9), bytes("OPTIONS"));
    assert_eq!(layer.silent_clients(|h| *h == Way(7)), [a]);
    layer.response(ms(1), &client_key("c", Method::Other), 100, b"x");
    assert_eq!(layer.silent_clients(|h| *h == Way(6)), []);
    layer.abort(b);
    assert_eq!(layer.len(), (1, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Invite(u8),
    Request(u8),
    Response(u8, bool, u16),
    Receive(u8, bool, bool),
    Accept(u8, bool),
    Respond(u8, u16),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u8..4).prop_map(Step::Invite),
        (0_u8..4).prop_map(Step::Request),
        (0_u8..4, any::<bool>(), 100_u16..700).prop_map(|(b, i, c)| Step::Response(b, i, c)),
        (0_u8..4, any::<bool>(), any::<bool>()).prop_map(|(b, i, a)| Step::Receive(b, i, a)),
        (0_u8..4, any::<bool>()).prop_map(|(b, i)| Step::Accept(b, i)),
        (0_u8..8, 100_u16..700).prop_map(|(n, c)| Step::Respond(n, c)),
        (0_u16..40_000).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever comes in whatever order: no panic, and once INVITEs have final answers and time
    /// passes, nothing is left behind.
    #[test]
    fn nothing_is_left_behind(steps in proptest::collection::vec(step(), 0..60)) {
        let mut layer = layer();
        let mut now = Duration::ZERO;
        let mut servers = Vec::new();
        let method = |invite| if invite { Method::Invite } else { Method::Other };
        for step in steps {
            match step {
                Step::Invite(b) => {
                    let request =
                        InviteRequest { request: bytes("I"), ack_head: bytes("A") };
                    layer.invite(now, &[b], Way(0), request);
                }
                Step::Request(b) => {
                    layer.request(now, &[b], Method::Other, Way(0), bytes("R"));
                }
                Step::Response(b, invite, code) => {
                    let key = ClientKey { branch: &[b], method: method(invite) };
                    layer.response(now, &key, code, b"t");
                }
                Step::Receive(b, invite, ack) => {
                    let key = ServerKey {
                        branch: &[b], sent_by: b"s", method: method(invite),
                    };
                    layer.receive(now, &key, ack);
                }
                Step::Accept(b, invite) => {
                    let key = ServerKey {
                        branch: &[b], sent_by: b"s", method: method(invite),
                    };
                    if layer.receive(now, &key, false) == Received::New {
                        servers.push(layer.accept(key, Way(0)));
                    }
                }
                Step::Respond(n, code) => {
                    if let Some(id) = servers.get(usize::from(n)) {
                        layer.respond(now, *id, code, bytes("r"));
                    }
                }
                Step::Wait(t) => {
                    now += ms(u64::from(t));
                    layer.expire(now);
                }
            }
            while layer.output().is_some() {}
        }
        for id in servers {
            layer.respond(now, id, 500, bytes("r"));
        }
        for b in 0..4 {
            layer.response(now, &ClientKey { branch: &[b], method: Method::Invite }, 500, b"t");
        }
        for _ in 0..20 {
            now += Duration::from_secs(10);
            layer.expire(now);
        }
        // INVITEs whose key a later one took over in Proceeding cannot be answered any more; a
        // proxy never reuses a branch. All others are gone, with their timers.
        prop_assert_eq!(layer.len().1, 0);
        prop_assert_eq!(layer.next_timeout(), None);
    }
}

/// RFC 3261 sections 17.1.1.2, 17.1.2.2, 17.2.1 and 17.2.2: timers A, E and G are not set, D, I, J and K are zero.
#[test]
fn over_a_reliable_transport_nothing_is_repeated_and_nothing_lingers() {
    let end = Duration::from_secs(60);
    let request = || InviteRequest {
        request: bytes("INVITE"),
        ack_head: bytes("ACK head\r\n"),
    };
    let mut silent = layer();
    silent.invite(Duration::ZERO, b"b", Way(9), request());
    silent.request(Duration::ZERO, b"o", Method::Other, Way(9), bytes("BYE"));
    let events = run(&mut silent, end);
    assert_eq!(times(&events, "INVITE"), [0]);
    assert_eq!(times(&events, "BYE"), [0]);
    assert_eq!(times(&events, "timed out"), [32_000, 32_000]);

    let mut refused = layer();
    refused.invite(Duration::ZERO, b"b", Way(9), request());
    let key = client_key("b", Method::Invite);
    let answer = refused.response(ms(10), &key, 486, b"x;tag=1");
    assert!(matches!(answer, Response::Pass(_)));
    refused.request(ms(10), b"o", Method::Other, Way(9), bytes("BYE"));
    refused.response(ms(10), &client_key("o", Method::Other), 200, b"x");
    refused.expire(ms(10));
    assert!(refused.is_empty());

    let mut server = layer();
    let invite = server.accept(server_key(Method::Invite), Way(9));
    server.respond(ms(10), invite, 486, bytes("486"));
    let events = run(&mut server, ms(31_000));
    assert_eq!(times(&events, "486"), [0]);
    server.receive(ms(31_000), &server_key(Method::Invite), true);
    let other = server.accept(server_key(Method::Other), Way(9));
    server.respond(ms(31_000), other, 200, bytes("200"));
    server.expire(ms(31_000));
    assert!(server.is_empty());
}

#[test]
fn a_request_is_sent_once_more_as_it_was_while_it_has_no_answer() {
    let mut layer = layer();
    let request = bytes("BYE");
    let id = layer.request(ms(0), b"b", Method::Other, Way(9), request.clone());
    let _ = std::iter::from_fn(|| layer.output()).count();
    layer.repeat(id);
    let sent: Vec<_> = std::iter::from_fn(|| layer.output()).collect();
    let again = Output::Send {
        hop: Way(9),
        bytes: request,
        again: true,
    };
    assert_eq!(sent, [again]);
    layer.response(ms(1), &client_key("b", Method::Other), 200, b"x");
    let _ = std::iter::from_fn(|| layer.output()).count();
    layer.repeat(id);
    assert_eq!(layer.output(), None);
}
