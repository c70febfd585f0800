//! Answers: what becomes agreed.

use tandem_sdp::{Media, MediaRewrite};

use super::offer::{Offer, Planned, show};
use super::ports::Ports;
use super::refusal::Refusal;
use super::session::{Party, Session};
use super::terms::Section;

impl Session {
    /// Whether an answer fits its offer. It may have fewer lines: those that it lacks are refused.
    pub(super) fn check_answer(
        &self,
        offer: &Offer,
        from: Party,
        sections: &[Section],
    ) -> Result<(), Refusal> {
        if sections.len() > offer.lines.len() {
            return Err(Refusal::not_acceptable(
                "sdp_answer_lines",
                "an answer with more media lines than its offer",
            ));
        }
        for (i, (planned, section)) in offer.lines.iter().zip(sections).enumerate() {
            let line = planned.own().or_else(|| self.lines.get(i)?.as_ref());
            if let (Section::Media(terms), Some(line)) = (section, line)
                && !from.of(&line.legs).reaches(terms)
            {
                return Err(Refusal::family());
            }
        }
        Ok(())
    }

    /// Puts into force what the last offer and this answer agree on.
    pub(super) fn commit(
        &mut self,
        ports: &mut Ports,
        from: Party,
        to_tag: &[u8],
        sections: &[Section],
    ) {
        let Some(mut offer) = self.offer.take() else {
            return;
        };
        offer.answered = true;
        let tag = if from == Party::Callee {
            to_tag
        } else {
            &offer.to_tag
        };
        let other_tag = !tag.is_empty() && *tag != *self.tag;
        if other_tag {
            self.tag = tag.to_vec();
        }
        // Before the call is answered, another fork may still accept what this one refuses.
        let forks = from == Party::Callee && !self.established;
        let mut agreed = std::mem::take(&mut self.lines).into_iter();
        self.lines.reserve_exact(offer.lines.len());
        for (i, planned) in offer.lines.iter_mut().enumerate() {
            let old = agreed.next().flatten();
            let (terms, line) = match std::mem::replace(planned, Planned::Off) {
                Planned::Carried(terms) => (terms, old),
                Planned::Fresh(terms, line) => {
                    old.iter().for_each(|old| old.free(ports));
                    (terms, Some(*line))
                }
                Planned::Parked(terms, mut line) => {
                    old.iter().for_each(|old| old.free(ports));
                    line.id = self.flow_id(i);
                    line.idle = false;
                    (terms, Some(*line))
                }
                nothing @ (Planned::Off | Planned::Foreign) => {
                    old.iter().for_each(|old| old.free(ports));
                    *planned = nothing;
                    self.lines.push(None);
                    continue;
                }
            };
            let accepted = match (line, sections.get(i)) {
                (Some(mut line), Some(Section::Media(answer))) => {
                    let both = [&terms, answer];
                    let reopened = line.agree(self.settings, offer.from, both, other_tag);
                    self.notes.reopened = self.notes.reopened.saturating_add(reopened);
                    *planned = Planned::Carried(terms);
                    Some(line)
                }
                (Some(line), _) if forks => {
                    *planned = Planned::Parked(terms, Box::new(line));
                    None
                }
                (line, _) => {
                    line.iter().for_each(|line| line.free(ports));
                    None
                }
            };
            self.lines.push(accepted);
        }
        // Lines that the offer does not have any more.
        agreed.flatten().for_each(|old| old.free(ports));
        self.offer = Some(offer);
    }

    /// How an answered line is shown to the party that had offered it.
    pub(super) fn shown_answer(&self, index: usize, media: &Media<'_>, to: Party) -> MediaRewrite {
        let agreed = self.lines.get(index).and_then(Option::as_ref);
        let offered = || self.offer.as_ref()?.lines.get(index)?.fresh();
        show(agreed.or_else(offered), media, to)
    }
}
