//! `make lab`: the same set-up, left running.

use tandem_e2e::sipp::{Caller, Server};
use tandem_e2e::topology::{CALLER, OUTSIDE, SERVERS};
use tandem_e2e::{Failure, Lab, Options, Result, binary, scenario};

use crate::NAME;
use crate::screen::{PICTURE, Screen};

/// Starts it and tells how to use it.
pub(crate) fn up() -> Result<()> {
    if Lab::exists(NAME) {
        return Err(Failure::new(
            "the laboratory is up already; `make lab-stop` ends it",
        ));
    }
    let screen = Screen::new();
    let options = Options {
        probe_interval: 10,
        ..Options::default()
    };
    let mut lab = Lab::named(NAME, options)?;
    lab.start_dataplane()?;
    lab.start_sigplane()?;
    lab.fill_database()?;
    lab.wait_until_ready()?;
    let first = Server::start(&lab, &lab.core, "server-1", SERVERS[0])?;
    let second = Server::start(&lab, &lab.core, "server-2", SERVERS[1])?;
    let folder = Caller::folder(&lab, "caller")?;

    println!("{PICTURE}");
    screen.title("The laboratory is up and stays up.");
    let ctl = format!(
        "ip netns exec {} {} --config {}",
        lab.appliance.name(),
        binary("tandemctl").display(),
        lab.config_file().display()
    );
    println!(
        "
Call through it (ten seconds of a tone, echoed by the media server):

    cd {folder} && ip netns exec {carrier} sipp -sf {scenario} \\
        -i {CALLER} -mi {CALLER} -m 1 -d 10000 {OUTSIDE}:5060

With a telephone of your own, in the carrier's namespace, from {CALLER}:

    ip netns exec {carrier} baresip -e '/dial sip:anybody@{OUTSIDE}'

See what it does:

    {ctl} status
    {ctl} calls
    {ctl} flows
    {ctl} dispatcher list
    {ctl} counters
    {ctl} capture --write /tmp/call.pcap --seconds 30
    sqlite3 -header -column {dir}/state/tandem.db 'SELECT * FROM cdr'

Look around in it as on any machine:

    ip netns exec {appliance} ip neigh
    ip netns exec {carrier} ping {OUTSIDE}

Configuration, database and logs are in {dir}.
Stop it:

    make lab-stop
",
        folder = folder.display(),
        carrier = lab.carrier.name(),
        appliance = lab.appliance.name(),
        scenario = scenario("caller.xml").display(),
        dir = lab.dir().display(),
    );
    first.keep();
    second.keep();
    lab.keep();
    Ok(())
}
