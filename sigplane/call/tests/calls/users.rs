//! Users of our own registrar: who they are, where they are, and their calls.

use std::sync::Arc;

use tandem_call::{CoreConfig, Input, RegistrarConfig, ShardTable, Share, Tables, shard};
use tandem_policy::digest::{self, Algorithm};
use tandem_policy::{SubscriberRow, Subscribers};

use super::*;

/// Where its NAT shows the phone.
const PHONE: &str = "203.0.113.77:31234";
const SECOND: &str = "203.0.113.78:5060";
const DOMAIN: &str = "example.net";

fn with_users() -> CoreConfig {
    CoreConfig {
        registrar: Some(RegistrarConfig {
            domains: vec![DOMAIN.into()],
            settings: tandem_policy::registrar::Settings::default(),
            location_table: true,
            max_records: 3,
            digest: digest::Settings::default(),
            nonce_key: [9; 32],
            nonce_lifetime_ms: 300_000,
            max_nonces: 1_000,
        }),
        ..config()
    }
}

fn user_tables() -> Tables {
    let row = |id: i64| SubscriberRow {
        id,
        username: format!("{}", 1_000 + id),
        domain: String::new(),
        password: format!("pw{id}"),
        ha1: String::new(),
        ha1b: String::new(),
    };
    let (subscribers, bad) = Subscribers::new((0..20).map(row).collect());
    assert!(bad.is_empty());
    Tables {
        subscribers: Arc::new(subscribers),
        ..tables()
    }
}

fn world() -> World {
    World::with_tables(with_users(), user_tables())
}

/// A phone's REGISTER; each has its own branch and CSeq.
struct Phone<'a> {
    user: &'a str,
    at: &'a str,
    contact: String,
    extra: String,
    cseq: u32,
}

impl<'a> Phone<'a> {
    fn new(user: &'a str, at: &'a str) -> Self {
        Self {
            user,
            at,
            contact: format!("<sip:{user}@192.168.1.5:5060>"),
            extra: String::new(),
            cseq: 0,
        }
    }

    fn request(&mut self, method: &str, uri: &str, to: &str, lines: &str) -> String {
        self.cseq += 1;
        let Self { user, at, cseq, .. } = self;
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bK{method}{user}{cseq}\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@{DOMAIN}>;tag=f{user}\r\nTo: <{to}>\r\nCall-ID: {method}-{user}\r\nCSeq: {cseq} {method}\r\n\
             {lines}Content-Length: 0\r\n\r\n"
        )
    }

    fn register(&mut self, credentials: &str) -> String {
        let contact = match self.contact.as_str() {
            "" => String::new(),
            contact => format!("Contact: {contact}\r\n"),
        };
        let lines = format!("{contact}{}{credentials}", self.extra);
        let to = format!("sip:{}@{DOMAIN}", self.user);
        self.request("REGISTER", &format!("sip:{DOMAIN}"), &to, &lines)
    }

    /// Registers with the right password: the answer.
    fn registers(&mut self, world: &mut World) -> String {
        let first = self.register("");
        world.from(self.at, &first);
        let challenge = world.one_to(self.at);
        assert!(
            start(&challenge).ends_with("401 Unauthorized"),
            "{challenge}"
        );
        let password = format!("pw{}", self.user.parse::<u32>().unwrap() - 1_000);
        let credentials = answer_to(
            &challenge,
            self.user,
            &password,
            ("REGISTER", &format!("sip:{DOMAIN}")),
            1,
        );
        let second = self.register(&credentials);
        world.from(self.at, &second);
        world.one_to(self.at)
    }
}

