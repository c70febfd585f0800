//! `[routing]`, `[[trunk]]`, `[[tenant]]` and `[[rule]]`.

use std::collections::HashMap;

use regex::bytes::RegexBuilder;
use toml::de::DeValue;

use super::dispatcher;
use super::hiding;
use super::streams::{boolean, network, path};
use super::{Read, tables};
use crate::mistake::Report;
use crate::model::Routing;
use crate::routing::{
    Action, Asserted, Degrees, Header, Rewrite, Rule, Sender, Site, Tenant, Trunk,
};
use crate::section::{Section, Value, integer, string};
use crate::value;

/// Numbers of sets: the columns are signed in Kamailio's tables.
const SETS: std::ops::RangeInclusive<u32> = 0..=i32::MAX.unsigned_abs();
/// The most memory that a compiled pattern may take.
const PATTERN: usize = 1 << 20;
/// Limits beyond this say nothing.
const MOST: u32 = 1_000_000;

pub(super) fn routing<'d>(report: &mut Report<'_>, mut s: Section<'d>) -> Read<'d, Routing> {
    let pool_set = s.integer(report, "pool_set", SETS, 1);
    let trunk_set = s.integer(report, "trunk_set", SETS, 100);
    let carrier_group = s.integer(report, "carrier_group", SETS, 1);
    let registrar_set = set(report, &mut s, "registrar_set");
    let conference_set = set(report, &mut s, "conference_set");
    let conference_prefix = s.string(report, "conference_prefix", "conf");
    let mut flag = |report: &mut Report<'_>, key: &'static str| {
        let full = s.key(key);
        let value = s.value(key);
        value
            .and_then(|v| boolean(report, v, &full))
            .unwrap_or(false)
    };
    let dids = flag(report, "dids");
    let trunk_routing = flag(report, "trunk_routing");
    let follow_redirects = flag(report, "follow_redirects");
    let geoip = s
        .value("geoip")
        .and_then(|v| path(report, v, "routing.geoip"));
    Read {
        value: Routing {
            pool_set,
            trunk_set,
            carrier_group,
            registrar_set,
            conference_set,
            conference_prefix,
            dids,
            trunk_routing,
            geoip,
            follow_redirects,
        },
        section: s.finish(report),
    }
}

/// Every `[[trunk]]`.
pub(super) fn trunks<'d>(report: &mut Report<'_>, root: &mut Section<'d>) -> Vec<Read<'d, Trunk>> {
    let sections = tables(report, root, "trunk", "trunk").into_iter();
    let trunks = sections.map(|s| trunk(report, s)).collect();
    once(report, &trunks, "trunk", |trunk| &trunk.name);
    trunks
}

fn trunk<'d>(report: &mut Report<'_>, mut s: Section<'d>) -> Read<'d, Trunk> {
    let name = required_name(report, &mut s, "name = \"carrier-a\"");
    s.required(report, "set", "set = 100");
    let value = Trunk {
        name,
        set: set(report, &mut s, "set").unwrap_or(0),
        networks: s.list(report, "networks", network).unwrap_or_default(),
        max_calls: s.integer(report, "max_calls", 0..=MOST, 0),
        max_cps: s.integer(report, "max_cps", 0..=MOST, 0),
        max_calls_in: s.integer(report, "max_calls_in", 0..=MOST, 0),
        max_cps_in: s.integer(report, "max_cps_in", 0..=MOST, 0),
        failover: s.list(report, "failover", responses),
        called: rewrites(report, &mut s, "called", "trunk.called"),
        calling: rewrites(report, &mut s, "calling", "trunk.calling"),
        caller_id: s
            .value("caller_id")
            .and_then(|v| user_part(report, v, "trunk.caller_id")),
        from_domain: s
            .value("from_domain")
            .and_then(|v| host(report, v, "trunk.from_domain")),
        asserted: asserted(report, &mut s),
    };
    Read {
        value,
        section: s.finish(report),
    }
}

/// Every `[[tenant]]`.
pub(super) fn tenants<'d>(
    report: &mut Report<'_>,
    root: &mut Section<'d>,
) -> Vec<Read<'d, Tenant>> {
    let sections = tables(report, root, "tenant", "tenant").into_iter();
    let tenants: Vec<_> = sections.map(|s| tenant(report, s)).collect();
    once(report, &tenants, "tenant", |tenant| &tenant.name);
    let mut whose: HashMap<&str, &str> = HashMap::new();
    for Read { value, section } in &tenants {
        for domain in &value.domains {
            if let Some(other) = whose.insert(domain, &value.name) {
                section.mistake(
                    report,
                    "domains",
                    format!("`{domain}` is `{other}`'s already"),
                    "let each domain be one tenant's, and name it once",
                );
            }
        }
    }
    tenants
}

