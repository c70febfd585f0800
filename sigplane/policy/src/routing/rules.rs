//! Rules: which requests go where, in the order of the configuration.

use super::geo::Country;
use super::number::Number;
use super::pattern::Pattern;
use crate::dispatcher::Expression;

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A carrier.
    Carrier,
    /// A registered user agent outside.
    User,
    /// A media server inside.
    Pool,
}

/// What rules ask of a request.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Who sends it.
    pub sender: Sender,
    /// The trunk that it comes from.
    pub trunk: Option<&'a str>,
    /// The tenant that it belongs to.
    pub tenant: Option<&'a str>,
    /// The host of its Request-URI, as written.
    pub domain: &'a [u8],
    /// Its method.
    pub method: &'a [u8],
    /// The user part of its Request-URI, without parameters.
    pub user: &'a [u8],
    /// The country of its sender's address.
    pub country: Option<Country>,
}

/// One rule. What is empty asks nothing; all that asks something has to fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Who sends.
    pub senders: Vec<Sender>,
    /// Names of trunks.
    pub trunks: Vec<String>,
    /// Names of tenants.
    pub tenants: Vec<String>,
    /// Hosts of the Request-URI, in lower case; `*.` in front stands for whatever is below.
    pub domains: Vec<String>,
    /// Methods.
    pub methods: Vec<String>,
    /// How the called number begins.
    pub prefixes: Vec<Number>,
    /// What the user part of the Request-URI looks like.
    pub number: Option<Pattern>,
    /// Countries; none stands for "not known".
    pub countries: Vec<Option<Country>>,
    /// Headers that are taken out.
    pub remove: Vec<HeaderName>,
    /// Headers that are added, with what they say.
    pub add: Vec<(String, Expression)>,
    /// What becomes of the request. Without it the rules behind this one are asked.
    pub action: Option<Action>,
}

/// What a rule does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// To a dispatcher set.
    Dispatch(u32),
    /// To the nearest of these sets whose targets take calls, by the place of the sender; where that is not known, in this
    /// order.
    Nearest(Vec<u32>),
    /// Out by these trunks, one after the other.
    Trunks(Vec<String>),
    /// Out by the table `trunk_routing`.
    Routes,
    /// By the table `did_routing`.
    Did,
    /// As if there were no rules.
    Default,
    /// It is answered.
    Reject {
        /// The status code, 400 to 699.
        code: u16,
        /// The reason phrase.
        reason: String,
    },
}

impl Action {
    /// Whose requests it can be done with; none for everybody's.
    #[must_use]
    pub const fn senders(&self) -> Option<&'static [Sender]> {
        match self {
            Self::Trunks(_) | Self::Routes => Some(&[Sender::Pool]),
            Self::Nearest(_) | Self::Did => Some(&[Sender::Carrier, Sender::User]),
            Self::Dispatch(_) | Self::Default | Self::Reject { .. } => None,
        }
    }
}

/// The name of a header, or how it begins, with `*` at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderName(pub String);

impl HeaderName {
    /// Whether this is one, in whatever case.
    #[must_use]
    pub fn is(&self, name: &[u8]) -> bool {
        match self.0.strip_suffix('*') {
            Some(begin) => name
                .get(..begin.len())
                .is_some_and(|n| n.eq_ignore_ascii_case(begin.as_bytes())),
            None => name.eq_ignore_ascii_case(self.0.as_bytes()),
        }
    }
}

/// What the rules say of a request.
#[derive(Clone, Debug, Default)]
pub struct Verdict<'r> {
    /// The rule with the action; none when no rule has one for it.
    pub rule: Option<&'r Rule>,
    /// The rules whose headers count, in their order.
    pub edits: Vec<&'r Rule>,
}

impl Verdict<'_> {
    /// What becomes of it.
    #[must_use]
    pub fn action(&self) -> Option<&Action> {
        self.rule?.action.as_ref()
    }
}

/// Asks the rules in their order, up to the first one that fits and has an action.
#[must_use]
pub fn ask<'r>(rules: &'r [Rule], facts: &Facts<'_>) -> Verdict<'r> {
    let mut verdict = Verdict::default();
    let number = std::cell::OnceCell::new();
    for rule in rules {
        if !rule.fits(facts, || *number.get_or_init(|| Number::parse(facts.user))) {
            continue;
        }
        if !rule.add.is_empty() || !rule.remove.is_empty() {
            verdict.edits.push(rule);
        }
        if rule.action.is_some() {
            verdict.rule = Some(rule);
            break;
        }
    }
    verdict
}

impl Rule {
    fn fits(&self, facts: &Facts<'_>, number: impl Fn() -> Option<Number>) -> bool {
        let any = |list: &[String], value: Option<&str>| {
            list.is_empty() || value.is_some_and(|v| list.iter().any(|own| own == v))
        };
        let can = self.action.as_ref().and_then(Action::senders);
        (self.senders.is_empty() || self.senders.contains(&facts.sender))
            && can.is_none_or(|can| can.contains(&facts.sender))
            && any(&self.trunks, facts.trunk)
            && any(&self.tenants, facts.tenant)
            && (self.methods.is_empty()
                || self.methods.iter().any(|m| m.as_bytes() == facts.method))
            && (self.domains.is_empty() || self.domains.iter().any(|d| is_in(facts.domain, d)))
            && (self.countries.is_empty() || self.countries.contains(&facts.country))
            && (self.prefixes.is_empty()
                || number().is_some_and(|n| self.prefixes.iter().any(|p| n.begins_with(p))))
            && self.number.as_ref().is_none_or(|p| p.is_match(facts.user))
    }
}

