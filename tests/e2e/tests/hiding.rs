//! Topology hiding on the wire: what a carrier sees of calls that come from the inside.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tandem_e2e::capture::Capture;
use tandem_e2e::sip::{Callee, Message, Phone, sdp};
use tandem_e2e::sipp::{Caller, Calls};
use tandem_e2e::topology::{CARRIER_LINK, INSIDE, OUTSIDE, SERVERS, TRUNK, sip};
use tandem_e2e::{Lab, Options};

const SOON: Duration = Duration::from_secs(10);

/// What no carrier may see: every address of the inside begins so.
const INNER: &str = "10.20.0.";

/// A laboratory whose trunk is the test itself, and so is the media server that calls.
struct Scene {
    trunk: Callee,
    phone: Phone,
    capture: Capture,
    lab: Lab,
}

impl Scene {
    fn start(name: &str) -> Self {
        let options = Options {
            pool: vec![sip(SERVERS[0]), sip(SERVERS[1])],
            probe_interval: 0,
            ..Options::default()
        };
        let lab = Lab::start(options).unwrap();
        let capture = Capture::whole(&lab, &lab.carrier, "carrier", CARRIER_LINK).unwrap();
        let trunk = Callee::new(lab.udp(&lab.carrier, sip(TRUNK)).unwrap()).unwrap();
        let socket = lab.udp(&lab.core, sip(SERVERS[0])).unwrap();
        let phone = Phone::new(socket, sip(INSIDE), name).unwrap();
        Self {
            trunk,
            phone,
            capture,
            lab,
        }
    }

    /// An answered and acknowledged call: what the trunk was asked, and what the phone was
    /// answered.
    fn call(&self) -> (Message, Message) {
        let told = format!(
            "P-Asserted-Identity: <sip:+4930100@{0}>\r\nDiversion: <sip:1@{0}:5080>\r\n\
             User-Agent: media server at {0}\r\nContact",
            SERVERS[0]
        );
        let invite = self.phone.invite("x", &sdp(SERVERS[0], 7_000));
        let invite = invite.replacen("Contact", &told, 1);
        self.phone.send(invite.as_bytes()).unwrap();
        let asked = self.trunk.expect("INVITE", SOON).unwrap();
        self.trunk
            .answer(&asked, "200 OK", &sdp(TRUNK, 6_000))
            .unwrap();
        let answer = self.phone.expect("200", SOON, |m| m.code() == 200).unwrap();
        self.phone.acknowledge(&answer).unwrap();
        self.trunk.expect("ACK", SOON).unwrap();
        (asked.0, answer)
    }

    /// The phone asks, the trunk agrees; returns what the trunk saw.
    fn by_phone(
        &self,
        method: &str,
        answer: &Message,
        cseq: u32,
        extra: &str,
        body: &str,
    ) -> Message {
        let text = self.phone.in_dialog(method, answer, cseq, body);
        let text = text.replacen("Max-Forwards:", &format!("{extra}Max-Forwards:"), 1);
        self.phone.send(text.as_bytes()).unwrap();
        let seen = self.trunk.expect(method, SOON).unwrap();
        let agreed = if body.is_empty() {
            String::new()
        } else {
            sdp(TRUNK, 6_002)
        };
        self.trunk.answer(&seen, "200 OK", &agreed).unwrap();
        let said = format!("{cseq} {method}");
        self.phone
            .expect("an answer", SOON, |m| {
                m.code() == 200 && m.header("CSeq") == said
            })
            .unwrap();
        seen.0
    }

    /// The trunk asks in the dialog of this INVITE; returns what the phone saw. The phone agrees.
    fn by_trunk(
        &self,
        invite: &Message,
        method: &str,
        cseq: u32,
        extra: &str,
        body: &str,
    ) -> Message {
        let contact = invite.header("Contact");
        let uri = contact.split(['<', '>']).nth(1).unwrap();
        let (local, id) = (sip(TRUNK), invite.header("Call-ID"));
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK-{cseq}{method}\r\n\
             Max-Forwards: 70\r\nFrom: {};tag=callee\r\nTo: {}\r\nCall-ID: {id}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:callee@{local}>\r\n{extra}{kind}\
             Content-Length: {}\r\n\r\n{body}",
            invite.header("To"),
            invite.header("From"),
            body.len()
        );
        self.trunk.send(&text, sip(OUTSIDE)).unwrap();
        if method == "ACK" {
            return self
                .phone
                .expect("ACK", SOON, |m| m.method() == "ACK")
                .unwrap();
        }
        let seen = self
            .phone
            .expect(method, SOON, |m| m.method() == method)
            .unwrap();
        let agreed = if body.is_empty() {
            String::new()
        } else {
            sdp(SERVERS[0], 7_002)
        };
        let ok = seen.answer("200 OK", sip(SERVERS[0]), &agreed);
        self.phone.send(ok.as_bytes()).unwrap();
        let said = format!("{cseq} {method}");
        loop {
            let back = self.trunk.next(SOON).unwrap();
            if back.code() == 200 && back.header("CSeq") == said {
                assert_eq!(back.header("Call-ID"), id);
                return seen;
            }
        }
    }
}