fn tenant<'d>(report: &mut Report<'_>, mut s: Section<'d>) -> Read<'d, Tenant> {
    let name = required_name(report, &mut s, "name = \"acme\"");
    s.required(report, "domains", "domains = [\"acme.example\"]");
    let value = Tenant {
        name,
        domains: s.some_list(report, "domains", host).unwrap_or_default(),
        pool_set: set(report, &mut s, "pool_set"),
        max_calls: s.integer(report, "max_calls", 0..=MOST, 0),
        max_cps: s.integer(report, "max_cps", 0..=MOST, 0),
    };
    Read {
        value,
        section: s.finish(report),
    }
}

/// Every `[[rule]]`.
pub(super) fn rules<'d>(report: &mut Report<'_>, root: &mut Section<'d>) -> Vec<Read<'d, Rule>> {
    let sections = tables(report, root, "rule", "rule").into_iter();
    let rules = sections.map(|s| rule(report, s)).collect();
    once(report, &rules, "rule", |rule| &rule.name);
    rules
}

fn rule<'d>(report: &mut Report<'_>, mut s: Section<'d>) -> Read<'d, Rule> {
    let name = required_name(report, &mut s, "name = \"premium numbers\"");
    let words = |report: &mut Report<'_>, s: &mut Section<'d>, key: &'static str| {
        s.some_list(report, key, |report, v, key| {
            string(report, v, key).map(str::to_owned)
        })
        .unwrap_or_default()
    };
    let value = Rule {
        name,
        from: s.some_list(report, "from", sender).unwrap_or_default(),
        trunk: words(report, &mut s, "trunk"),
        tenant: words(report, &mut s, "tenant"),
        domain: s.some_list(report, "domain", domain).unwrap_or_default(),
        method: s.some_list(report, "method", method).unwrap_or_default(),
        prefix: s.some_list(report, "prefix", prefix).unwrap_or_default(),
        number: s
            .value("number")
            .and_then(|v| pattern(report, v, "rule.number")),
        country: s.some_list(report, "country", country).unwrap_or_default(),
        remove_headers: s
            .some_list(report, "remove_headers", header_name)
            .unwrap_or_default(),
        add_headers: s
            .some_list(report, "add_headers", header)
            .unwrap_or_default(),
        action: action(report, &mut s),
        set: set(report, &mut s, "set"),
        sets: s
            .some_list(report, "sets", |report, v, key| {
                integer(report, v, key, SETS)
            })
            .unwrap_or_default(),
        trunks: words(report, &mut s, "trunks"),
        code: s
            .value("code")
            .and_then(|v| integer(report, v, "rule.code", 400..=699)),
        reason: s
            .value("reason")
            .and_then(|v| plain_text(report, v, "rule.reason")),
    };
    parameters(report, &s, &value);
    Read {
        value,
        section: s.finish(report),
    }
}

/// Every `[[site]]`.
pub(super) fn sites<'d>(report: &mut Report<'_>, root: &mut Section<'d>) -> Vec<Read<'d, Site>> {
    let sections = tables(report, root, "site", "site").into_iter();
    let sites: Vec<_> = sections.map(|s| site(report, s)).collect();
    once(report, &sites, "site", |site| &site.name);
    let mut whose: HashMap<u32, &str> = HashMap::new();
    for Read { value, section } in &sites {
        for set in &value.sets {
            if let Some(other) = whose.insert(*set, &value.name) {
                let problem = format!("set {set} is at `{other}` already");
                section.mistake(report, "sets", problem, "name each set once");
            }
        }
    }
    sites
}

fn site<'d>(report: &mut Report<'_>, mut s: Section<'d>) -> Read<'d, Site> {
    let name = required_name(report, &mut s, "name = \"berlin\"");
    s.required(report, "sets", "sets = [1]");
    let sets = s.some_list(report, "sets", |report, v, key| {
        integer(report, v, key, SETS)
    });
    let value = Site {
        name,
        sets: sets.unwrap_or_default(),
        latitude: degrees(report, &mut s, "latitude", 90, "latitude = 52.52"),
        longitude: degrees(report, &mut s, "longitude", 180, "longitude = 13.405"),
    };
    Read {
        value,
        section: s.finish(report),
    }
}

