//! Whatever comes: no panic, bounded state, calls in progress not harmed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

mod world;

use std::time::Duration;

use proptest::prelude::*;
use tandem_link::{Command, Event, FlowId, Leg};
use world::*;

/// A change to a message's bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, u8),
    Double(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    DropLine(prop::sample::Index),
    DoubleLine(prop::sample::Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<prop::sample::Index>;
    let word = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"\r\n\r\n".to_vec()),
        Just(b",".to_vec()),
        Just(b"<".to_vec()),
        Just(b"\"".to_vec()),
        Just(b";tag=x".to_vec()),
        Just(b"99999999999999999999".to_vec()),
        Just(b"\0".to_vec()),
        Just(b"\xff\xfe".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(i, b)| Mutation::Flip(i, b)),
        at().prop_map(Mutation::Cut),
        (at(), 1_u8..60).prop_map(|(i, n)| Mutation::Remove(i, n)),
        (at(), 1_u8..60).prop_map(|(i, n)| Mutation::Double(i, n)),
        (at(), word).prop_map(|(i, w)| Mutation::Insert(i, w)),
        at().prop_map(Mutation::DropLine),
        at().prop_map(Mutation::DoubleLine),
    ]
}

fn mutate(text: &str, mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for mutation in mutations {
        if bytes.is_empty() {
            break;
        }
        let len = bytes.len();
        let span = |i: &prop::sample::Index, n: u8| {
            let start = i.index(len);
            start..(start + usize::from(n)).min(len)
        };
        match mutation {
            Mutation::Flip(i, b) => bytes[i.index(len)] = *b,
            Mutation::Cut(i) => bytes.truncate(i.index(len)),
            Mutation::Remove(i, n) => drop(bytes.drain(span(i, *n))),
            Mutation::Double(i, n) => {
                let range = span(i, *n);
                let piece = bytes[range.clone()].to_vec();
                bytes.splice(range.start..range.start, piece);
            }
            Mutation::Insert(i, w) => {
                let at = i.index(len);
                bytes.splice(at..at, w.iter().copied());
            }
            Mutation::DropLine(i) | Mutation::DoubleLine(i) => {
                let lines: Vec<Vec<u8>> = bytes
                    .split_inclusive(|b| *b == b'\n')
                    .map(<[u8]>::to_vec)
                    .collect();
                let at = i.index(lines.len());
                let twice = matches!(mutation, Mutation::DoubleLine(_));
                bytes = lines
                    .iter()
                    .enumerate()
                    .flat_map(|(n, l)| {
                        std::iter::repeat_n(
                            l,
                            match (n == at, twice) {
                                (true, true) => 2,
                                (true, false) => 0,
                                _ => 1,
                            },
                        )
                    })
                    .flatten()
                    .copied()
                    .collect();
            }
        }
    }
    bytes
}