/// What tshark has to say of a file under this filter, a line a packet.
fn tshark(file: &Path, filter: &str, fields: &[&str]) -> Vec<String> {
    let mut command = Command::new("tshark");
    command
        .args(["-n", "-r"])
        .arg(file)
        .args(["-Y", filter, "-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(str::to_owned).collect()
}

/// The capture has at least so many SIP messages, none of which is malformed or says anything of the
/// inside.
fn assert_hidden(file: &Path, messages: usize) {
    let all = tshark(file, "sip", &["sip.Call-ID"]);
    assert!(all.len() >= messages, "{} messages", all.len());
    // The severity of an error, as tshark numbers it.
    let bad = "_ws.malformed || (sip && _ws.expert.severity >= 0x00800000)";
    let bad = tshark(file, bad, &["frame.number", "_ws.expert.message"]);
    assert!(bad.is_empty(), "{bad:#?}");
    let bytes = std::fs::read(file).unwrap();
    let found = bytes
        .windows(INNER.len())
        .position(|w| w == INNER.as_bytes());
    if let Some(at) = found {
        let around = &bytes[at.saturating_sub(300)..(at + 100).min(bytes.len())];
        panic!("{}", String::from_utf8_lossy(around));
    }
}

#[test]
fn a_carrier_sees_nothing_of_the_inside_and_every_request_finds_its_way() {
    let scene = Scene::start("inner");
    let (invite, answer) = scene.call();
    let token = invite.header("Call-ID").to_owned();
    assert!(token.starts_with("tnd1-"), "{token}");
    let inner_id = scene.phone.call_id();

    // re-INVITEs both ways.
    let seen = scene.by_phone("INVITE", &answer, 2, "", &sdp(SERVERS[0], 7_002));
    assert_eq!(seen.header("Call-ID"), token);
    assert!(
        seen.body().contains(&format!("IN IP4 {OUTSIDE}")),
        "{}",
        seen.text
    );
    let ack = scene.phone.in_dialog("ACK", &answer, 2, "");
    scene.phone.send(ack.as_bytes()).unwrap();
    assert_eq!(
        scene.trunk.expect("ACK", SOON).unwrap().0.header("Call-ID"),
        token
    );
    let seen = scene.by_trunk(&invite, "INVITE", 11, "", &sdp(TRUNK, 6_004));
    assert_eq!(seen.header("From"), answer.header("To"));
    scene.by_trunk(&invite, "ACK", 11, "", "");

    // REFER with Replaces both ways: each names the dialog as it knows it.
    let target = |uri: &str, id: &str| {
        let id = id.replace('@', "%40");
        format!("Refer-To: <{uri}?Replaces={id}%3Bto-tag%3Dcallee%3Bfrom-tag%3Dtag-inner>\r\n")
    };
    let seen = scene.by_phone(
        "REFER",
        &answer,
        3,
        &target("sip:y@10.20.0.22", inner_id),
        "",
    );
    let told = target(&format!("sip:y@{OUTSIDE}"), &token);
    assert_eq!(
        seen.header("Refer-To"),
        told.trim().split_once(": ").unwrap().1
    );
    let seen = scene.by_trunk(&invite, "REFER", 12, &told, "");
    let told = target(&format!("sip:y@{OUTSIDE}"), inner_id);
    assert_eq!(
        seen.header("Refer-To"),
        told.trim().split_once(": ").unwrap().1
    );

    // The phone hangs up; in a second call, the trunk.
    let seen = scene.by_phone("BYE", &answer, 4, "", "");
    assert_eq!(seen.header("Call-ID"), token);
    scene.lab.wait_until_quiet(1, SOON).unwrap();

    let counters = scene.lab.ctl().counters().unwrap();
    assert!(counters.value("hiding_tokens_opened") >= 7);
    assert_eq!(counters.value("hiding_tokens_forged"), 0);
    assert_eq!(counters.value("hiding_failed"), 0);
    let file = scene.capture.stop().unwrap();
    assert_hidden(&file, 15);
    let ids = tshark(&file, "sip", &["sip.Call-ID"]);
    assert!(ids.iter().all(|id| *id == token), "{ids:?}");
}

#[test]
fn a_killed_signaling_plane_knows_the_token_again() {
    let mut scene = Scene::start("killed");
    let (invite, answer) = scene.call();
    scene.lab.kill_sigplane();
    scene.lab.start_sigplane().unwrap();
    scene.lab.wait_until_ready().unwrap();
    let seen = scene.by_phone("INFO", &answer, 2, "", "");
    assert_eq!(seen.header("Call-ID"), invite.header("Call-ID"));
    assert_eq!(seen.header("From"), invite.header("From"));
    let seen = scene.by_trunk(&invite, "BYE", 11, "", "");
    assert_eq!(seen.header("Call-ID"), scene.phone.call_id());
    assert_eq!(seen.header("From"), answer.header("To"));
    scene.lab.wait_until_quiet(1, SOON).unwrap();
    let file = scene.capture.stop().unwrap();
    assert_hidden(&file, 7);
}

#[test]
fn calls_of_sipp_from_the_inside_show_no_address() {
    let lab = Lab::start(Options {
        probe_interval: 0,
        ..Options::default()
    })
    .unwrap();
    let capture = Capture::whole(&lab, &lab.carrier, "carrier", CARRIER_LINK).unwrap();
    let _trunk = tandem_e2e::sipp::Server::start(&lab, &lab.carrier, "trunk", TRUNK).unwrap();
    let calls = Calls {
        from: SERVERS[1],
        to: INSIDE,
        count: 20,
        rate: 20,
        talk: Duration::from_secs(1),
        ..Calls::default()
    };
    let caller = Caller::start(&lab, &lab.core, "caller", &calls).unwrap();
    let tally = caller.finish(SOON).unwrap();
    assert_eq!(
        (tally.successful, tally.failed),
        (20, 0),
        "{}",
        lab.daemons_said()
    );
    lab.wait_until_quiet(20, SOON).unwrap();
    let file = capture.stop().unwrap();
    assert_hidden(&file, 20 * 6);
    let mut ids = tshark(&file, "sip", &["sip.Call-ID"]);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20, "{ids:?}");
}