/// The header line of credentials for a challenge.
fn answer_to(challenge: &str, user: &str, password: &str, of: (&str, &str), nc: u32) -> String {
    let proxy = start(challenge).contains(" 407 ");
    let (asks, says) = if proxy {
        ("Proxy-Authenticate", "Proxy-Authorization")
    } else {
        ("WWW-Authenticate", "Authorization")
    };
    let value = header(challenge, asks);
    let part = |name: &str| {
        let (_, rest) = value.split_once(&format!("{name}=")).unwrap();
        rest.split([',', ' ']).next().unwrap().trim_matches('"')
    };
    let (realm, nonce) = (part("realm"), part("nonce"));
    let algorithm = Algorithm::parse(part("algorithm").as_bytes()).unwrap();
    let (method, uri) = of;
    let hash = |texts: &[&str]| {
        let texts: Vec<&[u8]> = texts.iter().map(|t| t.as_bytes()).collect();
        String::from_utf8(algorithm.hash(&texts)).unwrap()
    };
    let nc = format!("{nc:08x}");
    let ha1 = hash(&[user, realm, password]);
    let ha2 = hash(&[method, uri]);
    let response = hash(&[&ha1, nonce, &nc, "cn", "auth", &ha2]);
    format!(
        "{says}: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", algorithm={}, \
         qop=auth, nc={nc}, cnonce=\"cn\", response=\"{response}\"\r\n",
        algorithm.as_str()
    )
}

#[test]
fn a_phone_registers_fetches_and_leaves() {
    let mut world = world();
    let mut phone = Phone::new("1001", PHONE);
    let ok = phone.registers(&mut world);
    assert!(start(&ok).ends_with("200 OK"), "{ok}");
    assert_eq!(
        header(&ok, "Contact"),
        "<sip:1001@192.168.1.5:5060>;expires=300"
    );
    assert_eq!(world.counter("registered_users_now"), 1);
    phone.contact = String::new();
    let fetched = phone.registers(&mut world);
    assert_eq!(header(&fetched, "Contact"), header(&ok, "Contact"));
    phone.contact = "*".into();
    phone.extra = "Expires: 0\r\n".into();
    let left = phone.registers(&mut world);
    assert_eq!(headers(&left, "Contact"), [""; 0]);
    world.assert_clean();
}

#[test]
fn the_registrars_refusals() {
    let mut world = world();
    let mut phone = Phone::new("1001", PHONE);
    for (contact, extra, says) in [
        (
            "<sip:x@192.168.1.5>;expires=10",
            "",
            "423 Interval Too Brief",
        ),
        ("*", "", "400 Contact: * Needs Expires: 0"),
        (
            "*, <sip:x@192.168.1.5>",
            "Expires: 0\r\n",
            "400 Contact: * Stands Alone",
        ),
        ("<tel:123>", "", "400 Bad Contact"),
    ] {
        phone.contact = contact.into();
        phone.extra = extra.into();
        let no = phone.registers(&mut world);
        assert!(start(&no).ends_with(says), "{no}");
        if says.starts_with("423") {
            assert_eq!(header(&no, "Min-Expires"), "60");
        }
    }
    let many: Vec<String> = (0..11).map(|n| format!("<sip:x@192.168.1.{n}>")).collect();
    phone.contact = many.join(", ");
    phone.extra = String::new();
    assert!(start(&phone.registers(&mut world)).ends_with("403 Too Many Contacts"));
    assert_eq!(world.counter("registered_users_now"), 0);
    // Three users, and no more.
    for n in 1..5 {
        let (user, at) = (
            format!("{}", 1_000 + n),
            format!("203.0.113.77:{}", 4_000 + n),
        );
        let answer = Phone::new(&user, &at).registers(&mut world);
        let expected = if n < 4 {
            "200 OK"
        } else {
            "503 Service Unavailable"
        };
        assert!(start(&answer).ends_with(expected), "{answer}");
    }
    // Who requires what nobody here knows.
    phone.extra = "Require: path, gruu\r\n".into();
    let text = phone.register("");
    world.from(PHONE, &text);
    let no = world.one_to(PHONE);
    assert!(
        no.contains("420 Bad Extension") && header(&no, "Unsupported") == "gruu",
        "{no}"
    );
}

