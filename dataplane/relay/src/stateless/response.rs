//! Responses: back by Via (RFC 3261 sections 16.11 and 18.2.2).

use tandem_wire::sip::{Field, Index, Name};

use super::mark::COOKIE;
use super::scan::{Via, address};
use super::write::{Copy, Out};
use super::{Arrival, Fate, Stateless, Way, Why};

impl Stateless {
    pub(super) fn response(&self, arrival: Arrival<'_>, index: &Index, out: &mut Out) -> Fate {
        let bytes = arrival.bytes;
        let mut vias = index.fields.iter().filter(|field| field.name == Name::Via);
        let Some(first) = vias.next() else {
            return Fate::NotOurs;
        };
        let value = bytes.get(first.value.clone()).unwrap_or_default();
        let Some(top) = Via::read(value) else {
            return Fate::NotOurs;
        };
        if !top.branch.starts_with(COOKIE) || !self.is_own(&top) {
            return Fate::NotOurs;
        }
        // Its Via is ours; that behind it, in the same field or in the next, is whom the reply goes to.
        let (next, removed) = match top.next {
            Some(next) => {
                let start = first.value.start;
                let rest = value.get(next..);
                let white = |bytes: &&u8| matches!(bytes, b' ' | b'\t');
                let white = rest.map_or(0, |rest| rest.iter().take_while(white).count());
                (rest, start..start + next + white)
            }
            None => (
                vias.next()
                    .and_then(|field: &Field| bytes.get(field.value.clone())),
                first.line.clone(),
            ),
        };
        let Some(reply_to) = next.and_then(Via::read).and_then(|via| via.reply_to()) else {
            return Fate::Forged;
        };
        let Some(realm) = self.keyed.realm(top.branch, reply_to) else {
            return Fate::Forged;
        };
        let Some(own) = self.own(realm, reply_to.is_ipv4()) else {
            return Fate::Forged;
        };
        let mut copy = Copy::new(bytes, super::request::start(bytes), out);
        copy.without(removed);
        copy.until(index.body.end);
        if out.message().is_none() {
            return Fate::Up(Why::Odd);
        }
        Fate::Relayed(Way {
            is_request: false,
            realm,
            source: own.address,
            destination: reply_to,
        })
    }

    /// Whether a Via is of an address of ours.
    fn is_own(&self, via: &Via<'_>) -> bool {
        let own = address(via.host).map(|ip| (ip, via.port.unwrap_or(5060)).into());
        own.is_some_and(|own| self.realm_of(own).is_some())
    }
}
