//! Calls by every transport to every other.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tandem_e2e::baresip::Baresip;
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::tls::{Authority, Certificate};
use tandem_e2e::topology::{CALLER, INSIDE, OUTSIDE, SERVERS, STRANGER, TRUNK};
use tandem_e2e::{Lab, Namespace, Options, wait, wav};

const SOON: Duration = Duration::from_secs(20);

/// A laboratory that listens for everything on both sides.
struct World {
    lab: Lab,
    callee: Certificate,
    trunk: Certificate,
}

fn world() -> World {
    // The certificates stand in the configuration, so their folder is there before the laboratory's.
    // An authority for each test: two of them write into one folder at the same time.
    static WORLDS: AtomicU32 = AtomicU32::new(0);
    let (process, number) = (std::process::id(), WORLDS.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(format!("tnd-tls-{process}-{number}"));
    let authority = Authority::make(&folder).unwrap();
    let box_outside = authority.certify("sip.example.com", OUTSIDE).unwrap();
    let callee = authority.certify("server.example.com", SERVERS[0]).unwrap();
    let mut more = format!(
        "[tls]\nca = [\"{0}\"]\nclient_ca = \"{0}\"\n[[tls.certificate]]\nchain = \"{1}\"\nkey = \"{2}\"\n",
        authority.file().display(),
        box_outside.chain.display(),
        box_outside.key.display(),
    );
    for (realm, at) in [("carrier", OUTSIDE), ("core", INSIDE)] {
        for (transport, port) in [("tcp", 5060), ("tls", 5061), ("ws", 8080), ("wss", 8443)] {
            more += &format!(
                "[[sip.listen]]\ntransport = \"{transport}\"\nlisten = \"{at}:{port}\"\nrealm = \"{realm}\"\n"
            );
        }
    }
    // Where trunks show certificates.
    more += &format!(
        "[[sip.listen]]\ntransport = \"tls\"\nlisten = \"{OUTSIDE}:5071\"\nrealm = \"carrier\"\nclient_certificate = \"optional\"\n"
    );
    let trunk = authority.certify("sbc.carrier.example", TRUNK).unwrap();
    let lab = Lab::start(Options {
        probe_interval: 0,
        pool: vec![],
        more,
        ..Options::default()
    });
    World {
        lab: lab.unwrap(),
        callee,
        trunk,
    }
}

impl World {
    /// The pool is one server that is reached by this transport.
    fn pool(&self, transport: &str) {
        let port = if transport == "tls" { 5061 } else { 5060 };
        let uri = format!("sip:{}:{port};transport={transport}", SERVERS[0]);
        self.lab
            .sql(&format!(
                "DELETE FROM dispatcher WHERE setid = 1; \
                 INSERT INTO dispatcher (setid, destination) VALUES (1, '{uri}')"
            ))
            .unwrap();
        self.lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(folder) = self.callee.chain.parent() {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

#[test]
fn sipp_calls_by_udp_and_tcp_in_every_pairing() {
    let world = world();
    let mut cdrs = 0;
    for there in ["u1", "t1"] {
        world.pool(if there == "u1" { "udp" } else { "tcp" });
        let name = format!("server-{there}");
        let server = Server::by(&world.lab, &world.lab.core, &name, SERVERS[0], there).unwrap();
        for here in ["u1", "t1"] {
            let calls = Calls {
                count: 10,
                rate: 10,
                transport: here,
                ..Calls::default()
            };
            let name = format!("caller-{here}-{there}");
            let caller = Caller::start(&world.lab, &world.lab.carrier, &name, &calls).unwrap();
            let tally = caller.finish(SOON).unwrap();
            assert_eq!(
                (tally.successful, tally.failed),
                (10, 0),
                "{here} to {there}: {}",
                world.lab.daemons_said()
            );
            cdrs += 10;
            world.lab.wait_until_quiet(cdrs, SOON).unwrap();
        }
        drop(server);
    }
    let counters = world.lab.ctl().counters().unwrap();
    assert!(counters.value("net_received_by_stream") > 0);
}

#[test]
fn baresip_calls_by_udp_tcp_and_tls_in_every_pairing() {
    let world = world();
    let says = wav::sweep(8_000, 12, 1);
    let config = format!("sip_certificate {}", world.callee.both.display());
    let _callee = Baresip::answering_with(
        &world.lab,
        &world.lab.core,
        "callee",
        SERVERS[0],
        &says,
        &config,
    )
    .unwrap();
    let mut cdrs = 0;
    for there in ["udp", "tcp", "tls"] {
        world.pool(there);
        for here in ["udp", "tcp", "tls"] {
            let port = if here == "tls" { 5061 } else { 5060 };
            let uri = format!("sip:callee@{OUTSIDE}:{port};transport={here}");
            let name = format!("caller-{here}-{there}");
            let mut caller = Baresip::calling_with(
                &world.lab,
                &world.lab.carrier,
                &name,
                CALLER,
                &says,
                &uri,
                &config,
            )
            .unwrap();
            if let Err(failure) = caller.wait_for_call(SOON) {
                panic!("{here} to {there}: {failure}\n{}", world.lab.daemons_said());
            }
            caller.quit().unwrap();
            cdrs += 1;
            world.lab.wait_until_quiet(cdrs, SOON).unwrap();
        }
    }
    let answered = world
        .lab
        .sql("SELECT count(*) FROM cdr WHERE sip_code = 200 AND cause = 'caller'")
        .unwrap();
    assert_eq!(answered.trim(), "9");
}

/// What a program prints.
fn output(namespace: &Namespace, program: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = namespace.command(program);
    let done = command.args(arguments).output().unwrap();
    let text = [done.stdout, done.stderr].concat();
    (
        done.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn sipsak_is_answered_by_udp_and_tcp_and_openssl_by_tls() {
    let world = world();
    let lab = &world.lab;
    for transport in ["udp", "tcp"] {
        let uri = format!("sip:{OUTSIDE}:5060");
        let (ok, said) = output(&lab.carrier, "sipsak", &["-v", "-E", transport, "-s", &uri]);
        assert!(ok, "{transport}: {said}\n{}", lab.daemons_said());
    }
    for version in ["-tls1_2", "-tls1_3"] {
        let target = format!("{OUTSIDE}:5061");
        let mut command = lab.carrier.command("openssl");
        command
            .args(["s_client", "-quiet", "-connect", &target, version])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut client = command.spawn().unwrap();
        let request = format!(
            "OPTIONS sip:{OUTSIDE} SIP/2.0\r\nVia: SIP/2.0/TLS {CALLER}:5061;branch=z9hG4bKo\r\n\
             Max-Forwards: 70\r\nFrom: <sip:o@{CALLER}>;tag=o\r\nTo: <sip:{OUTSIDE}>\r\nCall-ID: o{version}\r\n\
             CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        client
            .stdin
            .as_mut()
            .unwrap()
            .write_all(request.as_bytes())
            .unwrap();
        let mut line = String::new();
        BufReader::new(client.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        client.kill().unwrap();
        client.wait().unwrap();
        assert_eq!(line.trim(), "SIP/2.0 200 OK", "{version}");
    }
}

#[test]
fn certificates_are_read_again_without_dropping_a_connection() {
    let mut world = world();
    let said = |world: &World, words: &str| world.lab.daemons_said().contains(words);
    let target = format!("{OUTSIDE}:5061");
    let mut client = world
        .lab
        .carrier
        .command("openssl")
        .args(["s_client", "-quiet", "-connect", &target])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut answers = BufReader::new(client.stdout.take().unwrap());
    let mut ask = |client: &mut std::process::Child, n: u32| {
        let request = format!(
            "OPTIONS sip:{OUTSIDE} SIP/2.0\r\nVia: SIP/2.0/TLS {CALLER}:5061;branch=z9hG4bKr{n}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:o@{CALLER}>;tag=o\r\nTo: <sip:{OUTSIDE}>\r\nCall-ID: r{n}\r\n\
             CSeq: {n} OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        let input = client.stdin.as_mut().unwrap();
        input.write_all(request.as_bytes()).unwrap();
        input.flush().unwrap();
        let mut first = String::new();
        answers.read_line(&mut first).unwrap();
        let mut line = String::from("x");
        while line.trim() != "" {
            line.clear();
            answers.read_line(&mut line).unwrap();
        }
        first
    };
    assert_eq!(ask(&mut client, 1).trim(), "SIP/2.0 200 OK");
    world.lab.reload_sigplane().unwrap();
    wait::until("the reload", SOON, || {
        said(&world, "certificates read again").then_some(())
    })
    .unwrap();
    assert_eq!(ask(&mut client, 2).trim(), "SIP/2.0 200 OK");
    client.kill().unwrap();
    client.wait().unwrap();
}

/// From any address, by the name in its certificate.
#[test]
fn a_trunk_is_known_by_the_name_in_its_certificate() {
    let world = world();
    let lab = &world.lab;
    lab.sql("INSERT INTO address (grp, ip_addr, mask, tag) VALUES (1, '0.0.0.0', 0, 'carrier two; tls_name=sbc.carrier.example')")
        .unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    let call = |certificate: Option<&Certificate>, number: u32| {
        let target = format!("{OUTSIDE}:5071");
        let mut command = lab.carrier.command("openssl");
        command.args(["s_client", "-quiet", "-connect", &target]);
        command.args(["-bind", &STRANGER.to_string()]);
        if let Some(certificate) = certificate {
            command.arg("-cert").arg(&certificate.chain);
            command.arg("-key").arg(&certificate.key);
        }
        let mut client = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let request = format!(
            "INVITE sip:1@{OUTSIDE} SIP/2.0\r\nVia: SIP/2.0/TLS {STRANGER}:5061;branch=z9hG4bKt{number}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:t@{STRANGER}>;tag=t\r\nTo: <sip:1@{OUTSIDE}>\r\nCall-ID: t{number}\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:t@{STRANGER}:5061;transport=tls>\r\nContent-Length: 0\r\n\r\n"
        );
        let input = client.stdin.as_mut().unwrap();
        input.write_all(request.as_bytes()).unwrap();
        let answers = BufReader::new(client.stdout.take().unwrap());
        let code = |line: String| line.strip_prefix("SIP/2.0 ")?.get(..3)?.parse::<u16>().ok();
        let mut codes = answers.lines().map_while(Result::ok).filter_map(code);
        let last = codes.find(|code| *code >= 200).unwrap();
        client.kill().unwrap();
        client.wait().unwrap();
        last
    };
    // Nobody is in the pool.
    assert_eq!(call(Some(&world.trunk), 1), 503);
    assert_eq!(call(None, 2), 403);
    assert_eq!(call(Some(&world.callee), 3), 403, "another name");
}
