//! One call's media: offers and answers in, rewritten SDP and commands out.
//!
//! What an offer changes takes effect with its answer; until then only new media lines get
//! ports and flows (media may come before the answer). So a refused offer leaves nothing to
//! undo but these. Several answers may follow one offer: a repeated one changes nothing, one of
//! another fork (another To-tag) takes the place of the one before.

use std::collections::VecDeque;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tandem_link::{Command, Cookie, Event, FlowId, FlowSpec, Leg, MediaKind, RateLimit};
use tandem_sdp::{Limits, Media, MediaRewrite, Rewrite, Sdp};

use super::formats::{Formats, event_type};
use super::line::{LegState, Line};
use super::offer::{Offer, Planned};
use super::ports::{End, Ports};
use super::refusal::Refusal;
use super::terms::Section;

/// Media lines of a session at most: flow numbers have four bits for the line. Real offers have
/// one to four.
const MAX_LINES: usize = 16;

/// Whose SDP it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Party {
    /// Who sent the first INVITE: leg A.
    Caller,
    /// Who got it: leg B.
    Callee,
}

impl Party {
    /// The opposite party.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }

    /// Picks this party's of a pair.
    pub(super) fn of<T>(self, [caller, callee]: &[T; 2]) -> &T {
        match self {
            Self::Caller => caller,
            Self::Callee => callee,
        }
    }

    pub(super) fn of_mut<T>(self, [caller, callee]: &mut [T; 2]) -> &mut T {
        match self {
            Self::Caller => caller,
            Self::Callee => callee,
        }
    }
}

/// What is configured for media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaSettings {
    /// DSCP of relayed media, 0 to 63.
    pub dscp: u8,
    /// Seconds without media after which a flow is reported; 0 never.
    pub timeout_s: u32,
    /// The same for a flow on hold.
    pub hold_timeout_s: u32,
}

/// A call came back from the journal, but its ports could not be reserved again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestorePortsError {
    /// What is wrong.
    pub reason: String,
}

impl std::fmt::Display for RestorePortsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.reason)
    }
}

impl std::error::Error for RestorePortsError {}

/// One call's media.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Session {
    pub(super) cookie: Cookie,
    /// The caller's and the callee's.
    pub(super) realms: [u16; 2],
    pub(super) settings: MediaSettings,
    /// Our address toward each party, for `o=` and the session's `c=`.
    pub(super) addresses: [Option<IpAddr>; 2],
    /// What is agreed, by media line.
    pub(super) lines: Vec<Option<Line>>,
    /// The last offer, answered or not.
    pub(super) offer: Option<Offer>,
    /// The caller's legs that are kept for the next target.
    pub(super) kept: Vec<Option<LegState>>,
    /// The To-tag of the callee's last SDP.
    #[serde(with = "serde_bytes")]
    pub(super) tag: Vec<u8>,
    /// Whether the call is answered.
    pub(super) established: bool,
    /// Goes into flow numbers: another for each flow.
    pub(super) generation: u8,
    /// What its lines carry, by media line: as the last answer says, or before any answer the offer.
    pub(super) formats: Vec<Formats>,
    /// Behind the rest of a journal's record.
    #[serde(skip)]
    pub(super) more: More,
    #[serde(skip)]
    pub(super) commands: VecDeque<Command>,
    #[serde(skip)]
    pub(super) notes: Notes,
}

/// What is taken from peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaGuard {
    /// Realms whose peers' media is taken from the address in the SDP alone.
    pub strict: Vec<u16>,
    /// The most packets a second of a leg of audio, and of other media ten times as many; 0 no limit.
    pub max_packets: u32,
    /// The most bytes, likewise.
    pub max_bytes: u32,
}

/// What the journal's records have of a session since version 6.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct More {
    guard: MediaGuard,
    /// Of the first media lines, among which the audio is: the payload type of telephone-event in the SDP of the caller and of the callee.
    events: [[Option<u8>; 2]; 4],
}

/// What was let through but not as it was wished, not yet counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    /// Offered media lines whose protocol we do not carry.
    pub(super) disabled: u32,
    /// Legs of flows that learn their peer's source anew.
    pub(super) reopened: u32,
}

impl Session {
    /// A session without media. The cookie marks its flows; its low 52 bits must be unique among
    /// the node's live calls, since flow numbers are made from them.
    #[must_use]
    pub fn new(
        cookie: Cookie,
        caller_realm: u16,
        callee_realm: u16,
        settings: MediaSettings,
    ) -> Self {
        Self {
            cookie,
            realms: [caller_realm, callee_realm],
            settings,
            addresses: [None; 2],
            lines: Vec::new(),
            offer: None,
            kept: Vec::new(),
            tag: Vec::new(),
            established: false,
            generation: 0,
            formats: Vec::new(),
            more: More::default(),
            commands: VecDeque::new(),
            notes: Notes::default(),
        }
    }

