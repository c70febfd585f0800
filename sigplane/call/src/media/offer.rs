//! Offers: which ports each media line shall have.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tandem_sdp::{Media, MediaRewrite, Sdp};

use super::line::{LegState, Line};
use super::ports::{End, Ports, Want};
use super::refusal::Refusal;
use super::session::{Party, Session};
use super::terms::{Section, Terms};

/// An offer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Offer {
    /// Who made it.
    pub(super) from: Party,
    /// The callee's tag when it was made.
    #[serde(with = "serde_bytes")]
    pub(super) to_tag: Vec<u8>,
    /// Whether an answer came.
    pub(super) answered: bool,
    /// What can be accepted of each media line.
    pub(super) lines: Vec<Planned>,
}

/// What an answer can accept of an offered media line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Planned {
    /// Nothing: port 0.
    Off,
    /// Nothing: a protocol that we do not carry.
    Foreign,
    /// On the ports that the line has already.
    Carried(Terms),
    /// On ports that were taken for it.
    Fresh(Terms, Box<Line>),
    /// On ports that stay taken, without a flow, because another fork refused the line.
    Parked(Terms, Box<Line>),
}

impl Offer {
    pub(super) fn new(from: Party, to_tag: &[u8], lines: Vec<Planned>) -> Self {
        Self {
            from,
            to_tag: to_tag.to_vec(),
            answered: false,
            lines,
        }
    }
}

impl Planned {
    /// The ports that belong to the offer alone.
    pub(super) fn own(&self) -> Option<&Line> {
        match self {
            Self::Fresh(_, line) | Self::Parked(_, line) => Some(line),
            Self::Off | Self::Foreign | Self::Carried(_) => None,
        }
    }

    /// The same, if they have a flow.
    pub(super) fn fresh(&self) -> Option<&Line> {
        if let Self::Fresh(_, line) = self {
            Some(line)
        } else {
            None
        }
    }

    pub(super) fn fresh_mut(&mut self) -> Option<&mut Line> {
        if let Self::Fresh(_, line) = self {
            Some(line)
        } else {
            None
        }
    }
}

impl Session {
    /// Our address toward each party: toward the one that offers, of the family of its address;
    /// toward the other, of the same if its realm has it (the dataplane translates otherwise). An
    /// address that was chosen before stays, unless the offering party changed its family.
    pub(super) fn choose_addresses(
        &self,
        ports: &Ports,
        from: Party,
        view: &Sdp<'_>,
        sections: &[Section],
    ) -> Result<[IpAddr; 2], Refusal> {
        let said = sections.iter().find_map(|s| match s {
            Section::Media(terms) => terms.remote.map(|r| r.is_ipv4()),
            Section::Off | Section::Foreign => None,
        });
        let old = from.of(&self.addresses).map(|a| a.is_ipv4());
        let assumed = view
            .connection()
            .unwrap_or(view.origin())
            .ip()
            .map(|a| a.is_ipv4());
        let ipv4 = said.or(old).or(assumed).unwrap_or(true);
        let mut addresses = self.addresses;
        let own = from.of_mut(&mut addresses);
        if own.is_none_or(|a| a.is_ipv4() != ipv4) {
            *own = ports.address(*from.of(&self.realms), ipv4);
        }
        let far = from.other().of_mut(&mut addresses);
        if far.is_none() {
            *far = ports.address(*from.other().of(&self.realms), ipv4);
        }
        match addresses {
            [Some(caller), Some(callee)] => Ok([caller, callee]),
            _ => Err(Refusal::exhausted()),
        }
    }

    /// Finds ports for every offered line: those that it has, or new ones. On refusal nothing is
    /// taken.
    pub(super) fn plan(
        &mut self,
        ports: &mut Ports,
        from: Party,
        addresses: [IpAddr; 2],
        sections: Vec<Section>,
    ) -> Result<Vec<Planned>, Refusal> {
        let mut planned: Vec<Planned> = Vec::with_capacity(sections.len());
        for (index, section) in sections.into_iter().enumerate() {
            let terms = match section {
                Section::Off => {
                    planned.push(Planned::Off);
                    continue;
                }
                Section::Foreign => {
                    planned.push(Planned::Foreign);
                    continue;
                }
                Section::Media(terms) => terms,
            };
            // One worker for all lines of a call.
            let first = self
                .live()
                .next()
                .or_else(|| planned.iter().find_map(Planned::own));
            let owner = first.map(|l| ports.owner(Party::Caller.of(&l.legs).end));
            match self.plan_line(ports, from, addresses, index, terms, owner) {
                Ok(line) => planned.push(line),
                Err(refusal) => {
                    let spare: Vec<End> = self.spare_ends().collect();
                    free_except(ports, own_ends(&planned), &spare);
                    return Err(refusal);
                }
            }
        }
        Ok(planned)
    }

