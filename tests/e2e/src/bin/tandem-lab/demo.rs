//! `make demo`: what Tandem does, as it happens.

use std::time::Duration;

use tandem_admin::{Call, DirectionFigures};
use tandem_e2e::ctl::Ctl;
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{CALLER, OUTSIDE, SERVERS};
use tandem_e2e::{Failure, Lab, Options, Result, wait};

use crate::screen::{PICTURE, Screen};

const SOON: Duration = Duration::from_secs(15);
/// How long each call talks.
const TALK: Duration = Duration::from_secs(6);
/// G.711 has eight RTP timestamp units in a millisecond.
const UNITS_PER_MS: f64 = 8.0;

/// All of it, in less than a minute.
pub(crate) fn run() -> Result<()> {
    let screen = Screen::new();
    screen.title("Tandem: a call through both planes");
    println!("{PICTURE}");

    screen.title("Setting up");
    let mut lab = Lab::wires(Options::default())?;
    screen.event("three network namespaces, joined by the dataplane's two DPDK ports");
    lab.start_dataplane()?;
    screen.good("tandem-dataplane is ready: its worker polls both ports");
    lab.start_sigplane()?;
    lab.fill_database()?;
    lab.wait_until_ready()?;
    screen.good("tandem-sigplane is ready: connected to the dataplane, tables read");
    let mut servers = [
        Server::start(&lab, &lab.core, "server-1", SERVERS[0])?,
        Server::start(&lab, &lab.core, "server-2", SERVERS[1])?,
    ];
    screen.event("two media servers (sipp, echoing RTP) are up and are being probed");

    screen.title("A call");
    let first = call(&lab, &screen, "caller-1")?;
    cdr(&lab, &screen, 1)?;

    let taken = SERVERS
        .iter()
        .position(|s| first.target.contains(&s.to_string()));
    let taken = taken.ok_or_else(|| Failure::new(format!("who is {}?", first.target)))?;
    screen.title(&format!(
        "Media server {} is stopped, and the same number is called again",
        taken + 1
    ));
    if let Some(server) = servers.get_mut(taken) {
        server.kill();
    }
    screen.bad(&format!("{} is gone", first.target));
    let second = call(&lab, &screen, "caller-2")?;
    if second.target == first.target {
        return Err(Failure::new(
            "the second call went to the server that was stopped",
        ));
    }
    screen.good(&format!("the call went to {} instead", second.target));
    cdr(&lab, &screen, 2)?;
    let gone = &first.target;
    wait::until("the probe noticing", SOON, || {
        let targets = lab.ctl().targets().ok()?;
        targets
            .iter()
            .any(|t| t.uri == *gone && t.state == "inactive")
            .then_some(())
    })?;
    screen.event("the probe has noticed; tandemctl dispatcher list:");
    for line in lab.ctl().run(&["dispatcher", "list"])?.lines() {
        screen.detail(line);
    }
    lab.wait_until_quiet(2, SOON)?;
    drop(servers);
    drop(lab);
    screen.title(&format!(
        "Done in {:.0} s; everything is taken down. `make lab` leaves it up for you.",
        screen.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// One call, shown while it lasts. Returns it as it stood.
fn call(lab: &Lab, screen: &Screen, name: &str) -> Result<Call> {
    let ctl = lab.ctl();
    // The same Call-ID each time: the pool's hash would choose the same server.
    let calls = Calls {
        talk: TALK,
        call_id: "tandem-demo-%u",
        ..Calls::default()
    };
    let caller = Caller::start(lab, &lab.carrier, name, &calls)?;
    screen.event(&format!("INVITE sip:service@{OUTSIDE} from {CALLER}"));
    let call = wait::until("the call being answered", SOON, || {
        ctl.calls()
            .ok()?
            .into_iter()
            .find(|c| c.state == "confirmed")
    })
    .map_err(|f| Failure::new(format!("{f}\n{}", lab.daemons_said())))?;
    let after = call.answer_ms.unwrap_or(0).saturating_sub(call.start_ms);
    screen.good(&format!("answered by {} after {after} ms", call.target));
    ports(&ctl, screen)?;
    screen.detail("");
    screen.detail("                caller → server                     server → caller");
    screen.detail(
        "                packets   lost  reord.  jitter      packets   lost  reord.  jitter",
    );
    for second in 1..TALK.as_secs() {
        wait::pass(Duration::from_secs(1))?;
        let Some(flow) = ctl.flows()?.into_iter().next() else {
            break;
        };
        let (a, b) = (figures(flow.a.rtp), figures(flow.b.rtp));
        screen.detail(&format!("  {second:>3} s        {a}      {b}"));
    }
    screen.detail("");
    let tally = caller.finish(TALK + SOON)?;
    if tally.successful != 1 {
        return Err(Failure::new(format!(
            "the call failed: {tally:?}\n{}",
            lab.daemons_said()
        )));
    }
    screen.good("BYE, answered 200: the call is over");
    Ok(call)
}

/// Where the media of the call goes through.
fn ports(ctl: &Ctl, screen: &Screen) -> Result<()> {
    let flow = wait::until("media in both directions", SOON, || {
        let flow = ctl.flows().ok()?.into_iter().next()?;
        (flow.a.latched.is_some() && flow.b.latched.is_some()).then_some(flow)
    })?;
    let peer = |leg: &tandem_admin::FlowLeg| {
        leg.latched
            .map_or_else(|| "-".to_owned(), |a| a.to_string())
    };
    screen.event(&format!(
        "media  {} ⇄ {} │ worker {} │ {} ⇄ {}",
        peer(&flow.a),
        flow.a.local,
        flow.worker,
        flow.b.local,
        peer(&flow.b)
    ));
    Ok(())
}

fn figures(f: DirectionFigures) -> String {
    let jitter = f64::from(f.jitter) / UNITS_PER_MS;
    format!(
        "{:>7} {:>6} {:>7} {:>6.2}ms",
        f.packets, f.lost, f.reordered, jitter
    )
}

/// The record of the call that was written last.
fn cdr(lab: &Lab, screen: &Screen, count: u64) -> Result<()> {
    wait::until("the CDR", SOON, || {
        lab.cdr_count().ok().filter(|n| *n >= count)
    })?;
    let row = lab.sql(
        "SELECT direction, destination, sip_code, cause, answer_ms - start_ms, end_ms - answer_ms, \
         caller_packets, caller_lost, callee_packets, callee_lost FROM cdr ORDER BY id DESC LIMIT 1",
    )?;
    let mut columns = row.trim().split('|');
    let mut next = || columns.next().unwrap_or("-");
    screen.event("CDR, written once:");
    screen.detail(&format!("  {} call to {}", next(), next()));
    screen.detail(&format!("  answered {}, ended by the {}", next(), next()));
    screen.detail(&format!("  rang {} ms, talked {} ms", next(), next()));
    screen.detail(&format!(
        "  media from the caller: {} packets, {} lost",
        next(),
        next()
    ));
    screen.detail(&format!(
        "  media from the server: {} packets, {} lost",
        next(),
        next()
    ));
    Ok(())
}
