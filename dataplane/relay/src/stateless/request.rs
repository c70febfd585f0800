//! Requests: to a target, or within a dialog from a target to the other side.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::Range;

use tandem_wire::sip::{Field, Index, Name, Start, token_shard};

use super::scan::{Route, Uri, Via, address, has_tag, number};
use super::write::{Copy, Out};
use super::{Arrival, Fate, Own, Stateless, Target, Way, Why};

/// What RFC 3261 section 16.6 has a proxy write where nothing stands.
const MAX_FORWARDS: &[u8] = b"70";
/// What branches begin with that are unique (RFC 3261 section 8.1.1.7).
const COOKIE: &[u8] = b"z9hG4bK";

/// What a request says, as far as it matters here.
struct Request<'a> {
    method: &'a [u8],
    uri: &'a [u8],
    via_field: &'a Field,
    via_text: &'a [u8],
    via: Via<'a>,
    call_id: &'a [u8],
    from: &'a [u8],
    to: &'a [u8],
    /// The number in CSeq.
    sequence: &'a [u8],
    max_forwards: Option<(&'a Field, u16)>,
    has_route: bool,
    asks_extension: bool,
}

/// The Routes on top that are ours.
#[derive(Default)]
struct Popped<'a> {
    /// What is left out: at most two values, each with its line if nothing else is there.
    ranges: [Option<Range<usize>>; 2],
    /// The target's name in the first.
    mark: Option<&'a [u8]>,
    /// Our realm that the last of them names.
    realm: u16,
    /// The next hop behind them.
    next: Option<Uri<'a>>,
}

/// Where the start line begins: line ends before it do not go on.
pub(super) fn start(bytes: &[u8]) -> usize {
    let first = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
    first.unwrap_or(0)
}

impl Stateless {
    pub(super) fn request(&self, arrival: Arrival<'_>, index: &Index, out: &mut Out) -> Fate {
        let is_on = self.is_on(arrival.realm);
        let from_target = self.is_target(arrival);
        if !is_on && !from_target {
            return Fate::NotOurs;
        }
        let Some(request) = Request::read(arrival.bytes, index) else {
            return if is_on {
                Fate::Up(Why::Odd)
            } else {
                Fate::NotOurs
            };
        };
        // Registrations, and whatever belongs to calls of the signaling plane.
        if request.method == b"REGISTER" || token_shard(request.call_id).is_some() {
            return Fate::NotOurs;
        }
        let popped = if request.has_route {
            match self.pop(arrival.bytes, index) {
                Some(popped) if popped.mark.is_some() => Some(popped),
                _ => return Fate::NotOurs,
            }
        } else {
            None
        };
        if from_target {
            return match popped {
                Some(popped) => self.within_dialog(arrival, index, &request, &popped, out),
                None => Fate::NotOurs,
            };
        }
        if !self.is_sender(arrival.source.ip()) {
            return Fate::Up(Why::Source);
        }
        let target = match &popped {
            Some(popped) if popped.next.is_some() => return Fate::Up(Why::Odd),
            Some(popped) => self.named(popped.mark),
            None => self.target(request.call_id),
        };
        let Some(target) = target else {
            return Fate::Up(Why::NoTarget);
        };
        let popped = popped.unwrap_or_default();
        let way = (target.realm, target.address);
        self.forward(arrival, index, &request, &popped, way, Some(target), out)
    }

    /// Whether a target sent it.
    fn is_target(&self, arrival: Arrival<'_>) -> bool {
        let ip = arrival.source.ip();
        let is = |t: &Target| t.realm == arrival.realm && t.address.ip() == ip;
        self.targets.iter().any(is)
    }

    /// The target of this name.
    fn named(&self, mark: Option<&[u8]>) -> Option<&Target> {
        self.targets.iter().find(|t| Some(&t.mark[..]) == mark)
    }

    /// Within a dialog, from a target to where the dialog's other end is.
    fn within_dialog(
        &self,
        arrival: Arrival<'_>,
        index: &Index,
        request: &Request<'_>,
        popped: &Popped<'_>,
        out: &mut Out,
    ) -> Fate {
        let sender = self.named(popped.mark).map(|t| (t.realm, t.address.ip()));
        if sender != Some((arrival.realm, arrival.source.ip())) || !self.is_on(popped.realm) {
            return Fate::NotOurs;
        }
        let next = popped.next.or_else(|| Uri::read(request.uri));
        let next = next.and_then(|uri| uri.address);
        match next {
            // To ourselves, or by a name: not without thinking.
            Some(address) if self.realm_of(address).is_none() => {
                let way = (popped.realm, address);
                self.forward(arrival, index, request, popped, way, None, out)
            }
            _ => Fate::Up(Why::Odd),
        }
    }

