use proptest::prelude::*;

use super::*;

fn inside(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[0] == 10,
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

fn scrubbed(text: &str, shown: &str, is_sdp: bool) -> String {
    let domains = ["pbx.example".to_owned()];
    let scrub = Scrub {
        is_inside: &inside,
        domains: &domains,
        shown: shown.parse().unwrap(),
        is_sdp,
    };
    let out = scrub.apply(text.as_bytes());
    out.map_or_else(|| text.into(), |out| String::from_utf8(out).unwrap())
}

#[test]
fn addresses_of_the_inside_give_way_to_ours() {
    for (text, is) in [
        ("<sip:a@10.0.0.11>;tag=1", "<sip:a@192.0.2.1>;tag=1"),
        ("<sip:a@10.0.0.11:5080;x=y>", "<sip:a@192.0.2.1;x=y>"),
        ("10.0.0.11", "192.0.2.1"),
        ("10.0.0.11:5080", "192.0.2.1"),
        (
            "399 10.0.0.11 \"from 10.0.0.12.\"",
            "399 192.0.2.1 \"from 192.0.2.1.\"",
        ),
        ("10.0.0.11,10.0.0.12", "192.0.2.1,192.0.2.1"),
        ("<sip:x%4010.0.0.11@h>", "<sip:x%40192.0.2.1@h>"),
        ("call10.0.0.11x", "call192.0.2.1x"),
        ("1.10.0.0.11", "1.192.0.2.1"),
        ("010.000.000.011", "192.0.2.1"),
        ("<sip:a@[fd00::11]:5080>", "<sip:a@192.0.2.1>"),
        ("sip:[fd00:1:2:3:4:5:6:7];x", "sip:192.0.2.1;x"),
        ("at fd00::11, or fd00::12.", "at 192.0.2.1, or 192.0.2.1."),
        ("[::ffff:10.0.0.11]", "192.0.2.1"),
        ("<sip:a@pbx.example>", "<sip:a@192.0.2.1>"),
        ("<sip:a@Node-1.PBX.example:5062>", "<sip:a@192.0.2.1>"),
    ] {
        assert_eq!(scrubbed(text, "192.0.2.1:5060", false), is, "{text}");
    }
}

#[test]
fn all_else_stays() {
    for text in [
        "",
        ".",
        "::",
        "<sip:a@203.0.113.5:5060;transport=udp>;tag=1",
        "FreeSWITCH/1.10.11 (10.0)",
        "10.0.0",
        "10.0.0.256",
        "10.0.0.1111",
        "3110.0.0.11",
        "12:34:56",
        "[2001:db8::1]:5060",
        "<sip:a@notpbx.example.com>",
        "<sip:a@xpbx.example>",
    ] {
        assert_eq!(scrubbed(text, "192.0.2.1:5060", false), text);
    }
}

#[test]
fn our_port_is_said_where_one_was_said_and_it_is_not_the_usual() {
    assert_eq!(
        scrubbed("sip:10.0.0.11:5080", "192.0.2.1:5070", false),
        "sip:192.0.2.1:5070"
    );
    assert_eq!(
        scrubbed("sip:10.0.0.11", "192.0.2.1:5070", false),
        "sip:192.0.2.1"
    );
    assert_eq!(
        scrubbed("sip:a@10.0.0.11:5080", "[2001:db8::1]:5060", false),
        "sip:a@[2001:db8::1]"
    );
}

#[test]
fn sdp_has_no_brackets_and_names_the_kind() {
    for (text, shown, is) in [
        (
            "o=- 1 1 IN IP4 10.0.0.11\r\n",
            "192.0.2.1:5060",
            "o=- 1 1 IN IP4 192.0.2.1\r\n",
        ),
        (
            "o=- 1 1 IN IP6 fd00::11\r\n",
            "192.0.2.1:5060",
            "o=- 1 1 IN IP4 192.0.2.1\r\n",
        ),
        (
            "o=- 1 1 IN IP4 10.0.0.11\r\n",
            "[2001:db8::1]:5060",
            "o=- 1 1 IN IP6 2001:db8::1\r\n",
        ),
        ("s=on 10.0.0.11\r\n", "192.0.2.1:5060", "s=on 192.0.2.1\r\n"),
    ] {
        assert_eq!(scrubbed(text, shown, true), is);
    }
}

proptest! {
    #[test]
    fn an_address_is_found_in_any_neighbourhood(
        before in "[ -~]{0,20}[^0-9.%]", a: [u8; 3], behind in "([^0-9.:][ -~]{0,20})?"
    ) {
        let address = format!("10.{}.{}.{}", a[0], a[1], a[2]);
        let text = format!("{before}{address}{behind}");
        let out = scrubbed(&text, "192.0.2.1:5060", false);
        prop_assert!(!out.contains(&address), "{} -> {}", text, out);
    }

    #[test]
    fn what_is_left_is_part_of_a_longer_number(
        text in "([0-9]{1,3}|[.:%@]|10\\.0\\.0\\.11|fd00::11|[\\[\\]a-g]|pbx\\.example){0,20}"
    ) {
        let out = scrubbed(&text, "192.0.2.1:5060", false);
        for (at, address) in out.match_indices("10.0.0.11") {
            let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
            let before = out[..at].chars().next_back();
            let behind = out[at + address.len()..].chars().next();
            prop_assert!(is_digit(before) || is_digit(behind), "{} -> {}", text, out);
        }
    }
}
