//! What would become of a request, without one.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tandem_policy::routing::{Sender, Trunk};
use tandem_sip::Uri;

use super::Core;
use super::invite::Decision;
use super::request::Arrival;
use crate::config::Side;
use crate::message::Message;
use crate::record::{Direction, Hop};
use crate::views::{RouteQuestion, RouteView, WayView};

/// The port that a question's sender is said to have.
const PORT: u16 = 5060;

impl Core {
    /// What the rules, the tables and the limits would do with a request. Whether its sender may send it at all, and whether it is for a
    /// registered user, is not asked. Nothing is sent, counted or taken.
    ///
    /// # Errors
    /// What is wrong with the question.
    pub fn explain_route(&mut self, question: &RouteQuestion) -> Result<RouteView, String> {
        let RouteQuestion {
            sender,
            source,
            method,
            uri,
            from,
        } = question;
        let is_token = |c: u8| c.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&c);
        if method.is_empty() || !method.bytes().all(is_token) {
            return Err(format!("{method:?} is no method: write one such as INVITE"));
        }
        for text in [uri, from] {
            if Uri::parse(text.as_bytes()).is_none() {
                let remedy = "write one such as sip:+4930123@acme.example";
                return Err(format!("{text:?} is no URI: {remedy}"));
            }
        }
        let (side, direction) = match sender {
            Sender::Pool => (Side::Internal, Direction::Outbound),
            Sender::Carrier | Sender::User => (Side::External, Direction::Inbound),
        };
        let hop = self
            .hop_from(side, *source)
            .ok_or("there is no realm on that side")?;
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKexplain\r\nMax-Forwards: 70\r\nFrom: <{from}>;tag=explain\r\n\
             To: <{uri}>\r\nCall-ID: explain\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n",
            hop.peer
        );
        let message = Message::read(text.as_bytes()).map_err(|_| "the question cannot be read")?;
        let arrival = Arrival {
            message: &message,
            hop,
            waited: Duration::ZERO,
        };
        let set = match direction {
            Direction::Inbound => self.inner_set_for(message.uri()),
            Direction::Outbound => self.config.routing.trunk_set,
        };
        let decision = Decision {
            direction,
            set,
            registered: *sender == Sender::User,
            asked: false,
        };
        let mut ruled = self.ask_rules(arrival, decision);
        let mut view = RouteView {
            tenant: ruled.tenant.clone(),
            trunk: ruled.source_trunk.clone(),
            country: self
                .geo
                .as_ref()
                .and_then(|geo| geo.country(*source))
                .map(|c| c.to_string()),
            rules: self.names_of_rules(&ruled),
            ..RouteView::default()
        };
        match self.route(arrival, decision, &mut ruled) {
            Err(no) => view.refused = Some((no.answer.code, no.answer.reason)),
            Ok(route) => {
                view.user = route.user.map(String::from);
                let sets = route.sets.into_iter().map(|set| self.way_by(set, None));
                let carriers = route.carriers.iter();
                let carriers = carriers.map(|trunk| self.way_by(trunk.set, Some(trunk)));
                view.ways = sets.chain(carriers).collect();
            }
        }
        let added = String::from_utf8_lossy(ruled.edits.added()).into_owned();
        view.headers = added.lines().map(str::to_owned).collect();
        Ok(view)
    }

    /// How a message from this address would come.
    fn hop_from(&self, side: Side, source: IpAddr) -> Option<Hop> {
        let peer = SocketAddr::new(source, PORT);
        let fits = |local: &&SocketAddr| local.is_ipv4() == source.is_ipv4();
        let mut realms = (0..).zip(&self.config.realms);
        let (index, local) = realms.find_map(|(index, realm)| {
            let own = realm.sip.iter().find(fits).or(realm.sip.first())?;
            (realm.side == side).then_some((index, *own))
        })?;
        Some(Hop {
            path: crate::io::Path::Realm(index),
            local,
            peer,
            connect: None,
            hidden: None,
            flow: false,
        })
    }

    fn way_by(&self, set: u32, trunk: Option<&std::sync::Arc<Trunk>>) -> WayView {
        let takes = |set: u32| {
            let members = self.dispatcher.members(set);
            members
                .filter(|t| t.state.takes_calls() && !t.is_full())
                .count()
        };
        let mut sets = self.dispatcher.reachable(set);
        WayView {
            trunk: trunk.map(|t| t.name.clone()).unwrap_or_default(),
            set,
            targets: sets
                .find_map(|set| Some(takes(set)).filter(|n| *n > 0))
                .unwrap_or(0),
            calls: trunk.map(|t| t.outgoing.usage.figures().calls),
            most: trunk
                .map(|t| t.outgoing.limit.calls)
                .filter(|most| *most > 0),
        }
    }
}