    /// Takes our Routes off the top; none if what is there cannot be read, or the first is not ours.
    fn pop<'a>(&self, bytes: &'a [u8], index: &Index) -> Option<Popped<'a>> {
        let mut popped = Popped::default();
        let mut count = 0;
        let routes = index
            .fields
            .iter()
            .filter(|field| field.name == Name::Route);
        'fields: for field in routes {
            let value = bytes.get(field.value.clone())?;
            let mut at = 0;
            loop {
                let route = Route::read(value.get(at..)?)?;
                let realm = route
                    .uri
                    .address
                    .filter(|_| !route.uri.has_user)
                    .and_then(|address| self.realm_of(address));
                let Some(realm) = realm.filter(|_| count < popped.ranges.len()) else {
                    popped.next = Some(route.uri);
                    break 'fields;
                };
                if count == 0 {
                    popped.mark = route.uri.mark;
                }
                popped.realm = realm;
                let start = field.value.start + at;
                let range = match route.next {
                    Some(next) => start..start + next,
                    // All that the line has is ours: it goes as a whole.
                    None => {
                        let line = &field.line;
                        for earlier in &mut popped.ranges {
                            earlier.take_if(|range| line.contains(&range.start));
                        }
                        line.clone()
                    }
                };
                if let Some(place) = popped.ranges.get_mut(count) {
                    *place = Some(range);
                }
                count += 1;
                match route.next {
                    Some(next) => at += next,
                    None => break,
                }
            }
        }
        (count > 0).then_some(popped)
    }

    #[allow(clippy::too_many_arguments, reason = "all of it is what is written")]
    fn forward(
        &self,
        arrival: Arrival<'_>,
        index: &Index,
        request: &Request<'_>,
        popped: &Popped<'_>,
        (realm, destination): (u16, SocketAddr),
        target: Option<&Target>,
        out: &mut Out,
    ) -> Fate {
        if request.asks_extension {
            return Fate::Up(Why::Extension);
        }
        if request.max_forwards.is_some_and(|(_, left)| left == 0) {
            return Fate::Up(Why::Hops);
        }
        let (Some(reply_to), Some(own)) = (
            request.reply_to(arrival.source),
            self.own(realm, destination.is_ipv4()),
        ) else {
            return Fate::Up(Why::Odd);
        };
        let transaction = request.transaction(self.keyed);
        let branch = self.keyed.branch(arrival.realm, transaction, reply_to);

        let bytes = arrival.bytes;
        let first = index
            .fields
            .first()
            .map_or(index.headers_end, |f| f.line.start);
        let mut copy = Copy::new(bytes, start(bytes), out);
        copy.until(first);
        for text in [
            b"Via: SIP/2.0/UDP ",
            &own.text[..],
            b";branch=",
            &branch,
            b"\r\n",
        ] {
            copy.out.push(text);
        }
        if let Some(target) = target
            && self.record_route
            && request.begins_dialog()
        {
            self.record(copy.out, own, arrival, target);
        }
        if request.max_forwards.is_none() {
            for text in [b"Max-Forwards: ", MAX_FORWARDS, b"\r\n"] {
                copy.out.push(text);
            }
        }
        for field in &index.fields {
            match field.name {
                Name::Via if std::ptr::eq(field, request.via_field) => {
                    request.answerable(arrival.source, &mut copy);
                }
                Name::MaxForwards => {
                    if let Some((_, left)) = request.max_forwards {
                        copy.without(field.value.clone());
                        copy.out.push_number(left - 1);
                    }
                }
                Name::Route => {
                    let gone = popped.ranges.iter().flatten();
                    for range in
                        gone.filter(|r| field.line.start <= r.start && r.end <= field.line.end)
                    {
                        copy.without(range.clone());
                    }
                }
                _ => {}
            }
        }
        copy.until(index.body.end);
        if out.message().is_none() {
            return Fate::Up(Why::Odd);
        }
        Fate::Relayed(Way {
            is_request: true,
            realm,
            source: own.address,
            destination,
        })
    }

    /// Our place in the dialog's way: towards the target, and towards the other side if that is another address.
    fn record(&self, out: &mut Out, inner: &Own, arrival: Arrival<'_>, target: &Target) {
        let outer = self.own(arrival.realm, arrival.local.is_ipv4());
        let sides = [
            Some(inner),
            outer.filter(|own| own.address != inner.address),
        ];
        for own in sides.into_iter().flatten() {
            for text in [
                b"Record-Route: <sip:",
                &own.text[..],
                b";lr;tnds=",
                &target.mark,
                b">\r\n",
            ] {
                out.push(text);
            }
        }
    }
}

