//! Who is who, and who is not heard.

use std::sync::Arc;

use tandem_link::{Command, CommandError, FromDataplane};

use super::Control;
use crate::link_socket::Ended;
use crate::message::{Tag, ToWorker};

/// Blocked sources in one message: some 20 KB.
const BLOCKED_A_MESSAGE: usize = 1024;

/// Blocks that are ended in one turn.
const ENDED_BLOCKS: usize = 64;

impl Control {
    /// What the workers are told of sources.
    pub(super) fn classify(
        &mut self,
        tag: Tag,
        command: &Command,
        now: u64,
    ) -> Result<Vec<(usize, ToWorker)>, CommandError> {
        let classes = &mut self.state.classes;
        let batch = match command {
            Command::Classify(sources) => classes.add(now, sources)?,
            Command::Unclassify(sources) => classes.take_away(sources)?,
            Command::ClassifyDone => {
                let (generation, networks) = classes.done(self.workers.len())?;
                let order = |networks| ToWorker::ClassifyDone {
                    tag,
                    generation,
                    networks: Box::new(networks),
                };
                return Ok(networks.into_iter().map(order).enumerate().collect());
            }
            _ => {
                classes.begin();
                classes.take_away(&[])?
            }
        };
        Ok(self.every_worker(|| ToWorker::Classify {
            tag,
            batch: Arc::clone(&batch),
        }))
    }

    pub(super) fn list_blocked(&mut self, seq: u64, now: u64) -> Result<(), Ended> {
        let Some(session) = &mut self.state.session else {
            return Ok(());
        };
        let all: Vec<_> = self.state.blocked.list(now).collect();
        for sources in all.chunks(BLOCKED_A_MESSAGE) {
            let sources = sources.to_vec();
            let message = FromDataplane::Blocked { seq, sources };
            session.connection.send(&message, now)?;
        }
        Ok(())
    }

    /// Takes blocks that are over out of the workers' tables: some in each turn. A worker that has no
    /// room for the order keeps its entry, which holds no more, until its table is full.
    pub(super) fn end_blocks(&mut self, now: u64) {
        for _ in 0..ENDED_BLOCKS {
            let Some(source) = self.state.blocked.ended(now) else {
                return;
            };
            self.state.blocked.unblock(source);
            for worker in 0..self.workers.len() {
                self.command(worker, ToWorker::Unblock { tag: None, source });
            }
        }
    }
}
