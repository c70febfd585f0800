//! Timers: a wheel whose slots are about a millisecond each. Setting one and its expiry cost a push
//! and a pop; there is no removing: whoever set it knows by its number whether it is still meant.

/// Nanoseconds of a tick, as a shift: 1.05 ms.
const TICK: u32 = 20;
/// Slots; a timer that is further ahead goes round.
const SLOTS: usize = 1 << 14;

/// Who is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alarm<Owner> {
    /// What kind of thing.
    pub(crate) owner: Owner,
    /// Its place in its table.
    pub(crate) slot: u32,
    /// The timer's number.
    pub(crate) number: u32,
}

/// The wheel.
#[derive(Debug)]
pub(crate) struct Wheel<Owner> {
    slots: Vec<Vec<(u64, Alarm<Owner>)>>,
    /// The next tick to look at.
    tick: u64,
    pending: usize,
}

impl<Owner: Copy> Wheel<Owner> {
    pub(crate) fn new(now: u64) -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            tick: now >> TICK,
            pending: 0,
        }
    }

    /// Sets a timer, `at` in nanoseconds. One that is past goes off at the next tick.
    pub(crate) fn set(&mut self, at: u64, alarm: Alarm<Owner>) {
        let tick = ((at >> TICK) + 1).max(self.tick);
        if let Some(slot) = self.slots.get_mut(index(tick)) {
            slot.push((tick, alarm));
            self.pending += 1;
        }
    }

    /// Appends those that are due.
    pub(crate) fn expire(&mut self, now: u64, due: &mut Vec<Alarm<Owner>>) {
        let last = now >> TICK;
        if self.pending == 0 {
            self.tick = self.tick.max(last);
            return;
        }
        // After a long pause each slot is looked at once.
        let first = self.tick.max(last.saturating_sub(SLOTS as u64 - 1));
        if self.tick > last {
            return;
        }
        for tick in first..=last {
            let Some(slot) = self.slots.get_mut(index(tick)) else {
                continue;
            };
            let before = slot.len();
            slot.retain(|(at, alarm)| {
                let waits = *at > last;
                if !waits {
                    due.push(*alarm);
                }
                waits
            });
            self.pending -= before - slot.len();
        }
        self.tick = last + 1;
    }
}

fn index(tick: u64) -> usize {
    usize::try_from(tick % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn due(wheel: &mut Wheel<()>, now: u64) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.expire(now, &mut due);
        due.iter().map(|alarm| alarm.number).collect()
    }

    #[test]
    fn timers_go_off_once_in_their_order_and_not_before_their_time() {
        let start = 77 * MS;
        let mut wheel = Wheel::new(start);
        let alarm = |number| Alarm {
            owner: (),
            slot: 0,
            number,
        };
        // One that is further ahead than the wheel is round, and one that is past.
        for (number, ms) in [(1, 500), (2, 20_000), (3, 100), (4, 0)] {
            wheel.set(start + ms * MS, alarm(number));
        }
        assert_eq!(due(&mut wheel, start + 2 * MS), [4]);
        let mut seen = Vec::new();
        for ms in 2..20_010 {
            for number in due(&mut wheel, start + ms * MS) {
                let wanted = [0, 500, 20_000, 100, 0][number as usize];
                assert!((wanted..wanted + 3).contains(&ms), "{number} at {ms}");
                seen.push(number);
            }
        }
        assert_eq!(seen, [3, 1, 2]);
    }

    #[test]
    fn nothing_is_lost_in_a_long_pause() {
        let mut wheel = Wheel::new(0);
        for number in 0..1_000 {
            let alarm = Alarm {
                owner: (),
                slot: 0,
                number,
            };
            wheel.set(u64::from(number) * 100 * MS, alarm);
        }
        let mut seen = due(&mut wheel, 200_000 * MS);
        seen.sort_unstable();
        assert_eq!(seen, (0..1_000).collect::<Vec<_>>());
        assert!(due(&mut wheel, 400_000 * MS).is_empty());
    }
}
