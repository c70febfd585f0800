//! Commands on flows, between bursts.

use std::error::Error;

use tandem_link::{FlowId, FlowSpec};
use tandem_relay::Relay;

use super::packets::Way;
use super::stage::{relay, spec};
use super::{BURST, FLOWS, Load};

/// Flow pairs are removed, the oldest first, and others installed on their ports: the table stays full.
pub(crate) struct Commands {
    relay: Relay,
    /// How many flow pairs were ever installed.
    installed: u64,
    specs: Vec<FlowSpec>,
}

impl Commands {
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let mut relay = relay(Way::default(), FLOWS.into())?;
        for flow in 0..FLOWS {
            relay.put_flow(0, &spec(Way::default(), flow, flow.into()))?;
        }
        Ok(Self {
            relay,
            installed: FLOWS.into(),
            specs: Vec::with_capacity(BURST / 2),
        })
    }
}

impl Load for Commands {
    fn prepare(&mut self) {
        self.specs.clear();
        for n in 0..BURST as u64 / 2 {
            let id = self.installed + n;
            let flow = (id % u64::from(FLOWS)) as u16;
            self.specs.push(spec(Way::default(), flow, id));
        }
    }

    fn work(&mut self) -> u64 {
        let mut good = 0;
        for spec in &self.specs {
            let old = FlowId(self.installed - u64::from(FLOWS));
            good += u64::from(self.relay.remove_flow(1, old).is_ok());
            good += u64::from(self.relay.put_flow(1, spec).is_ok());
            self.installed += 1;
        }
        good
    }

    fn tidy(&mut self) {}
}
