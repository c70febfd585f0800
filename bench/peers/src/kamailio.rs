//! Debian's Kamailio on one core: dispatcher, record-route, dialog, tm.

use std::process::Command;
use std::time::Duration;

use tandem_e2e::{Lab, Process, Result, wait};

use crate::wires::{INSIDE, OUTSIDE, SERVER};

/// Starts it and waits until it listens.
pub(crate) fn start(lab: &Lab, tcp: bool) -> Result<Process> {
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
    let file = folder.join("kamailio.cfg");
    lab.write(&file, &config)?;
    let mut command: Command = lab.appliance.command("taskset");
    command
        .args(["-c", "1", "kamailio", "-DD", "-m", "1024", "-M", "64", "-f"])
        .arg(&file)
        .arg("-Y")
        .arg(&folder)
        .current_dir(&folder);
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
