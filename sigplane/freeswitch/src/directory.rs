//! The directory of mod_xml_curl: what FreeSWITCH asks about users and domains, and what it is answered.
//!
//! Every question gets a document; one that we have no answer to gets the document that says so, and FreeSWITCH then looks
//! into its own files. A user without a credential that FreeSWITCH can use is never handed out where it is about to
//! authenticate: it would let the user in without any.

mod request;

use tandem_policy::digest::Secret;

use crate::xml::{Document, is_plain};
pub use request::{Action, Question, Request};

/// What there is to say.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// The domains, in lower case.
    pub domains: Vec<DirectoryDomain>,
    /// Whether passwords are handed out where the table has them. Else a user has the hash that digest authentication
    /// with MD5 needs, of the realm that is asked for, and no more.
    pub passwords: bool,
    /// The context of the users' calls: the variable `user_context`.
    pub context: String,
}

/// A domain of the directory.
#[derive(Clone, Debug, Default)]
pub struct DirectoryDomain {
    /// Its name, in lower case.
    pub name: String,
    /// How FreeSWITCH calls its users: the parameter `dial-string`.
    pub dial_string: String,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A user was told of.
    User,
    /// A domain, or all of them, without users.
    Domains,
    /// Another section than the directory.
    OtherSection,
    /// A domain that is not ours to tell of.
    UnknownDomain,
    /// There is no such user.
    UnknownUser,
    /// There is, but without a credential that FreeSWITCH could use.
    NoCredential,
    /// A question that has no answer here, such as for a group.
    Unanswerable,
}

/// An answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The document.
    pub document: String,
    /// What it says.
    pub outcome: Outcome,
}

/// Never the document: there may be a credential in it.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({:?})", self.outcome)
    }
}

impl Directory {
    /// Answers a question; `find` looks for a user in a domain.
    pub fn answer<'s>(
        &self,
        request: &Request<'_>,
        find: impl FnOnce(&str, &str) -> Option<&'s Secret>,
    ) -> Answer {
        self.document(request, find)
            .unwrap_or_else(|outcome| Answer {
                document: not_found(),
                outcome,
            })
    }

    fn document<'s>(
        &self,
        request: &Request<'_>,
        find: impl FnOnce(&str, &str) -> Option<&'s Secret>,
    ) -> Result<Answer, Outcome> {
        let question = request.question();
        let (domain, user, action) = match question {
            Question::OtherSection => return Err(Outcome::OtherSection),
            Question::Unanswerable => return Err(Outcome::Unanswerable),
            Question::AllDomains => {
                let all = self.domains.iter().map(|d| (d, d.name.as_str()));
                return Ok(domains(all));
            }
            Question::Domain(name) => {
                let domain = self.domain(name).ok_or(Outcome::UnknownDomain)?;
                return Ok(domains(std::iter::once((domain, name))));
            }
            Question::User {
                domain,
                user,
                action,
            } => (domain, user, action),
        };
        let settings = self.domain(domain).ok_or(Outcome::UnknownDomain)?;
        // What XML cannot say is nobody's name.
        if !is_plain(user) {
            return Err(Outcome::UnknownUser);
        }
        let secret = find(user, domain).ok_or(Outcome::UnknownUser)?;
        let credential = self.credential(secret, request, domain, user, action)?;
        let mut document = begin();
        document.begin("domain", &[("name", domain)]);
        params(&mut document, settings);
        document
            .begin("groups", &[])
            .begin("group", &[("name", "default")])
            .begin("users", &[])
            .begin("user", &[("id", user)])
            .begin("params", &[]);
        for (name, value) in &credential {
            document.param(name, value);
        }
        document.end().begin("variables", &[]);
        for (name, value) in [
            ("user_context", self.context.as_str()),
            ("domain_name", domain),
        ] {
            document.empty("variable", &[("name", name), ("value", value)]);
        }
        Ok(Answer {
            document: document.finish(),
            outcome: Outcome::User,
        })
    }

    fn domain(&self, name: &str) -> Option<&DirectoryDomain> {
        let is_it = |d: &&DirectoryDomain| d.name.eq_ignore_ascii_case(name);
        self.domains.iter().find(is_it)
    }

    /// The parameters that say who the user is: a password or a hash, never both, and neither where nobody is to be
    /// authenticated.
    fn credential(
        &self,
        secret: &Secret,
        request: &Request<'_>,
        domain: &str,
        user: &str,
        action: Action,
    ) -> Result<Vec<(&'static str, String)>, Outcome> {
        let password = || {
            let password = self.passwords.then(|| secret.password()).flatten();
            password.filter(|p| is_plain(p)).map(str::to_owned)
        };
        match action {
            Action::Other => Ok(Vec::new()),
            Action::Authenticate => {
                if let Some(password) = password() {
                    return Ok(vec![("password", password)]);
                }
                let username = request.value("sip_auth_username").unwrap_or(user);
                let realm = request.value("sip_auth_realm").unwrap_or(domain);
                let hash = secret.md5_ha1(username, realm);
                let hash = hash.ok_or(Outcome::NoCredential)?;
                Ok(vec![("a1-hash", hash)])
            }
            // FreeSWITCH answers the challenge of a phone: no hash will do.
            Action::ReverseAuthenticate => {
                let password = password().ok_or(Outcome::NoCredential)?;
                Ok(vec![
                    ("reverse-auth-user", user.to_owned()),
                    ("reverse-auth-pass", password),
                ])
            }
        }
    }
}

fn begin() -> Document {
    let mut document = Document::new();
    document
        .begin("document", &[("type", "freeswitch/xml")])
        .begin("section", &[("name", "directory")]);
    document
}

fn domains<'d>(all: impl Iterator<Item = (&'d DirectoryDomain, &'d str)>) -> Answer {
    let mut document = begin();
    for (domain, name) in all {
        document.begin("domain", &[("name", name)]);
        params(&mut document, domain);
        document.end();
    }
    Answer {
        document: document.finish(),
        outcome: Outcome::Domains,
    }
}

fn params(document: &mut Document, domain: &DirectoryDomain) {
    document
        .begin("params", &[])
        .param("dial-string", &domain.dial_string)
        .end();
}

/// What FreeSWITCH takes for "look elsewhere".
#[must_use]
pub fn not_found() -> String {
    let mut document = Document::new();
    document
        .begin("document", &[("type", "freeswitch/xml")])
        .begin("section", &[("name", "result")])
        .empty("result", &[("status", "not found")]);
    document.finish()
}

#[cfg(test)]
mod tests;
