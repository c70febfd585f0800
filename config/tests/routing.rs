//! Rules, trunks, tenants and sites: what is read, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use tandem_config::parse;

/// The least that is a configuration.
const SMALL: &str = r#"
[node]
id = 7

[dataplane]
workers = [2, 3]

[[port]]
name = "p0"
device = "net_af_packet0,iface=veth0"

[[port]]
name = "p1"
device = "41:00.1"

[[realm]]
name = "out"
side = "external"
port = "p0"
tap = "tap0"
sip = ["192.0.2.1:5060"]
media = ["192.0.2.1"]

[[realm]]
name = "in"
side = "internal"
port = "p1"
tap = "tap1"
sip = ["10.0.0.1:5060"]
media = ["10.0.0.1"]
"#;

const TRUNK: &str = "[[trunk]]\nname = \"a\"\nset = 101\n";

#[test]
fn trunks_tenants_rules_and_sites_are_read() {
    let text = [
        SMALL,
        "[routing]\ngeoip = \"/x.mmdb\"\ntrunk_routing = true\n",
        TRUNK,
        "failover = [\"486\", \"5xx\"]\ncalled = [{ match = \"^0\", to = \"\" }]\n",
        "[[tenant]]\nname = \"acme\"\ndomains = [\"Acme.example\", \"[2001:db8::1]\"]\n",
        "[[rule]]\nname = \"near by\"\naction = \"nearest\"\nsets = [5]\ncountry = [\"de\", \"unknown\"]\n",
        "[[rule]]\nname = \"mark\"\nadd_headers = [\"X-A: $rU$$\", \"X-B: c:d\"]\n",
        "[[site]]\nname = \"s\"\nsets = [5]\nlatitude = -1\nlongitude = 2.5\n",
    ];
    let config = parse(&text.concat()).unwrap_or_else(|m| panic!("{m:#?}"));
    let [trunk] = config.trunks.as_slice() else {
        panic!("{:?}", config.trunks)
    };
    assert_eq!(
        trunk.failover.as_deref(),
        Some(&["486".to_owned(), "5xx".into()][..])
    );
    assert_eq!(
        (
            trunk.called[0].pattern.as_str(),
            trunk.called[0].to.as_str()
        ),
        ("^0", "")
    );
    assert_eq!(config.tenants[0].domains, ["acme.example", "[2001:db8::1]"]);
    assert_eq!(config.rules[0].country, ["DE", "unknown"]);
    let headers: Vec<_> = config.rules[1].add_headers.iter().collect();
    assert_eq!(
        (headers[1].name.as_str(), headers[1].value.as_str()),
        ("X-B", "c:d")
    );
    let site = &config.sites[0];
    assert_eq!((site.latitude.0, site.longitude.0), (-1_000_000, 2_500_000));
}

#[test]
fn mistakes_of_routing_are_named() {
    let rule = |lines: &str| format!("[[rule]]\nname = \"r\"\n{lines}\n");
    for (lines, wanted) in [
        (rule(""), "the rule does nothing"),
        (rule("action = \"fly\""), "`fly` is no action"),
        (
            rule("action = \"dispatch\"\nset = 5"),
            "does not say on which side",
        ),
        (
            rule("from = [\"carrier\", \"pool\"]\naction = \"dispatch\"\nset = 5"),
            "does not say on which side",
        ),
        (
            rule("from = [\"pool\"]\naction = \"dispatch\""),
            "`rule.set`: is missing",
        ),
        (
            rule("action = \"did\"\ncode = 404"),
            "`rule.code`: says nothing to this action",
        ),
        (
            rule("from = [\"carrier\"]\naction = \"routes\""),
            "go inside",
        ),
        (rule("from = [\"pool\"]\naction = \"did\""), "go outside"),
        (
            rule("action = \"trunk\"\ntrunks = [\"b\"]"),
            "there is no trunk `b`",
        ),
        (
            rule("tenant = [\"x\"]\naction = \"default\""),
            "there is no tenant `x`",
        ),
        (
            rule("number = \"(\"\naction = \"default\""),
            "is no regular expression: unclosed group",
        ),
        (
            rule("method = [\"BYE\"]\naction = \"default\""),
            "BYE goes where its call is",
        ),
        (
            rule("country = [\"DE\"]\naction = \"default\""),
            "`rule.country`: cannot be known",
        ),
        (rule("action = \"nearest\"\nsets = [5]"), "set 5 is nowhere"),
        (rule("add_headers = [\"Via: x\"]"), "would change Via"),
        (
            rule("add_headers = [\"X-A: $xx\"]"),
            "begins with no variable",
        ),
        (rule("add_headers = [\"X-A\"]"), "is no header"),
        (rule("remove_headers = [\"C*\"]"), "would take Call-ID away"),
        (
            rule("action = \"reject\"\ncode = 200"),
            "200 is out of range",
        ),
        (
            rule("prefix = [\"abc\"]\naction = \"default\""),
            "no beginning of a number",
        ),
        (format!("{TRUNK}{TRUNK}"), "there is a trunk `a` on line"),
        (TRUNK.replace("101", "1"), "set 1 is the pool, inside"),
        (format!("{TRUNK}[hiding]\nenabled = false\n"), ""),
        (
            format!("{TRUNK}caller_id = \"1\"\n[hiding]\nenabled = false\n"),
            "changes From",
        ),
        (
            format!("{TRUNK}failover = [\"2xx\"]\n"),
            "`2xx` is no final response",
        ),
        (
            "[routing]\ntrunk_routing = true\n".to_owned(),
            "leads nowhere",
        ),
        (
            "[[tenant]]\nname = \"t\"\ndomains = [\"a\", \"A\"]\n".to_owned(),
            "`a` is `t`'s already",
        ),
        (
            "[[site]]\nname = \"s\"\nsets = [1]\nlatitude = 91\nlongitude = 1\n".to_owned(),
            "is no angle",
        ),
    ] {
        let text = format!("{SMALL}{lines}");
        match parse(&text) {
            Ok(_) => assert!(wanted.is_empty(), "{lines}"),
            Err(mistakes) => {
                let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
                assert!(all.iter().any(|m| m.contains(wanted)), "{lines}: {all:#?}");
                assert!(!wanted.is_empty(), "{all:#?}");
            }
        }
    }
}
