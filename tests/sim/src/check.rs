//! What must hold when all is over.

use std::collections::BTreeSet;

use tandem_policy::EndCause;

use crate::leg::{Dialog, Leg};
use crate::world::World;

/// Everything that does not hold.
pub(crate) fn faults(world: &World) -> Vec<String> {
    let mut faults = world.ledger.faults.clone();
    faults.extend(world.proxy.faults.iter().cloned());
    let legs: Vec<&Leg> = world.agents.iter().flat_map(|a| &a.legs).collect();
    let died: BTreeSet<u32> = legs
        .iter()
        .filter(|l| l.dead && !l.silent)
        .map(|l| l.call)
        .collect();
    let soft = world.ledger.softs.iter();
    faults.extend(
        soft.filter(|(call, _)| !died.contains(call))
            .map(|(_, what)| what.clone()),
    );
    for leg in &legs {
        for dialog in &leg.dialogs {
            faults.extend(ended(world, &legs, leg, dialog));
        }
        if leg.caller {
            faults.extend(recorded(world, &legs, leg));
        }
    }
    faults.extend(leftovers(world));
    faults
}

/// Nothing is left of any call.
fn leftovers(world: &World) -> Vec<String> {
    let mut left = world.proxy.leftovers();
    if !world.weather.probe_interval.is_zero() {
        let probes = ["transactions", "timers"];
        left.retain(|l| !probes.iter().any(|p| l.contains(p)));
    }
    if world.flows_left() > 0 {
        left.push(format!("{} flows in the dataplane", world.flows_left()));
    }
    for key in &world.proxy.keys {
        if !world.proxy.cdrs.contains_key(key) {
            left.push(format!("call {key:x} without a CDR"));
        }
    }
    left.into_iter()
        .map(|l| format!("left over: {l}"))
        .collect()
}

/// An answered dialog ends at both ends, and its BYE reaches the other.
fn ended(world: &World, legs: &[&Leg], leg: &Leg, dialog: &Dialog) -> Option<String> {
    if leg.dead || !dialog.answered {
        return None;
    }
    let crashed = !world.weather.crashes.is_empty();
    let name = format!(
        "call {}, dialog {} {} (caller: {})",
        leg.call, dialog.local, dialog.remote, leg.caller
    );
    let peer = legs
        .iter()
        .filter(|l| l.call == leg.call && l.caller != leg.caller)
        .flat_map(|l| &l.dialogs)
        .find(|d| d.local == dialog.remote && d.remote == dialog.local);
    // A BYE may be lost with its stream, or with the proxy.
    let broken = !world.weather.breaks.is_empty() && peer.is_some_and(|p| p.bye.is_some());
    let by_us = ended_by_us(world, leg.call);
    let unknown = crashed && (!dialog.acked || dialog.acked_by_proxy || by_us);
    if !dialog.is_over() && !broken && !unknown {
        return Some(format!("{name} does not end"));
    }
    let Some(Some((relayed, code))) = dialog.bye else {
        return None;
    };
    if relayed || code == 408 {
        return None;
    }
    // The proxy does not know the dialog: only if it has ended otherwise.
    let by_this = if leg.caller {
        EndCause::Caller
    } else {
        EndCause::Callee
    };
    let otherwise = dialog.got_bye
        || dialog.proxy_bye
        || peer.is_some_and(Dialog::is_over)
        || by_us
        // It did end the call, whose other end was gone; but the answer was lost with the proxy.
        || crashed && ended_by(world, leg.call, &[by_this])
        || !leg.caller && (!dialog.acked || dialog.acked_by_proxy);
    (!otherwise).then(|| format!("{name}: its BYE got {code} from the proxy"))
}

fn ended_by_us(world: &World, call: u32) -> bool {
    ended_by(
        world,
        call,
        &[
            EndCause::Local,
            EndCause::MediaTimeout,
            EndCause::MaxDuration,
            EndCause::SessionExpired,
        ],
    )
}

fn ended_by(world: &World, call: u32, causes: &[EndCause]) -> bool {
    let uri = format!("sip:{call}@");
    let mut cdrs = world.proxy.cdrs.values();
    cdrs.any(|cdr| cdr.to_uri.starts_with(&uri) && causes.contains(&cdr.cause))
}

/// Every call has its CDR, and it says what happened.
fn recorded(world: &World, legs: &[&Leg], leg: &Leg) -> Vec<String> {
    let cdrs: Vec<_> = world
        .proxy
        .cdrs
        .values()
        .filter(|cdr| cdr.callid == leg.call_id && cdr.from_tag == leg.tag)
        .collect();
    let mut faults = Vec::new();
    let crashed = !world.weather.crashes.is_empty();
    let arrived = legs.iter().any(|l| !l.caller && l.call == leg.call);
    let answered = leg.dialogs.iter().any(|d| d.answered);
    let answers = cdrs.iter().filter(|c| c.answer_ms.is_some()).count();
    if cdrs.len() > 1 && !crashed || cdrs.is_empty() && arrived {
        faults.push(format!("call {} has {} CDRs", leg.call, cdrs.len()));
    }
    if answered && answers != 1 || answers > 1 {
        faults.push(format!(
            "call {} was answered: {answered}, by its CDRs {answers} times",
            leg.call
        ));
    }
    for cdr in &cdrs {
        let spoken = |caller: bool| {
            let of = legs
                .iter()
                .filter(|l| l.call == leg.call && l.caller == caller);
            of.flat_map(|l| &l.dialogs).any(|d| d.bye.is_some())
        };
        let wrong = match cdr.cause {
            EndCause::Caller => !spoken(true),
            EndCause::Callee => !spoken(false),
            _ => false,
        };
        if wrong {
            faults.push(format!(
                "call {} was ended by {:?}, who did not",
                leg.call, cdr.cause
            ));
        }
        if cdr.end_ms < cdr.start_ms || cdr.answer_ms.is_some_and(|a| a < cdr.start_ms) {
            faults.push(format!("call {}: times in its CDR", leg.call));
        }
    }
    faults
}
