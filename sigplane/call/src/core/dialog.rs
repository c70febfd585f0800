//! Dialogs: where requests in them go, and what each side gets to see of the other.

use std::net::SocketAddr;

use tandem_policy::Transport;

use super::Core;
use crate::call::MAX_DIALOGS;
use crate::compose;
use crate::config::CoreConfig;
use crate::message::{self, Message, Name};
use crate::record::{Dialog, Hop, Peer};

impl Core {
    /// Where a request to a peer goes: its first route, else its remote target (RFC 3261 section
    /// 12.2.1.1). A name counts as far as it is known (see `names`), and an address that cannot be meant (a private one of
    /// a peer that is seen with a public one, one of our own) is not believed: then it goes to
    /// where the peer was last seen.
    ///
    /// A connection that the peer was last seen on is used again as long as it lives, if the address
    /// names the same host (RFC 5923): behind a NAT it is the only way. Another transport than
    /// that is taken only where the URI asks for it. A registered user agent is where it registered from.
    pub(super) fn way_to(&self, peer: &Peer) -> Hop {
        if peer.hop.flow {
            return peer.hop;
        }
        let next = peer.routes.first().unwrap_or(&peer.target);
        let seen = peer.hop.peer;
        let spoken = self.config.transport(peer.hop.path);
        let believable = |address: &SocketAddr| {
            message::is_sendable(*address)
                && address.is_ipv4() == peer.hop.local.is_ipv4()
                && !self.config.is_ours(*address)
                && (!message::is_private(address.ip()) || message::is_private(seen.ip()))
                && (!address.ip().is_loopback() || seen.ip().is_loopback())
        };
        let (address, asked) = match message::address_of(next).filter(believable) {
            Some(address) => (address, message::transport_of(next)),
            None => match self.named_server(peer, believable) {
                Some(server) => (server.address, Some(server.transport)),
                None => return peer.hop,
            },
        };
        let asked = asked.filter(|asked| {
            // A secure WebSocket calls itself `ws` too.
            *asked != spoken && (*asked, spoken) != (Transport::Ws, Transport::Wss)
        });
        let other = asked.and_then(|asked| {
            let side = self.config.side(peer.hop.path)?;
            self.config.way(side, asked, address)
        });
        match other {
            Some((path, local)) => Hop {
                path,
                local,
                peer: address,
                connect: None,
                hidden: peer.hop.hidden,
                flow: false,
            },
            None if spoken.is_reliable() && address.ip() == seen.ip() => Hop {
                connect: Some(address),
                ..peer.hop
            },
            None => Hop {
                peer: address,
                connect: None,
                ..peer.hop
            },
        }
    }

    /// Our Via in what goes by `hop`.
    pub(super) fn via(&self, hop: Hop, branch: &str) -> Vec<u8> {
        compose::via(self.config.transport(hop.path), hop.local, branch)
    }

    /// Our Record-Route in what goes by `hop`.
    pub(super) fn record_route(&self, hop: Hop) -> Vec<u8> {
        compose::record_route(self.config.transport(hop.path), hop.local)
    }

    /// Our Contact in messages that go by `to`, standing for `peer`.
    pub(super) fn contact_for(&self, peer: &Peer, to: Hop) -> Vec<u8> {
        self.contact_of(&peer.alias, to)
    }

    /// Our Contact with this user part, in messages that go by `to`.
    pub(super) fn contact_of(&self, user: &[u8], to: Hop) -> Vec<u8> {
        compose::contact(user, self.config.transport(to.path), to.local)
    }

    /// The callee's end of a dialog, from a response of its.
    pub(super) fn callee_of(&self, key: u64, hop: Hop, response: &Message<'_>) -> Peer {
        let target = response
            .contact_uri()
            .map_or_else(|| format!("sip:{}", hop.peer).into_bytes(), <[u8]>::to_vec);
        let mut routes = foreign(&self.config, &response.list(Name::RecordRoute));
        routes.reverse();
        Peer {
            hop,
            alias: alias(key, &target),
            target,
            routes,
            cseq: 0,
        }
    }

    /// Takes the dialog of a response into the call's list, or brings it up to date. Says whether
    /// it is there: a call has not more than [`MAX_DIALOGS`].
    pub(super) fn note_dialog(&mut self, key: u64, hop: Hop, response: &Message<'_>) -> bool {
        let callee = self.callee_of(key, hop, response);
        let Some(call) = self.calls.get_mut(&key) else {
            return false;
        };
        let record = &mut call.record;
        let full = record.dialogs.len() >= MAX_DIALOGS;
        match record.dialog_mut(response.to_tag()) {
            Some(dialog) => {
                if response.contact_uri().is_some() {
                    let cseq = dialog.callee.cseq;
                    dialog.callee = Peer { cseq, ..callee };
                }
                true
            }
            None if full => false,
            None => {
                // Nearly always it is the only one.
                record.dialogs.reserve_exact(1);
                record.dialogs.push(Dialog {
                    tag: response.to_tag().to_vec(),
                    to: response.to_value().to_vec(),
                    callee,
                    acked: None,
                });
                true
            }
        }
    }
}

/// The user part under which a peer is shown to the other side: its own if that is a plain word,
/// else one that says nothing.
pub(super) fn alias(key: u64, target: &[u8]) -> Vec<u8> {
    message::plain_user(target).map_or_else(|| format!("t{key:x}").into_bytes(), <[u8]>::to_vec)
}

/// Those routes that are not ourselves.
pub(super) fn foreign(config: &CoreConfig, routes: &[&[u8]]) -> Vec<Vec<u8>> {
    routes
        .iter()
        .filter(|r| message::address_of(r).is_none_or(|a| !config.is_ours(a)))
        .map(|r| r.to_vec())
        .collect()
}
