use proptest::prelude::*;

use super::*;

fn directory(passwords: bool) -> Directory {
    Directory {
        domains: vec![DirectoryDomain {
            name: "example.net".into(),
            dial_string: "sofia/x/${dialed_user}@${dialed_domain}".into(),
        }],
        passwords,
        context: "default".into(),
    }
}

fn ask(directory: &Directory, secret: Option<&Secret>, form: &str) -> Answer {
    let request = Request::read(b"", form.as_bytes()).unwrap();
    directory.answer(&request, |_, _| secret)
}

const USER: &str = "section=directory&tag_name=domain&key_name=name&key_value=Example.net&user=1000&domain=Example.net";

#[test]
fn a_user_has_the_hash_of_the_realm_that_is_asked_for() {
    let secret = Secret::new("geheim", "", "");
    let form = format!("{USER}&action=sip_auth&sip_auth_username=1000&sip_auth_realm=r");
    let answer = ask(&directory(false), secret.as_ref(), &form);
    assert_eq!(answer.outcome, Outcome::User);
    // printf 1000:r:geheim | md5sum
    let expected = "8e88302b1644f7d73d63968d92cdb1ee";
    assert!(
        answer
            .document
            .contains(&format!("name=\"a1-hash\" value=\"{expected}\""))
    );
    assert!(!answer.document.contains("geheim") && !answer.document.contains("\"password\""));
    assert!(
        answer.document.contains("<domain name=\"Example.net\">"),
        "as it was asked for"
    );
    assert_eq!(format!("{answer:?}"), "Answer(User)");
    // The column, where there is one.
    let ha1 = "0123456789abcdef0123456789abcdef";
    let answer = ask(&directory(true), Secret::new("", ha1, "").as_ref(), USER);
    assert!(answer.document.contains(ha1));
}

#[test]
fn a_password_is_handed_out_if_that_is_wanted_and_never_beside_a_hash() {
    let secret = Secret::new("ge<heim", "0123456789abcdef0123456789abcdef", "");
    let answer = ask(&directory(true), secret.as_ref(), USER);
    assert!(answer.document.contains("value=\"ge&lt;heim\""));
    assert!(!answer.document.contains("a1-hash"));
    let reverse = format!("{USER}&action=reverse-auth-lookup");
    let answer = ask(&directory(true), secret.as_ref(), &reverse);
    assert!(
        answer
            .document
            .contains("\"reverse-auth-pass\" value=\"ge&lt;heim\"")
    );
    assert!(!answer.document.contains("name=\"password\""));
    let answer = ask(&directory(false), secret.as_ref(), &reverse);
    assert_eq!(answer.outcome, Outcome::NoCredential);
}

/// FreeSWITCH lets a user in who has neither a password nor a hash.
#[test]
fn nobody_is_handed_out_for_authentication_without_a_credential() {
    let sha256 = "0".repeat(64);
    let secret = Secret::new("", &sha256, "");
    let answer = ask(&directory(true), secret.as_ref(), USER);
    assert_eq!(
        answer,
        Answer {
            document: not_found(),
            outcome: Outcome::NoCredential
        }
    );
    // To be called, none is needed, and none is told.
    let secret = Secret::new("geheim", "", "");
    for action in ["user_call", "message-count", "user_data"] {
        let answer = ask(
            &directory(true),
            secret.as_ref(),
            &format!("{USER}&action={action}"),
        );
        assert_eq!(answer.outcome, Outcome::User, "{action}");
        assert!(!answer.document.contains("geheim"));
    }
}

#[test]
fn each_question_has_its_answer() {
    let secret = Secret::new("x", "", "");
    for (form, outcome) in [
        (
            "section=dialplan&Hunt-Context=default",
            Outcome::OtherSection,
        ),
        (
            "section=configuration&key_value=acl.conf",
            Outcome::OtherSection,
        ),
        ("", Outcome::OtherSection),
        ("section=directory", Outcome::Unanswerable),
        (
            "section=directory&purpose=gateways&profile=internal",
            Outcome::Domains,
        ),
        (
            "section=directory&purpose=network-list&domain=example.net",
            Outcome::Domains,
        ),
        (
            "section=directory&purpose=network-list&domain=example.org",
            Outcome::UnknownDomain,
        ),
        (
            "section=directory&tag_name=domain&key_name=name&key_value=example.net",
            Outcome::Domains,
        ),
        (
            "section=directory&domain=example.org&user=1000",
            Outcome::UnknownDomain,
        ),
        (
            "section=directory&domain=example.net&action=group_call&group=sales",
            Outcome::Unanswerable,
        ),
        (
            "section=directory&tag_name=user&key_name=id&key_value=1000&domain=example.net",
            Outcome::User,
        ),
        (
            "section=directory&domain=example.net&user=a%00b",
            Outcome::UnknownUser,
        ),
        (
            "section=directory&domain=example.net&user=%ff",
            Outcome::UnknownUser,
        ),
    ] {
        let answer = ask(&directory(false), secret.as_ref(), form);
        assert_eq!(answer.outcome, outcome, "{form}");
        let is_found = matches!(outcome, Outcome::User | Outcome::Domains);
        assert_eq!(answer.document == not_found(), !is_found, "{form}");
    }
    assert_eq!(
        ask(&directory(false), None, USER).outcome,
        Outcome::UnknownUser
    );
}

proptest! {
    /// Whatever is asked: a document that an XML reader takes, with nothing in it that was not ours to say.
    #[test]
    fn any_name_stays_a_name(user in "\\PC{1,40}", password in "\\PC{1,40}") {
        let secret = Secret::new(&password, "", "");
        let form: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("section", "directory")
            .append_pair("domain", "example.net")
            .append_pair("user", &user)
            .finish();
        let answer = ask(&directory(true), secret.as_ref(), &form);
        let mut reader = quick_xml::Reader::from_str(&answer.document);
        let (mut elements, mut ids) = (0, Vec::new());
        loop {
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Eof => break,
                quick_xml::events::Event::Start(e) | quick_xml::events::Event::Empty(e) => {
                    elements += 1;
                    for attribute in e.attributes() {
                        let attribute = attribute.unwrap();
                        let value = quick_xml::escape::unescape(&attribute.value).unwrap().into_owned();
                        if e.name().as_ref() == "user" || value == password {
                            ids.push(value);
                        }
                    }
                }
                _ => {}
            }
        }
        if answer.outcome == Outcome::User {
            prop_assert_eq!(elements, 14);
            prop_assert!(ids.contains(&user));
            prop_assert_eq!(ids.contains(&password), is_plain(&password));
        }
    }

    #[test]
    fn any_bytes_get_a_document(query in proptest::collection::vec(any::<u8>(), 0..200), body in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(request) = Request::read(&query, &body) {
            let _ = directory(true).answer(&request, |_, _| None);
        }
    }
}