#[test]
fn who_is_not_who_he_says_gets_nowhere() {
    let mut world = world();
    let mut phone = Phone::new("1001", PHONE);
    let uri = format!("sip:{DOMAIN}");
    let of = ("REGISTER", uri.as_str());
    let ask = |world: &mut World, phone: &mut Phone<'_>, credentials: &str| {
        let text = phone.register(credentials);
        world.from(PHONE, &text);
        // Behind what keeps its NAT open.
        world.sent_to(PHONE).pop().unwrap()
    };
    let challenge = ask(&mut world, &mut phone, "");
    assert_eq!(headers(&challenge, "WWW-Authenticate").len(), 2);
    let right = answer_to(&challenge, "1001", "pw1", of, 1);
    for (credentials, counter) in [
        (
            answer_to(&challenge, "1001", "guess", of, 1),
            "auth_wrong_password",
        ),
        (
            answer_to(&challenge, "9999", "pw1", of, 1),
            "auth_wrong_password",
        ),
        (
            answer_to(&challenge, "1001@example.org", "pw1", of, 1),
            "auth_wrong_password",
        ),
        (right.replace("nonce=\"", "nonce=\"00"), "auth_forged_nonce"),
        (right.replace("qop=auth", "qop=auth-int"), "auth_int"),
        (
            right.replace("algorithm=SHA-256", "algorithm=SHA-1"),
            "auth_wrong_algorithm",
        ),
        (right.replace("Digest ", "Basic "), "auth_challenges"),
        (
            right.replace("example.net\",", "example.org\","),
            "auth_challenges",
        ),
    ] {
        let before = world.counter(counter);
        let no = ask(&mut world, &mut phone, &credentials);
        assert!(
            start(&no).contains(" 401 ") && !no.contains("stale"),
            "{credentials}{no}"
        );
        assert_eq!(world.counter(counter), before + 1, "{counter}");
    }
    for (credentials, says) in [
        (
            right.replace("uri=\"sip:example.net\"", "uri=\"sip:x\""),
            "400",
        ),
        (right.replace("cnonce=\"cn\", ", ""), "400"),
        (right.replace("username=", "username"), "400"),
        (
            format!(
                "Authorization: Digest username=\"{}\"\r\n",
                "'; DROP TABLE subscriber; --".repeat(400)
            ),
            "400",
        ),
        (
            answer_to(&challenge, "1002", "pw2", of, 2),
            "403 Credentials Of Another User",
        ),
    ] {
        let no = ask(&mut world, &mut phone, &credentials);
        assert!(start(&no).contains(says), "{credentials}{no}");
    }
    assert_eq!(world.counter("registered_users_now"), 0);
    let ok = ask(&mut world, &mut phone, &right);
    assert!(start(&ok).ends_with("200 OK"), "{ok}");
    // Seen on the way, and sent again as another request.
    let again = ask(&mut world, &mut phone, &right);
    assert!(
        start(&again).contains(" 401 ") && again.contains("stale=true"),
        "{again}"
    );
    world.wait(secs(301));
    let fresh = answer_to(&challenge, "1001", "pw1", of, 5);
    let old = ask(&mut world, &mut phone, &fresh);
    assert!(old.contains("stale=true"), "{old}");
    // For somebody else.
    let again = answer_to(&old, "1001", "pw1", of, 1);
    let text = phone
        .register(&again)
        .replace("From: <sip:1001@", "From: <sip:1002@");
    world.from(PHONE, &text);
    assert!(
        world
            .sent_to(PHONE)
            .pop()
            .unwrap()
            .contains("403 Credentials Of Another User")
    );
    // A REGISTER for a user of another domain is nobody's.
    let text = phone
        .register("")
        .replace("To: <sip:1001@example.net>", "To: <sip:1001@xexample.net>");
    world.from(PHONE, &text);
    assert!(world.sent_to(PHONE).pop().unwrap().contains(" 404 "));
}

#[test]
fn a_lost_200_is_sent_again() {
    let mut world = world();
    let mut phone = Phone::new("1001", PHONE);
    let ok = phone.registers(&mut world);
    let challenges = world.counter("auth_challenges");
    let text = phone.register("");
    world.from(PHONE, &text);
    let challenge = world.one_to(PHONE);
    let uri = format!("sip:{DOMAIN}");
    let credentials = answer_to(&challenge, "1001", "pw1", ("REGISTER", &uri), 1);
    let text = phone.register(&credentials);
    world.from(PHONE, &text);
    // It promises that the registration is kept.
    assert!(world.sent.iter().all(|p| p.durable));
    let first = world.one_to(PHONE);
    world.from(PHONE, &text);
    assert_eq!(world.one_to(PHONE), first);
    assert!(start(&ok).ends_with("200 OK"));
    assert_eq!(world.counter("auth_challenges"), challenges + 1);
}

