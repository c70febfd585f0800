//! A trunk: a carrier, or an interconnection with one.

use std::sync::Arc;

use super::limits::{Limit, Usage};
use super::pattern::Rewrite;
use crate::defence::Networks;

/// A trunk of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// Its name, in routes, CDRs and metrics.
    pub name: String,
    /// The dispatcher set of its session border controllers.
    pub set: u32,
    /// Where its calls may come from besides: carriers often send from elsewhere.
    pub networks: Networks,
    /// Calls that go out by it.
    pub outgoing: Allowance,
    /// Calls that come in from it.
    pub incoming: Allowance,
    /// What becomes of the number that is called.
    pub called: Vec<Rewrite>,
    /// Who calls, as it is told.
    pub identity: Identity,
    /// Answers after which the next carrier is tried.
    pub failover: Codes,
}

/// What there may be, and what there is.
#[derive(Clone, Debug, Default)]
pub struct Allowance {
    /// What there may be.
    pub limit: Limit,
    /// What there is.
    pub usage: Arc<Usage>,
}

/// What there is, is no part of a configuration, in which this stands.
impl PartialEq for Allowance {
    fn eq(&self, other: &Self) -> bool {
        self.limit == other.limit
    }
}

impl Eq for Allowance {}

/// Who calls, as a trunk is told: From, and P-Asserted-Identity (RFC 3325).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// What becomes of the calling number.
    pub calling: Vec<Rewrite>,
    /// The number in From in its stead, whoever calls.
    pub caller_id: Option<String>,
    /// The host in From.
    pub from_domain: Option<String>,
    /// What becomes of P-Asserted-Identity.
    pub asserted: Asserted,
}

impl Identity {
    /// Whether From is shown as something else.
    #[must_use]
    pub const fn changes_from(&self) -> bool {
        !self.calling.is_empty() || self.caller_id.is_some() || self.from_domain.is_some()
    }
}

/// What becomes of P-Asserted-Identity towards a trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asserted {
    /// It goes as it came.
    #[default]
    Pass,
    /// There is one in any case, with the caller's number as the trunk has numbers.
    Set,
    /// It does not go: the trunk is not in our trust domain (RFC 3325 section 5).
    Remove,
}

/// A set of final responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codes(Vec<std::ops::RangeInclusive<u16>>);

impl Codes {
    /// Reads codes and classes: `"403"`, `"5xx"`.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, String> {
        let one = |text: &str| {
            let class = text.strip_suffix("xx").and_then(|c| c.parse::<u16>().ok());
            match (class, text.parse::<u16>()) {
                (Some(class @ 3..=6), _) => Some(class * 100..=class * 100 + 99),
                (_, Ok(code @ 300..=699)) => Some(code..=code),
                _ => None,
            }
        };
        let codes = texts.into_iter().map(|text| {
            one(text).ok_or_else(|| {
                format!("\"{text}\" is no final response: write \"503\", or \"5xx\" for a class")
            })
        });
        codes.collect::<Result<_, _>>().map(Self)
    }

    /// Whether this response is among them.
    #[must_use]
    pub fn has(&self, code: u16) -> bool {
        self.0.iter().any(|codes| codes.contains(&code))
    }
}

/// What says that a carrier does not want the call, or cannot have it, and nothing of who is called.
impl Default for Codes {
    fn default() -> Self {
        let codes = [401..=403, 407..=408, 500..=599];
        Self(codes.into())
    }
}

/// A tenant: a customer with domains of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its name, in tables, CDRs and metrics.
    pub name: String,
    /// Its domains, in lower case.
    pub domains: Vec<String>,
    /// The dispatcher set of its media servers; none for everybody's.
    pub pool_set: Option<u32>,
    /// All of its calls.
    pub allowance: Allowance,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_classes() {
        let codes = Codes::parse(["403", "5xx"]).unwrap();
        assert!(codes.has(403) && codes.has(500) && codes.has(599));
        assert!(!codes.has(404) && !codes.has(600));
        for wrong in ["200", "2xx", "7xx", "4x", "", "999"] {
            assert!(Codes::parse([wrong]).is_err(), "{wrong}");
        }
        let usual = Codes::default();
        assert!(usual.has(503) && usual.has(408) && usual.has(403));
        assert!(!usual.has(404) && !usual.has(486) && !usual.has(603));
    }
}