    fn plan_line(
        &mut self,
        ports: &mut Ports,
        from: Party,
        addresses: [IpAddr; 2],
        index: usize,
        terms: Terms,
        owner: Option<u16>,
    ) -> Result<Planned, Refusal> {
        let agreed = self.lines.get(index).and_then(Option::as_ref);
        if agreed.is_some_and(|l| from.of(&l.legs).reaches(&terms)) {
            return Ok(Planned::Carried(terms));
        }
        let mut line = match self.offered_before(from, index, &terms) {
            Some(line) => line,
            None => {
                let legs = self.take_legs(ports, from, addresses, index, &terms, owner)?;
                let id = self.flow_id(index);
                Box::new(Line {
                    id,
                    kind: terms.kind,
                    legs,
                    held: terms.held,
                    idle: false,
                })
            }
        };
        from.of_mut(&mut line.legs).apply(&terms, false, false);
        line.kind = terms.kind;
        line.held = terms.held;
        Ok(Planned::Fresh(terms, line))
    }

    /// The line as the same party's unanswered offer had it: an offer that is repeated keeps its
    /// ports.
    fn offered_before(&self, from: Party, index: usize, terms: &Terms) -> Option<Box<Line>> {
        let offer = self
            .offer
            .as_ref()
            .filter(|o| !o.answered && o.from == from)?;
        match offer.lines.get(index) {
            Some(Planned::Fresh(_, line)) if from.of(&line.legs).reaches(terms) => {
                Some(line.clone())
            }
            _ => None,
        }
    }

    /// Takes ports for both legs, or for the callee's alone where the caller's was kept.
    fn take_legs(
        &self,
        ports: &mut Ports,
        from: Party,
        addresses: [IpAddr; 2],
        index: usize,
        terms: &Terms,
        owner: Option<u16>,
    ) -> Result<[LegState; 2], Refusal> {
        // A null address says nothing of the family that media will come in.
        let ipv4 = terms
            .remote
            .map_or(from.of(&addresses).is_ipv4(), |r| r.is_ipv4());
        let own_address = ports.address(*from.of(&self.realms), ipv4);
        if own_address.is_none_or(|a| a.is_ipv4() != ipv4) {
            return Err(Refusal::family());
        }
        let want = |party: Party| Want {
            realm: *party.of(&self.realms),
            address: Some(*party.of(&addresses)),
            ipv4,
            strict: party == from,
        };
        let kept = self.kept.get(index).and_then(Clone::clone);
        if let Some(leg) = kept.filter(|leg| from == Party::Callee || leg.reaches(terms))
            && let Some(end) = ports.take_beside(want(Party::Callee), leg.end)
        {
            return Ok([leg, LegState::new(end)]);
        }
        let ends = ports.take_both(want(Party::Caller), want(Party::Callee), owner);
        Ok(ends.ok_or_else(Refusal::exhausted)?.map(LegState::new))
    }

    /// The ports that are taken but not agreed: of the last offer, and of kept legs.
    pub(super) fn spare_ends(&self) -> impl Iterator<Item = End> {
        let offered = self.offer.iter().flat_map(|o| own_ends(&o.lines));
        offered.chain(self.kept.iter().flatten().map(|leg| leg.end))
    }

    /// Puts another offer (or none) in place of the last one; ports that it does not take over are
    /// freed.
    pub(super) fn replace_offer(&mut self, ports: &mut Ports, offer: Option<Offer>) {
        let spare: Vec<End> = self.spare_ends().collect();
        let taken_over: Vec<End> = offer.iter().flat_map(|o| own_ends(&o.lines)).collect();
        free_except(ports, spare, &taken_over);
        self.kept.clear();
        let planned = offer.iter().flat_map(|o| &o.lines);
        for _ in planned.filter(|p| matches!(p, Planned::Foreign)) {
            self.notes.disabled = self.notes.disabled.saturating_add(1);
        }
        self.offer = offer;
    }

    /// How an offered line is shown to the party that has to answer.
    pub(super) fn shown_offer(&self, index: usize, media: &Media<'_>, to: Party) -> MediaRewrite {
        let planned = self.offer.as_ref().and_then(|o| o.lines.get(index));
        let line = match planned {
            Some(Planned::Carried(_)) => self.lines.get(index).and_then(Option::as_ref),
            Some(planned) => planned.own(),
            None => None,
        };
        show(line, media, to)
    }
}

/// A media section toward a party: on the line's ports, if there is a line.
pub(super) fn show(line: Option<&Line>, media: &Media<'_>, to: Party) -> MediaRewrite {
    match line {
        _ if media.port == 0 => MediaRewrite::Off,
        None => MediaRewrite::Refuse,
        Some(line) => {
            let End { address, port, .. } = to.of(&line.legs).end;
            // Who names its RTP port for RTCP wants them on one port (RFC 5761 section 5.1.3).
            let one_port = media.rtcp.is_some_and(|rtcp| rtcp.port == media.port);
            MediaRewrite::Anchor {
                address,
                port,
                rtcp: if one_port { port } else { port + 1 },
            }
        }
    }
}

fn own_ends(planned: &[Planned]) -> impl Iterator<Item = End> {
    planned
        .iter()
        .filter_map(Planned::own)
        .flat_map(|l| &l.legs)
        .map(|leg| leg.end)
}

fn free_except(ports: &mut Ports, ends: impl IntoIterator<Item = End>, except: &[End]) {
    for end in ends.into_iter().filter(|end| !except.contains(end)) {
        ports.free(end);
    }
}
