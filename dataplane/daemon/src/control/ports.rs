//! What the control thread does for the ports.

use rtrb::PushError;
use tandem_link::FromDataplane;

use super::Control;
use crate::link_socket::Ended;
use crate::mirror::Request;
use crate::report;

impl Control {
    /// Looks at workers and ports, and tells the controller of what is wrong.
    pub(super) fn watch(&mut self, now: u64) {
        let changes = self
            .health
            .look(now, &self.reporter.ports, &self.reporter.control);
        self.pass_orders();
        for (port, is_up) in changes {
            self.set_carriers(port, is_up);
        }
        let Some(session) = &mut self.state.session else {
            return;
        };
        let mut told = Ok(());
        while told.is_ok()
            && !session.connection.is_congested()
            && let Some(event) = self.health.alarms.event()
        {
            told = session.connection.send(&FromDataplane::Event(event), now);
        }
        self.settle(told);
    }

    /// Tells workers to give and take queues. What they have no room for stays: queues are in it.
    fn pass_orders(&mut self) {
        while let Some((worker, order)) = self.health.recovery.order() {
            let link = self.workers.get_mut(worker);
            if let Some(Err(PushError::Full(order))) = link.map(|link| link.commands.push(order)) {
                return self.health.recovery.not_taken(worker, order);
            }
        }
    }

    /// The TAPs of a port's realms have a carrier while it has a link.
    fn set_carriers(&self, port: usize, is_up: bool) {
        let realms = (0..).zip(&self.config.realms);
        for (realm, _) in realms.filter(|(_, realm)| usize::from(realm.port) == port) {
            if let Some(device) = self.realms.device(realm) {
                // The mirror ends with this thread.
                let _ = self.requests.send(Request::Carrier { device, is_up });
            }
        }
    }

    /// Tells the controller of every port.
    pub(super) fn list_ports(&mut self, seq: u64, now: u64) -> Result<(), Ended> {
        let Some(session) = &mut self.state.session else {
            return Ok(());
        };
        for (index, port) in self.reporter.ports.iter().enumerate() {
            let report = report::ports::report(port, self.health.port(index));
            session
                .connection
                .send(&FromDataplane::Port { seq, report }, now)?;
        }
        Ok(())
    }
}
