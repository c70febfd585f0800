//! The edge to the carrier side: what comes in is turned into what the inside knows, before
//! anything else looks at it; what goes out is turned into what the carrier side may see, as the
//! last thing. So all of the core knows a call by one Call-ID, the inside's, whichever side a
//! message is on.
//!
//! A call that came from the inside has a token for its Call-ID on the carrier side. Under which key is
//! said by the [`Hop`] (`hidden`), and so by all that hops are kept in: server transactions, a
//! dialog's ends, the journal. A call that came from a carrier has the carrier's Call-ID on both
//! sides.
//!
//! From and To of a hidden call have our address in the place of the inside's. They come back from the
//! journal's record as they were, tags and all.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use tandem_sip::{FramingError, Index, NameAddr, Start, TOKEN_PREFIX};

use super::Core;
use crate::config::Side;
use crate::counters::Counter;
use crate::hiding::{Change, KeyId, Opened, Others, Outward, in_uris, in_value, refers, splice};
use crate::message::{Message, Name, is_private};
use crate::record::{Direction, Hop, Record};

/// Addresses of the dispatcher's targets, for looking them up.
#[derive(Debug)]
pub(super) struct Neighbours {
    pool: HashSet<IpAddr>,
    trunk: HashSet<IpAddr>,
    /// Those of targets that are routed to now, inside and outside: they may call.
    callers: [HashSet<IpAddr>; 2],
    /// Whether the inside has addresses that are not private.
    has_public: bool,
}

impl Default for Neighbours {
    fn default() -> Self {
        Self {
            pool: HashSet::new(),
            trunk: HashSet::new(),
            callers: Default::default(),
            has_public: true,
        }
    }
}

impl Neighbours {
    /// All of them.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let callers = self.callers.iter().flatten();
        self.pool.iter().chain(&self.trunk).chain(callers).copied()
    }

    /// Whether this is the address of a target on this side that is routed to now.
    pub(super) fn is_target(&self, side: Side, ip: IpAddr) -> bool {
        let [inside, outside] = &self.callers;
        match side {
            Side::External => outside.contains(&ip),
            Side::Internal => inside.contains(&ip),
        }
    }
}

/// What came in from the carrier side.
pub(super) enum Inward<'b> {
    /// The message as the inside knows it, and the key of its Call-ID.
    Read(Cow<'b, [u8]>, Option<KeyId>),
    /// Its Call-ID pretends to be a token of ours.
    Forged,
}

