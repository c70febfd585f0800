//! Debian's Kamailio as a registrar and proxy inside: what the guide's page "A registrar inside" shows.

use std::net::IpAddr;
use std::time::Duration;

use crate::topology::{INSIDE, sip};
use crate::{Lab, Process, Result, wait};

/// The domain that it serves.
pub const DOMAIN: &str = "example.com";
/// Everybody's password.
pub const PASSWORD: &str = "secret";

/// A running Kamailio.
pub struct Kamailio {
    _process: Process,
}

impl Kamailio {
    /// Starts a registrar at an address of the core namespace. Calls for the user `service` go to `pool`, those for
    /// `service-5070` to its port 5070.
    ///
    /// # Errors
    /// When it does not listen in time.
    pub fn registrar(lab: &Lab, at: IpAddr, pool: IpAddr) -> Result<Self> {
        let folder = lab.peer_dir("registrar")?;
        let file = folder.join("kamailio.cfg");
        lab.write(&file, &config(at, pool))?;
        let mut command = lab.core.command("taskset");
        command
            .args(["-c", "0", "kamailio", "-DD", "-m", "64", "-M", "8", "-f"])
            .arg(&file)
            .arg("-Y")
            .arg(&folder)
            .current_dir(&folder);
        let process = Process::start("registrar", command, lab.log("registrar"))?;
        wait::until("the registrar", Duration::from_secs(15), || {
            let sockets = lab.core.run("ss -Hlnu").unwrap_or_default();
            sockets.contains(&sip(at).to_string()).then_some(())
        })?;
        Ok(Self { _process: process })
    }
}

fn config(at: IpAddr, pool: IpAddr) -> String {
    format!(
        r#"#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children=2
disable_tcp=yes
auto_aliases=no
alias="{DOMAIN}"
listen=udp:{at}:5060
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("registrar", "use_path", 1)
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("OPTIONS") && $rU == $null) {{ sl_send_reply("200", "OK"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
        sl_send_reply("404", "Not here");
        exit;
    }}
    t_check_trans();
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("{DOMAIN}", "{PASSWORD}", "0")) {{ www_challenge("{DOMAIN}", "1"); exit; }}
        save("location");
        exit;
    }}
    # What comes through the appliance is not trusted for that.
    if ($si == "{INSIDE}") {{
        if (!pv_proxy_authenticate("{DOMAIN}", "{PASSWORD}", "0")) {{ proxy_challenge("{DOMAIN}", "1"); exit; }}
        consume_credentials();
    }}
    record_route();
    if ($rU == "service") {{ $ru = "sip:service@{pool}:5060"; t_relay(); exit; }}
    if ($rU =~ "^service-[0-9]+$") {{ $ru = "sip:service@{pool}:" + $(rU{{s.select,1,-}}); t_relay(); exit; }}
    if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    t_on_failure("FLOW");
    t_relay();
}}
failure_route[FLOW] {{
    # The way to the user agent is gone: it is not for the caller to know why.
    if (t_check_status("430")) {{ t_reply("480", "Temporarily Unavailable"); }}
}}
"#
    )
}
