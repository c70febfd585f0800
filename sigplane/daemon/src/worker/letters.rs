//! What other threads write to a worker.

use tandem_call::Input;

use super::counters::Count;
use super::{BATCH, TURN, Worker};
use crate::ask::ToWorker;

impl Worker {
    pub(super) fn read_mail(&mut self) {
        self.inbox.silence();
        let end = self.clock.mono() + TURN;
        for _ in 0..BATCH {
            let Some(letter) = self.inbox.next() else {
                return;
            };
            self.read_letter(letter);
            if self.stopping {
                return;
            }
            if self.clock.mono() >= end {
                break;
            }
        }
        // There may be more.
        self.inbox.ring();
    }

    fn read_letter(&mut self, letter: ToWorker) {
        match letter {
            ToWorker::Tables(tables) => self.tables(tables),
            ToWorker::Places(geo) => self.input(Input::Places(geo)),
            ToWorker::Newcomers(found) => self.input(Input::Newcomers(found)),
            ToWorker::Located(finding) => self.input(Input::Located(*finding)),
            ToWorker::Ask(ask) => self.ask(*ask),
            ToWorker::Message {
                path,
                source,
                local,
                read,
                bytes,
            } => {
                self.counters.add(Count::ReceivedFromWorker);
                self.input(Input::Message {
                    path,
                    source,
                    local,
                    waited: read.elapsed(),
                    bytes: &bytes,
                });
            }
            ToWorker::News(news) => self.input(Input::Told(news)),
            ToWorker::UserAt(registered) => self.note_registered(&registered),
            ToWorker::Registered(registered) => {
                self.note_registered(&registered);
                self.input(Input::Registered(registered));
            }
            ToWorker::SessionBegan(hello, rings) => self.session_began(&hello, rings),
            ToWorker::SessionEnded => self.session_ended(),
            ToWorker::Dataplane(message) => self.hear(*message),
            ToWorker::Blocked { source, left } => self.input(Input::Block { source, left }),
            ToWorker::Unblocked(source) => self.input(Input::Unblock(source)),
            ToWorker::Prepare(prepare) => self.prepare(prepare),
            ToWorker::Commit(number, done) => {
                self.commit(number);
                // Who asked may have given up.
                let _ = done.try_send(());
            }
            ToWorker::Abandon(number) => self.abandon(number),
            ToWorker::ReadFiles => self.read_files(),
            ToWorker::Keys(keys) => self.core.hiding_keys(*keys),
            // What waits for it is looked at in every turn.
            ToWorker::Synced => self.carry_out(),
            ToWorker::Stop => self.stopping = true,
            ToWorker::Command {
                worker,
                epoch,
                seq,
                command,
            } => self.command_of(worker, epoch, seq, *command),
            ToWorker::RingsBroken { epoch, error } => self.rings_broke(epoch, error),
            ToWorker::Saw { ip, sight } => self.saw(ip, sight),
            ToWorker::Pardon(source) => {
                self.unblock_source(source);
            }
        }
    }
}