impl Core {
    /// Undoes what [`Self::outward`] does to messages of the dialogs that a message belongs to.
    pub(super) fn inward<'b>(&mut self, hop: Hop, bytes: &'b [u8]) -> Inward<'b> {
        let same = Inward::Read(Cow::Borrowed(bytes), None);
        // Nearly all that comes has no token in it.
        if self.config.side(hop.path) != Some(Side::External)
            || self.config.hiding.keys.is_none()
            || memchr::memmem::find(bytes, TOKEN_PREFIX).is_none()
        {
            return same;
        }
        let Ok(index) = tandem_sip::index(bytes) else {
            return same;
        };
        let value = |name: Name| value_of(bytes, &index, name);
        let opened = self.open(value(Name::CallId).unwrap_or_default());
        if opened == Opened::Forged {
            self.counters.add(Counter::TokensForged);
            return Inward::Forged;
        }
        let (call_id, key) = match opened {
            Opened::Ours { call_id, key } => (Some(call_id), Some(key)),
            Opened::Foreign | Opened::Forged => (None, None),
        };
        let tag = |name: Name| {
            value(name)
                .and_then(NameAddr::parse)
                .and_then(|parts| parts.tag())
                .unwrap_or_default()
        };
        let originals = call_id
            .as_deref()
            .and_then(|id| self.originals(id, tag(Name::From), tag(Name::To)));
        let mut reference = |token: &[u8]| match self.open(token) {
            Opened::Ours { call_id, .. } => Some(call_id),
            Opened::Foreign | Opened::Forged => None,
        };
        let read = splice(
            bytes,
            &index,
            Others::default(),
            |name, written, value| match (name, &originals) {
                (Name::CallId, _) => call_id.clone().into(),
                (Name::From, Some(originals)) => originals.from.clone().into(),
                (Name::To, Some(originals)) => originals.to.clone().into(),
                _ if refers(written) => in_value(value, &mut reference).into(),
                _ if value.contains(&b'?') => in_uris(value, &mut reference).into(),
                _ => Change::Keep,
            },
        );
        if key.is_some() {
            self.counters.add(Counter::TokensOpened);
        }
        Inward::Read(read.map_or(Cow::Borrowed(bytes), Cow::Owned), key)
    }

    /// The message as it may be seen on the other end of this hop; none when it must not be seen at all.
    pub(super) fn outward(&mut self, hop: Hop, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let rules = &self.config.hiding;
        if self.config.side(hop.path) != Some(Side::External)
            || !(rules.enabled || hop.hidden.is_some())
        {
            return Some(bytes);
        }
        match self.seen(hop, &bytes) {
            Ok(None) => Some(bytes),
            Ok(Some(seen)) => Some(seen),
            Err(Unseen) => {
                self.counters.add(Counter::HidingFailed);
                None
            }
        }
    }

    fn seen(&self, hop: Hop, bytes: &[u8]) -> Result<Option<Vec<u8>>, Unseen> {
        let is_inside = |ip: IpAddr| self.is_inside(hop, ip, true);
        let is_known = |ip: IpAddr| self.is_inside(hop, ip, false);
        let mut outward = Outward {
            rules: &self.config.hiding,
            call_id: None,
            shown_from: None,
            contacts_pass: false,
            reference: &mut |call_id| self.shown(call_id, &is_inside),
            is_inside: &is_inside,
            is_known: &is_known,
            shown: hop.local,
        };
        if hop.hidden.is_none() && !outward.concerns(bytes) {
            return Ok(None);
        }
        // What cannot be read may say anything.
        let index = tandem_sip::index(bytes)?;
        let call_id = match hop.hidden {
            None => None,
            Some(key) => {
                let call_id = value_of(bytes, &index, Name::CallId).ok_or(Unseen)?;
                Some(self.seal(key, call_id).ok_or(Unseen)?)
            }
        };
        let shown = call_id.is_some() && self.config.routing.plan.changes_from();
        let shown = shown.then(|| self.shown_from(bytes, &index)).flatten();
        outward.shown_from = shown
            .as_ref()
            .map(|(name, value)| (*name, value.as_slice()));
        outward.call_id = call_id.as_deref();
        outward.contacts_pass = is_registered(bytes, &index);
        Ok(outward.apply(bytes, &index))
    }

    /// Which of From and To is the caller's in a message of a call whose caller is shown as somebody else, and as whom. The INVITE itself
    /// says it already.
    fn shown_from(&self, bytes: &[u8], index: &Index) -> Option<(Name, Vec<u8>)> {
        let value = |name: Name| value_of(bytes, index, name);
        let call_id = value(Name::CallId)?;
        let mut records = self.keys_of(call_id).iter().filter_map(|key| {
            let record = &self.calls.get(key)?.record;
            record.shown_from.as_ref().map(|shown| (record, shown))
        });
        records.find_map(|(record, shown)| {
            let original = NameAddr::parse(&record.from)?.uri;
            let is_callers = |name: &Name| {
                let parts = value(*name).and_then(NameAddr::parse);
                parts.is_some_and(|parts| {
                    parts.uri == original && parts.tag() == Some(record.from_tag.as_slice())
                })
            };
            let name = [Name::From, Name::To].into_iter().find(is_callers)?;
            Some((name, shown.clone()))
        })
    }

    /// The key for the Call-ID of what is new to this side, and comes from the other: none when it is
    /// shown as it is.
    pub(super) fn hides(&self, side: Side) -> Option<KeyId> {
        let hiding = &self.config.hiding;
        let hides = hiding.enabled && side == Side::External;
        hiding.keys.as_ref().filter(|_| hides).map(|k| k.current())
    }

    /// What the carrier side knows a call as that one of its messages refers to; none for the Call-ID
    /// itself.
    fn shown(&self, call_id: &[u8], is_inside: &dyn Fn(IpAddr) -> bool) -> Option<Vec<u8>> {
        let records = || {
            self.keys_of(call_id)
                .iter()
                .filter_map(|k| self.calls.get(k))
                .map(|call| &call.record)
        };
        if let Some(key) = records().find_map(|r| self.key_of(r)) {
            return self.seal(key, call_id);
        }
        // Nobody on the carrier side knows it; what it says of the inside is for nobody either.
        let says = || {
            let scrub = crate::hiding::Scrub {
                is_inside,
                domains: &self.config.hiding.domains,
                shown: ([0, 0, 0, 0], 0).into(),
                is_sdp: false,
            };
            scrub.apply(call_id).is_some()
        };
        let key = self.hides(Side::External)?;
        (records().next().is_none() && says())
            .then(|| self.seal(key, call_id))
            .flatten()
    }

    /// The Call-IDs of a call that is named by any of them, the inside's first.
    #[must_use]
    pub fn call_ids(&self, named: &[u8]) -> Vec<Vec<u8>> {
        let inner = match self.open(named) {
            Opened::Ours { call_id, .. } => call_id,
            Opened::Foreign | Opened::Forged => named.to_vec(),
        };
        let mut records = self
            .keys_of(&inner)
            .iter()
            .filter_map(|k| self.calls.get(k))
            .map(|call| &call.record)
            .peekable();
        // A call that is yet to come may be one from the inside.
        let key = match records.peek() {
            None => self.hides(Side::External),
            Some(_) => records.find_map(|r| self.key_of(r)),
        };
        let token = key.and_then(|key| self.seal(key, &inner));
        let other = (inner != named).then(|| named.to_vec());
        let mut all: Vec<_> = std::iter::once(inner).chain(token).chain(other).collect();
        all.dedup();
        all
    }

    /// The key of the token that the carrier side knows, or will know, a call by.
    fn key_of(&self, record: &Record) -> Option<KeyId> {
        let callees = record.dialogs.iter().map(|d| d.callee.hop);
        let known = std::iter::once(record.caller.hop)
            .chain(callees)
            .find_map(|hop| hop.hidden);
        known.or_else(|| match record.direction {
            Direction::Outbound => self.hides(Side::External),
            Direction::Inbound => None,
        })
    }

    /// The Call-ID that the carrier side knows a call by.
    pub(super) fn carrier_call_id(&self, record: &Record) -> Vec<u8> {
        let token = self
            .key_of(record)
            .and_then(|key| self.seal(key, &record.call_id));
        token.unwrap_or_else(|| record.call_id.clone())
    }

    /// The values of From and To of a message from the carrier side, as they are inside. Which is
    /// which, the tags say.
    fn originals(&self, call_id: &[u8], from_tag: &[u8], to_tag: &[u8]) -> Option<Originals> {
        self.keys_of(call_id).iter().find_map(|key| {
            let call = self.calls.get(key)?;
            let record = &call.record;
            let callee = |tag: &[u8]| {
                let known = record.dialog(tag).map(|d| d.to.clone());
                known.or_else(|| {
                    let invite = &call.setup.as_ref()?.invite;
                    let invite = Message::read(invite).ok()?;
                    Some(if tag.is_empty() {
                        invite.to_value().to_vec()
                    } else {
                        [invite.to_value(), b";tag=", tag].concat()
                    })
                })
            };
            if record.from_tag == from_tag {
                Some(Originals {
                    from: Some(record.from.clone()),
                    to: callee(to_tag),
                })
            } else if record.from_tag == to_tag {
                Some(Originals {
                    from: callee(from_tag),
                    to: Some(record.from.clone()),
                })
            } else {
                None
            }
        })
    }

    /// Whether an address is of the inside, seen from the other end of this hop: one of ours on that
    /// side, a media server's, or, unless it must be known for certain, any private one that the
    /// carrier side does not have itself.
    pub(super) fn is_inside(&self, hop: Hop, ip: IpAddr, or_private: bool) -> bool {
        let ip = ip.to_canonical();
        let private = is_private(ip);
        if !private && !self.neighbours.has_public {
            return false;
        }
        let outside = ip == hop.local.ip()
            || ip == hop.peer.ip().to_canonical()
            || self.config.is_at(Side::External, ip);
        if outside {
            return false;
        }
        self.config.is_at(Side::Internal, ip)
            || self.neighbours.pool.contains(&ip)
            || (or_private && private && !self.neighbours.trunk.contains(&ip))
    }

    /// Keeps who is where, as the tables and DNS say.
    pub(super) fn note_neighbours(&mut self) {
        self.trust_version += 1;
        let addresses = |set: u32| {
            let members = self.dispatcher.members(set);
            let all = members.flat_map(tandem_policy::Target::addresses);
            all.map(|a| a.ip().to_canonical())
        };
        let (inner, outer) = self.sets_of_both_sides();
        let pool: HashSet<IpAddr> = inner.into_iter().flat_map(addresses).collect();
        let trunk = outer.into_iter().flat_map(addresses).collect();
        let callers = [
            self.inner_sets().flat_map(addresses).collect(),
            self.outer_sets().flat_map(addresses).collect(),
        ];
        let ours = self.config.addresses(Side::Internal);
        self.neighbours = Neighbours {
            callers,
            has_public: ours.chain(pool.iter().copied()).any(|ip| !is_private(ip)),
            pool,
            trunk,
        };
    }

    /// The sets inside and outside. One that was routed to until lately counts as what it was, if it is nothing else now: calls
    /// with its targets are up.
    fn sets_of_both_sides(&self) -> (BTreeSet<u32>, BTreeSet<u32>) {
        let mut inner: BTreeSet<u32> = self.inner_sets().collect();
        let mut outer: BTreeSet<u32> = self.outer_sets().collect();
        let (now_inner, now_outer) = (inner.clone(), outer.clone());
        for former in &self.former {
            inner.extend(former.inner.difference(&now_outer));
            outer.extend(former.outer.difference(&now_inner));
        }
        (inner, outer)
    }

    fn open(&self, token: &[u8]) -> Opened {
        let keys = self.config.hiding.keys.as_ref();
        keys.map_or(Opened::Foreign, |keys| keys.open(token))
    }

    fn seal(&self, key: KeyId, call_id: &[u8]) -> Option<Vec<u8>> {
        self.config.hiding.keys.as_ref()?.seal(key, call_id)
    }
}

