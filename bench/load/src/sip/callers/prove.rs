//! Callers that have to say who they are (RFC 3261 section 22).

use tandem_wire::sip::Name;

use super::{Callers, State};
use crate::sip::dialog::put;
use crate::sip::digest::{Challenge, Secret};
use crate::sip::shared::Context;
use crate::sip::view::View;

impl Callers {
    /// Answers a challenge of the INVITE. False when that cannot be done.
    pub(super) fn prove(&mut self, context: &mut Context<'_>, view: &View<'_>, slot: u32) -> bool {
        let Some(call) = self.calls.get(slot as usize) else {
            return false;
        };
        // Once; and once more when the nonce was too old. Then it is refused for good.
        let before = call.invite;
        if before > 2 || (before == 2 && !Challenge::is_stale(challenge(view).1)) {
            return false;
        }
        if !self.credentials(context, view, slot, b"INVITE") {
            return false;
        }
        if let Some(call) = self.calls.get_mut(slot as usize) {
            call.state = State::Calling;
        }
        self.acknowledge_refusal(context, view, slot, before);
        self.invite(context, slot);
        true
    }

    /// Makes credentials for a challenge. False when that cannot be done.
    pub(super) fn credentials(
        &mut self,
        context: &mut Context<'_>,
        view: &View<'_>,
        slot: u32,
        method: &[u8],
    ) -> bool {
        let (header, value) = challenge(view);
        let Some((users, mut challenge)) = self.settings.users.as_ref().zip(Challenge::read(value))
        else {
            return false;
        };
        let Some(call) = self.calls.get_mut(slot as usize) else {
            return false;
        };
        let user = call.number % u64::from(users.count.max(1));
        let (name, password) = (users.name.with(user), users.password.with(user));
        let secret = Secret {
            user: &name,
            password: &password,
        };
        let mut uri = b"sip:".to_vec();
        if method == b"INVITE" || call.remote.target.is_empty() {
            self.settings.number.write(&mut uri, call.number);
            put(&mut uri, &[b"@", &self.fixed.appliance]);
        } else {
            uri.clone_from(&call.remote.target);
        }
        call.credentials = header.to_vec();
        let cnonce = context.shared.random.next32();
        challenge.answer(&mut call.credentials, secret, method, &uri, cnonce);
        call.credentials.extend_from_slice(b"\r\n");
        true
    }
}

/// The header that answers a challenge, and the challenge.
fn challenge<'a>(view: &View<'a>) -> (&'static [u8], &'a [u8]) {
    if view.status() == 401 {
        (b"Authorization: ", view.header(Name::WwwAuthenticate))
    } else {
        (
            b"Proxy-Authorization: ",
            view.header(Name::ProxyAuthenticate),
        )
    }
}
