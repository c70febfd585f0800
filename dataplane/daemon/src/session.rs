//! A controller's session: its connection, its ring memory, its open commands, its capture.

use std::collections::HashMap;

use tandem_link::{CaptureSpec, CommandError, Event, FromDataplane};

use crate::capture::Captured;
use crate::link_socket::{Connection, Ended};

/// The active controller.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) rings: tandem_shm::Session,
    pub(crate) epoch: u32,
    /// Commands that workers have not answered yet.
    pending: HashMap<u64, Pending>,
    pub(crate) capture: Option<Running>,
}

/// A command on its way.
struct Pending {
    /// Workers that have not answered.
    left: usize,
    result: Option<Result<(), CommandError>>,
}

impl Session {
    pub(crate) fn new(connection: Connection, rings: tandem_shm::Session, epoch: u32) -> Self {
        Self {
            connection,
            rings,
            epoch,
            pending: HashMap::new(),
            capture: None,
        }
    }

    /// Notes that `workers` have been given the command.
    pub(crate) fn expect(&mut self, seq: u64, workers: usize) {
        self.pending.insert(
            seq,
            Pending {
                left: workers,
                result: None,
            },
        );
    }

    /// A worker has answered; when it was the last one, the controller hears of it.
    pub(crate) fn answer(
        &mut self,
        seq: u64,
        result: Result<(), CommandError>,
        now: u64,
    ) -> Result<(), Ended> {
        let Some(pending) = self.pending.get_mut(&seq) else {
            return Ok(());
        };
        pending.left = pending.left.saturating_sub(1);
        pending.result = Some(match (pending.result.take(), result) {
            (None, result) => result,
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(Ok(())), Ok(())) => Ok(()),
        });
        if pending.left > 0 {
            return Ok(());
        }
        let result = self
            .pending
            .remove(&seq)
            .and_then(|p| p.result)
            .unwrap_or(Ok(()));
        self.connection
            .send(&FromDataplane::Done { seq, result }, now)
    }
}

/// A capture that runs.
pub(crate) struct Running {
    pub(crate) id: u64,
    rings: Vec<rtrb::Consumer<u8>>,
    packets_left: u64,
    bytes_left: u64,
    /// Monotonic nanoseconds.
    pub(crate) deadline: u64,
    /// The workers' counts of packets without room when it began.
    dropped_before: u64,
    /// Packets without room on the way to the controller.
    dropped: u64,
    /// Wall clock minus monotonic clock.
    wall_offset: u64,
}

impl Running {
    pub(crate) fn new(
        spec: &CaptureSpec,
        rings: Vec<rtrb::Consumer<u8>>,
        dropped_before: u64,
        now: u64,
        wall: u64,
    ) -> Self {
        Self {
            id: spec.id,
            rings,
            packets_left: spec.max_packets,
            bytes_left: spec.max_bytes,
            deadline: now.saturating_add(u64::from(spec.max_seconds) * 1_000_000_000),
            dropped_before,
            dropped: 0,
            wall_offset: wall.saturating_sub(now),
        }
    }

    /// Whether workers have put something into the rings.
    pub(crate) fn has_some(&self) -> bool {
        self.rings.iter().any(|ring| !ring.is_empty())
    }

    /// Sends what was captured. Answers whether a limit is reached.
    pub(crate) fn forward(&mut self, connection: &mut Connection, now: u64) -> Result<bool, Ended> {
        for ring in &mut self.rings {
            while let Some(captured) = crate::capture::next(ring) {
                let bytes = captured.data.len() as u64;
                if self.packets_left == 0 || self.bytes_left < bytes {
                    return Ok(true);
                }
                if connection.is_congested() {
                    self.dropped += 1;
                    continue;
                }
                self.packets_left -= 1;
                self.bytes_left -= bytes;
                let event = event(self.id, captured, self.wall_offset);
                connection.send(&FromDataplane::Event(event), now)?;
            }
        }
        Ok(self.packets_left == 0 || now >= self.deadline)
    }

    /// Its last word. `dropped_now` is the workers' count of packets without room.
    pub(crate) fn ended(&self, dropped_now: u64) -> Event {
        let dropped = dropped_now.saturating_sub(self.dropped_before) + self.dropped;
        Event::CaptureEnded {
            id: self.id,
            dropped,
        }
    }
}

fn event(id: u64, captured: Captured, wall_offset: u64) -> Event {
    Event::Captured {
        id,
        timestamp_ns: captured.time.saturating_add(wall_offset),
        port: captured.port,
        direction: captured.direction,
        length: captured.length,
        data: captured.data,
    }
}