/// A response as its request's sender knows it: From and To of the request, for which there is no
/// record.
pub(super) fn as_asked(request: &Message<'_>, bytes: Vec<u8>) -> Vec<u8> {
    let Ok(index) = tandem_sip::index(&bytes) else {
        return bytes;
    };
    let asked = splice(
        &bytes,
        &index,
        Others::default(),
        |name, _, value| match name {
            Name::From => Change::Value(request.value_of_from().to_vec()),
            Name::To => {
                let tag = NameAddr::parse(value).and_then(|parts| parts.tag());
                let tag = tag.filter(|_| request.to_tag().is_empty());
                Change::Value(match tag {
                    Some(tag) => [request.to_value(), b";tag=", tag].concat(),
                    None => request.to_value().to_vec(),
                })
            }
            _ => Change::Keep,
        },
    );
    asked.unwrap_or(bytes)
}

/// Whether this is a registrar's answer: its Contacts are those of user agents (see `register`).
fn is_registered(bytes: &[u8], index: &Index) -> bool {
    matches!(index.start, Start::Response { .. })
        && value_of(bytes, index, Name::CSeq).is_some_and(|c| c.ends_with(b"REGISTER"))
}

/// The value of the first field of this name.
fn value_of<'a>(bytes: &'a [u8], index: &Index, name: Name) -> Option<&'a [u8]> {
    let field = index.fields.iter().find(|f| f.name == name)?;
    bytes.get(field.value.clone())
}

/// Values of From and To; none for those that nobody knows better.
struct Originals {
    from: Option<Vec<u8>>,
    to: Option<Vec<u8>>,
}

/// A message that cannot be hidden: its key is gone, or it cannot be read.
struct Unseen;

impl From<FramingError> for Unseen {
    fn from(_: FramingError) -> Self {
        Self
    }
}
