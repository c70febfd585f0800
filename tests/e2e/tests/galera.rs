//! A Galera cluster of three nodes: one is killed, another one cut off.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tandem_e2e::galera::{Galera, NODES};
use tandem_e2e::kamailio::DOMAIN;
use tandem_e2e::registering::{self, Registering};
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{CALLER, OUTSIDE, SERVERS, STRANGER, sip};
use tandem_e2e::{Database, Lab, Options, wait};

const SOON: Duration = Duration::from_secs(60);
const USERS: usize = 300;

#[test]
#[ignore = "nightly"]
fn a_node_is_killed_and_another_cut_off_and_nothing_is_refused_lost_or_doubled() {
    let mut lab = Lab::wires(Options {
        probe_interval: 0,
        pool: vec![sip(SERVERS[0])],
        trunk: None,
        carriers: vec![CALLER],
        // That of the cluster is below.
        database: Database::Elsewhere,
        ..Options::default()
    })
    .unwrap();
    let more = format!(
        "{}[registrar]\ndomains = [\"{DOMAIN}\"]\n[defence]\ntrusted = [\"{STRANGER}/32\"]\n",
        Galera::config(lab.dir())
    );
    lab.change(|options| options.more = more).unwrap();
    let mut cluster = Galera::start(&lab.appliance, lab.dir()).unwrap();
    lab.start_dataplane().unwrap();
    lab.start_sigplane().unwrap();
    let rows = lab.options().rows();
    cluster.sql(0, &rows).unwrap();
    cluster.sql(0, &registering::rows(USERS)).unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    lab.wait_until_ready().unwrap();
    let _server = Server::start(&lab, &lab.core, "server", SERVERS[0]).unwrap();
    let load = Calls {
        count: 1_200,
        rate: 10,
        ..Calls::default()
    };
    let caller = Caller::start(&lab, &lab.carrier, "caller", &load).unwrap();
    let socket = lab
        .udp(&lab.carrier, SocketAddr::new(STRANGER, 5_090))
        .unwrap();
    let users = Registering::start(socket, sip(OUTSIDE), USERS).unwrap();

    let used = |cluster: &Galera| wait::until("a node in use", SOON, || cluster.used()).unwrap();
    // How long until another node than this one has new rows.
    let goes_on = |cluster: &Galera, begin: Instant, without: usize| {
        let other = (without + 1) % NODES;
        let count = || {
            let said = cluster.sql(other, "SELECT count(*) FROM cdr").ok()?;
            said.trim().parse::<u64>().ok()
        };
        let before = wait::until("the rows so far", SOON, count).unwrap();
        let more = || count().is_some_and(|now| now > before).then_some(());
        wait::until("new rows", SOON, more).unwrap();
        begin.elapsed()
    };
    goes_on(&cluster, Instant::now(), used(&cluster));
    let first = used(&cluster);
    let begin = Instant::now();
    cluster.kill(first);
    println!(
        "node {first} killed: new rows after {:?}",
        goes_on(&cluster, begin, first)
    );
    cluster.launch(first, false).unwrap();

    let second = used(&cluster);
    assert_ne!(second, first);
    let begin = Instant::now();
    cluster.cut_off(second, true).unwrap();
    let apart = || (cluster.status(second, "wsrep_cluster_status")? != "Primary").then_some(());
    wait::until("a node apart", SOON, apart).unwrap();
    println!(
        "node {second} cut off: new rows after {:?}",
        goes_on(&cluster, begin, second)
    );
    assert_ne!(used(&cluster), second);
    cluster.cut_off(second, false).unwrap();
    cluster.wait_until_synced(second).unwrap();

    let tally = caller.finish(Duration::from_secs(180)).unwrap();
    let outcome = users.finish().unwrap();
    println!(
        "{tally:?}; {} registrations, the slowest answer after {:?}",
        outcome.count, outcome.slowest
    );
    assert_eq!((tally.successful, tally.failed), (u64::from(load.count), 0));
    let written = || (lab.ctl().status().ok()?.cdrs_pending == 0).then_some(());
    wait::until("all CDRs in the database", SOON, written).unwrap();
    let located: String = outcome
        .confirmed
        .iter()
        .enumerate()
        .map(|(number, cseq)| format!("{}|{cseq}\n", registering::user(number)))
        .collect();
    for node in 0..NODES {
        cluster.wait_until_synced(node).unwrap();
        let says = |asked: &str, wanted: &str| {
            let all = || (cluster.sql(node, asked).ok()? == wanted).then_some(());
            if let Err(failure) = wait::until(format!("node {node}: {asked}"), SOON, all) {
                panic!(
                    "{failure}: {:?}\n{}",
                    cluster.sql(node, asked),
                    lab.daemons_said()
                );
            }
        };
        says(
            "SELECT username, cseq FROM location ORDER BY username",
            &located,
        );
        let count = load.count;
        says(
            "SELECT count(*), count(DISTINCT callid), count(DISTINCT call_uuid) FROM cdr WHERE sip_code = 200",
            &format!("{count}|{count}|{count}\n"),
        );
    }
}
