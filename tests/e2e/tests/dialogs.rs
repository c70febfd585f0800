//! What happens inside of a call, message by message, with both ends in the test's hands.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::time::Duration;

use tandem_e2e::sip::{Callee, Message, Phone, sdp};
use tandem_e2e::topology::{CALLER, INSIDE, OUTSIDE, SERVERS, sip};
use tandem_e2e::{Lab, Options};

const SOON: Duration = Duration::from_secs(10);

/// A laboratory whose one media server is the test itself, and a phone.
struct Scene {
    callee: Callee,
    phone: Phone,
    lab: Lab,
}

impl Scene {
    fn start(name: &str) -> Self {
        let options = Options {
            pool: vec![sip(SERVERS[0])],
            probe_interval: 0,
            ..Options::default()
        };
        let lab = Lab::start(options).unwrap();
        let callee = Callee::new(lab.udp(&lab.core, sip(SERVERS[0])).unwrap()).unwrap();
        let socket = lab.udp(&lab.carrier, (CALLER, 5070).into()).unwrap();
        let phone = Phone::new(socket, sip(OUTSIDE), name).unwrap();
        Self { callee, phone, lab }
    }

    /// An answered and acknowledged call; returns the answer that the caller got.
    fn call(&self) -> Message {
        self.phone
            .send(self.phone.invite("x", &sdp(CALLER, 7_000)).as_bytes())
            .unwrap();
        let invite = self.callee.expect("INVITE", SOON).unwrap();
        self.callee
            .answer(&invite, "200 OK", &sdp(SERVERS[0], 6_000))
            .unwrap();
        let answer = self.phone.expect("200", SOON, |m| m.code() == 200).unwrap();
        self.phone.acknowledge(&answer).unwrap();
        self.callee.expect("ACK", SOON).unwrap();
        answer
    }

    /// The caller hangs up; everything is gone and one CDR says so.
    fn hang_up(&self, answer: &Message, cseq: u32) {
        let bye = self.phone.in_dialog("BYE", answer, cseq, "");
        self.phone.send(bye.as_bytes()).unwrap();
        let request = self.callee.expect("BYE", SOON).unwrap();
        self.callee.answer(&request, "200 OK", "").unwrap();
        self.phone
            .expect("200 to BYE", SOON, |m| m.header("CSeq").contains("BYE"))
            .unwrap();
        self.lab.wait_until_quiet(1, SOON).unwrap();
    }
}

#[test]
fn what_is_ours_to_answer_is_answered() {
    let scene = Scene::start("ours");
    let uri = format!("sip:{OUTSIDE}");
    let to = format!("<{uri}>");
    for (request, code) in [
        (scene.phone.request("OPTIONS", &uri, &to, 1, ""), 200),
        (scene.phone.request("REGISTER", &uri, &to, 2, ""), 405),
        (
            scene
                .phone
                .invite("x", &sdp(CALLER, 7_000))
                .replace("Max-Forwards: 70", "Max-Forwards: 0")
                .replace("CSeq: 1 ", "CSeq: 3 "),
            483,
        ),
        (
            scene
                .phone
                .request("BYE", &uri, &format!("{to};tag=none"), 4, ""),
            481,
        ),
    ] {
        let answer = scene.phone.ask(&request, SOON).unwrap();
        assert_eq!(answer.code(), code, "{request}\n{}", answer.text);
    }
}

#[test]
fn a_call_is_cancelled() {
    let scene = Scene::start("cancelled");
    let invite = scene.phone.invite("x", &sdp(CALLER, 7_000));
    scene.phone.send(invite.as_bytes()).unwrap();
    let request = scene.callee.expect("INVITE", SOON).unwrap();
    scene.callee.answer(&request, "180 Ringing", "").unwrap();
    scene
        .phone
        .expect("180", SOON, |m| m.code() == 180)
        .unwrap();

    let uri = format!("sip:x@{}", sip(OUTSIDE));
    let cancel = scene
        .phone
        .request("CANCEL", &uri, &format!("<{uri}>"), 1, "");
    scene.phone.send(cancel.as_bytes()).unwrap();
    let inner = scene.callee.expect("CANCEL", SOON).unwrap();
    scene.callee.answer(&inner, "200 OK", "").unwrap();
    scene
        .callee
        .answer(&request, "487 Request Terminated", "")
        .unwrap();
    let end = scene
        .phone
        .expect("487", SOON, |m| m.code() == 487)
        .unwrap();
    let ack = scene.phone.request("ACK", &uri, end.header("To"), 1, "");
    scene
        .phone
        .send(ack.replace("-INVITE-ack;", "-INVITE;").as_bytes())
        .unwrap();
    scene.callee.expect("ACK", SOON).unwrap();
    scene.lab.wait_until_quiet(1, SOON).unwrap();
    let cdr = scene.lab.sql("SELECT cause, sip_code FROM cdr").unwrap();
    assert_eq!(cdr.trim(), "cancelled|487");
}

