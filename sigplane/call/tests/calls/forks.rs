//! Several branches of one call: contacts of redirections, in parallel and by their q (RFC 3261 section
//! 16).

use super::*;

const A: &str = "10.0.0.21:5060";
const B: &str = "10.0.0.22:5060";
const C: &str = "10.0.0.23:5060";

/// A call whose media server has redirected it.
fn redirected(contacts: &str) -> (World, String) {
    let mut config = config();
    config.routing.follow_redirects = true;
    let mut world = World::with(config);
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    let (pool, inside) = at_pool(&mut world);
    let moved = moved(
        &answer(&inside, &pool, "302 Moved", "bob", "", ""),
        contacts,
    );
    world.from(&pool, &moved);
    assert!(world.one_to(&pool).starts_with("ACK"));
    world.sent_to(CARRIER);
    (world, inside)
}

/// A redirection to these contacts.
fn moved(answer: &str, contacts: &str) -> String {
    let own = header(answer, "Contact").to_owned();
    answer.replace(&format!("Contact: {own}"), &format!("Contact: {contacts}"))
}

fn ok(request: &str, at: &str, tag: &str) -> String {
    answer(request, at, "200 OK", tag, "", &sdp("10.0.0.21", 20_000))
}

#[test]
fn contacts_ring_together_and_the_first_to_answer_has_the_call() {
    let (mut world, _) = redirected(&format!("<sip:a@{A}>, <sip:b@{B};x=y?h=v>"));
    let (at_a, at_b) = (world.one_to(A), world.one_to(B));
    assert_eq!(start(&at_a), format!("INVITE sip:a@{A} SIP/2.0"));
    assert_eq!(start(&at_b), format!("INVITE sip:b@{B};x=y SIP/2.0"));
    assert_ne!(header(&at_a, "Via"), header(&at_b, "Via"));
    for (at, request, tag) in [(A, &at_a, "ta"), (B, &at_b, "tb")] {
        world.from(at, &answer(request, at, "180 Ringing", tag, "", ""));
        let ringing = world.one_to(CARRIER);
        assert!(header(&ringing, "To").contains(tag), "{ringing}");
    }
    world.from(B, &ok(&at_b, B, "tb"));
    let answered = world.one_to(CARRIER);
    assert!(answered.starts_with("SIP/2.0 200") && header(&answered, "To").contains("tb"));
    let cancel = world.one_to(A);
    assert!(cancel.starts_with("CANCEL"), "{cancel}");
    world.from(A, &answer(&cancel, A, "200 OK", "", "", ""));
    world.from(A, &answer(&at_a, A, "487 Request Terminated", "ta", "", ""));
    assert!(world.one_to(A).starts_with("ACK"));
    assert!(world.sent_to(CARRIER).is_empty());
    let dialog = Dialog {
        call_id: "c1".into(),
        tag: "tb".into(),
        pool: B.into(),
        seen_by_caller: uri(header(&answered, "Contact")).into(),
        seen_by_callee: uri(header(&at_b, "Contact")).into(),
    };
    world.from(CARRIER, &dialog.by_caller("ACK", "ack", 1, "", ""));
    assert!(world.one_to(B).starts_with("ACK"));
    hang_up(&mut world, &dialog);
    assert_eq!(world.counter("redirects_followed"), 1);
    assert!(
        world.cdrs[0].destination.contains("sip:b@"),
        "{:?}",
        world.cdrs[0]
    );
    world.assert_clean();
}

#[test]
fn both_answer_at_once_and_one_is_ended() {
    let (mut world, _) = redirected(&format!("<sip:a@{A}>,<sip:b@{B}>"));
    let (at_a, at_b) = (world.one_to(A), world.one_to(B));
    world.from(A, &ok(&at_a, A, "ta"));
    assert!(world.one_to(CARRIER).contains("ta"));
    world.sent_to(B);
    world.from(B, &ok(&at_b, B, "tb"));
    let sent = world.sent_to(B);
    assert!(
        sent[0].starts_with("ACK") && sent[1].starts_with("BYE"),
        "{sent:#?}"
    );
    assert!(world.sent_to(CARRIER).is_empty());
}

#[test]
fn sets_follow_each_other_by_their_q_and_the_best_refusal_passes() {
    let (mut world, _) = redirected(&format!(
        "<sip:c@{C}>;q=0.1, <sip:a@{A}>;q=0.5, \"B\" <sip:b@{B}>;q=0.5"
    ));
    let (at_a, at_b) = (world.one_to(A), world.one_to(B));
    assert!(world.sent_to(C).is_empty());
    world.from(A, &answer(&at_a, A, "404 Not Found", "ta", "", ""));
    assert!(
        world.sent_to(C).is_empty(),
        "the other one still may answer"
    );
    let challenge = "WWW-Authenticate: Digest realm=\"b\", nonce=\"1\"\r\n";
    world.from(
        B,
        &answer(&at_b, B, "401 Unauthorized", "tb", challenge, ""),
    );
    let at_c = world.one_to(C);
    let challenge = "Proxy-Authenticate: Digest realm=\"c\", nonce=\"2\"\r\n";
    world.from(C, &answer(&at_c, C, "407 Proxy", "tc", challenge, ""));
    let refusal = world.one_to(CARRIER);
    assert!(refusal.starts_with("SIP/2.0 401"), "{refusal}");
    assert!(header(&refusal, "WWW-Authenticate").contains("\"b\""));
    assert!(header(&refusal, "Proxy-Authenticate").contains("\"c\""));
    assert!(world.cdrs.is_empty(), "the caller may answer the challenge");
    world.assert_clean();
    assert_eq!(world.cdrs[0].sip_code, 401);
}

