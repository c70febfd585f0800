use proptest::prelude::*;
use quick_xml::events::Event;

use super::*;

fn settings() -> Settings {
    Settings {
        sip: vec![
            "10.0.0.1:5060".parse().unwrap(),
            "[fd00::1]:5060".parse().unwrap(),
        ],
        media: vec!["10.0.0.2".parse().unwrap(), "10.0.0.1".parse().unwrap()],
        routes: vec![
            Route {
                dest_type: Some("conference".into()),
                number: Some("^3\\d{3}$".into()),
                context: "conferences".into(),
            },
            Route {
                dest_type: Some("a.b".into()),
                ..Route::default()
            },
        ],
        context: "public".into(),
        is_registrar: false,
        services: Some(Services {
            url: "http://10.0.0.1:8080".into(),
            user: "fs".into(),
            password: "<&\"'>".into(),
        }),
        event_socket: Some((8021, "ClueCon".into())),
    }
}

fn attributes(text: &str) -> Vec<String> {
    let mut reader = quick_xml::Reader::from_str(text);
    let mut values = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Eof => return values,
            Event::Start(e) | Event::Empty(e) => {
                for attribute in e.attributes() {
                    let value = attribute.unwrap().value;
                    values.push(quick_xml::escape::unescape(&value).unwrap().into_owned());
                }
            }
            _ => {}
        }
    }
}

#[test]
fn the_files_have_what_was_configured() {
    let member = Member::of("sip:10.0.0.11:5080;transport=udp").unwrap();
    assert_eq!(
        (member.name.as_str(), member.port),
        ("10.0.0.11_5080", 5080)
    );
    let files = files(&settings(), &member);
    let values: Vec<Vec<String>> = files.iter().map(|f| attributes(&f.text)).collect();
    let has = |n: usize, value: &str| values[n].iter().any(|v| v == value);
    assert!(has(0, "10.0.0.11") && has(0, "5080") && has(0, "10.0.0.1:5060") && has(0, "tandem-2"));
    assert_eq!(
        values[1],
        [
            "tandem",
            "deny",
            "allow",
            "10.0.0.1/32",
            "allow",
            "10.0.0.2/32",
            "allow",
            "fd00::1/128"
        ]
    );
    assert!(has(2, "^conference$") && has(2, "^3\\d{3}$") && has(2, "^a\\.b$"));
    assert!(
        has(2, "${destination_number} XML conferences")
            && has(2, "${destination_number} XML public")
    );
    assert!(has(2, "sofia/gateway/tandem/$1|sofia/gateway/tandem-2/$1"));
    assert!(
        has(3, "fs:<&\"'>") && has(4, "http://10.0.0.1:8080/freeswitch/cdr") && has(5, "ClueCon")
    );
    let secret: Vec<bool> = files.iter().map(|f| f.is_secret).collect();
    assert_eq!(secret, [false, false, false, true, true, true]);
}

#[test]
fn members_are_those_of_the_dispatcher() {
    for (destination, name, address) in [
        ("sip:10.0.0.11", "10.0.0.11", Some("10.0.0.11")),
        ("sip:[fd00::2]:5060", "fd00__2", Some("fd00::2")),
        ("sip:fs1.example.net;transport=tcp", "fs1.example.net", None),
    ] {
        let member = Member::of(destination).unwrap();
        let address = address.map(|a| a.parse().unwrap());
        assert_eq!((member.name.as_str(), member.address), (name, address));
    }
    assert_eq!(Member::of("tel:1"), None);
    assert_eq!(Member::of(""), None);
}

proptest! {
    #[test]
    fn any_destination_is_a_member_or_none(text in "\\PC{0,40}") {
        for text in [text.clone(), format!("sip:{text}")] {
            if let Some(member) = Member::of(&text) {
                prop_assert!(!member.name.contains('/') && !member.name.starts_with('.'));
            }
        }
    }
}
