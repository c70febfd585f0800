//! Calls taken up from the journal.
//!
//! An answered call lives on: its ports are reserved again, its dialog is routed, its flows are
//! compared with the dataplane's as soon as that is there. A call that was not answered ends here,
//! unless its INVITE comes again (see `lapse`):
//! its transactions are lost, so nothing more can be said to either side in their name (the
//! target's late answer finds no ACK, and its own timers end it), its flows go with the
//! comparison, and then its CDR is written. A call that was ending when the process died is
//! finished in the same way, with the cause that it had.

use super::Core;
use crate::call::Call;
use crate::counters::Counter;
use crate::io::Now;
use crate::journal;

/// Why a journal record could not be taken up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreError {
    /// The record's key.
    pub key: u64,
    /// What is wrong with it.
    pub reason: String,
}

impl std::fmt::Display for RestoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "journal record of call {:016x} is not usable: {}",
            self.key, self.reason
        )
    }
}

impl std::error::Error for RestoreError {}

impl Core {
    /// The highest number that calls of former lives had, ended ones included: new ones are above it. Before the
    /// first input.
    pub fn given_out(&mut self, highest_key: u64) {
        self.keys.given_out(highest_key);
    }

    /// Takes up a call, a flow with a registered user agent, or the administrator's word on a target from the journal. Before the first input, and followed by draining
    /// [`Self::output`]: a call that was not answered yet ends here, with its CDR, and so does one
    /// whose ports are not to be had any more.
    ///
    /// # Errors
    /// Names the record; the others are not harmed.
    pub fn restore(&mut self, now: Now, key: u64, body: &[u8]) -> Result<(), RestoreError> {
        self.keys.seen(key);
        let unreadable = |reason| RestoreError { key, reason };
        if let Some(bytes) = journal::location_of(body) {
            let restored = self.restore_location(now, bytes).map_err(unreadable);
            return restored.inspect_err(|_| self.counters.add(Counter::JournalUnreadable));
        }
        if let Some(held) = journal::decode_held(body) {
            let held = held.map_err(unreadable);
            let held = held.inspect_err(|_| self.counters.add(Counter::JournalUnreadable))?;
            self.restore_held(key, held);
            return Ok(());
        }
        let binding = journal::decode_binding(body).transpose();
        let record = match binding.map_err(unreadable) {
            Ok(Some(binding)) => {
                self.restore_binding(now, key, binding);
                return Ok(());
            }
            Ok(None) => journal::decode(body).map_err(unreadable),
            Err(error) => Err(error),
        };
        let mut record = record.inspect_err(|_| self.counters.add(Counter::JournalUnreadable))?;
        if record.ending.is_some() || record.confirmed.is_none() {
            self.lapse_restored(now, key, record);
            return Ok(());
        }
        if let Some(session) = record.media.as_mut()
            && let Err(error) = session.restore(&mut self.ports)
        {
            self.counters.add(Counter::CallsLost);
            self.tell_ports();
            let reason = format!("its media ports are not to be had: {}", error.reason);
            record.media = None;
            self.write_off(now, key, record);
            return Err(RestoreError { key, reason });
        }
        self.tell_ports();
        self.counters.add(Counter::CallsRestored);
        let counted = record.target;
        self.uncounted = true;
        self.admit_again(&record);
        self.calls.insert(key, Call::answered(record, counted));
        self.limit_duration(now, key);
        self.watch_session(now, key);
        self.calls.may_rest(key);
        self.calls.fold();
        Ok(())
    }
}