    /// With limits to what is taken from peers.
    #[must_use]
    pub fn guarded(mut self, guard: MediaGuard) -> Self {
        self.more.guard = guard;
        self
    }

    /// What stands behind the record in the journal, if there is something in it.
    pub(crate) fn more(&self) -> Option<&More> {
        (self.more != More::default()).then_some(&self.more)
    }

    pub(crate) fn set_more(&mut self, more: More) {
        self.more = more;
    }

    /// An offer passes (INVITE, re-INVITE, UPDATE, PRACK, or a response to an INVITE without
    /// one). Returns what to send on. `to_tag` is the callee's tag of the dialog, empty when
    /// there is none yet. What was agreed before stays in force until the answer. An unanswered
    /// offer before it is forgotten as by [`Self::reject_offer`].
    ///
    /// # Errors
    /// The offer is to be refused; the session is as before.
    pub fn offer(
        &mut self,
        ports: &mut Ports,
        from: Party,
        to_tag: &[u8],
        sdp: &[u8],
    ) -> Result<Vec<u8>, Refusal> {
        let view = parse(sdp)?;
        let sections = Section::read_all(&view)?;
        let addresses = self.choose_addresses(ports, from, &view, &sections)?;
        let planned = self.plan(ports, from, addresses, sections)?;

        let before = self.flows();
        self.replace_offer(ports, Some(Offer::new(from, to_tag, planned)));
        self.addresses = addresses.map(Some);
        self.note_formats(&view, from, false);
        self.emit(&before);
        let to = from.other();
        Ok(self.rewrite(&view, *to.of(&addresses), |i, media| {
            self.shown_offer(i, media, to)
        }))
    }

    /// An answer passes (18x, 200, ACK, PRACK). May come several times for one offer: repeated,
    /// or from another fork (another `to_tag`). Returns what to send on. SDP of the party that
    /// made the last offer (a 200 that repeats what a 183 had offered) is only rewritten.
    ///
    /// # Errors
    /// The answer is not usable; the session is as before.
    pub fn answer(
        &mut self,
        ports: &mut Ports,
        from: Party,
        to_tag: &[u8],
        sdp: &[u8],
    ) -> Result<Vec<u8>, Refusal> {
        let view = parse(sdp)?;
        let sections = Section::read_all(&view)?;
        let Some(offer) = &self.offer else {
            return Err(Refusal::not_acceptable(
                "sdp_answer_without_offer",
                "an answer to which there is no offer",
            ));
        };
        if offer.from != from {
            self.check_answer(offer, from, &sections)?;
            let before = self.flows();
            self.commit(ports, from, to_tag, &sections);
            self.note_formats(&view, from, true);
            self.emit(&before);
        }
        let to = from.other();
        // An answer follows an offer, which chose the addresses.
        let address = to.of(&self.addresses).ok_or_else(Refusal::exhausted)?;
        Ok(self.rewrite(&view, address, |i, media| self.shown_answer(i, media, to)))
    }

    /// The call is answered: a 2xx to the first INVITE passed, whether with an answer, an offer or
    /// no SDP (which was given to [`Self::answer`] or [`Self::offer`] before). No other fork
    /// can answer any more, so the ports of media lines that the answer refused are freed, and media
    /// timeouts begin. Further calls change nothing.
    pub fn settle(&mut self, ports: &mut Ports) {
        let before = self.flows();
        self.established = true;
        if let Some(offer) = &mut self.offer {
            for planned in &mut offer.lines {
                if let Planned::Parked(_, line) = planned {
                    line.free(ports);
                    *planned = Planned::Off;
                }
            }
        }
        self.emit(&before);
    }

    /// The far side refused the offer: back to what was agreed before. Does nothing when the
    /// offer was answered.
    pub fn reject_offer(&mut self, ports: &mut Ports) {
        if self.offer.as_ref().is_some_and(|o| !o.answered) {
            let before = self.flows();
            self.replace_offer(ports, None);
            self.emit(&before);
        }
    }

    /// Failover before the answer: everything of the callee is forgotten and its ports freed; the
    /// caller's ports stay. The next target is in `callee_realm`. Give [`Self::offer`] the
    /// caller's original SDP again.
    pub fn next_target(&mut self, ports: &mut Ports, callee_realm: u16) {
        let before = self.flows();
        let mut lines = std::mem::take(&mut self.lines);
        let planned = self.offer.take().map(|o| o.lines).unwrap_or_default();
        lines.resize(lines.len().max(planned.len()), None);
        for (line, planned) in lines.iter_mut().zip(planned) {
            if let Planned::Fresh(_, own) | Planned::Parked(_, own) = planned
                && let Some(old) = line.replace(*own)
            {
                old.free(ports);
            }
        }
        for (i, line) in lines.into_iter().enumerate() {
            let Some(Line {
                legs: [caller, callee],
                ..
            }) = line
            else {
                continue;
            };
            ports.free(callee.end);
            self.kept.resize(self.kept.len().max(i + 1), None);
            if let Some(place) = self.kept.get_mut(i) {
                *place = Some(caller);
            }
        }
        self.tag.clear();
        *Party::Callee.of_mut(&mut self.addresses) = None;
        *Party::Callee.of_mut(&mut self.realms) = callee_realm;
        self.emit(&before);
    }