/// Whether a host is this domain, or with `*.` in front one below it.
fn is_in(host: &[u8], domain: &str) -> bool {
    match domain.strip_prefix('*') {
        Some(end) => host
            .len()
            .checked_sub(end.len())
            .filter(|begin| *begin > 0)
            .and_then(|begin| host.get(begin..))
            .is_some_and(|tail| tail.eq_ignore_ascii_case(end.as_bytes())),
        None => host.eq_ignore_ascii_case(domain.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts<'static> = Facts {
        sender: Sender::Carrier,
        trunk: Some("a"),
        tenant: Some("acme"),
        domain: b"Acme.Example",
        method: b"INVITE",
        user: b"+4930123",
        country: None,
    };

    fn rule(name: &str) -> Rule {
        Rule {
            name: name.into(),
            action: Some(Action::Default),
            ..Rule::default()
        }
    }

    fn fits(rule: &Rule, facts: &Facts<'_>) -> bool {
        ask(std::slice::from_ref(rule), facts).rule.is_some()
    }

    #[test]
    fn everything_that_is_asked_has_to_fit() {
        let de = Country::parse("DE");
        let strings = |all: &[&str]| all.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let number = |text: &str| Number::parse(text.as_bytes()).unwrap();
        let full = Rule {
            senders: vec![Sender::User, Sender::Carrier],
            trunks: strings(&["b", "a"]),
            tenants: strings(&["acme"]),
            domains: strings(&["other.example", "acme.example"]),
            methods: strings(&["MESSAGE", "INVITE"]),
            prefixes: vec![number("33"), number("4930")],
            number: Some(Pattern::parse("123$").unwrap()),
            countries: vec![None, de],
            ..rule("all")
        };
        assert!(fits(&full, &FACTS) && fits(&rule("nothing asked"), &FACTS));
        for other in [
            Facts {
                sender: Sender::Pool,
                ..FACTS
            },
            Facts {
                trunk: Some("c"),
                ..FACTS
            },
            Facts {
                trunk: None,
                ..FACTS
            },
            Facts {
                tenant: None,
                ..FACTS
            },
            Facts {
                domain: b"x.acme.example",
                ..FACTS
            },
            Facts {
                method: b"OPTIONS",
                ..FACTS
            },
            Facts {
                user: b"+4931123",
                ..FACTS
            },
            Facts {
                user: b"alice123",
                ..FACTS
            },
            Facts {
                user: b"+49301",
                ..FACTS
            },
            Facts {
                country: Country::parse("FR"),
                ..FACTS
            },
        ] {
            assert!(!fits(&full, &other), "{other:?}");
        }
        assert!(fits(
            &full,
            &Facts {
                country: de,
                ..FACTS
            }
        ));
    }

    #[test]
    fn domains_below_a_domain() {
        let below = Rule {
            domains: vec!["*.example".into()],
            ..rule("below")
        };
        assert!(fits(&below, &FACTS));
        for domain in [b".example".as_slice(), b"example", b"acme.example.com"] {
            assert!(!fits(&below, &Facts { domain, ..FACTS }));
        }
    }

    #[test]
    fn rules_with_headers_alone_let_the_next_decide() {
        let header = Rule {
            action: None,
            add: vec![("X-A".into(), Expression::text("$rU").unwrap())],
            ..rule("header")
        };
        let unfit = Rule {
            methods: vec!["OPTIONS".into()],
            ..header.clone()
        };
        let rules = [header, unfit, rule("first"), rule("second")];
        let verdict = ask(&rules, &FACTS);
        assert_eq!(verdict.rule.unwrap().name, "first");
        let edits: Vec<&str> = verdict.edits.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(edits, ["header"]);
        assert_eq!(verdict.action(), Some(&Action::Default));
        assert!(ask(&[], &FACTS).action().is_none());
    }

    #[test]
    fn an_action_is_for_those_it_can_be_done_with() {
        let out = Rule {
            action: Some(Action::Routes),
            ..rule("out")
        };
        let did = Rule {
            action: Some(Action::Did),
            ..rule("did")
        };
        let pool = Facts {
            sender: Sender::Pool,
            ..FACTS
        };
        assert!(!fits(&out, &FACTS) && fits(&out, &pool));
        assert!(fits(&did, &FACTS) && !fits(&did, &pool));
    }

    #[test]
    fn names_of_headers() {
        let all = HeaderName("X-*".into());
        assert!(all.is(b"x-account") && !all.is(b"Y-Account") && !all.is(b"X"));
        assert!(HeaderName("Subject".into()).is(b"SUBJECT"));
    }
}
