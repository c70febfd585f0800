//! `[freeswitch]`.

use tandem_config::parse;

const SMALL: &str = include_str!("../tandem.example.toml");

/// The example without its own section, and these lines.
fn with(lines: &str) -> String {
    let small = SMALL.replace("\n[freeswitch]\n", "\n");
    format!("{small}\n{lines}\n")
}

#[test]
fn its_keys_are_read_with_their_defaults() {
    let config = parse(SMALL).unwrap();
    let fs = config.freeswitch;
    assert_eq!(
        (fs.user.as_str(), fs.context.as_str()),
        ("freeswitch", "public")
    );
    assert!(fs.password_file.is_none() && fs.event_socket.is_none() && !fs.passwords);
    let text = with(
        "[freeswitch]\npassword_file = \"/p\"\ndomains = [\"Example.NET\"]\nurl = \"http://[fd00::1]:8080/\"\n\
         event_socket = 8021\nevent_socket_password_file = \"/q\"\n\
         [[freeswitch.route]]\ndest_type = \"ivr\"\ncontext = \"menus\"\n\
         [[http]]\nlisten = \"10.0.0.1:8080\"\nservices = [\"freeswitch\"]\nplain = true",
    );
    let fs = parse(&text).unwrap().freeswitch;
    assert_eq!(fs.domains, Some(vec!["example.net".to_owned()]));
    assert_eq!(fs.url.as_deref(), Some("http://[fd00::1]:8080"));
    assert_eq!(fs.event_socket, Some(8021));
    assert_eq!(fs.routes[0].context, "menus");
}

#[test]
fn mistakes_name_their_place() {
    for (lines, needle) in [
        (
            "[[http]]\nlisten = \"10.0.0.1:8080\"\nservices = [\"freeswitch\"]\nplain = true",
            "`freeswitch.password_file`: is missing",
        ),
        ("[freeswitch]\nuser = \"a:b\"", "cannot be a user of HTTP"),
        (
            "[freeswitch]\nurl = \"10.0.0.1\"",
            "does not lead to a listener",
        ),
        (
            "[freeswitch]\nurl = \"http://a/b?c\"",
            "does not lead to a listener",
        ),
        ("[freeswitch]\nevent_socket = 8021", "needs the password"),
        ("[freeswitch]\nevent_socket = 0", "out of range"),
        ("[freeswitch]\ncontext = \"a b\"", "is not a context"),
        ("[freeswitch]\ndomains = [\"a b\"]", "is not a domain"),
        (
            "[freeswitch]\npasword_file = \"/x\"",
            "did you mean `password_file`?",
        ),
        (
            "[[freeswitch.route]]\nnumber = \"1\"",
            "`freeswitch.route.context`: is missing",
        ),
    ] {
        let mistakes = parse(&with(lines)).unwrap_err();
        let said: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 1, "{lines}: {said:#?}");
        assert!(said[0].contains(needle), "{said:#?}");
    }
}
