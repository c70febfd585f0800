//! SIP that is relayed without the signaling plane, and without remembering anything (RFC 3261 section 16.11): load balancing.
//!
//! A request from outside goes to the target that its Call-ID falls to, by the dispatcher's own hash; or, within a dialog,
//! to the one that our Record-Route names. Its reply finds the way back by Via, whose branch says by which realm and
//! is sealed for the address that the reply goes to, so that nobody can send anything to others through us. What is odd in any
//! way is left to the signaling plane.

mod mark;
mod request;
mod response;
mod scan;
mod write;

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher13;
use tandem_link::{CommandError, StatelessSpec};
use tandem_wire::sip::{Index, MAX_HEADERS, Start, parse_into};

use mark::{Keyed, MARK};
use write::Out;

/// How SIP is relayed: what the signaling plane said last. Workers share it.
#[derive(Debug)]
pub struct Stateless {
    keyed: Keyed,
    record_route: bool,
    hash: (u64, u64),
    realms: Vec<Realm>,
    senders: Vec<Network>,
    targets: Vec<Target>,
}

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug)]
struct Network {
    bits: u128,
    /// The bits that count.
    mask: u128,
}

/// A realm of ours.
#[derive(Debug)]
struct Realm {
    /// Its requests go to the targets.
    is_on: bool,
    own: Vec<Own>,
}

/// A SIP address of ours.
#[derive(Debug)]
struct Own {
    address: SocketAddr,
    /// As it stands in Via and Record-Route.
    text: Box<[u8]>,
}

#[derive(Debug)]
struct Target {
    address: SocketAddr,
    realm: u16,
    weight: u32,
    is_up: bool,
    mark: [u8; MARK],
    place: Box<[u8]>,
}

/// A datagram that came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) realm: u16,
    pub(crate) source: SocketAddr,
    /// Our address.
    pub(crate) local: SocketAddr,
    pub(crate) bytes: &'a [u8],
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// What was written goes out.
    Relayed(Way),
    /// It is no business of ours: the signaling plane's, as if we were not there.
    NotOurs,
    /// It would be, but the signaling plane has to see it.
    Up(Why),
    /// A response with a branch of ours that we did not make for its way.
    Forged,
}

/// The way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) is_request: bool,
    pub(crate) realm: u16,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

/// Why the signaling plane has to see a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It has no text that we understand in every part that matters.
    Odd,
    /// Its sender is not trusted.
    Source,
    /// No target takes calls, or the one that is named is gone.
    NoTarget,
    /// Max-Forwards is 0 (RFC 3261 section 16.3).
    Hops,
    /// It asks for an extension of proxies.
    Extension,
}

/// Memory that is used again for each message.
#[derive(Debug)]
pub(crate) struct Scratch {
    index: Index,
    pub(crate) out: Out,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self {
            // As many as there can be: reading never allocates.
            index: Index {
                fields: Vec::with_capacity(MAX_HEADERS),
                ..Index::default()
            },
            out: Out::new(),
        }
    }
}

impl Stateless {
    /// With our SIP addresses, by realm.
    ///
    /// # Errors
    /// A realm that does not exist, or in which we have no SIP address of the target's family.
    pub fn new(spec: &StatelessSpec, sip: &[Vec<SocketAddr>]) -> Result<Self, CommandError> {
        let on = |index: usize| spec.realms.iter().any(|realm| usize::from(*realm) == index);
        let realms: Vec<_> = sip
            .iter()
            .enumerate()
            .map(|(index, addresses)| Realm {
                is_on: on(index),
                own: addresses.iter().map(|address| Own::new(*address)).collect(),
            })
            .collect();
        let unknown = |realm: &&u16| usize::from(**realm) >= realms.len();
        if let Some(realm) = spec.realms.iter().find(unknown) {
            return Err(CommandError::NoSuchRealm(*realm));
        }
        let keyed = Keyed::new(spec.key);
        let stateless = Self {
            keyed,
            record_route: spec.record_route,
            hash: spec.hash,
            realms,
            senders: spec.senders.iter().map(Network::new).collect(),
            targets: spec
                .targets
                .iter()
                .map(|target| Target {
                    address: target.address,
                    realm: target.realm,
                    weight: target.weight,
                    is_up: target.up,
                    mark: mark::target(target.address),
                    place: target.place.clone().into(),
                })
                .collect(),
        };
        let homeless = |t: &&Target| stateless.own(t.realm, t.address.is_ipv4()).is_none();
        match stateless.targets.iter().find(homeless) {
            Some(target) => Err(CommandError::NoSuchRealm(target.realm)),
            None => Ok(stateless),
        }
    }

