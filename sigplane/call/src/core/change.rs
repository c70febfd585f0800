//! Another configuration, while calls are up.
//!
//! From the next input on the new one counts. What a call, a transaction or a registration has taken from the old one (its
//! targets, its media's timeouts, its timers) stays with it. Whatever [`Core::new`] makes from the configuration and keeps is made
//! again here, or brought in line.

use std::collections::BTreeSet;
use std::time::Duration;

use tandem_policy::Thresholds;
use tandem_policy::digest::{Digest, Nonces};
use tandem_transaction::Settings;

use super::Core;
use super::timer::Timer;
use crate::config::{CoreConfig, DispatcherConfig, RegistrarConfig};
use crate::counters::Counter;
use crate::io::Now;

/// For how long those who could call before a change, and targets that were routed to, are still known for what they were:
/// their calls go on.
const FORMER: Duration = Duration::from_secs(12 * 3_600);
/// Changes that are remembered so.
const MAX_FORMER: usize = 64;

/// Who was trusted, and who was inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Former {
    pub(super) carrier_group: u32,
    pub(super) outer: BTreeSet<u32>,
    pub(super) inner: BTreeSet<u32>,
    until: Duration,
}

/// What a change may not touch: it is made of sockets, ports and other workers.
///
/// # Errors
/// The part that differs.
pub(super) fn check(old: &CoreConfig, new: &CoreConfig) -> Result<(), &'static str> {
    let nonce_key = |c: &CoreConfig| c.registrar.as_ref().map(|r| r.nonce_key);
    let keys = nonce_key(old).zip(nonce_key(new));
    let same = [
        (old.node == new.node, "node"),
        (old.share == new.share, "share"),
        (old.realms == new.realms, "realms"),
        (old.kernel == new.kernel, "kernel"),
        (old.streams == new.streams, "streams"),
        (old.guard.sources == new.guard.sources, "guard.sources"),
        (keys.is_none_or(|(a, b)| a == b), "registrar.nonce_key"),
    ];
    match same.iter().find(|(same, _)| !same) {
        Some((_, part)) => Err(part),
        None => Ok(()),
    }
}

impl Core {
    /// Whether this configuration can be taken while running ([`crate::Input::Config`]).
    ///
    /// # Errors
    /// The part of it that is fixed for the core's life, and is another one.
    pub fn can_take(&self, config: &CoreConfig) -> Result<(), &'static str> {
        check(&self.config, config)
    }

    pub(super) fn take_config(&mut self, now: Now, new: CoreConfig) {
        if check(&self.config, &new).is_err() {
            return self.counters.add(Counter::ConfigsUnfit);
        }
        let routed = self.routed_sets();
        let former = Former {
            carrier_group: self.config.routing.carrier_group,
            outer: self.outer_sets().collect(),
            inner: self.inner_sets().collect(),
            until: now.mono + FORMER,
        };
        let old = std::mem::replace(&mut self.config, new);
        // Other keys come by `hiding_keys` alone.
        if old.hiding.keys.is_some() {
            self.config.hiding.keys.clone_from(&old.hiding.keys);
        }
        let config = &self.config;
        self.layer.set(Settings::with_t1(config.t1));
        self.turned_away.set_keep(64 * config.t1);
        self.overload.set(config.guard.overload);
        self.ports.set_quarantine(config.media.port_rest);
        let plan = config.dispatcher.plan.clone();
        self.dispatcher.set(thresholds(&config.dispatcher), plan);
        self.realms = realms(config);
        match (&mut self.digest, &config.registrar) {
            (Some(digest), Some(registrar)) => digest.set(
                registrar.digest.clone(),
                registrar.nonce_lifetime_ms,
                registrar.max_nonces,
            ),
            (None, Some(registrar)) => {
                self.digest = Some(judge(registrar, config.share.worker));
            }
            // It knows which nonces were used, should the registrar come back.
            (_, None) => {}
        }
        let group = self.config.routing.carrier_group;
        if self.routed_sets() != routed || group != old.routing.carrier_group {
            self.remember(now, former);
        }
        self.note_neighbours();
        if self.has_tables {
            self.pardon(now);
            self.locate_targets(now);
            self.pace_probes(now, old.dispatcher.probe_interval);
            self.pace_keepalives(now, old.nat.keepalive);
        }
        self.counters.add(Counter::ConfigsTaken);
    }

    fn remember(&mut self, now: Now, former: Former) {
        let same = |f: &Former| {
            let sets = (&f.outer, &f.inner, f.carrier_group);
            sets == (&former.outer, &former.inner, former.carrier_group)
        };
        self.former.retain(|f| !same(f));
        if self.former.len() >= MAX_FORMER {
            self.former.remove(0);
        }
        self.former.push(former);
        self.timers.set(Timer::Former, now.mono + FORMER);
    }

    /// Forgets what is long ago.
    pub(super) fn forget_former(&mut self, now: Now) {
        self.former.retain(|f| now.mono < f.until);
        if let Some(next) = self.former.iter().map(|f| f.until).min() {
            self.timers.set(Timer::Former, next);
        }
        self.note_neighbours();
    }

    /// Probes go by the new interval at once: the old one may be an hour.
    fn pace_probes(&mut self, now: Now, old: Duration) {
        let interval = self.config.dispatcher.probe_interval;
        if interval != old {
            let targets: Vec<i64> = self.dispatcher.targets().map(|t| t.row.id).collect();
            for target in targets {
                if self.timers.is_set(Timer::Probe(target)) {
                    self.timers.clear(Timer::Probe(target));
                    if !interval.is_zero() {
                        self.timers.set(Timer::Probe(target), now.mono + interval);
                    }
                }
            }
        }
        self.schedule_probes(now);
    }
}

/// When probes change a target's state.
pub(super) fn thresholds(config: &DispatcherConfig) -> Thresholds {
    Thresholds {
        failures: config.probe_failures,
        successes: config.probe_successes,
        probing: !config.probe_interval.is_zero(),
    }
}

/// The realms of our users.
pub(super) fn realms(config: &CoreConfig) -> std::sync::Arc<[String]> {
    let registrar = config.registrar.iter();
    registrar.flat_map(|r| r.domains.iter().cloned()).collect()
}

/// Who says who a user agent is.
pub(super) fn judge(config: &RegistrarConfig, worker: u16) -> Digest {
    let nonces = Nonces::new(
        &config.nonce_key,
        worker,
        config.nonce_lifetime_ms,
        config.max_nonces,
    );
    Digest::new(config.digest.clone(), nonces)
}
