//! Nothing of the inside is seen on the carrier side.

use tandem_call::{CoreConfig, HidingConfig, KeyRing, Side, StreamConfig};
use tandem_policy::Transport;

use super::*;

/// A Call-ID as media servers make them.
const CALL_ID: &str = "77-1@10.0.0.11";
const PHONE: &str = POOL[0];
const FROM: &str = "\"Alice\" <sip:alice@10.0.0.11:5062>;tag=alice";
const TO: &str = "<sip:100@10.0.0.1>";

fn keys(seed: u8) -> KeyRing {
    KeyRing::generate([seed; 35])
}

fn hiding(keys: KeyRing) -> CoreConfig {
    CoreConfig {
        hiding: HidingConfig {
            enabled: true,
            keys: Some(keys),
            hide_software: false,
            strip_headers: vec!["P-Charging-*".into(), "X-Secret".into()],
            domains: vec!["pbx.example".into()],
        },
        ..config()
    }
}

fn world() -> World {
    World::with(hiding(keys(1)))
}

fn said(method: &str, to: &str, branch: &str, cseq: u32, extra: &str, body: &str) -> String {
    Request {
        branch,
        cseq,
        extra,
        body,
        ..request_of(method, to)
    }
    .text()
}

fn request_of<'a>(method: &'a str, to: &'a str) -> Request<'a> {
    Request {
        method,
        uri: "sip:100@10.0.0.1",
        me: PHONE,
        branch: "b",
        from: FROM,
        to,
        call_id: CALL_ID,
        cseq: 1,
        extra: "",
        body: "",
    }
}

/// Everything that was sent, by side; nothing of the inside is in what went out.
fn sent(world: &mut World) -> (Vec<String>, Vec<String>) {
    let (inside, outside): (Vec<_>, Vec<_>) = world
        .sent
        .drain(..)
        .partition(|p| p.to.to_string().starts_with("10."));
    let texts = |packets: Vec<Packet>| packets.into_iter().map(|p| p.text).collect::<Vec<_>>();
    let outside = texts(outside);
    for text in &outside {
        assert!(!text.contains("10.0.0."), "{text}");
    }
    (texts(inside), outside)
}

/// The only message of a method, or the last response.
fn one(texts: &[String], begin: &str) -> String {
    let hits: Vec<_> = texts.iter().filter(|t| t.starts_with(begin)).collect();
    assert_eq!(hits.len(), 1, "{begin} in {texts:#?}");
    hits[0].clone()
}

/// An answered call from the pool to the trunk.
struct Out {
    invite: String,
    token: String,
    /// The Contact that the trunk sees.
    contact: String,
}

fn call(world: &mut World) -> Out {
    world.from(
        PHONE,
        &said("INVITE", TO, "i", 1, "", &sdp("10.0.0.11", 20_000)),
    );
    let (_, outside) = sent(world);
    let invite = one(&outside, "INVITE");
    let ok = answer(
        &invite,
        TRUNK,
        "200 OK",
        "bob",
        "",
        &sdp("203.0.113.50", 41_000),
    );
    world.from(TRUNK, &ok);
    let (inside, outside) = sent(world);
    assert_eq!(outside, Vec::<String>::new());
    let ok = one(&inside, "SIP/2.0 200");
    assert_eq!(header(&ok, "Call-ID"), CALL_ID);
    assert_eq!(header(&ok, "From"), FROM);
    assert_eq!(header(&ok, "To"), format!("{TO};tag=bob"));
    world.from(PHONE, &said("ACK", &bob(), "a", 1, "", ""));
    let (_, outside) = sent(world);
    let ack = one(&outside, "ACK");
    assert_eq!(header(&ack, "Call-ID"), header(&invite, "Call-ID"));
    assert_eq!(header(&ack, "From"), header(&invite, "From"));
    Out {
        token: header(&invite, "Call-ID").into(),
        contact: uri(header(&invite, "Contact")).into(),
        invite,
    }
}

/// To with the callee's tag.
fn bob() -> String {
    format!("{TO};tag=bob")
}

impl Out {
    /// A request of the trunk's.
    fn by_trunk(&self, method: &str, branch: &str, cseq: u32, extra: &str, body: &str) -> String {
        Request {
            method,
            uri: &self.contact,
            me: TRUNK,
            branch,
            from: &format!("{};tag=bob", header(&self.invite, "To")),
            to: header(&self.invite, "From"),
            call_id: &self.token,
            cseq,
            extra,
            body,
        }
        .text()
    }
}

