//! The controller's commands on flows: messages in its rings, between the datagrams. They are carried out in
//! their place, so the SIP behind a command finds its flow there.

use tandem_link::{
    Command, CommandError, FLOW_MESSAGE, FlowReport, FromDataplane, ToDataplane, decode,
    encode_into,
};

use crate::worker::Worker;

/// The most messages that answer one command: a last report, and its end.
pub(super) const ANSWERS: usize = 2;

impl Worker {
    /// Carries out a command of which the first bytes of the buffer hold the message, and answers its reader.
    pub(super) fn flow_command(&mut self, reader: usize, length: usize, now: u64) {
        let message = self.buffer.get(..length).unwrap_or_default();
        let (seq, result, report) = match decode(message) {
            Ok(ToDataplane::Command { seq, command }) => match command {
                Command::PutFlow(spec) => {
                    if let Some(capture) = &mut self.capture {
                        capture.learn(&spec);
                    }
                    (seq, self.relay.put_flow(now, &spec), None)
                }
                Command::RemoveFlow { flow, .. } => match self.relay.remove_flow(now, flow) {
                    Ok(report) => (seq, Ok(()), Some(report)),
                    Err(error) => (seq, Err(error), None),
                },
                // What the socket is for.
                _ => return self.counters.sip_ring_corrupt.add(1),
            },
            _ => return self.counters.sip_ring_corrupt.add(1),
        };
        self.counters.flow_commands.add(1);
        self.counters.flows.set(self.relay.flow_count() as u64);
        self.answer(reader, seq, result, report);
    }

    fn answer(
        &mut self,
        reader: usize,
        seq: u64,
        result: Result<(), CommandError>,
        report: Option<FlowReport>,
    ) {
        // There is room for both: no command is taken without.
        if let Some(report) = report {
            self.tell(reader, &FromDataplane::Flow { seq, report });
        }
        self.tell(reader, &FromDataplane::Done { seq, result });
    }

    fn tell(&mut self, reader: usize, message: &FromDataplane) {
        let mut room = [0; FLOW_MESSAGE];
        let end = self.session.as_mut();
        let end = end.and_then(|session| session.ends.get_mut(reader));
        let told = end
            .zip(encode_into(message, &mut room))
            .is_some_and(|(end, bytes)| end.producer.push_message(bytes).is_ok());
        if !told {
            self.counters.report_ring_full.add(1);
        }
    }
}
