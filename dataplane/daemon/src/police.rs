//! Policing of what goes to the kernel: it must never starve the machine, and a flood of one
//! kind must not keep out what the network lives by.

use tandem_link::PoliceLimit;

/// What an exception frame is, as far as policing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// ARP (RFC 826) and neighbour discovery (RFC 4861).
    Neighbour,
    /// VRRP (RFC 9568), BGP (RFC 4271), OSPF (RFC 2328, RFC 5340) and BFD (RFC 5881, RFC 5883): who is master, what is where.
    Routing,
    /// Pieces of IP packets: those of long SIP, which the kernel puts together. Whose they are cannot be seen in most of
    /// them, so all of them share one limit, and a flood of them takes nothing from anything else.
    Fragment,
    /// Everything else: TCP, TLS, SSH, ICMP.
    Rest,
}

impl Class {
    /// Packets a second and burst that each worker lets through.
    const fn limit(self) -> PoliceLimit {
        let (rate, burst) = match self {
            Self::Neighbour => (2_000, 500),
            Self::Routing => (5_000, 1_000),
            Self::Fragment => (2_000, 500),
            Self::Rest => (50_000, 1_024),
        };
        PoliceLimit { rate, burst }
    }

    /// Quarters of the way to the kernel that it leaves to the others.
    pub(crate) const fn kept_quarters(self) -> usize {
        match self {
            Self::Neighbour | Self::Routing => 0,
            Self::Rest => 2,
            Self::Fragment => 3,
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
            // More fragments, or an offset.
            0x0800 if half(frame, l3 + 6) & 0x3FFF != 0 => Self::Fragment,
            0x0800 => {
                let header = usize::from(byte(frame, l3) & 0xF) * 4;
                let is_near = byte(frame, l3 + 8) == 255;
                Self::of_ip(frame, byte(frame, l3 + 9), l3 + header, is_near)
            }
            0x86DD => {
                let is_near = byte(frame, l3 + 7) == 255;
                Self::of_ip(frame, byte(frame, l3 + 6), l3 + 40, is_near)
            }
            _ => Self::Rest,
        }
    }

    /// `is_near`: no router was in between. Neighbours and VRRP masters say so (RFC 4861 section 7.1, RFC 9568 section 5.1.1.3), so a flood from afar
    /// does not take their place.
    fn of_ip(frame: &[u8], protocol: u8, l4: usize, is_near: bool) -> Self {
        const BGP: u16 = 179;
        match protocol {
            44 => Self::Fragment,
            // Router and neighbour solicitation, advertisement, redirect.
            58 if is_near && (133..=137).contains(&byte(frame, l4)) => Self::Neighbour,
            112 if is_near => Self::Routing,
            89 => Self::Routing,
            6 if half(frame, l4) == BGP || half(frame, l4 + 2) == BGP => Self::Routing,
            17 if matches!(half(frame, l4 + 2), 3784 | 3785 | 4784) => Self::Routing,
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
    fragment: Bucket,
    rest: Bucket,
}

impl Policer {
    pub(crate) fn new(now: u64) -> Self {
        let bucket = |class: Class| Bucket::new(class.limit(), now);
        Self {
            neighbour: bucket(Class::Neighbour),
            routing: bucket(Class::Routing),
            fragment: bucket(Class::Fragment),
            rest: bucket(Class::Rest),
        }
    }

    /// Whether a frame of this class may pass at `now` (monotonic nanoseconds).
    pub(crate) fn pass(&mut self, class: Class, now: u64) -> bool {
        match class {
            Class::Neighbour => self.neighbour.take(now),
            Class::Routing => self.routing.take(now),
            Class::Fragment => self.fragment.take(now),
            Class::Rest => self.rest.take(now),
        }
    }

    /// So many fragments from now on.
    pub(crate) fn set_fragments(&mut self, limit: PoliceLimit) {
        self.fragment = Bucket::new(limit, self.fragment.last);
    }
}

/// A token bucket; a token is the nanoseconds between two packets at the limit. Without a rate all pass.
#[derive(Debug)]
struct Bucket {
    cost: u64,
    full: u64,
    credit: u64,
    last: u64,
}

impl Bucket {
    fn new(limit: PoliceLimit, now: u64) -> Self {
        let cost = 1_000_000_000u64.checked_div(limit.rate.into()).unwrap_or(0);
        let full = cost * u64::from(limit.burst.max(1));
        Self {
            cost,
            full,
            credit: full,
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
        (nd[6], nd[7]) = (58, 255);
        nd.push(135);
        let mut echo = nd.clone();
        echo[40] = 128;
        let mut far = nd.clone();
        far[7] = 254;
        let mut piece = nd.clone();
        piece[6] = 44;
        let mut vrrp = v4(112, &[]);
        vrrp[8] = 255;
        let mut first = v4(17, &[0x13, 0xc4, 0x13, 0xc4]);
        first[6] = 0x20;
        // The middle of something, whose first bytes look like a port of BGP.
        let mut middle = v4(6, &[0, 179, 0, 179]);
        middle[7] = 1;
        for tagged in [false, true] {
            assert_eq!(Class::of(&frame(0x0806, tagged, &[])), Class::Neighbour);
            assert_eq!(Class::of(&frame(0x86DD, tagged, &nd)), Class::Neighbour);
            assert_eq!(Class::of(&frame(0x86DD, tagged, &echo)), Class::Rest);
            assert_eq!(Class::of(&frame(0x86DD, tagged, &far)), Class::Rest);
            assert_eq!(Class::of(&frame(0x86DD, tagged, &piece)), Class::Fragment);
            assert_eq!(Class::of(&frame(0x0800, tagged, &first)), Class::Fragment);
            assert_eq!(Class::of(&frame(0x0800, tagged, &middle)), Class::Fragment);
            assert_eq!(Class::of(&frame(0x0800, tagged, &vrrp)), Class::Routing);
            let far = v4(112, &[]);
            assert_eq!(Class::of(&frame(0x0800, tagged, &far)), Class::Rest);
            assert_eq!(
                Class::of(&frame(0x0800, tagged, &v4(89, &[]))),
                Class::Routing
            );
            let bfd = v4(17, &[0xc0, 0, 0x0e, 0xc8]);
            assert_eq!(Class::of(&frame(0x0800, tagged, &bfd)), Class::Routing);
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
        let passed = (0..100_000)
            .filter(|_| policer.pass(Class::Fragment, 0))
            .count();
        assert_eq!(passed, 500);
        policer.set_fragments(PoliceLimit { rate: 0, burst: 0 });
        assert!((0..100_000).all(|_| policer.pass(Class::Fragment, 0)));
        assert!(policer.pass(Class::Neighbour, 0));
        assert!(policer.pass(Class::Routing, 0));
        // A millisecond later the flood has earned what its rate gives, no more.
        let passed = (0..100_000)
            .filter(|_| policer.pass(Class::Rest, 1_000_000))
            .count();
        assert_eq!(passed, 50);
    }
}