impl<'a> Request<'a> {
    /// Reads it; none if something is missing, stands there twice or is written in a way that we do not read.
    fn read(bytes: &'a [u8], index: &'a Index) -> Option<Self> {
        let Start::Request { method, uri } = &index.start else {
            return None;
        };
        let (mut via, mut call_id, mut from, mut to) = (None, None, None, None);
        let (mut sequence, mut max_forwards) = (None, None);
        let (mut has_route, mut asks_extension) = (false, false);
        for field in &index.fields {
            let value = bytes.get(field.value.clone())?;
            let again = match field.name {
                Name::Via => {
                    if via.is_none() {
                        via = Some((field, value, Via::read(value)?));
                    }
                    false
                }
                Name::CallId => call_id.replace(value).is_some(),
                Name::From => from.replace(value).is_some(),
                Name::To => to.replace(value).is_some(),
                Name::CSeq => sequence.replace(value).is_some(),
                Name::MaxForwards => max_forwards.replace((field, number(value)?)).is_some(),
                Name::Route => {
                    has_route = true;
                    false
                }
                Name::ProxyRequire => {
                    asks_extension = true;
                    false
                }
                _ => false,
            };
            if again {
                return None;
            }
        }
        let (via_field, via_text, via) = via?;
        let sequence = sequence?.split(u8::is_ascii_whitespace).next()?;
        Some(Self {
            method: bytes.get(method.clone())?,
            uri: bytes.get(uri.clone())?,
            via_field,
            via_text: via_text.get(..via.end)?,
            via,
            call_id: call_id.filter(|value| !value.is_empty())?,
            from: from?,
            to: to?,
            sequence,
            max_forwards,
            has_route,
            asks_extension,
        })
    }

    /// Whether it begins a dialog, if the answer is yes.
    fn begins_dialog(&self) -> bool {
        matches!(self.method, b"INVITE" | b"SUBSCRIBE" | b"REFER") && !has_tag(self.to)
    }

    /// Names its transaction: the same for what is sent again, for its CANCEL and for the ACK of a refusal. Without a unique
    /// branch it is made of what RFC 3261 section 16.11 lists, but for the tag in To, which such an ACK has and its INVITE
    /// had not.
    fn transaction(&self, keyed: super::mark::Keyed) -> u64 {
        let via = &self.via;
        if via.branch.len() > COOKIE.len() && via.branch.starts_with(COOKIE) {
            let port = via.port.unwrap_or(0).to_be_bytes();
            keyed.transaction(&[via.branch, via.host, &port])
        } else {
            keyed.transaction(&[
                self.via_text,
                self.from,
                self.call_id,
                self.sequence,
                self.uri,
            ])
        }
    }

    /// Where its reply goes: what its topmost Via says when [`Self::answerable`] has written it.
    fn reply_to(&self, source: SocketAddr) -> Option<SocketAddr> {
        let via = &self.via;
        // Only who receives a request says where from; and a port that is filled in already was by somebody else.
        let told = via.received.is_some() || via.rport.is_some_and(|(_, value)| value.is_some());
        if !via.is_udp || via.has_maddr || told {
            return None;
        }
        let port = match via.rport {
            Some(_) => source.port(),
            None => via.port.unwrap_or(5060),
        };
        Some(SocketAddr::new(source.ip(), port))
    }

    /// Writes into the topmost Via where the request came from (RFC 3261 section 18.2.1, RFC 3581 section 4).
    fn answerable(&self, source: SocketAddr, copy: &mut Copy<'_>) {
        let (via, start) = (&self.via, self.via_field.value.start);
        if let Some((end, _)) = via.rport {
            copy.until(start + end);
            copy.out.push(b"=");
            copy.out.push_number(source.port());
        }
        if via.rport.is_some() || address(via.host) != Some(source.ip()) {
            copy.until(start + via.end);
            // Writing into memory does not fail; of too much all is void.
            let _ = write!(copy.out, ";received={}", source.ip());
        }
    }
}
