//! The other plane, as far as the core can tell: flows, sessions, answers that take their time.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tandem_link::{
    Command, CommandError, DataplaneHello, DirectionStats, FlowId, FlowReport, FlowSpec,
    FromDataplane, LegStats, SlotTable, VERSION,
};

/// The dataplane.
#[derive(Debug, Default)]
pub struct Plane {
    /// Its flows.
    pub flows: BTreeMap<FlowId, FlowSpec>,
    boot: u64,
    /// The session's number; answers of an earlier one are lost.
    pub session: u32,
    /// Whether there is a session.
    pub up: bool,
}

impl Plane {
    /// It dies and comes back without flows.
    pub fn forget(&mut self) {
        self.flows.clear();
        self.boot += 1;
    }

    /// A session begins.
    pub fn hello(&mut self) -> DataplaneHello {
        self.session += 1;
        self.up = true;
        DataplaneHello {
            version: VERSION,
            boot: self.boot,
            epoch: self.session,
            workers: 2,
            slots: SlotTable::deal(&[0, 1]),
            realms: vec![],
            flows: self.flows.len() as u64,
        }
    }

    /// Carries out a command; returns what it says to that. `refused` says that it has no time.
    pub fn command(&mut self, seq: u64, command: Command, refused: bool) -> Vec<FromDataplane> {
        if refused {
            let result = Err(CommandError::Overloaded);
            return vec![FromDataplane::Done { seq, result }];
        }
        let mut result = Ok(());
        let mut reports = Vec::new();
        match command {
            Command::PutFlow(spec) => match self.clash(&spec) {
                Some(error) => result = Err(error),
                None => {
                    self.flows.insert(spec.id, spec);
                }
            },
            Command::RemoveFlow { flow: id, .. } => match self.flows.remove(&id) {
                Some(spec) => reports.push(report(spec)),
                None => result = Err(CommandError::NoSuchFlow),
            },
            Command::ListFlows => reports = self.flows.values().cloned().map(report).collect(),
            _ => {}
        }
        let mut answers: Vec<_> = reports
            .into_iter()
            .map(|report| FromDataplane::Flow { seq, report })
            .collect();
        answers.push(FromDataplane::Done { seq, result });
        answers
    }

    /// A port that another flow has.
    fn clash(&self, spec: &FlowSpec) -> Option<CommandError> {
        let ends = |f: &FlowSpec| {
            [
                (f.a.realm, f.a.local, f.a.port),
                (f.b.realm, f.b.local, f.b.port),
            ]
        };
        let wanted = ends(spec);
        let others = self.flows.values().filter(|f| f.id != spec.id);
        let (other, port) = others.into_iter().find_map(|f| {
            ends(f)
                .into_iter()
                .find(|e| wanted.contains(e))
                .map(|e| (f.id, e.2))
        })?;
        Some(CommandError::PortInUse(port, other.0))
    }
}

/// Where the two peers of a flow said that they are.
#[must_use]
pub fn peers(flow: &FlowSpec) -> Vec<SocketAddr> {
    [flow.a.remote, flow.b.remote]
        .into_iter()
        .flatten()
        .collect()
}

fn report(spec: FlowSpec) -> FlowReport {
    let leg = LegStats {
        rtp: DirectionStats {
            packets: 50,
            bytes: 8600,
            ..Default::default()
        },
        ..Default::default()
    };
    FlowReport {
        spec,
        worker: 0,
        a: leg,
        b: leg,
        idle: false,
    }
}