#[test]
fn a_global_failure_ends_the_search() {
    let (mut world, _) = redirected(&format!("<sip:a@{A}>, <sip:b@{B}>, <sip:c@{C}>;q=0.1"));
    let (at_a, at_b) = (world.one_to(A), world.one_to(B));
    world.from(B, &answer(&at_b, B, "180 Ringing", "tb", "", ""));
    world.sent_to(CARRIER);
    world.from(A, &answer(&at_a, A, "603 Decline", "ta", "", ""));
    assert!(
        world.sent_to(CARRIER).is_empty(),
        "the other one may have answered"
    );
    assert!(world.one_to(B).starts_with("CANCEL"));
    world.from(B, &answer(&at_b, B, "487 Request Terminated", "tb", "", ""));
    assert!(world.one_to(CARRIER).starts_with("SIP/2.0 603"));
    assert!(world.sent_to(C).is_empty());
    world.assert_clean();
}

#[test]
fn the_caller_cancels_all_branches() {
    let (mut world, _) = redirected(&format!("<sip:a@{A}>,<sip:b@{B}>"));
    let (at_a, at_b) = (world.one_to(A), world.one_to(B));
    for (at, request) in [(A, &at_a), (B, &at_b)] {
        world.from(at, &answer(request, at, "180 Ringing", at, "", ""));
    }
    world.sent_to(CARRIER);
    world.from(CARRIER, &invite("c1", "").replace("INVITE", "CANCEL"));
    for (at, request) in [(A, &at_a), (B, &at_b)] {
        assert!(world.one_to(at).starts_with("CANCEL"));
        world.from(
            at,
            &answer(request, at, "487 Request Terminated", at, "", ""),
        );
    }
    let sent = world.sent_to(CARRIER);
    assert!(sent[0].starts_with("SIP/2.0 200"), "{sent:#?}");
    assert!(sent[1].starts_with("SIP/2.0 487"), "{sent:#?}");
    world.assert_clean();
}

#[test]
fn a_circle_of_redirections_ends() {
    let (mut world, _) = redirected(&format!("<sip:a@{A}>"));
    let at_a = world.one_to(A);
    let again = moved(
        &answer(&at_a, A, "302 Moved", "ta", "", ""),
        &format!("<sip:a@{A}>"),
    );
    world.from(A, &again);
    assert!(world.one_to(A).starts_with("ACK"));
    assert!(world.one_to(CARRIER).starts_with("SIP/2.0 480"));
    world.assert_clean();
}

#[test]
fn a_second_forks_bye_is_above_what_the_caller_sent_it() {
    let mut world = World::new();
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    let (pool, inside) = at_pool(&mut world);
    let reliable = "Require: 100rel\r\nRSeq: 1\r\n";
    let ringing = answer(&inside, &pool, "180 Ringing", "b2", reliable, "");
    world.from(&pool, &ringing);
    let seen = uri(header(&world.sent_to(CARRIER).pop().unwrap(), "Contact")).to_owned();
    let dialog = Dialog {
        call_id: "c1".into(),
        tag: "b2".into(),
        pool: pool.clone(),
        seen_by_caller: seen,
        seen_by_callee: String::new(),
    };
    let prack = dialog.by_caller("PRACK", "p", 2, "RAck: 1 1 INVITE\r\n", "");
    world.from(CARRIER, &prack);
    let prack = world.one_to(&pool);
    world.from(&pool, &answer(&prack, &pool, "200 OK", "", "", ""));
    for tag in ["b1", "b2"] {
        let body = sdp("10.0.0.11", 20_000);
        world.from(&pool, &answer(&inside, &pool, "200 OK", tag, "", &body));
    }
    let sent = world.sent_to(&pool);
    let bye = sent.iter().find(|t| t.starts_with("BYE")).unwrap();
    assert!(header(bye, "To").ends_with("tag=b2"));
    let cseq = header(bye, "CSeq").split(' ').next().unwrap();
    assert!(cseq.parse::<u32>().unwrap() > 2, "{bye}");
}

#[test]
fn a_fork_that_answers_after_the_end_is_ended() {
    let mut world = World::new();
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    let (pool, inside) = at_pool(&mut world);
    let body = sdp("10.0.0.11", 20_000);
    world.from(&pool, &answer(&inside, &pool, "200 OK", "b1", "", &body));
    let ok = world.sent_to(CARRIER).pop().unwrap();
    let dialog = Dialog {
        call_id: "c1".into(),
        tag: "b1".into(),
        pool: pool.clone(),
        seen_by_caller: uri(header(&ok, "Contact")).into(),
        seen_by_callee: String::new(),
    };
    world.from(CARRIER, &dialog.by_caller("ACK", "a", 1, "", ""));
    hang_up(&mut world, &dialog);
    assert_eq!(world.core.calls().count(), 0);
    world.sent.clear();
    let late = answer(&inside, &pool, "200 OK", "b2", "", &body);
    world.from(&pool, &late);
    let sent = world.sent_to(&pool);
    let starts: Vec<_> = sent.iter().map(|t| t.split(' ').next().unwrap()).collect();
    assert_eq!(starts, ["ACK", "BYE"]);
    assert!(sent.iter().all(|t| header(t, "To").ends_with("tag=b2")));
    world.from(&pool, &answer(&sent[1], &pool, "200 OK", "", "", ""));
    world.from(&pool, &late);
    assert!(world.one_to(&pool).starts_with("ACK"), "each once");
    world.assert_clean();
}