#[test]
fn a_retransmitted_invite_is_absorbed() {
    let scene = Scene::start("again");
    let invite = scene.phone.invite("x", &sdp(CALLER, 7_000));
    for _ in 0..5 {
        scene.phone.send(invite.as_bytes()).unwrap();
    }
    let first = scene.callee.expect("INVITE", SOON).unwrap();
    scene.callee.answer(&first, "180 Ringing", "").unwrap();
    scene
        .phone
        .expect("180", SOON, |m| m.code() == 180)
        .unwrap();
    let again = scene.callee.expect("INVITE", Duration::from_millis(1_500));
    assert!(again.is_err(), "a second INVITE reached the server");
    assert_eq!(scene.lab.ctl().calls().unwrap().len(), 1);
}

#[test]
fn a_call_is_put_on_hold_and_taken_back() {
    let scene = Scene::start("hold");
    let answer = scene.call();
    let hold = sdp(CALLER, 7_000).replace("o=phone 1 1", "o=phone 1 2") + "a=sendonly\r\n";
    let back = sdp(CALLER, 7_000).replace("o=phone 1 1", "o=phone 1 3");
    for (cseq, offer, attribute, mirrored) in [
        (2, &hold, "a=sendonly", "a=recvonly\r\n"),
        (3, &back, "", ""),
    ] {
        let request = scene.phone.in_dialog("INVITE", &answer, cseq, offer);
        scene.phone.send(request.as_bytes()).unwrap();
        let inner = scene.callee.expect("INVITE", SOON).unwrap();
        let body = inner.0.body();
        assert!(
            body.contains(&format!("c=IN IP4 {INSIDE}")) && body.contains(attribute),
            "{body}"
        );
        scene
            .callee
            .answer(&inner, "200 OK", &(sdp(SERVERS[0], 6_000) + mirrored))
            .unwrap();
        let is_ours =
            |m: &Message| m.code() == 200 && m.header("CSeq").starts_with(&cseq.to_string());
        let outer = scene
            .phone
            .expect("200 to re-INVITE", SOON, is_ours)
            .unwrap();
        assert!(
            outer.body().contains(&format!("c=IN IP4 {OUTSIDE}")),
            "{}",
            outer.body()
        );
        let ack = scene.phone.in_dialog("ACK", &answer, cseq, "");
        scene.phone.send(ack.as_bytes()).unwrap();
        scene.callee.expect("ACK", SOON).unwrap();
    }
    let flows = scene.lab.ctl().counters().unwrap().value("flows");
    assert_eq!(flows, 1, "the same flow all the time");
    scene.hang_up(&answer, 4);
}

#[test]
fn an_offer_comes_late() {
    let scene = Scene::start("late");
    scene
        .phone
        .send(scene.phone.invite("x", "").as_bytes())
        .unwrap();
    let invite = scene.callee.expect("INVITE", SOON).unwrap();
    assert!(invite.0.body().is_empty());
    scene
        .callee
        .answer(&invite, "200 OK", &sdp(SERVERS[0], 6_000))
        .unwrap();
    let offer = scene
        .phone
        .expect("the offer", SOON, |m| m.code() == 200)
        .unwrap();
    assert!(
        offer.body().contains(&format!("c=IN IP4 {OUTSIDE}")),
        "{}",
        offer.body()
    );
    let ack = scene.phone.in_dialog("ACK", &offer, 1, &sdp(CALLER, 7_000));
    scene.phone.send(ack.as_bytes()).unwrap();
    let inner = scene.callee.expect("ACK", SOON).unwrap().0;
    assert!(
        inner.body().contains(&format!("c=IN IP4 {INSIDE}")),
        "{}",
        inner.body()
    );
    scene.hang_up(&offer, 2);
}
