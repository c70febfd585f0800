//! Which receive queue a packet comes to: best that of the worker that owns its flow, which a function of the UDP
//! destination port says. The port space is dealt out in [`SLOTS`] slots by bits 1 to 6 of the port, so that RTP and its RTCP
//! share one.
//!
//! There are two ways to have a device do that. What of them a device takes is found out at the start; for the rest, and for
//! packets that come to the wrong queue all the same, workers hand over to each other.
//!
//! - **By hash.** A receive-side scaling hash of the destination port alone, with a key of our own. The Toeplitz hash is the
//!   exclusive or, over the ones of its input, of 32 bits of the key from that position on. A key that is one at
//!   every sixteenth bit thus copies bits: whereever in the input the port stands, as long as all else in it is zero, the
//!   lowest seven bits of the hash are the port's lowest seven, reversed. So an entry of the redirection table belongs to one slot.
//! - **By rules.** A flow rule for each queue with a mask on the destination port; several if the slots of a queue are no power of
//!   two of them.

/// Slots of the port space.
pub const SLOTS: usize = 64;

/// The receive queue of each slot.
pub type SlotQueues = [u16; SLOTS];

/// Bytes of a hash key, where a device does not say: Toeplitz's own 40.
pub(crate) const KEY_LEN: usize = 40;

/// The key: one at bits 8, 24, 40 and so on.
pub(crate) fn key(len: usize) -> Vec<u8> {
    [0x00, 0x80].into_iter().cycle().take(len).collect()
}

/// The redirection table of so many entries; none if they are too few to tell all slots.
pub(crate) fn table(size: u16, queues: &SlotQueues) -> Option<Vec<u16>> {
    let fits = size.is_power_of_two() && usize::from(size) >= SLOTS;
    let entry = |hash: u16| {
        // Bit n of the hash is bit 6 - n of the port, which is bit 5 - n of the slot.
        let slot = (0..6).fold(0, |slot, bit| slot | (hash >> bit & 1) << (5 - bit));
        queues.get(usize::from(slot)).copied().unwrap_or(0)
    };
    fits.then(|| (0..size).map(entry).collect())
}

/// Packets whose destination port is `value` under `mask` come to `queue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) value: u16,
    pub(crate) mask: u16,
    pub(crate) queue: u16,
}

/// As few rules as do, without overlap.
pub(crate) fn rules(queues: &SlotQueues) -> Vec<Rule> {
    let mut rules = Vec::new();
    split(queues, 0, 0, &mut rules);
    rules
}

/// Rules for the slots whose lowest `bits` are `low`.
fn split(queues: &SlotQueues, low: usize, bits: u32, rules: &mut Vec<Rule>) {
    let mask = (1 << bits) - 1;
    let mut these = (0..)
        .zip(queues)
        .filter(|(slot, _)| slot & mask == low)
        .map(|(_, queue)| *queue);
    let Some(queue) = these.next() else { return };
    if these.all(|other| other == queue) {
        let of_port = |slot: usize| u16::try_from(slot << 1).unwrap_or(0);
        let (value, mask) = (of_port(low), of_port(mask));
        return rules.push(Rule { value, mask, queue });
    }
    split(queues, low, bits + 1, rules);
    split(queues, low | 1 << bits, bits + 1, rules);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash, by its definition.
    fn toeplitz(key: &[u8], input: &[u8]) -> u32 {
        let bit = |bytes: &[u8], n: usize| bytes[n / 8] >> (7 - n % 8) & 1 == 1;
        (0..input.len() * 8)
            .filter(|n| bit(input, *n))
            .map(|n| (0..32).fold(0, |word, i| word << 1 | u32::from(bit(key, n + i))))
            .fold(0, |hash, word| hash ^ word)
    }

    fn dealt(queues: u16) -> SlotQueues {
        std::array::from_fn(|slot| u16::try_from(slot).unwrap() % queues)
    }

    fn slot(port: u16) -> usize {
        usize::from(port >> 1) % SLOTS
    }

    #[test]
    fn the_definition_is_that_of_the_verification_suite() {
        // Microsoft's, for 66.9.149.187:2794 to 161.142.100.80:1766.
        let key = [
            0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
            0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
            0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
        ];
        let input = [66, 9, 149, 187, 161, 142, 100, 80, 0x0A, 0xEA, 0x06, 0xE6];
        assert_eq!(toeplitz(&key, &input), 0x51cc_c178);
    }

    #[test]
    fn by_hash_every_port_comes_to_its_owner_wherever_it_stands_in_the_input() {
        // Alone, behind zeroed addresses and source port of IPv4, and of IPv6.
        for before in [0, 10, 34] {
            for (size, queues) in [(64, 3), (128, 2), (512, 7), (2_048, 64)] {
                let queues = dealt(queues);
                let table = table(size, &queues).unwrap();
                let key = key(if before == 34 { 52 } else { KEY_LEN });
                for port in 0..=u16::MAX {
                    let mut input = vec![0; before];
                    input.extend(port.to_be_bytes());
                    let hash = toeplitz(&key, &input);
                    let entry = usize::try_from(hash).unwrap() % usize::from(size);
                    assert_eq!(table[entry], queues[slot(port)], "port {port} of {size}");
                }
            }
        }
        assert_eq!(table(32, &dealt(2)), None);
        assert_eq!(table(0, &dealt(2)), None);
    }

    #[test]
    fn by_rules_every_port_meets_one_rule_and_comes_to_its_owner() {
        for (queues, most) in [(1, 1), (2, 2), (3, 64), (4, 4), (6, 64), (8, 8), (64, 64)] {
            let queues = dealt(queues);
            let rules = rules(&queues);
            assert!(rules.len() <= most, "{} rules", rules.len());
            for port in 0..=u16::MAX {
                let met: Vec<_> = rules.iter().filter(|r| port & r.mask == r.value).collect();
                assert_eq!(met.len(), 1, "port {port}");
                assert_eq!(met[0].queue, queues[slot(port)]);
            }
        }
        // One worker of three that owns flows, polled by all.
        assert_eq!(rules(&[2; SLOTS]).len(), 1);
    }
}