/// An INVITE of the pool's to a user.
fn to_user(user: &str, n: u32) -> String {
    let text = invite_from(POOL[0], &format!("in{n}"), &format!("bin{n}"), "");
    let (line, rest) = text.split_once("\r\n").unwrap();
    let uri = line.split(' ').nth(1).unwrap();
    format!(
        "{}\r\n{rest}",
        line.replace(uri, &format!("sip:{user}@Example.NET"))
    )
}

#[test]
fn the_pool_calls_a_user_where_he_is() {
    let mut world = world();
    let call = |world: &mut World, user: &str, n: u32| {
        world.from(POOL[0], &to_user(user, n));
        world.sent_to(POOL[0]).pop().unwrap()
    };
    assert!(call(&mut world, "4711", 1).contains("404 Not Found"));
    assert!(call(&mut world, "1001", 2).contains("480 Temporarily Unavailable"));
    Phone::new("1001", PHONE).registers(&mut world);
    world.from(POOL[0], &to_user("%31001", 3));
    let invite = world.one_to(PHONE);
    assert!(
        invite.starts_with("INVITE sip:1001@192.168.1.5:5060 SIP/2.0"),
        "{invite}"
    );
    // On the same host at another port: where it says.
    let mut second = Phone::new("1002", "203.0.113.78:9999");
    second.contact = format!("<sip:1002@{SECOND}>");
    second.registers(&mut world);
    world.from(POOL[0], &to_user("1002", 4));
    assert!(world.one_to(SECOND).starts_with("INVITE"));
    // A third host is not called in our name.
    let mut third = Phone::new("1003", "203.0.113.79:9999");
    third.contact = "<sip:x@198.51.100.99:5060>".into();
    third.registers(&mut world);
    world.from(POOL[0], &to_user("1003", 5));
    assert!(world.one_to("203.0.113.79:9999").starts_with("INVITE"));
    world.wait(secs(301));
    assert!(call(&mut world, "1001", 6).contains("480"));
    world.wait(secs(5));
    assert_eq!(world.counter("registered_users_now"), 0);
    assert_eq!(world.counter("to_users"), 3);
}

#[test]
fn phones_of_one_user_ring_by_their_preference() {
    let mut world = world();
    for (at, q) in [
        ("203.0.113.81:5060", "1.0"),
        ("203.0.113.82:5060", "0.5"),
        ("203.0.113.83:5060", "1"),
    ] {
        let mut phone = Phone::new("1001", at);
        phone.contact = format!("<sip:1001@{at}>;q={q}");
        phone.cseq = u32::from(at.as_bytes()[11]);
        phone.registers(&mut world);
    }
    world.from(POOL[0], &to_user("1001", 1));
    let mut asked = Vec::new();
    for at in [
        "203.0.113.81:5060",
        "203.0.113.82:5060",
        "203.0.113.83:5060",
    ] {
        asked.push(
            world
                .sent_to(at)
                .iter()
                .filter(|t| t.starts_with("INVITE"))
                .count(),
        );
    }
    assert_eq!(asked, [1, 0, 1]);
}

