//! Another configuration, in two steps: see `crate::change`.

use tandem_call::Input;

use super::Worker;
use crate::ask::Prepare;

impl Worker {
    /// Keeps a configuration that may be asked for in a moment, and says whether it can be taken.
    pub(super) fn prepare(&mut self, prepare: Box<Prepare>) {
        let can = self.core.can_take(&prepare.core);
        // Who asked may have given up.
        let _ = prepare.answer.try_send(can);
        self.prepared = can.is_ok().then_some(prepare);
    }

    /// Takes it: nothing is read between its tables and itself.
    pub(super) fn commit(&mut self, number: u64) {
        let Some(prepared) = self.prepared.take_if(|p| p.number == number) else {
            return;
        };
        let Prepare {
            core,
            config,
            tables,
            ..
        } = *prepared;
        if let Some(tables) = tables {
            self.tables(tables);
        }
        self.input(Input::Config(Box::new(core)));
        self.pace.set(config.sip.coalesce);
        if let Some(head) = &mut self.head {
            head.guard.set(&config);
            head.forget_told();
            if let Some(limits) = head.classes.set(&config) {
                head.requests.tell(limits);
            }
        }
        self.config = config;
        self.send_requests();
        self.carry_out();
    }

    /// It is not wanted after all.
    pub(super) fn abandon(&mut self, number: u64) {
        self.prepared.take_if(|p| p.number == number);
    }
}