#[test]
fn a_call_from_the_inside_shows_nothing_of_it() {
    let mut world = world();
    let extra = "P-Asserted-Identity: <sip:alice@10.0.0.11>, <tel:+4930100>\r\n\
                 Diversion: <sip:1@10.0.0.12:5080>;reason=unconditional\r\n\
                 History-Info: <sip:2@node.PBX.example?Reason=SIP%3Bcause%3D302>;index=1\r\n\
                 Warning: 399 10.0.0.11 \"lost 10.0.0.12\"\r\n\
                 X-Where: rack 3, 172.16.5.6, [fd00::5]:5060\r\n\
                 x-secret: yes\r\nP-Charging-Vector: icid-value=a;orig-ioi=home\r\n\
                 User-Agent: PBX 1.2.3\r\n";
    let body = sdp("10.0.0.11", 20_000).replace("s=-", "s=on 10.0.0.11");
    world.from(PHONE, &said("INVITE", TO, "i", 1, extra, &body));
    let (_, outside) = sent(&mut world);
    let invite = one(&outside, "INVITE");
    assert_eq!(
        header(&invite, "From"),
        "\"Alice\" <sip:alice@198.51.100.1>;tag=alice"
    );
    assert_eq!(header(&invite, "To"), "<sip:100@198.51.100.1>");
    assert_eq!(
        header(&invite, "P-Asserted-Identity"),
        "<sip:alice@198.51.100.1>, <tel:+4930100>"
    );
    assert_eq!(
        header(&invite, "Diversion"),
        "<sip:1@198.51.100.1>;reason=unconditional"
    );
    assert_eq!(
        header(&invite, "History-Info"),
        "<sip:2@198.51.100.1?Reason=SIP%3Bcause%3D302>;index=1"
    );
    assert_eq!(
        header(&invite, "Warning"),
        "399 198.51.100.1 \"lost 198.51.100.1\""
    );
    assert_eq!(
        header(&invite, "X-Where"),
        "rack 3, 198.51.100.1, 198.51.100.1"
    );
    assert_eq!(header(&invite, "User-Agent"), "PBX 1.2.3");
    assert!(headers(&invite, "X-Secret").is_empty());
    assert!(headers(&invite, "P-Charging-Vector").is_empty());
    assert!(
        body_of(&invite).contains("s=on 198.51.100.1\r\n"),
        "{invite}"
    );
    let length: usize = header(&invite, "Content-Length").parse().unwrap();
    assert_eq!(length, body_of(&invite).len());
    let token = header(&invite, "Call-ID");
    assert!(token.starts_with("tnd1-"), "{token}");
}

