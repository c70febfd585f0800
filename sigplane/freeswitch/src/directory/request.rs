//! What mod_xml_curl asks.

use crate::form::{Form, FormError};
use crate::xml::is_plain;

/// A question as it came.
#[derive(Clone, Debug)]
pub struct Request<'a>(Form<'a>);

/// What it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question<'r> {
    /// A user.
    User {
        /// The domain, as FreeSWITCH writes it.
        domain: &'r str,
        /// The user part.
        user: &'r str,
        /// What for.
        action: Action,
    },
    /// A domain: the profile's, for its gateways or for an access list.
    Domain(&'r str),
    /// Every domain, at the start of a profile.
    AllDomains,
    /// `dialplan`, `configuration`, `languages`, `phrases`.
    OtherSection,
    /// Something else.
    Unanswerable,
}

/// What a user is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Digest authentication by FreeSWITCH (`sip_auth`, `jsonrpc-authenticate`).
    Authenticate,
    /// FreeSWITCH is asked for the user's credentials (`reverse-auth-lookup`).
    ReverseAuthenticate,
    /// How to call it, its mailbox, its variables (`user_call`, `message-count`, ...).
    Other,
}

impl<'a> Request<'a> {
    /// Of a query, without its `?`, and a body.
    ///
    /// # Errors
    /// When there are too many fields.
    pub fn read(query: &'a [u8], body: &'a [u8]) -> Result<Self, FormError> {
        Form::read(&[query, body]).map(Self)
    }

    /// A field; none when it is absent or empty.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.value(name)
    }

    /// What is asked.
    #[must_use]
    pub fn question(&self) -> Question<'_> {
        if self.value("section") != Some("directory") {
            return Question::OtherSection;
        }
        let key = |tag, name| {
            let is_it = self.value("tag_name") == Some(tag) && self.value("key_name") == Some(name);
            is_it.then(|| self.value("key_value")).flatten()
        };
        let domain = self.value("domain").or_else(|| key("domain", "name"));
        if let Some("gateways" | "network-list") = self.value("purpose") {
            return domain.map_or(Question::AllDomains, Question::Domain);
        }
        // Which users a group has is not in the table.
        if self.value("group").is_some() || self.value("action") == Some("group_call") {
            return Question::Unanswerable;
        }
        let user = self.value("user").or_else(|| key("user", "id"));
        match (domain, user) {
            (Some(domain), _) if !is_plain(domain) => Question::Unanswerable,
            (Some(domain), Some(user)) => Question::User {
                domain,
                user,
                action: self.action(),
            },
            (Some(domain), None) => Question::Domain(domain),
            (None, _) => Question::Unanswerable,
        }
    }

    /// Without a word on it FreeSWITCH may be about to authenticate.
    fn action(&self) -> Action {
        match self.value("action") {
            Some("reverse-auth-lookup") => Action::ReverseAuthenticate,
            None | Some("sip_auth" | "jsonrpc-authenticate" | "authenticate") => {
                Action::Authenticate
            }
            Some(_) => Action::Other,
        }
    }
}
