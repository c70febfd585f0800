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
use tandem_e2e::ctl::Ctl;
use tandem_e2e::kamailio::DOMAIN;
use tandem_e2e::registering::{self, Outcome, Registering};
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{CALLER, OUTSIDE, SERVERS, STRANGER, sip};
use tandem_e2e::{Database, Lab, Options, binary, wait};

const SOON: Duration = Duration::from_secs(30);
const USERS: usize = 300;

fn options() -> Options {
    Options {
        probe_interval: 0,
        pool: vec![sip(SERVERS[0])],
        trunk: None,
        carriers: vec![CALLER],
        more: format!(
            "[registrar]\ndomains = [\"{DOMAIN}\"]\n[defence]\ntrusted = [\"{STRANGER}/32\"]\n"
        ),
        ..Options::default()
    }
}

fn world(database: Database) -> (Lab, Server) {
    let lab = Lab::start(Options {
        database,
        ..options()
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

fn some_in(table: &str, more_than: u32, lab: &Lab) -> Option<()> {
    let rows = lab.sql(&format!("SELECT count(*) FROM {table}"));
    (rows.ok()?.trim().parse::<u32>().ok()? > more_than).then_some(())
}

#[test]
fn the_database_is_away_for_a_minute_and_nothing_is_refused_lost_or_doubled() {
    let (mut lab, _server) = world(Database::MariaDb);
    let load = calls(75);
    let caller = Caller::start(&lab, &lab.carrier, "caller", &load).unwrap();
    let users = register(&lab);
    // Ten calls a second, of two seconds.
    let talking = || some_in("dialog", 4, &lab);
    wait::until("rows in dialog", SOON, talking).unwrap();
    for table in ["cdr", "location"] {
        wait::until(format!("rows in {table}"), SOON, || {
            some_in(table, 20, &lab)
        })
        .unwrap();
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
    assert_eq!(lab.sql("SELECT count(*) FROM dialog").unwrap(), "0\n");
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
    assert_eq!(lab.sql("SELECT count(*) FROM dialog").unwrap(), "0\n");
}

#[test]
fn kills_lose_and_double_nothing_in_sqlite() {
    the_signaling_plane_is_killed_again_and_again(Database::Sqlite);
}

#[test]
fn kills_lose_and_double_nothing_in_mariadb() {
    the_signaling_plane_is_killed_again_and_again(Database::MariaDb);
}

#[test]
fn tables_are_made_checked_brought_up_to_date_filled_and_given_to_a_user_with_few_rights() {
    let mut lab = Lab::wires(Options {
        database: Database::MariaDb,
        ..options()
    })
    .unwrap();
    lab.start_database().unwrap();
    let ctl = lab.ctl();
    let db = |arguments: &[&str]| {
        let output = ctl.output(&[&["db"], arguments].concat()).unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!said.contains("geheim"), "{said}");
        (output.status.code().unwrap(), said)
    };
    let (code, said) = db(&["check"]);
    assert!(
        code == 1 && said.contains("is not there: tandemctl db init makes it"),
        "{said}"
    );
    for _ in 0..2 {
        let (code, said) = db(&["init"]);
        assert!(code == 0 && said.matches(" ok").count() == 11, "{said}");
    }
    // Of an earlier version, and of a later one.
    let alter = "ALTER TABLE subscriber DROP COLUMN ha1b; UPDATE version SET table_version = 6 WHERE table_name = 'subscriber'";
    lab.sql(alter).unwrap();
    let (code, said) = db(&["check"]);
    assert!(
        code == 1 && said.contains("is older: tandemctl db migrate"),
        "{said}"
    );
    let (code, said) = db(&["migrate"]);
    assert!(
        code == 0 && said.contains("ALTER TABLE subscriber ADD COLUMN ha1b"),
        "{said}"
    );
    assert_eq!(db(&["check"]).0, 0);
    let newer = |version: u32| {
        let set =
            format!("UPDATE version SET table_version = {version} WHERE table_name = 'dispatcher'");
        lab.sql(&set).unwrap()
    };
    newer(5);
    let (code, said) = db(&["migrate"]);
    assert!(
        code == 1 && said.contains("is newer than this software knows it"),
        "{said}"
    );
    newer(4);
    // What another database has: twice is once, and what cannot be used is named.
    let other = lab.dir().join("other.db");
    let file = lab.dir().join("other.toml");
    let text = std::fs::read_to_string(lab.config_file()).unwrap();
    let url = "mysql://tandem@127.0.0.1:3306/tandem";
    let text = text.replace(url, &format!("sqlite:{}", other.display()));
    let text: String = text
        .lines()
        .filter(|l| !l.starts_with("password_file"))
        .map(|l| format!("{l}\n"))
        .collect();
    lab.write(&file, &text).unwrap();
    let another = Ctl::new(lab.appliance.clone(), binary("tandemctl"), file);
    another.run(&["db", "init"]).unwrap();
    let rows = "INSERT INTO subscriber (username, domain, password) VALUES ('o''hara', 'example.com', 'x'), ('b', '', 'y');
        INSERT INTO address (ip_addr, mask) VALUES ('192.0.2.1', 32), ('192.0.2.2', 300);
        INSERT INTO dispatcher (setid, destination) VALUES (1, 'sip:10.0.0.1')";
    let done = std::process::Command::new("sqlite3")
        .arg(&other)
        .arg(rows)
        .status();
    assert!(done.unwrap().success());
    let from = format!("sqlite:{}", other.display());
    let (code, said) = db(&["import", &from]);
    assert!(code == 1 && said.contains("mask cannot be 300"), "{said}");
    assert!(
        said.contains("subscriber: 2 inserted, 0 were there"),
        "{said}"
    );
    let (_, said) = db(&["import", &from]);
    assert!(
        said.contains("subscriber: 0 inserted, 2 were there"),
        "{said}"
    );
    assert_eq!(lab.sql("SELECT count(*) FROM address").unwrap(), "1\n");
    // From here on with what `db users` says and no more; the partitions of the next months are missing.
    let grants = ctl.run(&["db", "users"]).unwrap();
    let cut = "SELECT group_concat(partition_name) FROM information_schema.partitions WHERE table_name = 'cdr'";
    let partitions = lab.sql(cut).unwrap();
    for name in partitions
        .trim()
        .split(',')
        .filter(|name| *name != "pmax")
        .skip(1)
    {
        lab.sql(&format!("ALTER TABLE cdr DROP PARTITION {name}"))
            .unwrap();
    }
    lab.sql("REVOKE ALL PRIVILEGES ON tandem.* FROM tandem@'%'")
        .unwrap();
    assert_eq!(db(&["check"]).0, 1);
    lab.sql(&grants).unwrap();
    assert_eq!(db(&["check"]).0, 0, "{}", db(&["check"]).1);
    lab.start_dataplane().unwrap();
    lab.start_sigplane().unwrap();
    lab.fill_database().unwrap();
    lab.sql(&registering::rows(USERS)).unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    lab.wait_until_ready().unwrap();
    assert_eq!(lab.sql(cut).unwrap(), partitions);
    let _server = Server::start(&lab, &lab.core, "server", SERVERS[0]).unwrap();
    let caller = Caller::start(&lab, &lab.carrier, "caller", &calls(2)).unwrap();
    let outcome = register(&lab).finish().unwrap();
    assert_eq!(caller.finish(SOON).unwrap().failed, 0);
    lab.wait_until_quiet(20, SOON).unwrap();
    check_location(&lab, &outcome);
}