/// Every kind of message that a call has, and who sends it.
fn messages(dialog: &Dialog) -> Vec<(String, String)> {
    let carrier = |text: String| (CARRIER.to_owned(), text);
    let pool = |text: String| (dialog.pool.clone(), text);
    let hold = sdp_with("203.0.113.10", 40_000, "inactive");
    let parts = "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n";
    vec![
        carrier(invite_from(
            CARRIER,
            "new",
            "new",
            &sdp("203.0.113.10", 42_000),
        )),
        carrier(invite_from(CARRIER, "late", "late", "")),
        carrier(invite_from(CARRIER, "new", "new", "").replace("INVITE", "CANCEL")),
        carrier(invite_from(CARRIER, "parts", "parts", parts).replace(
            "application/sdp\r\nContent-L",
            "multipart/mixed;boundary=b\r\nContent-L",
        )),
        carrier(dialog.by_caller("INVITE", "m1", 2, "", &hold)),
        carrier(dialog.by_caller("ACK", "m2", 2, "", "")),
        carrier(dialog.by_caller("UPDATE", "m3", 3, "", &sdp("203.0.113.10", 40_002))),
        carrier(dialog.by_caller("PRACK", "m4", 4, "RAck: 1 1 INVITE\r\n", "")),
        pool(dialog.by_callee("INFO", "m5", 1, "", "")),
        pool(dialog.by_callee("INVITE", "m6", 2, "", &sdp("10.0.0.11", 20_002))),
        pool(dialog.by_callee("REFER", "m7", 3, "Refer-To: <sip:x@y>\r\n", "")),
        carrier(dialog.by_caller("OPTIONS", "m8", 9, "", "")),
        pool(invite_from(
            "10.0.0.11:5060",
            "out",
            "out",
            &sdp("10.0.0.11", 20_010),
        )),
        (STRANGER.to_owned(), invite_from(STRANGER, "s", "s", "")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Mutated requests, and mutated answers to all that we then send.
    #[test]
    fn mutated_messages_do_no_harm(
        picks in proptest::collection::vec(
            (any::<prop::sample::Index>(), proptest::collection::vec(mutation(), 0..4)), 1..8),
        replies in proptest::collection::vec(
            (100_u16..700, proptest::collection::vec(mutation(), 0..3), any::<bool>()), 0..8),
        waits in proptest::collection::vec(0_u64..40_000, 0..4),
    ) {
        let mut world = World::new();
        let dialog = establish(&mut world, "live");
        for (pick, mutations) in &picks {
            let all = messages(&dialog);
            let (from, text) = &all[pick.index(all.len())];
            world.from_bytes(from, &mutate(text, mutations));
        }
        for (code, mutations, media) in &replies {
            let Some(packet) = world.sent.pop() else { break };
            if packet.text.starts_with("SIP/2.0") || packet.text.starts_with("ACK") {
                continue;
            }
            let peer = packet.to.to_string();
            let body = if *media { sdp("10.0.0.11", 20_100) } else { String::new() };
            let text = answer(&packet.text, &peer, &format!("{code} X"), "bob", "", &body);
            world.from_bytes(&peer, &mutate(&text, mutations));
        }
        for wait in waits {
            world.wait(Duration::from_millis(wait));
        }
        // The live call is still there, or was ended by a BYE or an answer that we passed; in the
        // end nothing is left but it.
        world.wait(Duration::from_secs(600));
        let calls: Vec<_> = world.core.calls().collect();
        prop_assert!(calls.iter().all(|c| c.state.as_str() == "confirmed"), "{calls:?}");
        prop_assert_eq!(world.journal.len(), calls.len());
        let wanted: usize = calls.iter().map(|c| c.flows.len()).sum();
        prop_assert_eq!(world.flows.len(), wanted);
        prop_assert_eq!(world.counter("transactions_client_now"), 0);
        prop_assert_eq!(world.counter("transactions_server_now"), 0);
        let counted: u64 = world.core.dispatcher().map(|t| t.calls).sum();
        prop_assert_eq!(counted, calls.len() as u64);
        prop_assert_eq!(
            world.counter("calls"), world.cdrs.len() as u64 + calls.len() as u64
        );
        // And what is left survives a crash as it is.
        let keys: Vec<_> = calls.iter().map(|c| c.key).collect();
        let mut world = world.crash();
        world.dataplane_up();
        let restored: Vec<_> = world.core.calls().map(|c| c.key).collect();
        prop_assert_eq!(keys, restored);
        prop_assert_eq!(world.flows.len(), wanted);
    }

    /// Any bytes at all.
    #[test]
    fn any_bytes_do_no_harm(datagrams in proptest::collection::vec(
        proptest::collection::vec(any::<u8>(), 0..200), 0..20)
    ) {
        let mut world = World::new();
        for bytes in &datagrams {
            world.from_bytes(STRANGER, bytes);
        }
        world.assert_clean();
    }

    /// Any bytes as a journal record, and any cut of a real one.
    #[test]
    fn any_journal_record_is_read_or_refused(bytes: Vec<u8>, cut: prop::sample::Index, flip: u8) {
        let mut world = World::new();
        establish(&mut world, "live");
        let (key, body) = world.journal.iter().next().map(|(k, b)| (*k, b.clone())).unwrap();
        let mut changed = body.clone();
        let at = cut.index(changed.len());
        changed[at] = flip;
        for record in [&bytes[..], &body[..at], &changed[..]] {
            let mut core = tandem_call::Core::new(config(), [3; 16]);
            let _ = core.restore(world.now, key, record);
            while core.output().is_some() {}
            let hello = world.hello();
            core.input(world.now, tandem_call::Input::DataplaneUp(&hello));
            core.input(world.now, tandem_call::Input::Timer);
        }
    }
}

/// The dataplane's words about flows and calls that do not exist.
#[test]
fn a_confused_dataplane_does_no_harm() {
    let mut world = World::new();
    let _ = establish(&mut world, "live");
    let cookie = world.flows.values().next().unwrap().cookie;
    let flow = FlowId(u64::MAX);
    let source = "203.0.113.10:1".parse().unwrap();
    for cookie in [cookie, tandem_link::Cookie(0)] {
        world.event(Event::MediaTimeout { flow, cookie });
        world.event(Event::MediaResumed { flow, cookie });
        world.event(Event::Latched {
            flow,
            cookie,
            leg: Leg::B,
            rtcp: true,
            source,
        });
    }
    for seq in [0, 1, u64::MAX] {
        let done = tandem_link::FromDataplane::Done {
            seq,
            result: Ok(()),
        };
        world.input(tandem_call::Input::Dataplane(done));
    }
    assert_eq!(world.core.calls().count(), 1);
    assert!(
        !world
            .commands
            .iter()
            .any(|c| matches!(c, Command::RemoveFlow { .. }))
    );
}
