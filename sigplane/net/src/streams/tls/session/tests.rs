use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::*;

#[derive(Debug)]
struct Nothing;

impl ResolvesServerCert for Nothing {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

fn sessions() -> [Session; 2] {
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Nothing));
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
    let mut client = Session::client(Arc::new(client), name).unwrap();
    client.begin(&mut Vec::new()).unwrap();
    [Session::server(Arc::new(server)).unwrap(), client]
}

/// Bytes come: behind what is held, as a connection puts them.
fn come(session: &mut Session, bytes: &[u8]) -> (Result<Turn, Error>, Vec<u8>) {
    let mut input = [session.held(), bytes].concat();
    let mut out = Vec::new();
    let turn = session.receive(&mut input, &mut Vec::new(), &mut out);
    (turn, out)
}

/// The beginning of a hello that is longer than its record.
fn part(kind: u8) -> Vec<u8> {
    vec![0x16, 3, 3, 0, 6, kind, 0, 0, 0xff, 3, 3]
}

#[test]
fn a_part_of_a_handshake_message_is_shown_again_whatever_is_done() {
    for (mut session, kind) in sessions().into_iter().zip([1, 2]) {
        let (turn, _) = come(&mut session, &part(kind));
        assert!(turn.is_ok());
        assert_eq!(session.held().len(), 11);
        // Neither can be done yet; but neither may lose its place.
        let _ = session.send(b"too early", &mut Vec::new());
        session.close(&mut Vec::new());
        assert_eq!(session.held().len(), 11);
        let (turn, _) = come(&mut session, b"\x17\x03\x03\x00\x01x");
        assert!(turn.is_err());
        // After an error, nothing more.
        session.close(&mut Vec::new());
        assert!(session.send(b"too late", &mut Vec::new()).is_err());
        assert!(come(&mut session, &part(kind)).0.is_err());
    }
}

#[test]
fn the_peer_is_told_what_is_wrong() {
    let [mut server, _] = sessions();
    // A ClientHello of two bytes.
    let (turn, out) = come(&mut server, &[0x16, 3, 3, 0, 6, 1, 0, 0, 2, 3, 3]);
    assert!(turn.is_err());
    assert_eq!(out.first(), Some(&0x15), "an alert");
}

#[test]
fn a_message_that_never_ends_is_not_held_for_ever() {
    let [mut server, _] = sessions();
    // Records of a Certificate message of 16 MB.
    let mut record = vec![0x16, 3, 3, 0x20, 0, 1, 0xff, 0xff, 0xff];
    record.resize(5 + 0x2000, 0);
    let mut taken = 0;
    while come(&mut server, &record).0.is_ok() {
        taken += record.len();
        assert!(taken <= LONGEST_HELD, "{taken} bytes");
        assert!(server.held().len() <= LONGEST_HELD);
    }
}

fn record() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![4 => Just(0x16u8), 1 => Just(0x14), 1 => Just(0x15), 1 => Just(0x17), 1 => any::<u8>()];
    let body = prop_oneof![
        Just(vec![1]),
        Just(vec![2, 0]),
        Just(vec![1, 0, 0, 2, 3, 3]),
        Just(vec![2, 0, 0, 9]),
        Just(vec![1, 0]),
        Just(vec![0, 0, 0, 0]),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    (kind, body).prop_map(|(kind, body)| {
        let length = u8::try_from(body.len()).unwrap();
        [&[kind, 3, 3, 0, length], body.as_slice()].concat()
    })
}

proptest! {
    #[test]
    fn no_records_bring_a_session_down(
        records in proptest::collection::vec(record(), 1..12),
        cuts in proptest::collection::vec(1usize..20, 1..8),
    ) {
        let stream = records.concat();
        for mut session in sessions() {
            let mut rest = stream.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, behind) = rest.split_at((*cut).min(rest.len()));
                rest = behind;
                let _ = come(&mut session, piece);
                let _ = session.send(b"x", &mut Vec::new());
                session.close(&mut Vec::new());
            }
        }
    }
}
