//! What happens to calls and registrations while the database is away, and to the database's rows when the signaling plane is killed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::signal::Signal;
use tandem_e2e::kamailio::DOMAIN;
use tandem_e2e::registering::{self, Outcome, Registering};
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{CALLER, OUTSIDE, SERVERS, STRANGER, sip};
use tandem_e2e::{Database, Lab, Options, wait};

const SOON: Duration = Duration::from_secs(30);
const USERS: usize = 300;

fn world(database: Database) -> (Lab, Server) {
    let lab = Lab::start(Options {
        probe_interval: 0,
        pool: vec![sip(SERVERS[0])],
        trunk: None,
        carriers: vec![CALLER],
        database,
        more: format!(
            "[registrar]\ndomains = [\"{DOMAIN}\"]\n[defence]\ntrusted = [\"{STRANGER}/32\"]\n"
        ),
        ..Options::default()
    })
    .unwrap();
    lab.sql(&registering::rows(USERS)).unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    let server = Server::start(&lab, &lab.core, "server", SERVERS[0]).unwrap();
    (lab, server)
}

fn register(lab: &Lab) -> Registering {
    let socket = lab
        .udp(&lab.carrier, SocketAddr::new(STRANGER, 5_090))
        .unwrap();
    Registering::start(socket, sip(OUTSIDE), USERS).unwrap()
}

/// Every registration that was confirmed is in `location` as it was confirmed, once, and nothing else is.
fn check_location(lab: &Lab, outcome: &Outcome) {
    let rows = "SELECT username, cseq FROM location ORDER BY username";
    let expected: String = outcome
        .confirmed
        .iter()
        .enumerate()
        .map(|(number, cseq)| format!("{}|{cseq}\n", registering::user(number)))
        .collect();
    let all = || (lab.sql(rows).ok()? == expected).then_some(());
    if let Err(failure) = wait::until("all registrations in the database", SOON, all) {
        panic!(
            "{failure}: {}\n{}",
            lab.sql(rows).unwrap(),
            lab.daemons_said()
        );
    }
}

/// Calls, for so long.
fn calls(seconds: u32) -> Calls {
    Calls {
        count: 10 * seconds,
        rate: 10,
        ..Calls::default()
    }
}

#[test]
fn the_database_is_away_for_a_minute_and_nothing_is_refused_lost_or_doubled() {
    let (mut lab, _server) = world(Database::MariaDb);
    let load = calls(75);
    let caller = Caller::start(&lab, &lab.carrier, "caller", &load).unwrap();
    let users = register(&lab);
    let some = |least: &str, lab: &Lab| {
        let rows = lab.sql(&format!("SELECT count(*) FROM {least}"));
        (rows.ok()?.trim().parse::<u32>().ok()? > 20).then_some(())
    };
    for table in ["cdr", "location"] {
        wait::until(format!("rows in {table}"), SOON, || some(table, &lab)).unwrap();
    }
    // At first it hangs, then it is dead.
    let signal = |lab: &mut Lab, signal| lab.mariadb().unwrap().signal(signal).unwrap();
    signal(&mut lab, Signal::SIGSTOP);
    wait::pass(Duration::from_secs(25)).unwrap();
    lab.mariadb().unwrap().kill();
    wait::pass(Duration::from_secs(15)).unwrap();
    // A signaling plane that begins meanwhile has the tables of its life before.
    lab.kill_sigplane();
    lab.start_sigplane().unwrap();
    lab.wait_until_ready().unwrap();
    wait::pass(Duration::from_secs(20)).unwrap();
    assert!(lab.ctl().status().unwrap().cdrs_pending > 0);
    lab.mariadb().unwrap().start().unwrap();
    let tally = caller.finish(Duration::from_secs(120)).unwrap();
    let outcome = users.finish().unwrap();
    println!(
        "{tally:?}; {} registrations, the slowest answer after {:?}",
        outcome.count, outcome.slowest
    );
    // The kill may cost a call that was being set up: its INVITE comes again, as another call's.
    assert!(tally.failed <= 2, "{tally:?}");
    assert!(outcome.slowest < Duration::from_secs(10));
    let written = || (lab.ctl().status().ok()?.cdrs_pending == 0).then_some(());
    wait::until("all CDRs in the database", SOON, written).unwrap();
    let count = |of: &str| {
        let count = lab
            .sql(&format!("SELECT {of} FROM cdr WHERE sip_code = 200"))
            .unwrap();
        count.trim().parse::<u64>().unwrap()
    };
    assert!(count("count(DISTINCT callid)") >= tally.successful, "lost");
    assert_eq!(count("count(*)"), count("count(DISTINCT call_uuid)"));
    assert!(count("count(*)") <= u64::from(load.count) + 2, "doubled");
    check_location(&lab, &outcome);
}

/// At moments that nobody has chosen.
fn the_signaling_plane_is_killed_again_and_again(database: Database) {
    let (mut lab, _server) = world(database);
    let caller = Caller::start(&lab, &lab.carrier, "caller", &calls(25)).unwrap();
    let users = register(&lab);
    let mut moment: u64 = 0x9e37_79b9;
    for _ in 0..8 {
        moment = moment
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        wait::pass(Duration::from_millis(700 + (moment >> 33) % 1_500)).unwrap();
        lab.kill_sigplane();
        lab.start_sigplane().unwrap();
        lab.wait_until_ready().unwrap();
    }
    let tally = caller.finish(Duration::from_secs(120)).unwrap();
    let outcome = users.finish().unwrap();
    println!(
        "{tally:?}; {} registrations, the slowest answer after {:?}",
        outcome.count, outcome.slowest
    );
    check_location(&lab, &outcome);
    let users = lab.ctl().counters().unwrap().value("registered_users_now");
    assert_eq!(users, USERS as u64);
    let written = || (lab.ctl().status().ok()?.cdrs_pending == 0).then_some(());
    wait::until("all CDRs in the database", SOON, written).unwrap();
    let answered = lab
        .sql("SELECT count(DISTINCT callid) FROM cdr WHERE sip_code = 200")
        .unwrap();
    assert!(answered.trim().parse::<u64>().unwrap() >= tally.successful);
    let doubled = lab.sql("SELECT callid FROM cdr WHERE answer_ms IS NOT NULL GROUP BY callid HAVING count(*) > 1").unwrap();
    assert!(doubled.is_empty(), "{doubled}");
}

#[test]
fn kills_lose_and_double_nothing_in_sqlite() {
    the_signaling_plane_is_killed_again_and_again(Database::Sqlite);
}

#[test]
fn kills_lose_and_double_nothing_in_mariadb() {
    the_signaling_plane_is_killed_again_and_again(Database::MariaDb);
}
