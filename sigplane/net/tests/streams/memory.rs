//! What an idle connection costs. Each by itself, since it measures the process:
//!
//! `cargo test -p tandem-net --test streams -- --ignored --exact --nocapture memory::idle_tls13`

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tandem_net::{StreamKind, StreamLimits};

use crate::pki::Pki;
use crate::server::{Server, expect, peer, request};
use crate::web::hands;

/// Where the clients' process finds what it needs.
const SERVER: &str = "TANDEM_TEST_SERVER";
const CA: &str = "TANDEM_TEST_CA";
const VERSION: &str = "TANDEM_TEST_TLS";
const WEB: &str = "TANDEM_TEST_WEB";
const COUNT: usize = 10_000;
/// What a connection may cost, in bytes of resident memory.
const MOST: usize = 30 * 1024;

#[test]
#[ignore = "measures the whole process"]
fn idle_tls13() {
    idle(StreamKind::Tls, "1.3");
}

#[test]
#[ignore = "measures the whole process"]
fn idle_tls12() {
    idle(StreamKind::Tls, "1.2");
}

#[test]
#[ignore = "measures the whole process"]
fn idle_wss() {
    idle(StreamKind::Wss, "1.3");
}

fn idle(kind: StreamKind, version: &str) {
    more_descriptors();
    let pki = Pki::new();
    let limits = StreamLimits {
        trusted: vec![("127.0.0.0".parse().unwrap(), 8)],
        ..StreamLimits::default()
    };
    let kinds = [kind, StreamKind::Tcp];
    let server = Server::start(&kinds, limits, Some(pki.files(&["a"])));
    let before = resident();
    let mut clients = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "memory::clients"])
        .env(SERVER, server.address(0).to_string())
        .env(CA, pki.path("ca.pem"))
        .env(VERSION, version)
        .env(WEB, if kind.is_web() { "yes" } else { "" })
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(clients.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("all there")));
    for _ in 0..COUNT {
        server.message();
    }
    assert_eq!(server.counter("stream_tls_handshakes"), COUNT as u64);
    server.ask(|streams, _| assert_eq!(streams.connections(), COUNT));
    let each = (resident() - before) / COUNT;
    println!("{COUNT} idle {kind:?} connections, TLS {version}: {each} bytes of RSS each");
    // The others are served as if there were none of them.
    let mut other = peer(server.address(1));
    for i in 0..1_000 {
        other
            .write_all(request(&i.to_string(), 100).as_bytes())
            .unwrap();
        let (connection, text) = server.message();
        server.answer(connection, other.local_addr().unwrap(), text.as_bytes());
        expect(&other, &text);
    }
    drop(clients.stdin.take());
    clients.wait().unwrap();
    assert!(each < MOST, "{each} bytes each");
}

/// Not a test: the process with the clients.
#[test]
#[ignore = "the other test's clients"]
fn clients() {
    let Ok(server) = std::env::var(SERVER) else {
        return;
    };
    more_descriptors();
    let server: SocketAddr = server.parse().unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(std::env::var(CA).unwrap()).unwrap())
        .unwrap();
    let versions = if std::env::var(VERSION).unwrap() == "1.2" {
        [&rustls::version::TLS12]
    } else {
        [&rustls::version::TLS13]
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    let config = Arc::new(config);
    let web = !std::env::var(WEB).unwrap().is_empty();
    let mut connections = Vec::new();
    for i in 0..COUNT {
        let mut socket = TcpStream::connect(server).unwrap();
        let name = "a.example".try_into().unwrap();
        let mut session = ClientConnection::new(config.clone(), name).unwrap();
        let mut stream = rustls::Stream::new(&mut session, &mut socket);
        let message = request(&i.to_string(), 500);
        if web {
            let (mut phone, _) = hands(&mut stream, "sip").unwrap();
            phone.send(message.into()).unwrap();
        } else {
            stream.write_all(message.as_bytes()).unwrap();
            stream.flush().unwrap();
        }
        connections.push((socket, session));
    }
    println!("all there");
    // Until the other side has measured.
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

fn more_descriptors() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}
