//! TLS with `openssl s_client` and with ourselves.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, StreamOwned};
use tandem_net::{
    ClientCertificates, StreamEvent, StreamKind, StreamLimits, StreamListener, Streams,
    StreamsError, TlsFiles, TlsTrunk,
};

use crate::pki::Pki;
use crate::server::{PATIENCE, Server, expect, order, peer, request, rest};

const TLS: &[StreamKind] = &[StreamKind::Tls];

/// `openssl s_client`, ended with the test.
struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
}

impl Client {
    fn start(pki: &Pki, server: SocketAddr, name: &str, more: &str) -> Self {
        let ca = pki.path("ca.pem");
        let mut child = Command::new("openssl")
            .current_dir(ca.parent().unwrap())
            .args([
                "s_client",
                "-quiet",
                "-verify_return_error",
                "-CAfile",
                "ca.pem",
            ])
            .args(["-connect", &server.to_string(), "-servername", name])
            .args(["-verify_hostname", name])
            .args(more.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().unwrap(),
            child,
        }
    }

    fn say(&mut self, text: &str) {
        // One that was refused has gone, maybe.
        let _ = self.stdin.as_mut().unwrap().write_all(text.as_bytes());
    }

    /// What it prints until it ends.
    fn rest(&mut self) -> String {
        rest(&mut self.stdout)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn openssl_speaks_both_versions_and_gets_the_certificate_of_its_name() {
    let pki = Pki::new();
    let mut files = pki.files(&["a", "b", "w"]);
    files.certificates[2].names = vec!["*.wild.example".to_owned()];
    pki.sign("ca", "w", "DNS:*.wild.example", "serverAuth");
    let server = Server::start(TLS, StreamLimits::default(), Some(files));
    for (version, shown) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        for name in ["a.example", "B.example", "x.wild.example"] {
            let mut client = Client::start(&pki, server.address(0), name, version);
            client.say(&request(name, 3_000));
            let (connection, text) = server.message();
            assert_eq!(text, request(name, 3_000));
            let view = server
                .views()
                .into_iter()
                .find(|v| v.connection == connection)
                .unwrap();
            assert_eq!((view.tls_version, view.open), (Some(shown), true));
            let answer = request("answer", 40_000);
            server.answer(connection, view.peer, answer.as_bytes());
            expect(&mut client.stdout, &answer);
            drop(client);
            assert!(matches!(server.event(), StreamEvent::Closed { .. }));
        }
    }
    assert_eq!(server.counter("stream_tls_handshakes"), 6);
    // Who asks for another name gets the first certificate, and sees that it is not his.
    let mut stranger = Client::start(&pki, server.address(0), "c.example", "");
    assert_eq!(stranger.rest(), "");
}

#[test]
fn a_trunk_must_show_a_certificate_of_its_authority_with_its_name() {
    let pki = Pki::new();
    pki.authority("trunks");
    let client = "clientAuth";
    pki.sign(
        "trunks",
        "good",
        "DNS:other.example,DNS:trunk.example",
        client,
    );
    pki.sign("trunks", "uri", "URI:sip:trunk.example", "serverAuth");
    pki.sign("trunks", "trunk.example", "", client);
    pki.sign("trunks", "wrong", "DNS:other.example", client);
    // With alternative names, the common name says nothing.
    pki.sign("trunks", "hidden", "DNS:other.example", client);
    pki.sign("ca", "foreign", "DNS:trunk.example", client);
    let mut files = pki.files(&["a"]);
    files.trunks = vec![
        TlsTrunk {
            networks: vec![("127.0.0.0".parse().unwrap(), 8)],
            client_ca: pki.path("ca.pem"),
            names: Vec::new(),
        },
        TlsTrunk {
            networks: vec![("127.0.0.1".parse().unwrap(), 32)],
            client_ca: pki.path("trunks.pem"),
            names: vec!["Trunk.example".to_owned()],
        },
    ];
    let server = Server::start(TLS, StreamLimits::default(), Some(files));
    let mut refused = 0;
    for version in ["-tls1_2", "-tls1_3"] {
        for name in ["good", "uri", "trunk.example"] {
            let more = format!("{version} -cert {name}.pem -key {name}.key");
            let mut client = Client::start(&pki, server.address(0), "a.example", &more);
            client.say(&request(name, 0));
            let event = server.event();
            let StreamEvent::Message { tls_name, .. } = event else {
                panic!("{event:?}");
            };
            assert_eq!(tls_name.as_deref(), Some("Trunk.example"));
            drop(client);
            assert!(matches!(server.event(), StreamEvent::Closed { .. }));
        }
        for certificate in [
            "",
            "-cert wrong.pem -key wrong.key",
            "-cert foreign.pem -key foreign.key",
        ] {
            let more = format!("{version} {certificate}");
            let mut client = Client::start(&pki, server.address(0), "a.example", &more);
            client.say(&request("refused", 0));
            assert_eq!(client.rest(), "");
            refused += 1;
            assert_eq!(
                server.counter("stream_tls_trunk_refused"),
                refused,
                "{more}"
            );
        }
    }
    server.quiet();
}

#[test]
fn nothing_is_taken_from_a_refused_client_even_in_its_last_segment() {
    let pki = Pki::new();
    pki.sign("ca", "wrong", "DNS:other.example", "clientAuth");
    let mut files = pki.files(&["a"]);
    files.trunks = vec![TlsTrunk {
        networks: vec![("127.0.0.1".parse().unwrap(), 32)],
        client_ca: pki.path("ca.pem"),
        names: vec!["trunk.example".to_owned()],
    }];
    let server = Server::start(TLS, StreamLimits::default(), Some(files));
    let chain = vec![CertificateDer::from_pem_file(pki.path("wrong.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(pki.path("wrong.key")).unwrap();
    let config = client_builder(&pki)
        .with_client_auth_cert(chain, key)
        .unwrap();
    let mut session =
        ClientConnection::new(Arc::new(config), "a.example".try_into().unwrap()).unwrap();
    let mut socket = peer(server.address(0));
    while session.wants_write() {
        session.write_tls(&mut socket).unwrap();
    }
    while !session.wants_write() || session.is_handshaking() {
        session.read_tls(&mut socket).unwrap();
        session.process_new_packets().unwrap();
    }
    // Certificate, Finished and a request at once.
    session
        .writer()
        .write_all(request("refused", 0).as_bytes())
        .unwrap();
    let mut segment = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut segment).unwrap();
    }
    socket.write_all(&segment).unwrap();
    rest(&socket);
    assert_eq!(server.counter("stream_tls_trunk_refused"), 1);
    assert_eq!(server.counter("stream_messages_received"), 0);
    server.quiet();
}

#[test]
fn a_listener_may_want_certificates() {
    let pki = Pki::new();
    pki.sign("ca", "c", "DNS:client.example", "clientAuth");
    let mut files = pki.files(&["a"]);
    let ca = pki.path("ca.pem");
    files.listeners = vec![
        (0, ClientCertificates::Required(ca.clone())),
        (1, ClientCertificates::Optional(ca)),
    ];
    let kinds = [StreamKind::Tls, StreamKind::Tls, StreamKind::Tls];
    let server = Server::start(&kinds, StreamLimits::default(), Some(files));
    let shows = "-cert c.pem -key c.key";
    for (listener, more, expected) in [
        (0, shows, Some("client.example")),
        (1, shows, Some("client.example")),
        (1, "", None),
        (2, shows, None),
    ] {
        let mut client = Client::start(&pki, server.address(listener), "a.example", more);
        client.say(&request("x", 0));
        let event = server.event();
        let StreamEvent::Message { tls_name, .. } = event else {
            panic!("{event:?}");
        };
        assert_eq!(tls_name.as_deref(), expected);
        drop(client);
        server.event();
    }
    let mut client = Client::start(&pki, server.address(0), "a.example", "");
    client.say(&request("x", 0));
    assert_eq!(client.rest(), "");
    assert_eq!(server.counter("stream_tls_certificate_refused"), 1);
    server.quiet();
}

#[test]
fn a_reload_drops_no_connection_and_serves_new_ones() {
    let pki = Pki::new();
    let files = pki.files(&["a", "b"]);
    let only = |place: usize| TlsFiles {
        certificates: vec![files.certificates[place].clone()],
        ..files.clone()
    };
    let server = Server::start(TLS, StreamLimits::default(), Some(only(0)));
    let mut old = Client::start(&pki, server.address(0), "a.example", "");
    old.say(&request("1", 0));
    let (connection, _) = server.message();
    let new = only(1);
    server.ask(move |streams, _| streams.reload_tls(&new).unwrap());
    old.say(&request("2", 0));
    assert_eq!(server.message(), (connection, request("2", 0)));
    let mut second = Client::start(&pki, server.address(0), "b.example", "");
    second.say(&request("3", 0));
    assert_eq!(server.message().1, request("3", 0));
    // A reload that fails changes nothing.
    let mut broken = only(1);
    broken.certificates[0].key = pki.path("a.key");
    let error = server.ask(move |streams, _| streams.reload_tls(&broken).unwrap_err());
    assert!(
        error
            .to_string()
            .contains("a.key: is not the key of the certificate in"),
        "{error}"
    );
    let mut third = Client::start(&pki, server.address(0), "b.example", "");
    third.say(&request("4", 0));
    assert_eq!(server.message().1, request("4", 0));
    assert_eq!(server.counter("stream_tls_reloads"), 1);
}

#[test]
fn what_is_wrong_with_the_files_is_said() {
    let pki = Pki::new();
    let files = pki.files(&["a"]);
    let listener = StreamListener {
        listen: "127.0.0.1:0".parse().unwrap(),
        kind: StreamKind::Tls,
        ahead: false,
    };
    let says = |files: Option<TlsFiles>| {
        let error = Streams::new(vec![listener.clone()], StreamLimits::default(), files);
        error.map(|_| ()).unwrap_err().to_string()
    };
    assert!(says(None).contains("needs a certificate"));
    assert!(says(Some(TlsFiles::default())).contains("needs a certificate"));
    let mut missing = files.clone();
    missing.certificates[0].chain = "/nowhere.pem".into();
    let said = says(Some(missing));
    assert!(
        said.starts_with("/nowhere.pem: ") && said.contains("check that the file is there"),
        "{said}"
    );
    let mut swapped = files.clone();
    swapped.certificates[0].key = pki.path("ca.pem");
    assert!(says(Some(swapped)).contains("has no private key"));
    let mut swapped = files;
    swapped.certificates[0].chain = pki.path("a.key");
    assert!(says(Some(swapped)).contains("has no certificate"));
    // A bound address is free again afterwards, and one in use is named.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let listener = StreamListener {
        listen,
        kind: StreamKind::Tcp,
        ahead: false,
    };
    let error = Streams::new(vec![listener], StreamLimits::default(), None).unwrap_err();
    assert!(matches!(error, StreamsError::Bind { .. }));
    assert!(
        error
            .to_string()
            .contains("another program has this address"),
        "{error}"
    );
}

#[test]
fn a_server_must_prove_its_name() {
    let pki = Pki::new();
    pki.sign("ca", "c", "DNS:edge.example", "serverAuth");
    let mut target_files = pki.files(&["a"]);
    target_files.listeners = vec![(0, ClientCertificates::Required(pki.path("ca.pem")))];
    let target = Server::start(TLS, StreamLimits::default(), Some(target_files));
    let to = target.address(0);
    let mut files = pki.files(&["e"]);
    files.client.certificate = Some(pki.certificate("c"));
    let edge = Server::start(TLS, StreamLimits::default(), Some(files));
    let named = |name: Option<&str>, tag| {
        let mut order = order(to, request("x", 0).as_bytes(), tag);
        order.server_name = name.map(str::to_owned);
        order
    };
    edge.send(named(Some("b.example"), 1));
    assert!(matches!(edge.event(), StreamEvent::Failed { tag: 1, .. }));
    assert_eq!(edge.counter("stream_tls_certificate_refused"), 1);
    edge.send(named(Some("A.example"), 2));
    let event = target.event();
    let StreamEvent::Message { tls_name, .. } = event else {
        panic!("{event:?}");
    };
    assert_eq!(tls_name.as_deref(), Some("edge.example"));
    let view = edge.views().remove(0);
    assert_eq!(view.tls_name.as_deref(), Some("A.example"));
    // The same name takes the same connection, the address needs no other; another name does not get it.
    edge.send(named(Some("a.example"), 3));
    edge.send(named(None, 4));
    target.message();
    target.message();
    assert_eq!(edge.counter("stream_opened"), 1);
    edge.send(named(Some("b.example"), 5));
    assert!(matches!(edge.event(), StreamEvent::Failed { tag: 5, .. }));
    edge.quiet();
}

#[test]
fn the_address_is_the_name_when_none_is_given_and_an_unknown_authority_is_refused() {
    let pki = Pki::new();
    let stranger = Pki::new();
    let target = Server::start(TLS, StreamLimits::default(), Some(pki.files(&["a"])));
    let to = target.address(0);
    let edge = Server::start(TLS, StreamLimits::default(), Some(pki.files(&["e"])));
    edge.send(order(to, request("x", 0).as_bytes(), 1));
    target.message();
    assert_eq!(edge.views()[0].tls_name.as_deref(), Some("127.0.0.1"));
    let edge = Server::start(TLS, StreamLimits::default(), Some(stranger.files(&["e"])));
    edge.send(order(to, request("x", 0).as_bytes(), 2));
    assert!(matches!(edge.event(), StreamEvent::Failed { tag: 2, .. }));
    let mut files = stranger.files(&["f"]);
    files.client.insecure = true;
    let edge = Server::start(TLS, StreamLimits::default(), Some(files));
    edge.send(order(to, request("y", 0).as_bytes(), 3));
    assert_eq!(target_message(&target), request("y", 0));
    assert_eq!(edge.views()[0].tls_name, None);
}

/// The next message, whatever is closed before.
fn target_message(server: &Server) -> String {
    loop {
        if let StreamEvent::Message { bytes, .. } = server.event() {
            return String::from_utf8(bytes).unwrap();
        }
    }
}

/// A rustls client that verifies.
pub(crate) fn rustls_client(
    pki: &Pki,
    server: SocketAddr,
) -> StreamOwned<ClientConnection, Bytewise> {
    let config = client_builder(pki).with_no_client_auth();
    let name = "a.example".try_into().unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(session, Bytewise(peer(server)))
}

fn client_builder(pki: &Pki) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(pki.path("ca.pem")).unwrap();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
}

