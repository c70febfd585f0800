//! What happens inside of a call, message by message, with both ends in the test's hands.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::net::{SocketAddr, UdpSocket};
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

/// Where a session description says that its media goes.
fn media_address(message: &Message) -> SocketAddr {
    let body = message.body();
    let line = |start: &str| body.lines().find_map(|l| l.strip_prefix(start)).unwrap();
    let address = line("c=IN IP4 ").parse().unwrap();
    let port = line("m=").split(' ').nth(1).unwrap().parse().unwrap();
    SocketAddr::new(address, port)
}

/// The first packet goes through: no answer overtakes the flow that it promises.
const AT_ONCE: u32 = 1;
/// To a host that nothing was sent to yet, the first are dropped until the kernel has resolved it.
const ONCE_RESOLVED: u32 = 50;

/// A packet goes through and arrives as it was sent, from the address that the other side was told.
fn passes(
    lab: &Lab,
    attempts: u32,
    (from, to): (&UdpSocket, SocketAddr),
    (at, seen_as): (&UdpSocket, SocketAddr),
    packet: &[u8],
) {
    at.set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let before = lab.ctl().counters().unwrap();
    let mut buffer = [0; 2048];
    for _ in 0..attempts {
        from.send_to(packet, to).unwrap();
        if let Ok((length, source)) = at.recv_from(&mut buffer) {
            assert_eq!((&buffer[..length], source), (packet, seen_as));
            return;
        }
    }
    let moved = lab.ctl().counters().unwrap().since(&before);
    panic!("nothing came from {to} at {:?}: {moved:?}", at.local_addr());
}

#[test]
fn a_fax_takes_over_from_speech() {
    let scene = Scene::start("fax");
    let answer = scene.call();
    let image = |text: String| {
        text.replace("m=audio", "m=image")
            .replace("RTP/AVP 8", "udptl t38")
            .replace("a=rtpmap:8 PCMA/8000", "a=T38FaxVersion:0")
            .replace(" 1 1 IN", " 1 2 IN")
    };
    let offer = image(sdp(CALLER, 7_002));
    let request = scene.phone.in_dialog("INVITE", &answer, 2, &offer);
    scene.phone.send(request.as_bytes()).unwrap();
    let inner = scene.callee.expect("INVITE", SOON).unwrap();
    let inside = media_address(&inner.0);
    assert_eq!(inside.ip(), INSIDE);
    scene
        .callee
        .answer(&inner, "200 OK", &image(sdp(SERVERS[0], 6_002)))
        .unwrap();
    let outer = scene
        .phone
        .expect("200 to re-INVITE", SOON, |m| {
            m.code() == 200 && m.header("CSeq").starts_with('2')
        })
        .unwrap();
    let outside = media_address(&outer);
    assert_eq!(outside.ip(), OUTSIDE);
    let ack = scene.phone.in_dialog("ACK", &answer, 2, "");
    scene.phone.send(ack.as_bytes()).unwrap();
    scene.callee.expect("ACK", SOON).unwrap();

    let lab = &scene.lab;
    let fax = lab.udp(&lab.carrier, (CALLER, 7_002).into()).unwrap();
    let gateway = lab.udp(&lab.core, (SERVERS[0], 6_002).into()).unwrap();
    // UDPTL (ITU-T T.38 section 9): sequence number 0, a primary packet; nothing like RTP.
    passes(
        lab,
        AT_ONCE,
        (&fax, outside),
        (&gateway, inside),
        &[0, 0, 1, 2, 0, 0],
    );
    passes(
        lab,
        AT_ONCE,
        (&gateway, inside),
        (&fax, outside),
        &[0, 0, 3, 0x40, 1, 2],
    );
    scene.hang_up(&answer, 3);
}

#[test]
fn early_media_follows_the_fork() {
    let scene = Scene::start("forks");
    scene
        .phone
        .send(scene.phone.invite("x", &sdp(CALLER, 7_000)).as_bytes())
        .unwrap();
    let invite = scene.callee.expect("INVITE", SOON).unwrap();
    let inside = media_address(&invite.0);
    let lab = &scene.lab;
    let phone = lab.udp(&lab.carrier, (CALLER, 7_000).into()).unwrap();
    let rtp = |sequence: u8| [&[0x80, 8, 0, sequence][..], &[0; 8], &[0xd5; 160]].concat();
    let mut outside = None;
    for (fork, (address, status)) in [
        (SERVERS[0], "183 Session Progress"),
        (SERVERS[1], "183 Session Progress"),
        (SERVERS[1], "200 OK"),
    ]
    .into_iter()
    .enumerate()
    {
        let tag = format!("fork{}", fork.min(1));
        let text = invite
            .0
            .answer(status, sip(SERVERS[0]), &sdp(address, 6_010));
        // Each fork has a To-tag of its own.
        let text: String = text
            .split_inclusive("\r\n")
            .map(|line| match line.strip_prefix("To: ") {
                Some(to) => format!(
                    "To: {};tag={tag}\r\n",
                    to.split(";tag=").next().unwrap().trim()
                ),
                None => line.to_owned(),
            })
            .collect();
        scene.callee.send(&text, invite.1).unwrap();
        let code: u16 = status.split(' ').next().unwrap().parse().unwrap();
        let seen = scene
            .phone
            .expect(status, SOON, |m| {
                m.code() == code && m.header("To").contains(&tag)
            })
            .unwrap();
        outside = Some((media_address(&seen), seen));
        if code == 183 {
            let server = lab.udp(&lab.core, (address, 6_010).into()).unwrap();
            let toward = outside.as_ref().unwrap().0;
            passes(
                lab,
                ONCE_RESOLVED,
                (&server, inside),
                (&phone, toward),
                &rtp(1),
            );
            passes(
                lab,
                ONCE_RESOLVED,
                (&phone, toward),
                (&server, inside),
                &rtp(2),
            );
        }
    }
    let (_, answer) = outside.unwrap();
    scene.phone.acknowledge(&answer).unwrap();
    scene.callee.expect("ACK", SOON).unwrap();
    scene.hang_up(&answer, 2);
}