fn body_of(message: &str) -> &str {
    message.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn all_of_a_dialog_has_the_same_token_outside_and_the_same_call_id_inside() {
    let mut world = world();
    let out = call(&mut world);
    let new_offer = sdp("10.0.0.11", 20_010);
    for (i, (method, body)) in [
        ("INVITE", new_offer.as_str()),
        ("INFO", ""),
        ("OPTIONS", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let n = u32::try_from(i).unwrap() + 2;
        // From the phone.
        world.from(PHONE, &said(method, &bob(), &format!("p{n}"), n, "", body));
        let (_, outside) = sent(&mut world);
        let request = one(&outside, method);
        assert_eq!(header(&request, "Call-ID"), out.token);
        assert_eq!(header(&request, "From"), header(&out.invite, "From"));
        let sdp_back = if body.is_empty() {
            String::new()
        } else {
            sdp("203.0.113.50", 41_000)
        };
        world.from(TRUNK, &answer(&request, TRUNK, "200 OK", "", "", &sdp_back));
        let (inside, _) = sent(&mut world);
        let ok = one(&inside, "SIP/2.0 200");
        assert_eq!(header(&ok, "Call-ID"), CALL_ID);
        assert_eq!(
            (header(&ok, "From"), header(&ok, "To")),
            (FROM, bob().as_str())
        );
        if method == "INVITE" {
            world.from(PHONE, &said("ACK", &bob(), &format!("pa{n}"), n, "", ""));
            assert_eq!(
                header(&one(&sent(&mut world).1, "ACK"), "Call-ID"),
                out.token
            );
        }
        // From the trunk.
        let body = if body.is_empty() {
            String::new()
        } else {
            sdp("203.0.113.50", 41_010)
        };
        world.from(TRUNK, &out.by_trunk(method, &format!("t{n}"), n, "", &body));
        let (inside, _) = sent(&mut world);
        let request = one(&inside, method);
        assert_eq!(header(&request, "Call-ID"), CALL_ID);
        assert_eq!(
            (header(&request, "From"), header(&request, "To")),
            (bob().as_str(), FROM)
        );
        let sdp_back = if body.is_empty() {
            String::new()
        } else {
            new_offer.clone()
        };
        let extra = "Server: PBX at 10.0.0.11\r\n";
        world.from(
            PHONE,
            &answer(&request, PHONE, "200 OK", "", extra, &sdp_back),
        );
        let (_, outside) = sent(&mut world);
        let ok = one(&outside, "SIP/2.0 200");
        assert_eq!(header(&ok, "Call-ID"), out.token);
        assert_eq!(header(&ok, "To"), header(&out.invite, "From"));
        assert_eq!(header(&ok, "Server"), "PBX at 198.51.100.1");
        if method == "INVITE" {
            world.from(TRUNK, &out.by_trunk("ACK", &format!("ta{n}"), n, "", ""));
            assert_eq!(header(&one(&sent(&mut world).0, "ACK"), "Call-ID"), CALL_ID);
        }
    }
    world.from(PHONE, &said("BYE", &bob(), "bye", 9, "", ""));
    let bye = one(&sent(&mut world).1, "BYE");
    assert_eq!(header(&bye, "Call-ID"), out.token);
    world.from(TRUNK, &answer(&bye, TRUNK, "200 OK", "", "", ""));
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.cdrs[0].callid, CALL_ID);
    sent(&mut world);
    world.assert_clean();
    assert_eq!(world.counter("hiding_failed"), 0);
}

#[test]
fn a_dialog_is_found_again_after_a_crash_and_by_its_own_key_after_a_rotation() {
    for (rotated, crash) in [(false, true), (true, false), (true, true)] {
        let mut world = world();
        let out = call(&mut world);
        if rotated {
            let both = KeyRing::parse(&(keys(2).file() + &keys(1).file())).unwrap();
            world.core.hiding_keys(both);
        }
        if crash {
            world = world.crash();
            world.dataplane_up();
        }
        sent(&mut world);
        // The phone's request goes out under the old token, which the trunk knows.
        world.from(PHONE, &said("INFO", &bob(), "info", 5, "", ""));
        let info = one(&sent(&mut world).1, "INFO");
        assert_eq!(header(&info, "Call-ID"), out.token);
        world.from(TRUNK, &answer(&info, TRUNK, "200 OK", "", "", ""));
        // The trunk hangs up.
        world.from(TRUNK, &out.by_trunk("BYE", "bye", 1, "", ""));
        let bye = one(&sent(&mut world).0, "BYE");
        assert_eq!(header(&bye, "Call-ID"), CALL_ID);
        assert_eq!(header(&bye, "To"), FROM);
        world.from(PHONE, &answer(&bye, PHONE, "200 OK", "", "", ""));
        let ok = one(&sent(&mut world).1, "SIP/2.0 200");
        assert_eq!(header(&ok, "Call-ID"), out.token);
        // A new call has the new key.
        world.wait(secs(40));
        let next = call(&mut world);
        assert_eq!(next.token == out.token, !rotated);
    }
}

#[test]
fn what_we_say_ourselves_is_hidden_too() {
    // CANCEL, and the ACK of the 487.
    let mut world = world();
    let invite = said("INVITE", TO, "i", 1, "", &sdp("10.0.0.11", 20_000));
    world.from(PHONE, &invite);
    let outside = one(&sent(&mut world).1, "INVITE");
    let token = header(&outside, "Call-ID").to_owned();
    world.from(
        TRUNK,
        &answer(&outside, TRUNK, "180 Ringing", "bob", "", ""),
    );
    world.from(PHONE, &invite.replace("INVITE", "CANCEL"));
    let cancel = one(&sent(&mut world).1, "CANCEL");
    for name in ["Call-ID", "From", "To"] {
        assert_eq!(header(&cancel, name), header(&outside, name));
    }
    world.from(TRUNK, &answer(&cancel, TRUNK, "200 OK", "bob", "", ""));
    world.from(
        TRUNK,
        &answer(&outside, TRUNK, "487 Request Terminated", "bob", "", ""),
    );
    let (inside, outside) = sent(&mut world);
    assert_eq!(header(&one(&outside, "ACK"), "Call-ID"), token);
    let terminated = one(&inside, "SIP/2.0 487");
    assert_eq!(header(&terminated, "From"), FROM);
    assert_eq!(header(&terminated, "To"), bob());

    // A BYE of our own: the longest duration.
    let mut limited = hiding(keys(1));
    limited.media.max_duration = secs(60);
    let mut world = World::with(limited);
    let out = call(&mut world);
    world.wait(secs(61));
    let (inside, outside) = sent(&mut world);
    let bye = &outside[0];
    assert!(bye.starts_with("BYE"), "{bye}");
    assert_eq!(header(bye, "Call-ID"), out.token);
    assert_eq!(header(bye, "From"), header(&out.invite, "From"));
    assert_eq!(header(&inside[0], "Call-ID"), CALL_ID);
}

#[test]
fn an_answer_that_comes_when_the_call_is_long_gone_is_ended_by_its_token() {
    let mut world = world();
    world.from(
        PHONE,
        &said("INVITE", TO, "i", 1, "", &sdp("10.0.0.11", 20_000)),
    );
    let invite = one(&sent(&mut world).1, "INVITE");
    world.wait(secs(10));
    assert_eq!(world.core.calls().count(), 0, "the only target was silent");
    sent(&mut world);
    let late = answer(
        &invite,
        TRUNK,
        "200 OK",
        "bob",
        "",
        &sdp("203.0.113.50", 41_000),
    );
    world.from(TRUNK, &late);
    let (_, outside) = sent(&mut world);
    for method in ["ACK", "BYE"] {
        let text = one(&outside, method);
        assert_eq!(header(&text, "Call-ID"), header(&invite, "Call-ID"));
    }
}

#[test]
fn references_to_calls_are_translated_both_ways() {
    let mut world = world();
    let out = call(&mut world);
    // The phone refers the trunk to a dialog of the phone's, named as the phone knows it.
    let refer = "Refer-To: <sip:200@10.0.0.1?Replaces=77-1%4010.0.0.11%3Bto-tag%3Dbob%3Bfrom-tag\
                 %3Dalice&Require=replaces>\r\nReferred-By: <sip:alice@10.0.0.11>\r\n";
    world.from(PHONE, &said("REFER", &bob(), "r1", 3, refer, ""));
    let seen = one(&sent(&mut world).1, "REFER");
    assert_eq!(
        header(&seen, "Refer-To"),
        format!(
            "<sip:200@198.51.100.1?Replaces={}%3Bto-tag%3Dbob%3Bfrom-tag%3Dalice&Require=replaces>",
            out.token
        )
    );
    assert_eq!(header(&seen, "Referred-By"), "<sip:alice@198.51.100.1>");
    // And the other way round, as the trunk knows it.
    let refer = format!(
        "Refer-To: <sip:200@198.51.100.1?Replaces={}%3Bto-tag%3Dalice%3Bfrom-tag%3Dbob>\r\n",
        out.token
    );
    world.from(TRUNK, &out.by_trunk("REFER", "r2", 3, &refer, ""));
    let seen = one(&sent(&mut world).0, "REFER");
    assert_eq!(
        header(&seen, "Refer-To"),
        "<sip:200@198.51.100.1?Replaces=77-1%4010.0.0.11%3Bto-tag%3Dalice%3Bfrom-tag%3Dbob>"
    );
    // A call of the carrier's that replaces ours.
    let replaces = format!(
        "Replaces: {};to-tag=alice;from-tag=bob\r\nIn-Reply-To: x@y, {}\r\n",
        out.token, out.token
    );
    let invite = invite_from(TRUNK, "carriers-own", "r3", &sdp("203.0.113.50", 41_100))
        .replace("Supported: 100rel\r\n", &replaces);
    world.from(TRUNK, &invite);
    let seen = one(&sent(&mut world).0, "INVITE");
    assert_eq!(
        header(&seen, "Replaces"),
        format!("{CALL_ID};to-tag=alice;from-tag=bob")
    );
    assert_eq!(header(&seen, "In-Reply-To"), format!("x@y, {CALL_ID}"));
    assert_eq!(header(&seen, "Call-ID"), "carriers-own");
    // The phone names the carrier's call, which both sides know by one name, and one of its own
    // that never went out.
    let join = "Join: carriers-own;to-tag=a;from-tag=b\r\n\
                Target-Dialog: private@10.0.0.11;local-tag=a\r\n";
    world.from(PHONE, &said("INFO", &bob(), "r4", 4, join, ""));
    let seen = one(&sent(&mut world).1, "INFO");
    assert_eq!(header(&seen, "Join"), "carriers-own;to-tag=a;from-tag=b");
    assert!(
        header(&seen, "Target-Dialog").starts_with("tnd1-"),
        "{seen}"
    );
}

#[test]
fn a_carriers_call_keeps_its_call_id_and_its_own_addresses() {
    let mut world = world();
    // A carrier that lives on private addresses itself, behind its border element.
    let from = "<sip:alice@172.20.0.9>;tag=alice";
    let invite = invite("theirs@172.20.0.9", &sdp("203.0.113.10", 40_000)).replace(CALLER, from);
    world.from(CARRIER, &invite);
    let (pool, inside) = at_pool(&mut world);
    assert_eq!(header(&inside, "Call-ID"), "theirs@172.20.0.9");
    sent(&mut world);
    let ip = pool.split(':').next().unwrap();
    let extra = format!("Warning: 399 {ip} \"x\"\r\nP-Asserted-Identity: <sip:100@{ip}>\r\n");
    let ok = answer(&inside, &pool, "200 OK", "bob", &extra, &sdp(ip, 20_000));
    world.from(&pool, &ok);
    let seen = one(&sent(&mut world).1, "SIP/2.0 200");
    assert_eq!(header(&seen, "Call-ID"), "theirs@172.20.0.9");
    assert_eq!(header(&seen, "From"), from);
    assert_eq!(header(&seen, "Warning"), "399 198.51.100.1 \"x\"");
    assert_eq!(
        header(&seen, "P-Asserted-Identity"),
        "<sip:100@198.51.100.1>"
    );
}

#[test]
fn forged_tokens_are_refused_and_foreign_ones_pass() {
    let mut world = world();
    let out = call(&mut world);
    let mut touched = out.token.clone();
    let last = touched.pop().unwrap();
    touched.push(if last == 'A' { 'Q' } else { 'A' });
    for (i, method) in ["BYE", "INFO", "INVITE", "ACK"].into_iter().enumerate() {
        let branch = format!("f{i}");
        world.from(
            TRUNK,
            &out.by_trunk(method, &branch, 9, "", "")
                .replace(&out.token, &touched),
        );
    }
    world.from(TRUNK, &invite_from(TRUNK, &touched, "f9", ""));
    let (inside, outside) = sent(&mut world);
    assert!(inside.is_empty(), "{inside:#?}");
    let starts: Vec<_> = outside.iter().map(|t| &t[..11]).collect();
    assert_eq!(
        starts,
        ["SIP/2.0 481", "SIP/2.0 481", "SIP/2.0 481", "SIP/2.0 403"]
    );
    assert_eq!(header(&outside[0], "Call-ID"), touched);
    // A response with one is dropped.
    world.from(PHONE, &said("INFO", &bob(), "p", 5, "", ""));
    let info = one(&sent(&mut world).1, "INFO");
    let ok = answer(&info, TRUNK, "200 OK", "", "", "");
    world.from(TRUNK, &ok.replace(&out.token, &touched));
    assert!(sent(&mut world).0.is_empty());
    assert_eq!(world.counter("hiding_tokens_forged"), 6);
    // The other carrier is an appliance like this one, with keys of its own.
    let theirs = keys(9).seal(keys(9).current(), b"1@10.9.9.9").unwrap();
    let theirs = String::from_utf8(theirs).unwrap();
    world.from(
        TRUNK,
        &invite_from(TRUNK, &theirs, "i9", &sdp("203.0.113.50", 41_000)),
    );
    let invite = one(&sent(&mut world).0, "INVITE");
    assert_eq!(header(&invite, "Call-ID"), theirs);
}

#[test]
fn a_call_is_found_by_either_of_its_call_ids() {
    let mut world = world();
    let out = call(&mut world);
    let both = vec![CALL_ID.as_bytes().to_vec(), out.token.clone().into_bytes()];
    assert_eq!(world.core.call_ids(CALL_ID.as_bytes()), both);
    assert_eq!(world.core.call_ids(out.token.as_bytes()), both);
    // One that may come yet, from either side.
    let later = world.core.call_ids(b"later");
    assert_eq!((later.len(), later[0].as_slice()), (2, &b"later"[..]));
    establish(&mut world, "carriers");
    assert_eq!(world.core.call_ids(b"carriers"), [b"carriers"]);
}

#[test]
fn what_is_no_call_is_hidden_too() {
    let mut world = world();
    world.from(PHONE, &said("MESSAGE", TO, "m", 1, "", ""));
    let seen = one(&sent(&mut world).1, "MESSAGE");
    assert!(header(&seen, "Call-ID").starts_with("tnd1-"), "{seen}");
    assert_eq!(
        header(&seen, "From"),
        "\"Alice\" <sip:alice@198.51.100.1>;tag=alice"
    );
    world.from(TRUNK, &answer(&seen, TRUNK, "200 OK", "bob", "", ""));
    let ok = one(&sent(&mut world).0, "SIP/2.0 200");
    assert_eq!(header(&ok, "Call-ID"), CALL_ID);
    assert_eq!(
        (header(&ok, "From"), header(&ok, "To")),
        (FROM, bob().as_str())
    );
}

#[test]
fn a_call_that_is_redirected_or_changes_its_transport_stays_hidden() {
    let mut config = hiding(keys(1));
    config.routing.follow_redirects = true;
    config.streams = vec![StreamConfig {
        listen: OUTSIDE.parse().unwrap(),
        transport: Transport::Tcp,
        side: Side::External,
        realm: Some(0),
    }];
    let mut world = World::with(config);
    world.from(
        PHONE,
        &said("INVITE", TO, "i", 1, "", &sdp("10.0.0.11", 20_000)),
    );
    let invite = one(&sent(&mut world).1, "INVITE");
    let elsewhere = answer(&invite, TRUNK, "302 Moved Temporarily", "t", "", "").replace(
        &format!("<sip:media@{TRUNK}>"),
        "<sip:100@203.0.113.51:5060>",
    );
    world.from(TRUNK, &elsewhere);
    let again = one(&sent(&mut world).1, "INVITE");
    assert_eq!(start(&again), "INVITE sip:100@203.0.113.51:5060 SIP/2.0");
    assert_eq!(header(&again, "Call-ID"), header(&invite, "Call-ID"));
    // The answer's Contact asks for TCP.
    let there = "203.0.113.51:5060";
    let ok = answer(
        &again,
        there,
        "200 OK",
        "bob",
        "",
        &sdp("203.0.113.51", 41_000),
    )
    .replace(&format!("{there}>"), &format!("{there};transport=tcp>"));
    world.from(there, &ok);
    assert_eq!(
        header(&one(&sent(&mut world).0, "SIP/2.0 200"), "Call-ID"),
        CALL_ID
    );
    world.from(PHONE, &said("ACK", &bob(), "a", 1, "", ""));
    let ack = one(&sent(&mut world).1, "ACK");
    assert!(header(&ack, "Via").starts_with("SIP/2.0/TCP"), "{ack}");
    assert_eq!(header(&ack, "Call-ID"), header(&invite, "Call-ID"));
    assert_eq!(header(&ack, "From"), header(&invite, "From"));
}

#[test]
fn without_its_key_a_call_shows_nothing_at_all() {
    let mut world = world();
    let out = call(&mut world);
    world.core.hiding_keys(keys(2));
    world.from(PHONE, &said("BYE", &bob(), "b", 5, "", ""));
    let (_, outside) = sent(&mut world);
    assert!(outside.is_empty(), "{outside:#?}");
    assert!(world.counter("hiding_failed") > 0);
    // What the trunk says is no call of ours any more.
    world.from(TRUNK, &out.by_trunk("BYE", "t", 5, "", ""));
    assert!(one(&sent(&mut world).1, "SIP/2.0").starts_with("SIP/2.0 481"));
}

#[test]
fn it_can_be_switched_off_and_running_calls_stay_hidden() {
    let mut world = world();
    let out = call(&mut world);
    let mut off = hiding(keys(1));
    off.hiding.enabled = false;
    let mut world = world.crash_with(off);
    world.dataplane_up();
    world.from(PHONE, &said("BYE", &bob(), "b", 5, "", ""));
    let bye = one(&sent(&mut world).1, "BYE");
    assert_eq!(header(&bye, "Call-ID"), out.token);
    world.from(TRUNK, &answer(&bye, TRUNK, "200 OK", "", "", ""));
    world.wait(secs(40));
    world.sent.clear();
    world.from(
        PHONE,
        &said("INVITE", TO, "i2", 1, "", &sdp("10.0.0.11", 20_000)),
    );
    let invite = world.one_to(TRUNK);
    assert_eq!(header(&invite, "Call-ID"), CALL_ID);
    assert_eq!(header(&invite, "From"), FROM);
}

#[test]
fn it_can_be_switched_off_and_on_while_calls_are_up() {
    let mut world = world();
    let out = call(&mut world);
    let mut off = hiding(keys(1));
    // As a daemon has it that needs no keys.
    (off.hiding.enabled, off.hiding.keys) = (false, None);
    world.input(tandem_call::Input::Config(Box::new(off)));
    assert_eq!(world.counter("configs_taken"), 1);
    let invite = Request {
        call_id: "another",
        branch: "i2",
        body: &sdp("10.0.0.11", 20_000),
        ..request_of("INVITE", TO)
    };
    world.from(PHONE, &invite.text());
    let seen = world.one_to(TRUNK);
    assert_eq!(header(&seen, "Call-ID"), "another");
    world.from(PHONE, &said("INFO", &bob(), "info", 4, "", ""));
    assert_eq!(header(&world.one_to(TRUNK), "Call-ID"), out.token);
    world.sent.clear();
    // Other keys come by themselves, or calls would be lost.
    world.input(tandem_call::Input::Config(Box::new(hiding(keys(2)))));
    // Each goes on as it began.
    let ok = answer(
        &seen,
        TRUNK,
        "200 OK",
        "bob",
        "",
        &sdp("203.0.113.50", 4_000),
    );
    world.from(TRUNK, &ok);
    let answered = world.one_to(PHONE);
    assert_eq!(header(&answered, "Call-ID"), "another");
    world.from(PHONE, &said("BYE", &bob(), "b", 5, "", ""));
    let bye = world.one_to(TRUNK);
    assert_eq!(header(&bye, "Call-ID"), out.token);
    world.from(TRUNK, &answer(&bye, TRUNK, "200 OK", "", "", ""));
    assert!(world.one_to(PHONE).starts_with("SIP/2.0 200"));
}

#[test]
fn contacts_keep_what_they_say_of_the_device() {
    let mut world = world();
    let told = ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\";audio;reg-id=1";
    let with = |text: &str, me: &str| {
        text.replace(
            &format!("<sip:user@{me}>"),
            &format!("<sip:user@{me};ob>{told}"),
        )
        .replace(
            &format!("<sip:media@{me}>"),
            &format!("<sip:media@{me};ob>{told}"),
        )
    };
    let invite = said("INVITE", TO, "i", 1, "", &sdp("10.0.0.11", 20_000));
    world.from(PHONE, &with(&invite, PHONE));
    let invite = one(&sent(&mut world).1, "INVITE");
    assert_eq!(
        header(&invite, "Contact"),
        format!("<{}>{told}", uri(header(&invite, "Contact")))
    );
    assert!(!invite.contains(";ob"), "{invite}");
    let ok = answer(
        &invite,
        TRUNK,
        "200 OK",
        "bob",
        "",
        &sdp("203.0.113.50", 41_000),
    );
    world.from(TRUNK, &with(&ok, TRUNK));
    let ok = one(&sent(&mut world).0, "SIP/2.0 200");
    assert!(header(&ok, "Contact").ends_with(told), "{ok}");
}

#[test]
fn names_of_software_pass_only_if_they_may() {
    let mut config = hiding(keys(1));
    config.hiding.hide_software = true;
    let mut world = World::with(config);
    let extra = "User-Agent: PBX 1.2.3\r\n";
    world.from(
        PHONE,
        &said("INVITE", TO, "i", 1, extra, &sdp("10.0.0.11", 20_000)),
    );
    let invite = one(&sent(&mut world).1, "INVITE");
    assert!(headers(&invite, "User-Agent").is_empty(), "{invite}");
}