#[test]
fn a_user_calls_with_his_password_and_as_himself() {
    let mut world = world();
    let mut phone = Phone::new("1001", PHONE);
    let uri = format!("sip:+4930@{DOMAIN}");
    let invite = phone.request("INVITE", &uri, &uri, "Contact: <sip:1001@192.168.1.5>\r\n");
    world.from(PHONE, &invite);
    let challenge = world.one_to(PHONE);
    assert!(
        challenge.contains("407 Proxy Authentication Required"),
        "{challenge}"
    );
    let credentials = answer_to(&challenge, "1001", "pw1", ("INVITE", &uri), 1);
    let theirs = "Proxy-Authorization: Digest username=\"x\", realm=\"pool.example\", nonce=\"n\", uri=\"sip:x\", response=\"00\"\r\n";
    let lines = format!("Contact: <sip:1001@192.168.1.5>\r\n{credentials}{theirs}");
    let invite = phone.request("INVITE", &uri, &uri, &lines);
    world.from(PHONE, &invite);
    let (_, inside) = at_pool(&mut world);
    // Ours end here; those for somebody behind us pass.
    assert_eq!(header(&inside, "Proxy-Authorization"), &theirs.trim()[21..]);
    assert_eq!(inside.matches("Proxy-Authorization").count(), 1, "{inside}");
    assert!(inside.starts_with(&format!("INVITE {uri} ")), "{inside}");
    let other = phone
        .request("INVITE", &uri, &uri, &lines)
        .replace("From: <sip:1001@", "From: <sip:1002@");
    world.from(PHONE, &other);
    let no = world.sent_to(PHONE).pop().unwrap();
    assert!(
        no.contains(" 407 ") && no.contains("stale=true"),
        "used before: {no}"
    );
    let credentials = answer_to(&no, "1001", "pw1", ("INVITE", &uri), 1);
    let other = phone
        .request("INVITE", &uri, &uri, &credentials)
        .replace("From: <sip:1001@", "From: <sip:1002@");
    world.from(PHONE, &other);
    assert!(
        world
            .sent_to(PHONE)
            .pop()
            .unwrap()
            .contains("403 From Is Another User")
    );
    // Of another domain: a stranger.
    let stranger = phone
        .request("INVITE", &uri, &uri, "")
        .replace("From: <sip:1001@example.net", "From: <sip:1001@example.org");
    world.from(PHONE, &stranger);
    assert!(
        world
            .sent_to(PHONE)
            .pop()
            .unwrap()
            .contains("403 Forbidden")
    );
}

#[test]
fn registrations_outlive_the_process() {
    let mut world = world();
    for n in 1..4 {
        let (user, at) = (
            format!("{}", 1_000 + n),
            format!("203.0.113.77:{}", 4_000 + n),
        );
        Phone::new(&user, &at).registers(&mut world);
    }
    let mut next = world.crash_without_tables();
    next.input(Input::Tables(Arc::new(user_tables())));
    next.dataplane_up();
    assert_eq!(next.counter("registrations_restored"), 3);
    next.from(POOL[0], &to_user("1002", 1));
    assert!(next.one_to("203.0.113.77:4002").starts_with("INVITE"));
    next.wait(secs(310));
    assert_eq!(next.counter("registered_users_now"), 0);
    next.wait(secs(200));
    assert!(next.journal.is_empty(), "{:?}", next.journal);
}

#[test]
fn workers_bring_a_user_and_those_who_look_for_him_together() {
    let worker = |worker| {
        let share = Share {
            worker,
            shards: ShardTable::deal(2),
        };
        let config = CoreConfig {
            share,
            ..with_users()
        };
        World::with_tables(config, user_tables())
    };
    let owner = shard(b"1001@example.net") % 2;
    let mut worlds = [worker(0), worker(1)];
    let [mine, other] = [usize::from(owner), usize::from(1 - owner)];
    // The REGISTER comes to the wrong one.
    let mut phone = Phone::new("1001", PHONE);
    let text = phone.register("");
    worlds[other].from(PHONE, &text);
    assert!(worlds[other].sent.is_empty());
    assert_eq!(worlds[other].passed_on, [(owner, text)]);
    phone.registers(&mut worlds[mine]);
    worlds[0].news.clear();
    worlds[1].news.clear();
    // And so does the call.
    worlds[other].from(POOL[0], &to_user("1001", 1));
    assert!(worlds[other].sent.is_empty());
    let news = worlds[other].news.remove(0);
    assert_eq!(news.to(), Some(owner));
    worlds[mine].input(Input::Told(news));
    let news = worlds[mine].news.remove(0);
    assert_eq!(news.to(), Some(1 - owner));
    worlds[other].input(Input::Told(news));
    assert!(worlds[other].one_to(PHONE).starts_with("INVITE"));
}

