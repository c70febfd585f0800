//! What the management API may see.

use tandem_policy::{Algorithm, Target};

use super::Core;
use crate::call::Call;
use crate::media::Session;
use crate::views::{CallState, CallView, Footprint, TargetView};

impl Core {
    /// Whether there is such a call, and it has not ended.
    pub(super) fn is_going_on(&self, key: u64) -> bool {
        self.calls
            .get(&key)
            .is_some_and(|c| c.record.ending.is_none())
    }

    /// Every call.
    pub fn calls(&self) -> impl Iterator<Item = CallView> + '_ {
        self.calls.map(call_view)
    }

    /// Every dispatcher target, by row id.
    pub fn dispatcher(&self) -> impl Iterator<Item = TargetView> + '_ {
        self.dispatcher
            .targets()
            .map(|target| target_view(target, self.dispatcher.algorithm(target.row.setid)))
    }

    /// How much is alive.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let (clients, servers) = self.layer.len();
        Footprint {
            calls: self.calls.len(),
            resting: self.calls.len() - self.calls.open().count(),
            call_ids: self.calls.call_ids(),
            clients,
            client_uses: self.clients.len(),
            servers,
            setups: self.setups.len(),
            relays: self.relays.len(),
            passages: self.passages.len(),
            lates: self.lates.len() + self.late_relays.len(),
            timers: self.timers.len(),
            commands: self.link.unanswered(),
        }
    }

    /// Every counter and gauge.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let (clients, servers) = self.layer.len();
        let usage = (0..self.config.realms.len())
            .filter_map(|i| u16::try_from(i).ok())
            .map(|realm| self.ports.usage(realm));
        let (used, free) = usage.fold((0, 0), |(used, free), u| {
            (used + u.used as u64, free + u.free as u64)
        });
        let gauges = [
            ("calls_now", self.calls.len() as u64),
            ("bindings_now", self.bindings.len() as u64),
            ("registered_users_now", self.registrar.location.len() as u64),
            (
                "registered_contacts_now",
                self.registrar.location.contacts() as u64,
            ),
            ("transactions_client_now", clients as u64),
            ("transactions_server_now", servers as u64),
            ("media_port_pairs_used", used),
            ("media_port_pairs_free", free),
            ("media_ports_early", self.ports.early()),
            ("dataplane_ready", u64::from(self.link.is_ready())),
        ];
        self.counters.all().chain(gauges)
    }
}

pub(super) fn call_view(key: u64, call: &Call) -> CallView {
    let record = &call.record;
    CallView {
        key,
        call_id: String::from_utf8_lossy(&record.call_id).into_owned(),
        from_uri: record.from_uri.clone(),
        to_uri: record.to_uri.clone(),
        direction: record.direction.as_str(),
        state: if record.ending.is_some() {
            CallState::Ending
        } else if record.confirmed.is_some() {
            CallState::Confirmed
        } else {
            CallState::Setup
        },
        source: record.source,
        target: record.destination.clone(),
        start_ms: record.start_ms,
        answer_ms: record.answer_ms,
        flows: record
            .media
            .as_ref()
            .map(Session::flows)
            .unwrap_or_default()
            .into_iter()
            .map(|flow| flow.id)
            .collect(),
    }
}

fn target_view(target: &Target, algorithm: &Algorithm) -> TargetView {
    let micros = |d: std::time::Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
    TargetView {
        id: target.row.id,
        set: target.row.setid,
        destination: target.row.destination.clone(),
        addresses: target.addresses(),
        state: target.state.as_str(),
        algorithm: algorithm.to_string(),
        attributes: target.attributes.clone(),
        priority: target.row.priority,
        calls: target.calls,
        failures: target.failures,
        successes: target.successes,
        timeouts: target.latency.timeouts,
        latency_last_us: target.latency.last.map(micros),
        latency_mean_us: target.latency.mean().map(micros),
        latency_max_us: target.latency.max.map(micros),
    }
}