/// An angle, up to so many degrees on either side.
fn degrees(
    report: &mut Report<'_>,
    s: &mut Section<'_>,
    key: &'static str,
    most: u8,
    example: &str,
) -> Degrees {
    let Some(value) = s.required(report, key, example) else {
        return Degrees::default();
    };
    let number = match value.get_ref() {
        DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
        DeValue::Integer(integer) => integer.as_str().parse::<f64>().ok(),
        _ => None,
    };
    match number.filter(|degrees| degrees.abs() <= f64::from(most)) {
        Some(degrees) => Degrees((degrees * 1e6).round() as i32),
        None => {
            let problem = "is no angle that there is";
            let remedy = format!("write degrees from -{most} to {most}, such as `{example}`");
            s.mistake(report, key, problem, remedy);
            Degrees::default()
        }
    }
}

/// Each action has its own keys, and no other's.
fn parameters(report: &mut Report<'_>, s: &Section<'_>, rule: &Rule) {
    let needed = match rule.action {
        Some(Action::Dispatch) => Some(("set", "set = 7")),
        Some(Action::Nearest) => Some(("sets", "sets = [1, 2]")),
        Some(Action::Trunk) => Some(("trunks", "trunks = [\"carrier-a\"]")),
        Some(Action::Reject) => Some(("code", "code = 403")),
        Some(Action::Routes | Action::Did | Action::Default) | None => None,
    };
    if let Some((key, example)) = needed.filter(|(key, _)| !s.has(key)) {
        let problem = "is missing: the action needs it";
        s.mistake(report, key, problem, format!("add `{example}`"));
    }
    let own = |key: &str| {
        needed.is_some_and(|(needed, _)| needed == key)
            || (key == "reason" && rule.action == Some(Action::Reject))
    };
    for key in ["set", "sets", "trunks", "code", "reason"] {
        if s.has(key) && !own(key) {
            let remedy = "remove it, or write the action that it belongs to: dispatch has `set`, nearest `sets`, trunk `trunks`, \
                          reject `code` and `reason`";
            s.mistake(report, key, "says nothing to this action", remedy);
        }
    }
    if rule.action.is_none()
        && !s.has("action")
        && rule.add_headers.is_empty()
        && rule.remove_headers.is_empty()
    {
        s.mistake(
            report,
            "action",
            "is missing, and no header is changed: the rule does nothing",
            "add an `action`, `add_headers` or `remove_headers`",
        );
    }
    let can = match rule.action {
        Some(Action::Trunk | Action::Routes) => &[Sender::Pool][..],
        Some(Action::Nearest | Action::Did) => &[Sender::Carrier, Sender::User],
        _ => &[Sender::Carrier, Sender::User, Sender::Pool],
    };
    if let Some(sender) = rule.from.iter().find(|sender| !can.contains(sender)) {
        let (name, side) = match sender {
            Sender::Carrier => ("carrier", "inside"),
            Sender::User => ("user", "inside"),
            Sender::Pool => ("pool", "outside"),
        };
        s.mistake(
            report,
            "from",
            format!("requests from \"{name}\" go {side}, where this action leads nowhere"),
            "write another action, or another `from`",
        );
    }
}

/// Names that two of them have.
fn once<T>(
    report: &mut Report<'_>,
    all: &Vec<Read<'_, T>>,
    what: &str,
    name: impl Fn(&T) -> &String,
) {
    let mut lines = HashMap::new();
    for Read { value, section } in all {
        let name = name(value);
        if name.is_empty() {
            continue;
        }
        if let Some(earlier) = lines.insert(name, section.offset("name")) {
            let line = report.line(earlier);
            let problem = format!("there is a {what} `{name}` on line {line} already");
            section.mistake(report, "name", problem, "give each a name of its own");
        }
    }
}

/// A name; of rules it may have spaces.
fn required_name(report: &mut Report<'_>, s: &mut Section<'_>, example: &str) -> String {
    let key = s.key("name");
    let value = s.required(report, "name", example);
    let text = value.and_then(|v| match key.as_str() {
        "rule.name" => plain_text(report, v, &key),
        _ => value::name(report, v, &key),
    });
    text.unwrap_or_default()
}

/// A dispatcher set, if it is there.
fn set(report: &mut Report<'_>, s: &mut Section<'_>, key: &'static str) -> Option<u32> {
    let full = s.key(key);
    let value = s.value(key)?;
    integer(report, value, &full, SETS)
}

