//! FreeSWITCH's services, asked by curl and Python's HTTP client as mod_xml_curl and mod_xml_cdr ask, from where the media servers
//! are. FreeSWITCH itself is not in Debian: its event socket is played by `freeswitch/event_socket.py`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tandem_admin::Target;
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{CALLER, INSIDE, SERVERS, sip};
use tandem_e2e::{Lab, Options, Process, wait};

const SOON: Duration = Duration::from_secs(30);
const PORT: u16 = 8080;
const EVENT_SOCKET: u16 = 8021;
const PASSWORD: &str = "gar:ge heim";
const SAMPLE: &str = include_str!("../../../sigplane/freeswitch/tests/cdr.xml");
const SAMPLE_UUID: &str = "5b7d2a10-0c44-4c0e-9a0b-2f6b0d1f7e01";

/// A laboratory whose appliance serves the media server at the first address, and nobody else.
fn lab(more: &str) -> Lab {
    let mut lab = Lab::wires(Options {
        probe_interval: 0,
        pool: SERVERS[..1].iter().map(|s| sip(*s)).collect(),
        carriers: vec![CALLER],
        ..Options::default()
    })
    .unwrap();
    let (password, socket) = (lab.dir().join("fs.password"), lab.dir().join("es.password"));
    lab.write(&password, &format!("{PASSWORD}\n")).unwrap();
    lab.write(&socket, "ClueCon\n").unwrap();
    let more = format!(
        "[[http]]\nlisten = \"{INSIDE}:{PORT}\"\nservices = [\"freeswitch\"]\nplain = true\n\
         [freeswitch]\npassword_file = \"{}\"\nnetworks = [\"{}/32\"]\ndomains = [\"example.net\"]\n\
         url = \"http://{INSIDE}:{PORT}\"\nevent_socket = {EVENT_SOCKET}\nevent_socket_password_file = \"{}\"\n\
         event_socket_interval = 1\n{more}\n",
        password.display(),
        SERVERS[0],
        socket.display()
    );
    lab.change(|options| options.more = more).unwrap();
    lab.start_dataplane().unwrap();
    lab.start_sigplane().unwrap();
    lab.fill_database().unwrap();
    lab.wait_until_ready().unwrap();
    lab
}

/// A file in the laboratory's folder.
fn file(lab: &Lab, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = lab.dir().join(name);
    fs::write(&path, content).unwrap();
    path
}