    /// Where the targets are: realm and address.
    pub(crate) fn places(&self) -> impl Iterator<Item = (u16, IpAddr)> + '_ {
        self.targets.iter().map(|t| (t.realm, t.address.ip()))
    }

    /// What becomes of a message. What is to be sent is in `scratch` then.
    pub(crate) fn relay(&self, arrival: Arrival<'_>, scratch: &mut Scratch) -> Fate {
        let Scratch { index, out } = scratch;
        out.clear();
        if parse_into(arrival.bytes, index).is_err() {
            return if self.is_on(arrival.realm) {
                Fate::Up(Why::Odd)
            } else {
                Fate::NotOurs
            };
        }
        match index.start {
            Start::Request { .. } => self.request(arrival, index, out),
            Start::Response { .. } => self.response(arrival, index, out),
        }
    }

    /// Whether the requests of this sender are relayed.
    fn is_sender(&self, ip: IpAddr) -> bool {
        let bits = bits(ip);
        self.senders
            .iter()
            .any(|network| bits & network.mask == network.bits)
    }

    fn is_on(&self, realm: u16) -> bool {
        let realm = self.realms.get(usize::from(realm));
        realm.is_some_and(|realm| realm.is_on)
    }

    /// Our address in a realm.
    fn own(&self, realm: u16, v4: bool) -> Option<&Own> {
        let realm = self.realms.get(usize::from(realm))?;
        realm.own.iter().find(|own| own.address.is_ipv4() == v4)
    }

    /// The realm in which this is our address.
    fn realm_of(&self, address: SocketAddr) -> Option<u16> {
        let has = |realm: &Realm| realm.own.iter().any(|own| own.address == address);
        let index = self.realms.iter().position(has)?;
        u16::try_from(index).ok()
    }

    /// The target that a Call-ID falls to: the one with the highest weight of those that take calls (rendezvous hashing), so that
    /// one that leaves takes its own calls with it and no others.
    fn target(&self, call_id: &[u8]) -> Option<&Target> {
        let mut hasher = SipHasher13::new_with_keys(self.hash.0, self.hash.1);
        hasher.write(call_id);
        let mut best: Option<(f64, u64, &Target)> = None;
        for target in &self.targets {
            if !target.is_up || target.weight == 0 {
                continue;
            }
            let mut hasher = hasher;
            hasher.write(&target.place);
            let hash = hasher.finish();
            let score = score(hash, target.weight);
            // Of equal weights the higher hash has the higher score, but for what a float leaves out.
            let wins = best.is_none_or(|(best, best_hash, _)| {
                score > best || score.to_bits() == best.to_bits() && hash > best_hash
            });
            if wins {
                best = Some((score, hash, target));
            }
        }
        best.map(|(_, _, target)| target)
    }
}

/// The weighted score of a hash (Schindelhauer and Schomaker 2005): each target has its weight's share of all keys.
fn score(hash: u64, weight: u32) -> f64 {
    /// 2^-64.
    const SCALE: f64 = 1.0 / 18_446_744_073_709_551_616.0;
    // In (0, 1]: never the logarithm of 0.
    let uniform = (hash as f64 + 0.5) * SCALE;
    f64::from(weight) / -uniform.min(1.0 - f64::EPSILON).ln()
}

/// An address in the form of IPv6.
fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

impl Network {
    fn new((ip, length): &(IpAddr, u8)) -> Self {
        let length = match ip {
            IpAddr::V4(_) => 96 + u32::from(*length).min(32),
            IpAddr::V6(_) => u32::from(*length).min(128),
        };
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        Self {
            bits: bits(*ip) & mask,
            mask,
        }
    }
}

impl Own {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            text: address.to_string().into_bytes().into(),
        }
    }
}

#[cfg(test)]
mod tests;
