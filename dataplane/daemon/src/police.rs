//! Policing of what goes to the kernel: it must never starve the machine, and a flood of one
//! kind must not keep out what the network lives by.

/// What an exception frame is, as far as policing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// ARP (RFC 826) and neighbour discovery (RFC 4861).
    Neighbour,
    /// VRRP (RFC 9568) and BGP (RFC 4271): who is master, what is where.
    Routing,
    /// Everything else: TCP, TLS, SSH, ICMP, fragments.
    Rest,
}

impl Class {
    /// Packets a second and burst that each worker lets through.
    const fn limit(self) -> (u64, u64) {
        match self {
            Self::Neighbour => (2_000, 500),
            Self::Routing => (5_000, 1_000),
            Self::Rest => (50_000, 1_024),
        }
    }

    /// Looks at a frame as it came from the wire, with or without a VLAN tag.
    pub(crate) fn of(frame: &[u8]) -> Self {
        let (mut ethertype, mut l3) = (half(frame, 12), 14);
        while matches!(ethertype, 0x8100 | 0x88A8) && l3 < 22 {
            ethertype = half(frame, l3 + 2);
            l3 += 4;
        }
        match ethertype {
            0x0806 => Self::Neighbour,
            0x0800 => {
                let header = usize::from(byte(frame, l3) & 0xF) * 4;
                Self::of_ip(frame, byte(frame, l3 + 9), l3 + header)
            }
            0x86DD => Self::of_ip(frame, byte(frame, l3 + 6), l3 + 40),
            _ => Self::Rest,
        }
    }

    fn of_ip(frame: &[u8], protocol: u8, l4: usize) -> Self {
        const BGP: u16 = 179;
        match protocol {
            // Router and neighbour solicitation, advertisement, redirect.
            58 if (133..=137).contains(&byte(frame, l4)) => Self::Neighbour,
            112 => Self::Routing,
            6 if half(frame, l4) == BGP || half(frame, l4 + 2) == BGP => Self::Routing,
            _ => Self::Rest,
        }
    }
}

fn byte(frame: &[u8], at: usize) -> u8 {
    frame.get(at).copied().unwrap_or(0)
}

fn half(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([byte(frame, at), byte(frame, at + 1)])
}

/// One worker's policer: a token bucket for each class, so that no class uses another's share.
#[derive(Debug)]
pub(crate) struct Policer {
    neighbour: Bucket,
    routing: Bucket,
    rest: Bucket,
}

impl Policer {
    pub(crate) fn new(now: u64) -> Self {
        Self {
            neighbour: Bucket::new(Class::Neighbour, now),
            routing: Bucket::new(Class::Routing, now),
            rest: Bucket::new(Class::Rest, now),
        }
    }

    /// Whether a frame of this class may pass at `now` (monotonic nanoseconds).
    pub(crate) fn pass(&mut self, class: Class, now: u64) -> bool {
        match class {
            Class::Neighbour => self.neighbour.take(now),
            Class::Routing => self.routing.take(now),
            Class::Rest => self.rest.take(now),
        }
    }
}

/// A token bucket; a token is the nanoseconds between two packets at the limit.
#[derive(Debug)]
struct Bucket {
    cost: u64,
    full: u64,
    credit: u64,
    last: u64,
}

impl Bucket {
    fn new(class: Class, now: u64) -> Self {
        let (rate, burst) = class.limit();
        let cost = 1_000_000_000 / rate;
        Self {
            cost,
            full: cost * burst,
            credit: cost * burst,
            last: now,
        }
    }

    fn take(&mut self, now: u64) -> bool {
        let earned = now.saturating_sub(self.last);
        self.last = now;
        self.credit = self.credit.saturating_add(earned).min(self.full);
        match self.credit.checked_sub(self.cost) {
            Some(rest) => {
                self.credit = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(ethertype: u16, tagged: bool, l3: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        if tagged {
            frame.extend([0x81, 0x00, 0x00, 0x64]);
        }
        frame.extend(ethertype.to_be_bytes());
        frame.extend(l3);
        frame
    }

    fn v4(protocol: u8, l4: &[u8]) -> Vec<u8> {
        let mut ip = vec![0; 20];
        ip[0] = 0x45;
        ip[9] = protocol;
        ip.extend(l4);
        ip
    }

    #[test]
    fn each_frame_has_its_class_with_and_without_a_tag() {
        let mut nd = vec![0; 40];
        nd[6] = 58;
        nd.push(135);
        let mut echo = nd.clone();
        echo[40] = 128;
        for tagged in [false, true] {
            assert_eq!(Class::of(&frame(0x0806, tagged, &[])), Class::Neighbour);
            assert_eq!(Class::of(&frame(0x86DD, tagged, &nd)), Class::Neighbour);
            assert_eq!(Class::of(&frame(0x86DD, tagged, &echo)), Class::Rest);
            assert_eq!(
                Class::of(&frame(0x0800, tagged, &v4(112, &[]))),
                Class::Routing
            );
            let bgp = v4(6, &[0x80, 0, 0, 179]);
            assert_eq!(Class::of(&frame(0x0800, tagged, &bgp)), Class::Routing);
            let ssh = v4(6, &[0x80, 0, 0, 22]);
            assert_eq!(Class::of(&frame(0x0800, tagged, &ssh)), Class::Rest);
        }
    }

    #[test]
    fn a_truncated_frame_is_the_rest() {
        let whole = frame(0x0800, true, &v4(17, &[1, 2, 3, 4]));
        for length in 0..whole.len() {
            assert_eq!(Class::of(&whole[..length]), Class::Rest);
        }
    }

    #[test]
    fn a_flood_of_one_class_leaves_the_others_their_share() {
        let mut policer = Policer::new(0);
        let passed = (0..100_000)
            .filter(|_| policer.pass(Class::Rest, 0))
            .count();
        assert_eq!(passed, 1_024);
        assert!(policer.pass(Class::Neighbour, 0));
        assert!(policer.pass(Class::Routing, 0));
        // A millisecond later the flood has earned what its rate gives, no more.
        let passed = (0..100_000)
            .filter(|_| policer.pass(Class::Rest, 1_000_000))
            .count();
        assert_eq!(passed, 50);
    }
}
