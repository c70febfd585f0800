//! Debian's Kamailio on one core: as a proxy (dispatcher, record-route, dialog, tm), or as a registrar (auth, usrloc).

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tandem_e2e::kamailio::{DOMAIN, PASSWORD};
use tandem_e2e::{Failure, Lab, Process, Result, wait};

use tandem_bench_peers::wires::{INSIDE, OUTSIDE, SERVER};

/// The socket that `kamcmd` asks.
const CONTROL: &str = "ctl";

/// Starts a proxy and waits until it listens.
pub(crate) fn proxy(lab: &Lab, tcp: bool) -> Result<Process> {
    let folder = lab.peer_dir("kamailio")?;
    let transport = if tcp { ";transport=tcp" } else { "" };
    lab.write(
        &folder.join("dispatcher.list"),
        &format!("1 sip:{SERVER}:5060{transport}\n"),
    )?;
    let proto = if tcp { "tcp" } else { "udp" };
    let config = format!(
        r#"#!KAMAILIO
debug=0
log_stderror=yes
fork=yes
children=1
tcp_children=1
{tcp}
auto_aliases=no
mhomed=1
listen={proto}:{OUTSIDE}:5060
listen={proto}:{INSIDE}:5060
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "dialog.so"
loadmodule "dispatcher.so"
modparam("rr", "enable_full_lr", 1)
modparam("dispatcher", "list_file", "{list}")
modparam("dialog", "dlg_flag", 4)
modparam("dialog", "hash_size", 16384)
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("OPTIONS") && $rU == $null) {{ sl_send_reply("200", "OK"); exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
        sl_send_reply("404", "Not here");
        exit;
    }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    t_check_trans();
    record_route();
    if (is_method("INVITE")) {{ setflag(4); dlg_manage(); }}
    if (!ds_select_dst("1", "0")) {{ sl_send_reply("503", "No target"); exit; }}
    t_relay();
}}
"#,
        tcp = if tcp {
            "tcp_connection_lifetime=600"
        } else {
            "disable_tcp=yes"
        },
        list = folder.join("dispatcher.list").display(),
    );
    launch(lab, &folder, &config, tcp)
}

/// Starts a registrar and waits until it listens. Everybody has the same password, all bindings are in memory alone.
pub(crate) fn registrar(lab: &Lab) -> Result<Process> {
    let folder = lab.peer_dir("kamailio")?;
    let config = format!(
        r#"#!KAMAILIO
debug=0
log_stderror=yes
fork=yes
children=1
disable_tcp=yes
auto_aliases=no
alias="{DOMAIN}"
listen=udp:{OUTSIDE}:5060
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "ctl.so"
modparam("ctl", "binrpc", "unix:{control}")
# For 100,000 users; the default is 10.
modparam("usrloc", "hash_size", 16)
modparam("usrloc", "db_mode", 0)
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (!is_method("REGISTER")) {{ sl_send_reply("405", "Not here"); exit; }}
    if (!pv_www_authenticate("{DOMAIN}", "{PASSWORD}", "0")) {{ www_challenge("{DOMAIN}", "1"); exit; }}
    # Nobody registers for others.
    if ($au != $tU || $fu != $tu) {{ sl_send_reply("403", "Forbidden"); exit; }}
    save("location");
}}
"#,
        control = folder.join(CONTROL).display(),
    );
    launch(lab, &folder, &config, false)
}

/// Bytes of its shared memory that are taken, by its own reckoning.
pub(crate) fn shared_memory(lab: &Lab) -> Result<u64> {
    let socket = lab.peer_dir("kamailio")?.join(CONTROL);
    let said = lab
        .appliance
        .run(&format!("kamcmd -s unix:{} core.shmmem", socket.display()))?;
    let line = said
        .lines()
        .find_map(|l| l.trim().strip_prefix("real_used: "));
    line.and_then(|n| n.trim().parse().ok())
        .ok_or_else(|| Failure::new(format!("kamcmd core.shmmem says: {said}")))
}

fn launch(lab: &Lab, folder: &Path, config: &str, tcp: bool) -> Result<Process> {
    let file = folder.join("kamailio.cfg");
    lab.write(&file, config)?;
    let mut command: Command = lab.appliance.command("taskset");
    command
        .args(["-c", "1", "kamailio", "-DD", "-m", "1024", "-M", "64", "-f"])
        .arg(&file)
        .arg("-Y")
        .arg(folder)
        .current_dir(folder);
    let process = Process::start("kamailio", command, lab.log("kamailio"))?;
    let flag = if tcp { "t" } else { "u" };
    wait::until("kamailio", Duration::from_secs(15), || {
        let sockets = lab
            .appliance
            .run(&format!("ss -Hln{flag}"))
            .unwrap_or_default();
        sockets.contains(&format!("{OUTSIDE}:5060")).then_some(())
    })?;
    Ok(process)
}