#[test]
fn a_user_that_is_new_in_the_database_is_asked_for_and_registers_at_once() {
    let mut world = world();
    let mut phone = Phone::new("2000", PHONE);
    let first = phone.register("");
    world.from(PHONE, &first);
    let challenge = world.one_to(PHONE);
    assert_eq!(std::mem::take(&mut world.asked), [format!("2000@{DOMAIN}")]);
    // The database's answer comes before the credentials do.
    let row = SubscriberRow {
        id: 99,
        username: "2000".into(),
        domain: DOMAIN.into(),
        password: "pw1000".into(),
        ha1: String::new(),
        ha1b: String::new(),
    };
    let (found, _) = Subscribers::new(vec![row]);
    world.input(Input::Newcomers(Arc::new(found)));
    let of = ("REGISTER", &*format!("sip:{DOMAIN}"));
    let credentials = answer_to(&challenge, "2000", "pw1000", of, 1);
    let second = phone.register(&credentials);
    world.from(PHONE, &second);
    assert!(start(&world.one_to(PHONE)).ends_with("200 OK"));
    assert!(world.asked.is_empty());
    // Who is in no table is asked for as often as a second allows, and no more.
    for number in 0..300 {
        let name = format!("9{number}");
        let mut stranger = Phone::new(&name, PHONE);
        let request = stranger.register("");
        world.from(PHONE, &request);
        assert!(start(&world.one_to(PHONE)).contains(" 401 "));
    }
    assert_eq!(world.asked.len(), 99);
    assert_eq!(world.counter("subscribers_not_asked_for"), 201);
    // The whole table counts when it is read: if the user is gone from it, so is the newcomer.
    world.input(Input::Tables(Arc::new(user_tables())));
    world.wait(std::time::Duration::from_secs(1));
    world.asked.clear();
    let third = phone.register("");
    world.from(PHONE, &third);
    assert_eq!(world.asked, [format!("2000@{DOMAIN}")]);
}

#[test]
fn a_registrar_that_is_changed_or_gone_for_a_while_takes_nothing_twice() {
    let mut world = world();
    let mut phone = Phone::new("1001", PHONE);
    world.from(PHONE, &phone.register(""));
    let challenge = world.one_to(PHONE);
    let of = ("REGISTER", "sip:example.net");
    let credentials = answer_to(&challenge, "1001", "pw1", of, 1);
    world.from(PHONE, &phone.register(&credentials));
    assert!(world.one_to(PHONE).starts_with("SIP/2.0 200"));
    let take = |world: &mut World, config: &CoreConfig| {
        world.core.can_take(config).unwrap();
        world.input(Input::Config(Box::new(config.clone())));
    };
    // Gone, and back, with nonces that live shorter, then longer than those that were used.
    take(&mut world, &config());
    world.from(PHONE, &phone.register(&credentials));
    let none = world.sent_to(PHONE).pop().unwrap();
    assert!(!none.starts_with("SIP/2.0 200"), "{none}");
    let mut short = with_users();
    let lifetime = |config: &mut CoreConfig, ms| {
        config.registrar.as_mut().unwrap().nonce_lifetime_ms = ms;
    };
    lifetime(&mut short, 10_000);
    take(&mut world, &short);
    world.wait(secs(11));
    let mut other = Phone::new("1002", SECOND);
    assert!(other.registers(&mut world).starts_with("SIP/2.0 200"));
    let mut long = with_users();
    lifetime(&mut long, 600_000);
    take(&mut world, &long);
    world.from(PHONE, &phone.register(&credentials));
    let again = world.one_to(PHONE);
    assert!(
        start(&again).contains(" 401 ") && again.contains("stale=true"),
        "{again}"
    );
    // Who was registered still is.
    assert_eq!(
        world
            .core
            .counters()
            .find(|(n, _)| *n == "registered_users_now")
            .map(|(_, v)| v),
        Some(2)
    );
    let credentials = answer_to(&again, "1001", "pw1", of, 1);
    world.from(PHONE, &phone.register(&credentials));
    assert!(world.one_to(PHONE).starts_with("SIP/2.0 200"));
    // Another domain: the old one's users are nobody's.
    let mut domains = with_users();
    domains.registrar.as_mut().unwrap().domains = vec!["example.com".into()];
    take(&mut world, &domains);
    world.from(PHONE, &phone.register(""));
    let no = world.sent_to(PHONE).pop().unwrap();
    assert!(!no.contains("WWW-Authenticate"), "{no}");
}