fn rewrites(
    report: &mut Report<'_>,
    s: &mut Section<'_>,
    key: &'static str,
    full: &'static str,
) -> Vec<Rewrite> {
    let mut all = Vec::new();
    for mut s in tables(report, s, key, full) {
        let found = s.required(report, "match", "match = '^\\+49(.*)$'");
        let match_key = s.key("match");
        let found = found.and_then(|v| pattern(report, v, &match_key));
        let to_key = s.key("to");
        // An empty one takes away what is matched.
        let to = s.required(report, "to", "to = \"0$1\"");
        let to = to.and_then(|v| match v.get_ref().as_str() {
            Some("") => Some(String::new()),
            _ => plain_text(report, v, &to_key),
        });
        s.finish(report);
        if let Some((pattern, to)) = found.zip(to) {
            all.push(Rewrite { pattern, to });
        }
    }
    all
}

/// A regular expression.
fn pattern(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<String> {
    let text = string(report, value, key)?;
    let built = RegexBuilder::new(text)
        .unicode(false)
        .size_limit(PATTERN)
        .build();
    match built {
        Ok(_) => Some(text.to_owned()),
        Err(error) => {
            let whole = error.to_string();
            let last = whole.lines().last().unwrap_or_default();
            let problem = format!(
                "`{text}` is no regular expression: {}",
                last.trim_start_matches("error: ")
            );
            let remedy = "write one such as '^\\+49(30|40)', in single quotes";
            report.add(value.span().start, key, problem, remedy);
            None
        }
    }
}

/// Text that can stand in a line of a message.
fn plain_text(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<String> {
    let text = string(report, value, key)?;
    if text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        return Some(text.to_owned());
    }
    let problem = "has line ends, control characters or letters that are not ASCII";
    report.add(value.span().start, key, problem, "write it without");
    None
}

/// What stands before the @ of a URI.
fn user_part(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<String> {
    let text = string(report, value, key)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.!~*'()&=+$,/%".contains(c);
    if text.chars().all(plain) {
        return Some(text.to_owned());
    }
    let problem = format!("`{text}` is no user part");
    let remedy = "write a number such as \"+493012345\"";
    report.add(value.span().start, key, problem, remedy);
    None
}

/// The host of a URI: a name in lower case, or an address.
fn host(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<String> {
    let text = string(report, value, key)?;
    let bracketed = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let is_ipv6 = bracketed.is_some_and(|t| t.parse::<std::net::Ipv6Addr>().is_ok());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if is_ipv6 || text.chars().all(plain) {
        return Some(text.to_ascii_lowercase());
    }
    let problem = format!("`{text}` is no host");
    let remedy = "write a name such as \"acme.example\", or an address, without a port";
    report.add(value.span().start, key, problem, remedy);
    None
}

/// The same, or `*.` and a domain.
fn domain(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<String> {
    let text = value.get_ref().as_str().unwrap_or_default();
    let Some(below) = text.strip_prefix("*.") else {
        return host(report, value, key);
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if !below.is_empty() && below.chars().all(plain) {
        return Some(text.to_ascii_lowercase());
    }
    let problem = format!("`{text}` is no domain");
    report.add(
        value.span().start,
        key,
        problem,
        "write one such as \"*.acme.example\"",
    );
    None
}

fn method(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<String> {
    let text = string(report, value, key)?;
    let is_token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
    let (problem, remedy) = if !text.chars().all(is_token) || text != text.to_ascii_uppercase() {
        let remedy = "write one such as \"INVITE\" or \"MESSAGE\"";
        (format!("`{text}` is no method"), remedy)
    } else if matches!(text, "ACK" | "CANCEL" | "BYE" | "PRACK" | "UPDATE") {
        let remedy = "name methods that begin something: INVITE, REGISTER, MESSAGE, OPTIONS";
        (format!("{text} goes where its call is, by no rule"), remedy)
    } else {
        return Some(text.to_owned());
    };
    report.add(value.span().start, key, problem, remedy);
    None
}

/// How a number begins: digits, as `policy::routing::Number` reads them.
fn prefix(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<String> {
    let text = string(report, value, key)?;
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_digit = |c: char| c.is_ascii_digit() || matches!(c, '*' | '#');
    if (1..=32).contains(&digits.len()) && digits.chars().all(is_digit) {
        return Some(text.to_owned());
    }
    let problem = format!("`{text}` is no beginning of a number");
    let remedy = "write 1 to 32 digits, such as \"4930\"";
    report.add(value.span().start, key, problem, remedy);
    None
}

fn country(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<String> {
    let text = string(report, value, key)?;
    if text == "unknown" || (text.len() == 2 && text.chars().all(|c| c.is_ascii_alphabetic())) {
        return Some(if text == "unknown" {
            text.to_owned()
        } else {
            text.to_ascii_uppercase()
        });
    }
    let problem = format!("`{text}` is no country");
    let remedy = "write two letters (ISO 3166-1), such as \"DE\", or \"unknown\"";
    report.add(value.span().start, key, problem, remedy);
    None
}

/// A final response or a class of them.
fn responses(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<String> {
    let text = string(report, value, key)?;
    let is_code = text.parse::<u16>().is_ok_and(|c| (300..=699).contains(&c));
    if is_code || matches!(text, "3xx" | "4xx" | "5xx" | "6xx") {
        return Some(text.to_owned());
    }
    let problem = format!("`{text}` is no final response that refuses a call");
    let remedy = "write \"503\", or \"5xx\" for all of a class";
    report.add(value.span().start, key, problem, remedy);
    None
}

/// What is not a rule's to change: it is how messages find their way, or what signs and describes them.
const KEPT: [&str; 20] = [
    "Via",
    "Route",
    "Record-Route",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "Max-Forwards",
    "Content-Length",
    "Content-Type",
    "Content-Encoding",
    "Proxy-Authorization",
    "Authorization",
    "Require",
    "Proxy-Require",
    "Supported",
    "Session-Expires",
    "Min-SE",
    "RAck",
];

fn header_name(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<String> {
    let text = hiding::header(report, value, key)?;
    may_change(report, value, key, &text).then_some(text)
}

fn may_change(report: &mut Report<'_>, value: &Value<'_>, key: &str, name: &str) -> bool {
    let begin = name.strip_suffix('*');
    let kept = KEPT.iter().find(|kept| match begin {
        Some(begin) => kept
            .get(..begin.len())
            .is_some_and(|k| k.eq_ignore_ascii_case(begin)),
        None => kept.eq_ignore_ascii_case(name),
    });
    if let Some(kept) = kept {
        let problem = format!("`{name}` would change {kept}, which is not a rule's to change");
        report.add(value.span().start, key, problem, "name another header");
    }
    kept.is_none()
}

/// `Name: value`
fn header(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<Header> {
    let text = plain_text(report, value, key)?;
    let (name, content) = text.split_once(':').unwrap_or((&text, ""));
    let (name, content) = (name.trim(), content.trim());
    let is_token = |c: char| c.is_ascii_alphanumeric() || "-.!%_+`'~".contains(c);
    let problem = if name.is_empty() || !name.chars().all(is_token) || content.is_empty() {
        format!("`{text}` is no header")
    } else if let Err(problem) = dispatcher::check(content) {
        format!("`{text}` {problem}")
    } else {
        return may_change(report, value, key, name).then(|| Header {
            name: name.to_owned(),
            value: content.to_owned(),
        });
    };
    let remedy = "write \"X-Account: $fU\", a name and a value, in which Kamailio's variables may stand ($$ for a dollar)";
    report.add(value.span().start, key, problem, remedy);
    None
}

fn sender(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<Sender> {
    match string(report, value, key)? {
        "carrier" => Some(Sender::Carrier),
        "user" => Some(Sender::User),
        "pool" => Some(Sender::Pool),
        other => {
            let problem = format!("`{other}` sends nothing");
            let remedy =
                "write \"carrier\", \"user\" (registered user agents) or \"pool\" (media servers)";
            report.add(value.span().start, key, problem, remedy);
            None
        }
    }
}

fn action(report: &mut Report<'_>, s: &mut Section<'_>) -> Option<Action> {
    let value = s.value("action")?;
    let action = match string(report, value, "rule.action")? {
        "dispatch" => Action::Dispatch,
        "nearest" => Action::Nearest,
        "trunk" => Action::Trunk,
        "routes" => Action::Routes,
        "did" => Action::Did,
        "default" => Action::Default,
        "reject" => Action::Reject,
        other => {
            let problem = format!("`{other}` is no action");
            let remedy = "write dispatch, nearest, trunk, routes, did, default or reject";
            s.mistake(report, "action", problem, remedy);
            return None;
        }
    };
    Some(action)
}

fn asserted(report: &mut Report<'_>, s: &mut Section<'_>) -> Asserted {
    let value = s.value("asserted");
    match value.and_then(|v| string(report, v, "trunk.asserted")) {
        None | Some("pass") => Asserted::Pass,
        Some("set") => Asserted::Set,
        Some("remove") => Asserted::Remove,
        Some(other) => {
            let problem = format!("`{other}` is nothing that can become of it");
            let remedy = "write \"pass\", \"set\" or \"remove\"";
            s.mistake(report, "asserted", problem, remedy);
            Asserted::Pass
        }
    }
}