/// Runs a line of the shell where the media servers are, and returns what it printed.
fn shell(lab: &Lab, line: &str) -> String {
    let output = lab.core.command("sh").args(["-c", line]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs curl at the first media server, with its password; the status, and the body.
fn curl(lab: &Lab, path: &str, arguments: &str) -> (u16, String) {
    let who = format!("--interface {} --user 'freeswitch:{PASSWORD}'", SERVERS[0]);
    curl_as(lab, &who, path, arguments)
}

fn curl_as(lab: &Lab, who: &str, path: &str, arguments: &str) -> (u16, String) {
    let said = shell(
        lab,
        &format!(
            "curl --silent --show-error --max-time 60 {who} --write-out '\\n%{{http_code}}' {arguments} \
             'http://{INSIDE}:{PORT}/freeswitch/{path}'"
        ),
    );
    let (body, status) = said.rsplit_once('\n').unwrap();
    (status.trim().parse().unwrap(), body.to_owned())
}

/// The sample as another leg of another call.
fn cdr(uuid: &str, call_id: &str) -> String {
    let sample = SAMPLE.replace("5B7D2A10-0c44-4c0e-9a0b-2f6b0d1f7e01", uuid);
    let sample = sample.replace(SAMPLE_UUID, uuid);
    sample.replace("call-1%4010.0.0.1", call_id)
}

fn python(lab: &Lab, script: &str) -> String {
    let path = file(lab, "script.py", script);
    shell(lab, &format!("python3 {}", path.display()))
}

/// The counters of these services that are not zero.
fn counted(lab: &Lab) -> Vec<(String, u64)> {
    let counters = lab.ctl().counters().unwrap();
    let names = [
        "fs_cdr_taken",
        "fs_cdr_repaired",
        "fs_cdr_malformed",
        "fs_cdr_not_kept",
        "fs_refused_network",
        "fs_no_password",
        "fs_wrong_password",
        "fs_wrong_method",
        "fs_not_found",
        "http_body_too_long",
        "fs_directory_users",
        "fs_directory_domains",
        "fs_directory_other_section",
        "fs_directory_unknown_domain",
        "fs_directory_unknown_user",
        "fs_directory_no_credential",
        "fs_directory_unanswerable",
    ];
    let all = names.map(|name| (name.to_owned(), counters.value(name)));
    all.into_iter().filter(|(_, value)| *value > 0).collect()
}

fn expect(lab: &Lab, expected: &[(&str, u64)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(n, v)| ((*n).to_owned(), *v))
        .collect();
    assert_eq!(counted(lab), expected, "{}", lab.daemons_said());
}

#[test]
fn cdrs_are_taken_in_each_form_and_stand_beside_our_calls_and_the_hostile_are_refused() {
    let lab = lab("");
    let _server = Server::start(&lab, &lab.core, "server", SERVERS[0]).unwrap();
    let calls = Calls {
        count: 1,
        talk: Duration::from_millis(300),
        ..Calls::default()
    };
    let call = |name: &str| {
        let caller = Caller::start(&lab, &lab.carrier, name, &calls).unwrap();
        let tally = caller.finish(SOON).unwrap();
        assert_eq!((tally.successful, tally.failed), (1, 0));
    };
    call("caller");
    lab.wait_until_quiet(1, SOON).unwrap();
    let call_id = lab.sql("SELECT callid FROM cdr").unwrap().trim().to_owned();

    // The forms: encode = true, base64, false and textxml; and what a client makes of it that does all of it at once.
    let encoded = call_id.replace('@', "%40");
    for (n, arguments) in [
        "--data-urlencode cdr@FILE",
        "--header 'Content-Type: application/x-www-form-base64-encoded' --data-binary @BASE64",
        "--header 'Content-Type: application/x-www-form-plaintext' --data-binary @PLAIN",
        "--header 'Content-Type: text/xml' --data-binary @FILE",
        "--header 'Content-Type: text/xml' --header 'Transfer-Encoding: chunked' --header 'Expect: 100-continue' --data-binary @FILE",
    ]
    .into_iter()
    .enumerate()
    {
        let uuid = format!("00000000-0000-4000-8000-00000000000{n}");
        let document = cdr(&uuid, &encoded);
        let path = file(&lab, "cdr.xml", &document);
        let plain = file(&lab, "plain", format!("cdr={document}"));
        let base64 = shell(&lab, &format!("printf cdr=; base64 -w 72 {}", path.display()));
        let base64 = file(&lab, "base64", base64);
        let arguments = arguments
            .replace("FILE", path.to_str().unwrap())
            .replace("BASE64", base64.to_str().unwrap())
            .replace("PLAIN", plain.to_str().unwrap());
        // FreeSWITCH posts again what it had no answer to.
        for query in [format!("a_{uuid}"), uuid] {
            let (status, body) = curl(&lab, &format!("cdr?uuid={query}"), &arguments);
            assert_eq!(status, 200, "{arguments}: {body}");
        }
    }
    let count = || {
        lab.sql("SELECT count(*), count(DISTINCT uuid) FROM fs_cdr")
            .ok()
    };
    wait::until("five CDRs", SOON, || (count()? == "5|5\n").then_some(())).unwrap();
    let joined = "SELECT count(*), count(DISTINCT call_uuid), min(fs_mos), max(fs_billsec), min(fs_q850), max(sip_code) FROM cdr_joined";
    assert_eq!(lab.sql(joined).unwrap(), "5|1|4.49|5|16|200\n");
    let row = "SELECT caller_id_name, caller_id_number, destination, switchname, leg, start_us, answer_us, jitter_max, quality FROM fs_cdr ORDER BY uuid LIMIT 1";
    assert_eq!(
        lab.sql(row).unwrap(),
        "Zoë & Co|31201234567|1000|fs1|a|1700000000123456|1700000002000000|12.57|99.3\n"
    );

    // Both beside each other, for people and for programs.
    let shown = lab.ctl().run(&["cdr", "show", &call_id]).unwrap();
    for words in [
        "tandem, from the caller",
        "fs1, inbound leg 00000000",
        "NORMAL_CLEARING",
        "4.49",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let shown = lab.ctl().run(&["--json", "cdr", "show", &call_id]).unwrap();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["calls"][0]["callid"], call_id.as_str());
    assert_eq!(shown["freeswitch"].as_array().unwrap().len(), 5);
    assert_eq!(shown["freeswitch"][0]["mos"], 4.49);
    let none = lab.ctl().output(&["cdr", "show", "nobody's"]).unwrap();
    assert_eq!(none.status.code(), Some(1));

    // SQL in each text, as FreeSWITCH would encode it.
    let nasty = "x%27%29%3B%20DROP%20TABLE%20fs_cdr%3B%20--%20%00%22";
    let mut document = cdr("00000000-0000-4000-8000-000000000009", nasty);
    for text in [
        "PCMA",
        "NORMAL_CLEARING",
        "recv_bye",
        "9a3f2a10-0c44-4c0e-9a0b-2f6b0d1f7e02",
        ">bridge<",
        ">inbound<",
    ] {
        let with = if text.starts_with('>') {
            format!(">{nasty}<")
        } else {
            nasty.to_owned()
        };
        document = document.replace(text, &with);
    }
    document = document.replace("Zo&#xEB; &amp; Co", "x'); DROP TABLE fs_cdr; -- &quot;");
    let path = file(&lab, "sql.xml", &document);
    let (status, body) = curl(
        &lab,
        "cdr",
        &format!("--data-urlencode cdr@{}", path.display()),
    );
    assert_eq!(status, 200, "{body}");
    // Bytes of another character set in a name.
    let latin1 =
        cdr("00000000-0000-4000-8000-00000000000a", "b").replace("Zo&#xEB; &amp; Co", "Zo\u{1}");
    let latin1: Vec<u8> = latin1
        .bytes()
        .map(|b| if b == 1 { 0xeb } else { b })
        .collect();
    let path = file(&lab, "latin1.xml", latin1);
    let text = "--header 'Content-Type: text/xml' --data-binary";
    assert_eq!(
        curl(&lab, "cdr", &format!("{text} @{}", path.display())).0,
        200
    );
    wait::until("seven CDRs", SOON, || (count()? == "7|7\n").then_some(())).unwrap();
    let names = lab
        .sql("SELECT caller_id_name, read_codec FROM fs_cdr ORDER BY uuid DESC LIMIT 2")
        .unwrap();
    assert_eq!(
        names,
        "Zo\u{fffd}|PCMA\nx'); DROP TABLE fs_cdr; -- \"|x'); DROP TABLE fs_cdr; -- \u{fffd}\"\n"
    );

    let good = cdr("00000000-0000-4000-8000-00000000000b", "c");
    let bomb = format!(
        "<?xml version=\"1.0\"?><!DOCTYPE cdr [<!ENTITY a \"{}\">{}]><cdr><variables><uuid>&j;</uuid></variables></cdr>",
        "ha".repeat(50),
        ('b'..='j')
            .map(|c| format!(
                "<!ENTITY {c} \"{}\">",
                format!("&{};", (c as u8 - 1) as char).repeat(10)
            ))
            .collect::<String>()
    );
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let refused: [(&str, Vec<u8>); 12] = [
        ("bomb", bomb.into_bytes()),
        ("xxe", b"<!DOCTYPE cdr [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><cdr><variables><uuid>&x;</uuid></variables></cdr>".to_vec()),
        ("entity", good.replace("PCMA", "&xxe;").into_bytes()),
        ("deep", "<cdr>".repeat(100_000).into_bytes()),
        ("wide", format!("<cdr>{}</cdr>", "<x/>".repeat(100_000)).into_bytes()),
        ("utf16", [b"\xfe\xff".to_vec(), utf16].concat()),
        ("charset", good.replace("?>", " encoding=\"Windows-1252\"?>").into_bytes()),
        ("cut", good.as_bytes()[..good.len() / 2].to_vec()),
        ("tags", good.replace("</billsec>", "</wrong>").into_bytes()),
        ("other", b"<html><body/></html>".to_vec()),
        ("bytes", (0..=255).collect()),
        ("no time", good.replace("start_", "x_").into_bytes()),
    ];
    for (name, body) in &refused {
        let path = file(&lab, "refused", body);
        let (status, body) = curl(&lab, "cdr", &format!("{text} @{}", path.display()));
        assert_eq!(status, 400, "{name}: {body}");
        assert!(!body.contains("root:"), "{body}");
    }
    let good = file(&lab, "good.xml", &good);
    let good = format!("{text} @{}", good.display());
    assert_eq!(curl(&lab, "cdr?uuid=another", &good).0, 400);
    assert_eq!(curl(&lab, "cdr", "--request POST").0, 400);
    // 100 MB: what is announced is not read, and what is not announced no further than is allowed.
    let big = lab.dir().join("big");
    fs::File::create(&big)
        .unwrap()
        .set_len(100_000_000)
        .unwrap();
    let big = format!("--data-binary @{} --header 'Expect:'", big.display());
    assert_eq!(curl(&lab, "cdr", &big).0, 413);
    // Who may not: without a word, with wrong ones, from elsewhere, by other methods, to other places.
    for who in [
        "",
        "--digest --user freeswitch:x",
        "--user freeswitch:wrong",
        "--user 'root:gar:ge heim'",
        "--header 'Authorization: Basic !!'",
    ] {
        let here = format!("--interface {} {who}", SERVERS[0]);
        assert_eq!(curl_as(&lab, &here, "cdr", &good).0, 401, "{who}");
    }
    let elsewhere = format!("--interface {} --user 'freeswitch:{PASSWORD}'", SERVERS[1]);
    assert_eq!(curl_as(&lab, &elsewhere, "cdr", &good).0, 403);
    assert_eq!(curl(&lab, "cdr", "--get").0, 405);
    assert_eq!(curl(&lab, "directory", "--request DELETE").0, 405);
    assert_eq!(curl(&lab, "passwd", "").0, 404);
    assert_eq!(count().unwrap(), "7|7\n");
    expect(
        &lab,
        &[
            ("fs_cdr_taken", 12),
            ("fs_cdr_repaired", 1),
            ("fs_cdr_malformed", 14),
            ("fs_refused_network", 1),
            ("fs_no_password", 2),
            ("fs_wrong_password", 3),
            ("fs_wrong_method", 2),
            ("fs_not_found", 1),
            ("http_body_too_long", 1),
        ],
    );
    // And calls go on.
    call("another");
    lab.wait_until_quiet(2, SOON).unwrap();
    assert!(!lab.daemons_said().contains("ge heim"));
}

#[test]
fn the_directory_tells_of_users_as_freeswitch_asks() {
    let lab = lab("passwords = false");
    let nasty = "O'Hara</user><user id=\"x\"><params/>&amp;<!--";
    lab.sql(&format!(
        "INSERT INTO subscriber (username, domain, password, ha1) VALUES
            ('1000', 'example.net', 'geheim-1', ''),
            ('1001', 'example.net', '', '0123456789abcdef0123456789abcdef'),
            ('1002', 'example.net', '', '{}'),
            ('{}', '', 'geheim-2', ''),
            ('1000', 'example.org', 'geheim-3', '')",
        "0".repeat(64),
        nasty.replace('\'', "''")
    ))
    .unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    let ask = |fields: &[(&str, &str)]| {
        let mut arguments = String::new();
        for (name, value) in fields {
            let value = value.replace('\'', "'\\''");
            arguments += &format!("--data-urlencode '{name}={value}' ");
        }
        let (status, body) = curl(&lab, "directory", &arguments);
        assert_eq!(status, 200, "{fields:?}: {body}");
        body
    };
    // As mod_xml_curl asks before it challenges a phone.
    let sip_auth = |user: &str, domain: &str| {
        ask(&[
            ("hostname", "fs1"),
            ("section", "directory"),
            ("tag_name", "domain"),
            ("key_name", "name"),
            ("key_value", domain),
            ("Event-Name", "REQUEST_PARAMS"),
            ("action", "sip_auth"),
            ("sip_profile", "tandem"),
            ("sip_auth_username", user),
            ("sip_auth_realm", domain),
            ("key", "id"),
            ("user", user),
            ("domain", domain),
        ])
    };
    // What an XML reader sees: xmllint takes it, and Python's has the elements.
    let seen = |document: &str| {
        let path = file(&lab, "answer.xml", document);
        shell(&lab, &format!("xmllint --noout --nonet {}", path.display()));
        python(
            &lab,
            &format!(
                "import xml.etree.ElementTree as E\n\
                 root = E.parse({path:?}).getroot()\n\
                 users = [u.get('id') for u in root.iter('user')]\n\
                 params = sorted((p.get('name'), p.get('value')) for u in root.iter('user') for p in u.iter('param'))\n\
                 print(root.get('type'), root[0].get('name'), [d.get('name') for d in root.iter('domain')], users, params)"
            ),
        )
    };
    let hash = |text: &str| {
        let md5 = format!("import hashlib; print(hashlib.md5({text:?}.encode()).hexdigest())");
        python(&lab, &md5).trim().to_owned()
    };
    let user = |id: &str, hash: &str| {
        format!("freeswitch/xml directory ['Example.NET'] [{id}] [('a1-hash', '{hash}')]\n")
    };
    let known = sip_auth("1000", "Example.NET");
    assert_eq!(
        seen(&known),
        user("'1000'", &hash("1000:Example.NET:geheim-1"))
    );
    let hashed = sip_auth("1001", "Example.NET");
    assert_eq!(
        seen(&hashed),
        user("'1001'", "0123456789abcdef0123456789abcdef")
    );
    // A name that is XML is a name.
    let odd = sip_auth(nasty, "Example.NET");
    let id = python(&lab, &format!("print(repr({nasty:?}))"));
    let expected = hash(&format!("{nasty}:Example.NET:geheim-2"));
    assert_eq!(seen(&odd), user(id.trim(), &expected));
    let not_found = seen(&sip_auth("9999", "example.net"));
    assert_eq!(not_found, "freeswitch/xml result [] [] []\n");
    for (user, domain) in [
        ("1002", "example.net"),
        ("1000", "example.org"),
        ("1000", "<x>"),
        ("a\u{1}b", "example.net"),
    ] {
        assert_eq!(seen(&sip_auth(user, domain)), not_found, "{user}@{domain}");
    }
    // To be called and for its mailbox no secret is told; domains come without users.
    let directory = [("section", "directory"), ("domain", "example.net")];
    let with = |more: &[(&'static str, &'static str)]| seen(&ask(&[&directory[..], more].concat()));
    for action in ["user_call", "message-count"] {
        let said = with(&[("user", "1000"), ("action", action)]);
        assert_eq!(
            said,
            "freeswitch/xml directory ['example.net'] ['1000'] []\n"
        );
    }
    for purpose in ["gateways", "network-list"] {
        let said = with(&[("purpose", purpose)]);
        assert_eq!(said, "freeswitch/xml directory ['example.net'] [] []\n");
    }
    assert_eq!(
        with(&[("user", "1000"), ("action", "reverse-auth-lookup")]),
        not_found
    );
    assert_eq!(
        with(&[("action", "group_call"), ("group", "sales")]),
        not_found
    );
    for section in ["dialplan", "configuration", "phrases"] {
        let said = seen(&ask(&[("section", section), ("Hunt-Context", "public")]));
        assert_eq!(said, not_found);
    }
    // The other method, and somebody who is in the table by now.
    lab.sql(
        "INSERT INTO subscriber (username, domain, password) VALUES ('2000', 'example.net', 'neu')",
    )
    .unwrap();
    let newcomer = || {
        let query = "directory?section=directory&domain=example.net&user=2000&action=user_call";
        let (status, body) = curl(&lab, query, "--get");
        (status == 200 && body.contains("id=\"2000\"")).then_some(())
    };
    wait::until("the newcomer", SOON, newcomer).unwrap();
    // With another configuration users come with their passwords, without a restart.
    let text = fs::read_to_string(lab.config_file()).unwrap();
    let draft = file(
        &lab,
        "draft.toml",
        text.replace("passwords = false", "passwords = true"),
    );
    let draft = draft.to_str().unwrap();
    lab.ctl()
        .run(&["config", "apply", draft, "--confirm-within", "0"])
        .unwrap();
    let params = "freeswitch/xml directory ['example.net'] ['1000'] [('password', 'geheim-1')]\n";
    assert_eq!(seen(&sip_auth("1000", "example.net")), params);
    let said = lab.daemons_said();
    assert!(!said.contains("geheim"), "{said}");
    let counted = counted(&lab);
    let value = |name: &str| {
        counted
            .iter()
            .find(|(n, _)| n == name)
            .map_or(0, |(_, v)| *v)
    };
    assert_eq!(value("fs_directory_users"), 7);
    assert_eq!(value("fs_directory_domains"), 2);
    assert_eq!(value("fs_directory_no_credential"), 2);
    assert_eq!(value("fs_directory_unknown_domain"), 2);
    assert_eq!(value("fs_directory_unanswerable"), 1);
    assert_eq!(value("fs_directory_other_section"), 3);
}

#[test]
fn each_acknowledged_cdr_is_there_once_whatever_is_killed() {
    let mut lab = lab("");
    const COUNT: u64 = 1_500;
    let template = file(&lab, "template.xml", cdr("UUID", "x"));
    let acknowledged = lab.dir().join("acknowledged");
    let script = script("post.py");
    let folder = lab.peer_dir("post").unwrap();
    let arguments = [
        script,
        INSIDE.to_string(),
        PORT.to_string(),
        "freeswitch".to_owned(),
        PASSWORD.to_owned(),
        COUNT.to_string(),
        template.display().to_string(),
        acknowledged.display().to_string(),
    ];
    let mut poster = lab
        .peer(&lab.core, "post", "python3", &arguments, &folder)
        .unwrap();
    let so_far =
        |path: &Path| fs::read_to_string(path).map_or(0, |text| text.lines().count() as u64);
    for kill in 1..=4 {
        wait::until("more acknowledged", SOON, || {
            (so_far(&acknowledged) >= kill * COUNT / 5).then_some(())
        })
        .unwrap();
        lab.kill_sigplane();
        lab.start_sigplane().unwrap();
    }
    let done = poster.wait(Duration::from_secs(60)).unwrap();
    assert!(done.success());
    println!("{}", poster.said());
    assert_eq!(so_far(&acknowledged), COUNT);
    let count = "SELECT count(*), count(DISTINCT uuid), min(leg) FROM fs_cdr";
    let expected = format!("{COUNT}|{COUNT}|a\n");
    let all = || (lab.sql(count).ok()? == expected).then_some(());
    if let Err(failure) = wait::until("all CDRs", SOON, all) {
        panic!("{failure}: {}", lab.sql(count).unwrap());
    }
}

/// The disk is slowed down by a tracer: it is the system call that the answer waits for.
#[test]
fn a_cdr_is_on_the_disk_before_it_is_taken() {
    let lab = lab("");
    let post = |n: u32| {
        let uuid = format!("00000000-0000-4000-8000-0000000000{n:02}");
        let path = file(&lab, "cdr.xml", cdr(&uuid, "x"));
        let start = Instant::now();
        let arguments = format!("--data-urlencode cdr@{}", path.display());
        let (status, _) = curl(&lab, "cdr", &arguments);
        (status, start.elapsed())
    };
    let slow = Duration::from_millis(700);
    let mut strace = lab.slow_disk(slow).unwrap();
    let (status, took) = post(1);
    strace.kill();
    assert_eq!(status, 200);
    assert!((slow..5 * slow).contains(&took), "{took:?}");
    // One that hangs: FreeSWITCH is to keep it, and to come again.
    let mut strace = lab.slow_disk(Duration::from_secs(8)).unwrap();
    let (status, took) = post(2);
    strace.kill();
    assert_eq!(status, 503);
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(post(2).0, 200);
    expect(&lab, &[("fs_cdr_taken", 2), ("fs_cdr_not_kept", 1)]);
    let count = "SELECT count(*), count(DISTINCT uuid) FROM fs_cdr";
    let all = || (lab.sql(count).ok()? == "2|2\n").then_some(());
    wait::until("both CDRs", SOON, all).unwrap();
}

/// A script beside the scenarios.
fn script(name: &str) -> String {
    format!("{}/freeswitch/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn event_socket(lab: &Lab, password: &str, numbers: &Path) -> Process {
    let folder = lab.peer_dir("event-socket").unwrap();
    let arguments = [
        script("event_socket.py"),
        SERVERS[0].to_string(),
        EVENT_SOCKET.to_string(),
        password.to_owned(),
        numbers.display().to_string(),
    ];
    let mut process = lab
        .peer(&lab.core, "event-socket", "python3", &arguments, &folder)
        .unwrap();
    process.wait_for_words("listening", 1, SOON).unwrap();
    process
}

#[test]
fn a_drain_shows_what_the_media_server_has_itself() {
    let lab = lab("");
    let numbers = file(&lab, "numbers", "3 5");
    let uri = format!("sip:{}", sip(SERVERS[0]));
    let target = || -> Option<Target> {
        let targets = lab.ctl().targets().ok()?;
        targets.into_iter().find(|t| t.uri == uri)
    };
    let counter = |name: &str| lab.ctl().counters().unwrap().value(name);
    assert!(
        !target().unwrap().live_asked,
        "nobody is asked who does not drain"
    );
    lab.ctl().run(&["dispatcher", "drain", &uri]).unwrap();
    wait::until("nobody at the event socket", SOON, || {
        (counter("fs_event_socket_unreachable") > 0).then_some(())
    })
    .unwrap();
    let unknown = target().unwrap();
    assert!(unknown.live_asked && unknown.live_calls.is_none());
    // With another password it does not let us in; with the right one it says what it has.
    let mut wrong = event_socket(&lab, "other", &numbers);
    wait::until("a refusal", SOON, || {
        (counter("fs_event_socket_refused") > 0).then_some(())
    })
    .unwrap();
    wrong.kill();
    let mut socket = event_socket(&lab, "ClueCon", &numbers);
    let says = |calls, channels| {
        wait::until("its own calls", SOON, || {
            let target = target()?;
            (target.live_calls == Some(calls) && target.live_channels == Some(channels))
                .then_some(())
        })
        .unwrap();
    };
    says(3, 5);
    fs::write(&numbers, "1 2").unwrap();
    says(1, 2);
    let list = lab.ctl().run(&["dispatcher", "list"]).unwrap();
    assert!(list.contains("ITS OWN"), "{list}");
    // FreeSWITCH sends us away and lets us in again.
    fs::write(&numbers, "1 2 bye").unwrap();
    wait::until("a farewell", SOON, || {
        (counter("fs_event_socket_closed") > 0).then_some(())
    })
    .unwrap();
    fs::write(&numbers, "2 2").unwrap();
    says(2, 2);
    // None of ours, and still it is not empty.
    let drain = |seconds: &str| {
        lab.ctl()
            .output(&["dispatcher", "drain", &uri, "--wait", seconds])
            .unwrap()
    };
    let output = drain("3");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("of its own 2 calls in 2 channels"),
        "{said}"
    );
    fs::write(&numbers, "0 0").unwrap();
    let output = drain("20");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said.ends_with("has no calls\n"),
        "{said}"
    );
    assert!(
        socket.said().contains("api show calls count"),
        "{}",
        socket.said()
    );
    // Behind the drain nobody is asked any more.
    lab.ctl().run(&["dispatcher", "enable", &uri]).unwrap();
    let open = || shell(&lab, "ss -Htn state established sport = :8021");
    wait::until("the connection closed", SOON, || {
        open().trim().is_empty().then_some(())
    })
    .unwrap();
    assert!(target().unwrap().live_calls.is_none());
    socket.kill();
    assert!(!lab.daemons_said().contains("ClueCon"));
}

#[test]
fn the_files_for_members_are_xml_with_what_is_configured() {
    let lab = lab(
        "[[freeswitch.route]]\ndest_type = \"a&b\"\nnumber = \"^3\\\\d{3}$\"\ncontext = \"conferences\"",
    );
    let to = lab.dir().join("export");
    let to = to.to_str().unwrap();
    let said = lab.ctl().run(&["export", "freeswitch", to]).unwrap();
    assert!(
        said.contains("tandem_acl.xml\"/>") && !said.contains("ge heim"),
        "{said}"
    );
    let member = Path::new(to).join(SERVERS[0].to_string());
    let find = format!(
        "find {} -type f -exec xmllint --noout --nonet {{}} + -print | wc -l",
        member.display()
    );
    assert_eq!(shell(&lab, &find).trim(), "6");
    let read = |name: &str| fs::read_to_string(member.join(name)).unwrap();
    let profile = read("sip_profiles/tandem.xml");
    assert!(
        profile.contains(&SERVERS[0].to_string()) && profile.contains(&sip(INSIDE).to_string())
    );
    assert!(read("autoload_configs/tandem_acl.xml").contains(&format!("{INSIDE}/32")));
    let dialplan = read("dialplan/tandem.xml");
    assert!(
        dialplan.contains("^a\\&amp;b$") && dialplan.contains("XML conferences"),
        "{dialplan}"
    );
    // Who has these may ask: their owner alone may read them.
    for name in ["xml_curl", "xml_cdr", "event_socket"] {
        let path = member.join(format!("autoload_configs/{name}.conf.xml"));
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    // The credentials in the file are those that the listener takes.
    let credentials = python(
        &lab,
        &format!(
            "import xml.etree.ElementTree as E\n\
             for p in E.parse({:?}).iter('param'):\n    if p.get('name') in ('cred', 'url'): print(p.get('value'))",
            member.join("autoload_configs/xml_cdr.conf.xml")
        ),
    );
    let (url, user) = credentials.trim().split_once('\n').unwrap();
    assert_eq!(url, format!("http://{INSIDE}:{PORT}/freeswitch/cdr"));
    assert_eq!(user, format!("freeswitch:{PASSWORD}"));
    let again = lab.ctl().output(&["export", "freeswitch", to]).unwrap();
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(
        !again.status.success() && said.contains("--force"),
        "{said}"
    );
    lab.ctl()
        .run(&["export", "freeswitch", to, "--force"])
        .unwrap();
}
