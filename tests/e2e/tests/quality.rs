//! What the appliance says of a call's quality agrees with what was done to it and with what tshark reads in the same RTCP.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::time::Duration;

use tandem_e2e::baresip::Baresip;
use tandem_e2e::capture::Capture;
use tandem_e2e::road::Road;
use tandem_e2e::topology::{CALLER, CORE_LINK, OUTSIDE, SERVERS, sip};
use tandem_e2e::{Lab, Options, wait, wav};

const SOON: Duration = Duration::from_secs(20);
/// Of each way to the caller.
const DELAY: Duration = Duration::from_millis(40);
/// Of so many packets of the caller's media one is lost.
const LOSES: u64 = 20;

/// Packets lost, in each report block that a host sent, as tshark reads them.
fn reported_lost(file: &std::path::Path, source: &str) -> Vec<u64> {
    let output = std::process::Command::new("tshark")
        .arg("-r")
        .arg(file)
        .args(["--enable-heuristic", "rtcp_udp", "-Y"])
        .arg(format!("rtcp.ssrc.cum_nr && ip.src == {source}"))
        .args(["-T", "fields", "-e", "rtcp.ssrc.cum_nr"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let first = |line: &str| line.split(',').next().unwrap_or_default().parse().ok();
    text.lines().filter_map(first).collect()
}

/// A telephone behind a road of 40 ms each way that loses 5 %, and one next door.
#[test]
fn a_long_and_bad_road_is_what_it_is() {
    let options = Options {
        pool: vec![sip(SERVERS[0])],
        ..Options::default()
    };
    let mut lab = Lab::wires(options).unwrap();
    let road = Road::lay(&lab, DELAY, LOSES, &[CALLER]).unwrap();
    lab.start_dataplane().unwrap();
    lab.start_sigplane().unwrap();
    lab.fill_database().unwrap();
    lab.wait_until_ready().unwrap();
    let inside = Capture::whole(&lab, &lab.core, "inside", CORE_LINK).unwrap();
    let says = wav::sweep(8_000, 30, 1);
    let mut callee = Baresip::answering(&lab, &lab.core, "callee", SERVERS[0], &says).unwrap();
    let uri = format!("sip:callee@{OUTSIDE}");
    let config = Baresip::listening(CALLER);
    let mut caller =
        Baresip::calling_with(&lab, &lab.carrier, "caller", CALLER, &says, &uri, &config).unwrap();
    caller.wait_for_call(SOON).unwrap();

    // Both report every 5 s; a report on a report makes a round trip.
    let ctl = lab.ctl();
    for (digit, count) in [("1", 1), ("1", 2), ("9", 3)] {
        caller.tell(&lab, CALLER, "sndcode", digit).unwrap();
        wait::until(format_args!("digit {count}"), SOON, || {
            let flow = ctl.flows().ok()?.pop()?;
            (flow.a.stream.events == count).then_some(())
        })
        .unwrap();
    }
    let flow = wait::until(
        "two reports of each side and both round trips",
        SOON,
        || {
            let flow = ctl.flows().ok()?.pop()?;
            let reported = |leg: &tandem_admin::FlowLeg| {
                leg.report
                    .is_some_and(|r| r.reports >= 2 && r.round_trip_us.is_some())
            };
            (reported(&flow.a) && reported(&flow.b)).then_some(flow)
        },
    )
    .unwrap();
    let (far, near) = (flow.a.report.unwrap(), flow.b.report.unwrap());
    let far_ms = f64::from(far.round_trip_us.unwrap()) / 1e3;
    let near_ms = f64::from(near.round_trip_us.unwrap()) / 1e3;
    assert!((78.0..110.0).contains(&far_ms), "{far_ms} ms to the caller");
    assert!(near_ms < 25.0, "{near_ms} ms to the callee");
    // 1 of 20 is 12.8 of 256.
    assert!((7..=20).contains(&near.fraction_lost), "{near:?}");
    assert!(
        far.lost <= 1,
        "nothing is lost on the way to the caller: {far:?}"
    );

    caller.quit().unwrap();
    callee.wait_for_end(SOON).unwrap();
    lab.wait_until_quiet(1, SOON).unwrap();
    let cdr = lab
        .sql(
            "SELECT caller_packets, caller_lost, callee_lost, caller_rtt_ms, callee_rtt_ms, callee_heard_lost, caller_mos, callee_mos,
                 callee_heard_mos, caller_heard_mos, caller_dtmf, callee_dtmf FROM cdr",
        )
        .unwrap();
    let cells: Vec<f64> = cdr
        .trim()
        .split('|')
        .map(|cell| cell.parse().unwrap())
        .collect();
    let [
        packets,
        lost,
        back,
        far_rtt,
        near_rtt,
        heard_lost,
        mos,
        back_mos,
        heard,
        back_heard,
        digits,
        none,
    ] = cells[..]
    else {
        panic!("{cdr}")
    };
    assert_eq!((digits, none), (3.0, 0.0), "{cdr}");
    // The road counts those before the first and behind the last that came, too.
    let on_the_road = road.lost() as f64;
    assert!(
        lost <= on_the_road && lost >= on_the_road - 1.0,
        "{lost} of {on_the_road}"
    );
    assert!((0.04..0.06).contains(&(lost / (packets + lost))), "{cdr}");
    assert_eq!(back, 0.0, "{cdr}");
    assert!((78.0..110.0).contains(&far_rtt) && near_rtt < 25.0, "{cdr}");
    // What the callee said is what tshark reads.
    let file = inside.stop().unwrap();
    let read = reported_lost(&file, &SERVERS[0].to_string());
    // With its goodbye it may have told once more when the flow was gone.
    let last = read.iter().rev().take(2).map(|lost| *lost as f64);
    assert!(
        read.len() >= 2 && last.into_iter().any(|lost| lost == heard_lost),
        "{read:?} {cdr}"
    );
    // 5 % of loss costs G.711 with concealment 16 points of R: about half a point of MOS.
    assert!(mos < back_mos - 0.3 && mos > 3.3, "{cdr}");
    assert!(heard < back_heard - 0.3, "{cdr}");

    let cores = ctl.run(&["cores"]).unwrap();
    assert!(cores.contains("P99.9"), "{cores}");
}