    /// [`Event::MediaTimeout`] came for this flow.
    pub fn timed_out(&mut self, flow: FlowId) {
        self.set_idle(flow, true);
    }

    /// [`Event::MediaResumed`] came for this flow.
    pub fn resumed(&mut self, flow: FlowId) {
        self.set_idle(flow, false);
    }

    /// [`Event::Latched`] came: the source is kept for a dataplane that starts anew. Other events
    /// and other sessions' flows are ignored.
    pub fn latched(&mut self, event: &Event) {
        let Event::Latched {
            flow,
            leg,
            rtcp,
            source,
            ..
        } = event
        else {
            return;
        };
        let party = match leg {
            Leg::A => Party::Caller,
            Leg::B => Party::Callee,
        };
        if let Some(line) = self.live_mut().find(|l| l.id == *flow) {
            party.of_mut(&mut line.legs).latch(*rtcp, *source);
        }
    }

    /// Whether the call's media has timed out: every active line that is not on hold is idle (or,
    /// when all are on hold, every one). Never for a call without active lines.
    #[must_use]
    pub fn all_idle(&self) -> bool {
        let all_held = self.on_hold();
        let mut counted = self.live().filter(|l| all_held || !l.held).peekable();
        counted.peek().is_some() && counted.all(|l| l.idle)
    }

    /// Whether there are active media lines and all of them are on hold.
    #[must_use]
    pub fn on_hold(&self) -> bool {
        let mut lines = self.live().peekable();
        lines.peek().is_some() && lines.all(|l| l.held)
    }

    /// The flow pairs as they should be installed now, for a dataplane that started anew.
    #[must_use]
    pub fn flows(&self) -> Vec<FlowSpec> {
        self.live()
            .map(|line| {
                let mut spec = line.spec(self.cookie, self.settings, self.established);
                if let Some(formats) = self.formats_of(line.id) {
                    spec.media = formats.kind;
                    spec.clock_rate = formats.clock_rate;
                }
                self.guard(&mut spec);
                spec
            })
            .collect()
    }

    /// The encoding of a payload type that this flow carries or carried, as in SDP (`PCMU/8000`).
    #[must_use]
    pub fn encoding(&self, flow: FlowId, payload_type: u8) -> Option<&str> {
        self.formats_of(flow)?.encoding(payload_type)
    }

    /// Whether it has or had media.
    pub(crate) fn had_media(&self) -> bool {
        !self.formats.is_empty() || self.live().next().is_some()
    }

    /// The next command for the dataplane ([`Command::PutFlow`], [`Command::RemoveFlow`]); none
    /// when all are drained. They are not part of the serialized session.
    pub fn command(&mut self) -> Option<Command> {
        let next = self.commands.pop_front();
        if self.commands.is_empty() {
            // Room for some commands is a kilobyte, and there may be none for hours.
            self.commands = VecDeque::new();
        }
        next
    }

    /// The next counter to move for what was let through but not as it was wished; none when all
    /// are drained: `sdp_media_disabled` for each offered media line whose protocol we do not carry,
    /// `media_learning_reopened` for each leg of a flow that learns its peer's source anew.
    pub fn counter(&mut self) -> Option<&'static str> {
        let Notes { disabled, reopened } = &mut self.notes;
        for (count, name) in [
            (disabled, "sdp_media_disabled"),
            (reopened, "media_learning_reopened"),
        ] {
            if let Some(rest) = count.checked_sub(1) {
                *count = rest;
                return Some(name);
            }
        }
        None
    }

    /// The call has ended: removes every flow and frees every port. May be called twice.
    pub fn close(&mut self, ports: &mut Ports) {
        let before = self.flows();
        self.replace_offer(ports, None);
        for line in std::mem::take(&mut self.lines).iter().flatten() {
            line.free(ports);
        }
        self.emit(&before);
    }

    /// After deserialization: reserves the same ports again. Emits no commands: see
    /// [`Self::flows`].
    ///
    /// # Errors
    /// A port is not ours any more or is already taken; then none is reserved and the session has
    /// to be dropped without [`Self::close`].
    pub fn restore(&mut self, ports: &mut Ports) -> Result<(), RestorePortsError> {
        let agreed = self
            .lines
            .iter()
            .flatten()
            .flat_map(|l| &l.legs)
            .map(|leg| leg.end);
        let ends: Vec<End> = agreed.chain(self.spare_ends()).collect();
        let mut reserved = Vec::new();
        for end in ends {
            if !ports.reserve(end) {
                for end in reserved {
                    ports.free(end);
                }
                let (address, port) = (end.address, end.port);
                return Err(RestorePortsError {
                    reason: format!(
                        "media port {port} of {address} is taken, or not ours any more"
                    ),
                });
            }
            reserved.push(end);
        }
        Ok(())
    }
}