/// A socket that is written to byte by byte.
#[derive(Debug)]
pub(crate) struct Bytewise(TcpStream);

impl Read for Bytewise {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Bytewise {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes.get(..1).unwrap_or_default())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn records_come_whole_however_they_were_cut() {
    let pki = Pki::new();
    let server = Server::start(TLS, StreamLimits::default(), Some(pki.files(&["a"])));
    let mut client = rustls_client(&pki, server.address(0));
    let text = request("a", 20_000) + "\r\n\r\n" + &request("b", 0);
    client.write_all(text.as_bytes()).unwrap();
    client.flush().unwrap();
    let (connection, _) = server.message();
    assert_eq!(server.message(), (connection, request("b", 0)));
    expect(&mut client, "\r\n");
    // Between messages nothing is held.
    let view = server.views().remove(0);
    assert_eq!((view.bytes_in, view.bytes_out), (0, 0));
    client.conn.send_close_notify();
    client.conn.write_tls(&mut client.sock.0).unwrap();
    assert_eq!(rest(&mut client), "", "a close is answered");
    assert!(matches!(server.event(), StreamEvent::Closed { .. }));
}

#[test]
fn what_is_no_tls_ends_and_who_is_silent_is_ended() {
    let pki = Pki::new();
    let server = Server::start(TLS, StreamLimits::default(), Some(pki.files(&["a"])));
    let mut one = peer(server.address(0));
    one.write_all(request("plain", 0).as_bytes()).unwrap();
    rest(&one);
    drop(one);
    assert_eq!(server.counter("stream_tls_failed"), 1);
    let silent = peer(server.address(0));
    server.until(|streams| streams.counters().any(|c| c == ("stream_accepted", 2)));
    server.pass(PATIENCE / 2);
    assert_eq!(rest(&silent), "");
    assert_eq!(server.counter("stream_handshake_timeout"), 1);
    server.quiet();
}

#[test]
fn broken_records_after_a_part_of_a_handshake_harm_nobody() {
    let pki = Pki::new();
    let server = Server::start(TLS, StreamLimits::default(), Some(pki.files(&["a"])));
    // The beginning of a ClientHello that is longer than its record.
    let part = b"\x16\x03\x01\x00\x06\x01\x00\x00\xff\x03\x03";
    let more: &[&[u8]] = &[
        b"\x15\x03\x01\x00\x02\x02\x00",
        b"\x15\x03\x01\x00\x02\x01\x00",
        b"\x14\x03\x01\x00\x01\x01",
        b"\x17\x03\x01\x00\x01x",
        b"\x16\x03\x01\xff\xff",
        b"\x63nothing",
        b"\x16\x03\x01\x00\x00",
    ];
    for bytes in more {
        for join in [true, false] {
            let mut one = peer(server.address(0));
            if join {
                one.write_all(&[part, *bytes].concat()).unwrap();
            } else {
                one.write_all(part).unwrap();
                server.until(|streams| streams.views(Duration::ZERO).any(|v| v.bytes_in == 11));
                let _ = one.write_all(bytes);
            }
            one.shutdown(std::net::Shutdown::Write).unwrap();
            rest(&one);
        }
    }
    // The same after a handshake: half of a message stays, and we send.
    let mut client = rustls_client(&pki, server.address(0));
    client.write_all(request("a", 0).as_bytes()).unwrap();
    let (connection, _) = server.message();
    client
        .sock
        .0
        .write_all(b"\x17\x03\x03\x00\x50half")
        .unwrap();
    server.until(|streams| streams.views(Duration::ZERO).any(|v| v.bytes_in > 0));
    server.answer(
        connection,
        client.sock.0.local_addr().unwrap(),
        b"still there",
    );
    expect(&mut client, "still there");
}
