//! Where calls go: numbers of ours.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::net::IpAddr;
use std::time::Duration;

use tandem_e2e::sipp::{Caller, Calls, Server, Tally};
use tandem_e2e::topology::{CALLER, SERVERS, sip};
use tandem_e2e::{Lab, Options, wait};

const SOON: Duration = Duration::from_secs(30);
const OF_ACME: IpAddr = SERVERS[0];
const OF_ZETA: IpAddr = SERVERS[1];

fn call(lab: &Lab, name: &str, user: &'static str, host: &'static str) -> Tally {
    let load = Calls {
        user,
        host,
        count: 5,
        rate: 10,
        talk: Duration::from_millis(300),
        ..Calls::default()
    };
    let caller = Caller::start(lab, &lab.carrier, name, &load).unwrap();
    caller.finish(SOON).unwrap()
}

#[test]
fn the_same_number_of_two_tenants_goes_to_two_places() {
    let lab = Lab::start(Options {
        probe_interval: 0,
        pool: vec![sip(OF_ACME)],
        trunk: None,
        carriers: vec![CALLER],
        more: "[routing]\ndids = true\n".to_owned(),
        ..Options::default()
    })
    .unwrap();
    lab.sql(&format!(
        "INSERT INTO dispatcher (setid, destination) VALUES (7, 'sip:{}');
         INSERT INTO did_routing (tenant, did, dest_type, destination, setid)
             VALUES ('acme.example', '4930100', 'ivr', 'front', 0), ('zeta.example', '+49 30 100', 'desk', '', 7);",
        sip(OF_ZETA)
    ))
    .unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    let _acme = Server::start(&lab, &lab.core, "acme", OF_ACME).unwrap();
    let _zeta = Server::start(&lab, &lab.core, "zeta", OF_ZETA).unwrap();
    for (name, host) in [("first", "acme.example"), ("second", "ZETA.example")] {
        let tally = call(&lab, name, "+4930100", host);
        assert_eq!(
            (tally.successful, tally.failed),
            (5, 0),
            "{host}: {tally:?}"
        );
    }
    // A number that nobody has: 404, not a call.
    let tally = call(&lab, "third", "4930100", "other.example");
    assert_eq!((tally.successful, tally.failed), (0, 5), "{tally:?}");
    let unknown = lab.ctl().counters().unwrap().value("dids_unknown");
    assert_eq!(unknown, 5);
    let places = "SELECT destination, count(*) FROM cdr GROUP BY destination ORDER BY destination";
    let expected = format!("sip:{}|5\nsip:{}|5\n", sip(OF_ACME), sip(OF_ZETA));
    let all = || (lab.sql(places).ok()? == expected).then_some(());
    if let Err(failure) = wait::until("ten CDRs", SOON, all) {
        panic!("{failure}: {}", lab.sql(places).unwrap());
    }
    // One more, while calls could be made: the next reload has it.
    lab.sql("INSERT INTO did_routing (did) VALUES ('4930100')")
        .unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    let tally = call(&lab, "fourth", "4930100", "other.example");
    assert_eq!((tally.successful, tally.failed), (5, 0), "{tally:?}");
}