/// Shared by the above.
impl Session {
    /// The lines that have a flow: what is agreed, and what an unanswered offer adds.
    pub(super) fn live(&self) -> impl Iterator<Item = &Line> {
        let added = self
            .offer
            .iter()
            .flat_map(|o| &o.lines)
            .filter_map(Planned::fresh);
        self.lines.iter().flatten().chain(added)
    }

    fn live_mut(&mut self) -> impl Iterator<Item = &mut Line> {
        let added = self.offer.iter_mut().flat_map(|o| &mut o.lines);
        self.lines
            .iter_mut()
            .flatten()
            .chain(added.filter_map(Planned::fresh_mut))
    }

    fn set_idle(&mut self, flow: FlowId, idle: bool) {
        if let Some(line) = self.live_mut().find(|l| l.id == flow) {
            line.idle = idle;
        }
    }

    /// A number for a new flow: cookie, media line and generation. A live flow's number comes
    /// again after 256 flows of its own line, of which at most three are live at a time.
    pub(super) fn flow_id(&mut self, index: usize) -> FlowId {
        self.generation = self.generation.wrapping_add(1);
        let line = (index % MAX_LINES) as u64;
        FlowId(self.cookie.0 << 12 | line << 8 | u64::from(self.generation))
    }

    fn formats_of(&self, flow: FlowId) -> Option<&Formats> {
        self.formats.get((flow.0 >> 8) as usize % MAX_LINES)
    }

    /// Says what is taken from the peers of a flow.
    fn guard(&self, spec: &mut FlowSpec) {
        let More { guard, events } = &self.more;
        let times = if spec.media == MediaKind::Audio {
            1
        } else {
            10
        };
        let (packets, bytes) = (guard.max_packets, guard.max_bytes);
        spec.limit =
            RateLimit::per_second(packets.saturating_mul(times), bytes.saturating_mul(times));
        let line = (spec.id.0 >> 8) as usize % MAX_LINES;
        let [caller, callee] = events.get(line).copied().unwrap_or_default();
        // Each sends by the numbers of the other's SDP (RFC 3264 section 5.1), which are nearly always its own, too.
        spec.a.event_type = callee.or(caller);
        spec.b.event_type = caller.or(callee);
        for leg in [&mut spec.a, &mut spec.b] {
            leg.strict = guard.strict.contains(&leg.realm);
        }
    }

    /// Remembers what the lines carry. An offer says nothing yet of lines that are agreed on.
    fn note_formats(&mut self, view: &Sdp<'_>, from: Party, is_answer: bool) {
        let lines = view.media().len().min(MAX_LINES);
        self.formats
            .resize(lines.max(self.formats.len()), Formats::default());
        for (i, (media, place)) in view.media().iter().zip(&mut self.formats).enumerate() {
            let is_agreed = self.lines.get(i).is_some_and(Option::is_some);
            if media.port != 0 && (is_answer || !is_agreed) {
                *place = Formats::read(view, media);
            }
            if let Some(events) = self.more.events.get_mut(i).filter(|_| media.port != 0) {
                *from.of_mut(events) = event_type(view, media);
            }
        }
    }

    /// Commands that lead from the flows before to those now. Removals go first: they may free
    /// ports that the others use.
    fn emit(&mut self, before: &[FlowSpec]) {
        let now = self.flows();
        let gone = before
            .iter()
            .filter(|old| now.iter().all(|new| new.id != old.id));
        self.commands.extend(gone.map(Command::remove));
        let changed = now.into_iter().filter(|new| !before.contains(new));
        self.commands.extend(changed.map(Command::PutFlow));
    }

    fn rewrite<'a>(
        &self,
        view: &Sdp<'a>,
        address: IpAddr,
        show: impl Fn(usize, &Media<'a>) -> MediaRewrite,
    ) -> Vec<u8> {
        let media = view
            .media()
            .iter()
            .enumerate()
            .map(|(i, m)| show(i, m))
            .collect();
        view.rewrite(&Rewrite { address, media })
    }
}

fn parse(sdp: &[u8]) -> Result<Sdp<'_>, Refusal> {
    Ok(Sdp::parse(
        sdp,
        Limits {
            media: MAX_LINES,
            ..Limits::default()
        },
    )?)
}

#[cfg(test)]
mod tests;
