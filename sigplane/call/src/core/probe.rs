//! OPTIONS to the targets: who answers takes calls.
//!
//! Any final answer but 408 and 5xx counts as a success: a target that answers 404 or 405 to an
//! OPTIONS that it does not know is there all the same.

use std::net::SocketAddr;
use std::time::Duration;

use tandem_policy::Target;
use tandem_transaction::{ClientId, Method};

use super::timer::Timer;
use super::{ClientUse, Core};
use crate::compose::{ALLOW, Draft};
use crate::config::Side;
use crate::counters::Counter;
use crate::io::Now;
use crate::record::Hop;

/// A probe that awaits its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    client: ClientId,
    server: SocketAddr,
    sent: Duration,
}

impl Core {
    /// Brings the probes' timers in line with the table.
    pub(super) fn schedule_probes(&mut self, now: Now) {
        // One worker probes for all.
        if self.config.dispatcher.probe_interval.is_zero() || self.config.share.worker != 0 {
            return;
        }
        let targets: Vec<i64> = self.probed().map(|(id, _)| id).collect();
        for target in targets {
            let busy =
                self.probes.contains_key(&target) || self.timers.is_set(Timer::Probe(target));
            if !busy {
                self.timers.set(Timer::Probe(target), now.mono);
            }
        }
    }

    /// The targets that are probed, with their side.
    fn probed(&self) -> impl Iterator<Item = (i64, Side)> + '_ {
        self.routed()
            .filter(|(target, _)| target.is_probed())
            .map(|(target, side)| (target.row.id, side))
    }

    /// The targets that calls go to, with their side.
    pub(super) fn routed(&self) -> impl Iterator<Item = (&Target, Side)> + '_ {
        let side = |inner| {
            if inner {
                Side::Internal
            } else {
                Side::External
            }
        };
        self.routed_sets()
            .into_iter()
            .flat_map(move |(set, inner)| {
                self.dispatcher.members(set).map(move |t| (t, side(inner)))
            })
    }

    pub(super) fn probe(&mut self, now: Now, target: i64) {
        // Gone from the table, or disabled: the table's next reading may bring it back.
        let Some((_, side)) = self.probed().find(|(id, _)| *id == target) else {
            return;
        };
        // Switched off meanwhile.
        if self.config.dispatcher.probe_interval.is_zero() {
            return;
        }
        self.timers.set(
            Timer::Probe(target),
            now.mono + self.config.dispatcher.probe_interval,
        );
        if self.probes.contains_key(&target) {
            return;
        }
        // The first server stands for all; if it fails, another is first the next time.
        let Some(server) = self.servers_of(now, target, b"").into_iter().next() else {
            return self.counters.add(Counter::ProbesUnlocated);
        };
        let (transport, peer) = (server.transport, server.address);
        let Some((path, local)) = self.config.way(side, transport, peer) else {
            return self.counters.add(Counter::TargetsWithoutWay);
        };
        let branch = self.tokens.branch();
        let row = self.dispatcher.target(target);
        let named = row.and_then(|t| t.wanted.named());
        let uri = format!("sip:{}", named.unwrap_or_else(|| peer.to_string()));
        let hop = Hop {
            path,
            local,
            peer,
            connect: None,
            hidden: None,
            flow: false,
        };
        let request = self.own_options(&uri, hop, &branch);
        let client = self.layer.request(
            now.mono,
            branch.as_bytes(),
            Method::Other,
            hop,
            request.into(),
        );
        self.clients.insert(client, ClientUse::Probe(target));
        self.probes.insert(
            target,
            Probe {
                client,
                server: peer,
                sent: now.mono,
            },
        );
        let timeout = now.mono + self.config.dispatcher.probe_timeout;
        self.timers.set(Timer::ProbeTimeout(target), timeout);
        self.counters.add(Counter::ProbesSent);
        self.flush();
    }

    /// An OPTIONS of our own.
    pub(super) fn own_options(&mut self, uri: &str, hop: Hop, branch: &str) -> Vec<u8> {
        let (tag, call_id) = (self.tokens.token(), self.own_call_id());
        let own = format!("<sip:tandem@{}>", hop.local);
        Draft::request(b"OPTIONS", uri.as_bytes())
            .header("Via", &self.via(hop, branch))
            .header("Max-Forwards", b"70")
            .header("From", format!("{own};tag={tag}").as_bytes())
            .header("To", format!("<{uri}>").as_bytes())
            .header("Call-ID", call_id.as_bytes())
            .header("CSeq", b"1 OPTIONS")
            .header("Contact", &self.contact_of(b"tandem", hop))
            .header("Accept", b"application/sdp")
            .header("Allow", ALLOW.as_bytes())
            .header("User-Agent", self.config.server.as_bytes())
            .finish(b"")
    }

    pub(super) fn probe_answered(&mut self, now: Now, target: i64, code: u16) {
        if code < 200 {
            return;
        }
        let Some(probe) = self.probes.remove(&target) else {
            return;
        };
        self.timers.clear(Timer::ProbeTimeout(target));
        if code == 408 || (500..600).contains(&code) {
            self.counters.add(Counter::ProbesFailed);
            self.target_ailing(now, target, probe.server, (true, false));
        } else {
            self.counters.add(Counter::ProbesAnswered);
            self.target_well(target, probe.server, now.mono.saturating_sub(probe.sent));
        }
    }

    /// No answer in time.
    pub(super) fn probe_silent(&mut self, now: Now, target: i64) {
        let Some(client) = self.probes.get(&target).map(|p| p.client) else {
            return;
        };
        self.probe_failed(now, target);
        self.layer.abort(client);
    }

    /// No answer, and none to be expected.
    pub(super) fn probe_failed(&mut self, now: Now, target: i64) {
        let Some(probe) = self.probes.remove(&target) else {
            return;
        };
        self.timers.clear(Timer::ProbeTimeout(target));
        self.counters.add(Counter::ProbesTimedOut);
        self.target_ailing(now, target, probe.server, (true, true));
    }
}
