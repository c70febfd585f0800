//! Whatever passes, in whatever order.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

/// Addresses of the peers; none of ours begins like them.
fn peer() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => Just("172.16.9.1"),
        2 => Just("172.16.9.2"),
        1 => Just("2001:db8:9::1"),
        1 => Just("0.0.0.0"),
    ]
}

fn section() -> impl Strategy<Value = String> {
    let protocol = prop_oneof![
        5 => Just("RTP/AVP"),
        1 => Just("udptl"),
        1 => Just("TCP/MSRP"),
        1 => Just("UDP/TLS/RTP/SAVPF"),
    ];
    let port = prop_oneof![4 => 1_u16..=65535, 1 => Just(0)];
    let own = proptest::option::weighted(0.3, peer());
    let attribute = prop_oneof![
        Just("a=rtcp:4444 IN IP4 172.16.9.1\r\n"),
        Just("a=rtcp:4444\r\n"),
        Just("a=rtcp-mux\r\n"),
        Just("a=sendonly\r\n"),
        Just("a=inactive\r\n"),
        Just("a=candidate:1 1 UDP 1 172.16.9.1 4444 typ host\r\n"),
        Just("a=ice-ufrag:x\r\n"),
        Just("a=rtpmap:0 PCMU/8000\r\n"),
    ];
    let attributes = proptest::collection::vec(attribute, 0..4);
    (protocol, port, own, attributes).prop_map(|(protocol, port, own, attributes)| {
        let c = own.map(connection).unwrap_or_default();
        format!("m=audio {port} {protocol} 0\r\n{c}{}", attributes.concat())
    })
}

fn connection(address: &str) -> String {
    let kind = if address.contains(':') { "IP6" } else { "IP4" };
    format!("c=IN {kind} {address}\r\n")
}

fn sdp() -> impl Strategy<Value = String> {
    (peer(), proptest::collection::vec(section(), 0..4))
        .prop_map(|(address, sections)| head(address) + &sections.concat())
}

#[derive(Clone, Debug)]
enum Step {
    Offer(Party, String),
    Answer(Party, &'static str, String),
    Reject,
    Settle,
    NextTarget(u16),
    Restore,
}

fn step() -> impl Strategy<Value = Step> {
    let party = || prop_oneof![2 => Just(Party::Caller), 1 => Just(Party::Callee)];
    let tag = prop_oneof![Just("t1"), Just("t2")];
    prop_oneof![
        5 => (party(), sdp()).prop_map(|(p, s)| Step::Offer(p, s)),
        8 => (party(), tag, sdp()).prop_map(|(p, t, s)| Step::Answer(p, t, s)),
        1 => Just(Step::Reject),
        1 => Just(Step::Settle),
        1 => (1_u16..3).prop_map(Step::NextTarget),
        1 => Just(Step::Restore),
    ]
}

/// What an SDP toward a party may show: our addresses of its own realm.
fn shows_only_ours(sdp: &str, session: &Session, to: Party) {
    let own: &[&str] = match to.of(&session.realms) {
        0 => &["192.0.2.1", "2001:db8::1"],
        1 => &["10.0.0.1"],
        _ => &["fd00::1"],
    };
    for line in sdp
        .lines()
        .filter(|l| ["o=", "c=", "a="].iter().any(|p| l.starts_with(p)))
    {
        assert!(
            !line.contains("172.16.9.") && !line.contains("2001:db8:9::"),
            "{line}"
        );
        assert!(
            !line.starts_with("a=candidate") && !line.starts_with("a=ice-"),
            "{line}"
        );
        if let Some((_, address)) = line.split_once(" IP4 ").or(line.split_once(" IP6 ")) {
            assert!(
                own.contains(&address) || ["0.0.0.0", "::"].contains(&address),
                "{line}"
            );
        }
    }
}

/// What has to hold at any time. `installed` is what the dataplane has.
fn check(call: &Call, installed: &[FlowSpec]) {
    let mut flows = call.session.flows();
    let table = SlotTable::deal(&[0, 1]);
    let ids: HashSet<_> = flows.iter().map(|f| f.id).collect();
    assert_eq!(ids.len(), flows.len());
    let legs = || flows.iter().flat_map(|f| [&f.a, &f.b]);
    let ends: HashSet<_> = legs().map(|leg| (leg.realm, leg.local, leg.port)).collect();
    assert_eq!(ends.len(), 2 * flows.len());
    for leg in legs() {
        for remote in [leg.remote, leg.remote_rtcp].into_iter().flatten() {
            assert_eq!(remote.is_ipv4(), leg.local.is_ipv4());
        }
    }
    for flow in &flows {
        assert_eq!(table.owner(flow.a.port), table.owner(flow.b.port));
    }
    flows.sort_by_key(|f| f.id);
    assert_eq!(installed, flows);
}

/// Carries a command out as the dataplane would: it refuses a port that another flow has.
fn carry_out(installed: &mut Vec<FlowSpec>, command: Command) {
    match command {
        Command::PutFlow(spec) => {
            installed.retain(|f| f.id != spec.id);
            for old in &*installed {
                assert_ne!((old.a.local, old.a.port), (spec.a.local, spec.a.port));
                assert_ne!((old.b.local, old.b.port), (spec.b.local, spec.b.port));
            }
            installed.push(spec);
        }
        Command::RemoveFlow { flow: id, .. } => {
            assert!(installed.iter().any(|f| f.id == id));
            installed.retain(|f| f.id != id);
        }
        other => panic!("{other:?}"),
    }
}

/// Takes a step; what came out of an offer or answer, and for whom.
fn take(call: &mut Call, step: Step) -> Option<(Party, Result<String, Refusal>)> {
    match step {
        Step::Offer(from, sdp) => return Some((from.other(), call.offer(from, &sdp))),
        Step::Answer(from, tag, sdp) => {
            return Some((from.other(), call.answer(from, tag, &sdp)));
        }
        Step::Reject => call.session.reject_offer(&mut call.ports),
        Step::Settle => call.session.settle(&mut call.ports),
        Step::NextTarget(realm) => call.session.next_target(&mut call.ports, realm),
        Step::Restore => {
            let before = (call.session.flows(), call.used());
            let bytes = postcard::to_allocvec(&call.session).unwrap();
            call.session = postcard::from_bytes(&bytes).unwrap();
            call.ports = ports();
            call.session.restore(&mut call.ports).unwrap();
            assert_eq!((call.session.flows(), call.used()), before);
        }
    }
    None
}

proptest! {
    #[test]
    fn ports_flows_and_addresses_stay_in_order(
        steps in proptest::collection::vec(step(), 1..20),
    ) {
        let mut call = Call::new();
        let mut installed: Vec<FlowSpec> = Vec::new();
        for step in steps {
            let before = (call.session.flows(), call.used());
            match take(&mut call, step) {
                Some((to, Ok(sdp))) => shows_only_ours(&sdp, &call.session, to),
                Some((_, Err(refusal))) => {
                    prop_assert!([400, 488, 503].contains(&refusal.status));
                    prop_assert_eq!((call.session.flows(), call.used()), before, "{}", refusal);
                }
                None => {}
            }
            for command in call.commands() {
                carry_out(&mut installed, command);
            }
            installed.sort_by_key(|f| f.id);
            check(&call, &installed);
        }
        call.close();
    }
}
