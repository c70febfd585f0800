//! Management as others do it: curl, Python's HTTP client and Debian's promtool, from where the media servers are.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tandem_admin::{Counter, METHODS, Role};
use tandem_e2e::kamailio::{DOMAIN, PASSWORD};
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::tls::Authority;
use tandem_e2e::topology::{CALLER, INSIDE, OUTSIDE, SERVERS, sip};
use tandem_e2e::{Lab, Options, wait};

const SOON: Duration = Duration::from_secs(30);
const HTTPS: u16 = 8443;
const METRICS: u16 = 9464;
/// What a request may take, in seconds: short, for the tests of slow clients.
const SLOW: u32 = 2;

struct Scene {
    lab: Lab,
    ca: PathBuf,
    _server: Server,
}

impl Scene {
    fn new(options: Options) -> Self {
        let mut lab = Lab::wires(options).unwrap();
        let authority = Authority::make(&lab.dir().join("tls")).unwrap();
        let own = authority.certify("tandem.example.net", INSIDE).unwrap();
        let (chain, key) = (own.chain.display(), own.key.display());
        let more = format!(
            "[[http]]\nlisten = \"{INSIDE}:{HTTPS}\"\nservices = [\"api\", \"metrics\"]\n\
             certificate = \"{chain}\"\nkey = \"{key}\"\nrequest_timeout = {SLOW}\nidle_timeout = 3\n\
             max_per_source = 8\nmax_body = 20000\n\
             [[http]]\nlisten = \"{INSIDE}:{METRICS}\"\nservices = [\"metrics\"]\nplain = true\n\
             metrics_access = \"network\"\nnetworks = [\"{}/32\"]\n\
             [registrar]\ndomains = [\"{OUTSIDE}\", \"{DOMAIN}\"]\n",
            SERVERS[0]
        );
        lab.change(|options| options.more += &more).unwrap();
        lab.start_dataplane().unwrap();
        lab.start_sigplane().unwrap();
        lab.fill_database().unwrap();
        lab.wait_until_ready().unwrap();
        let server = Server::start(&lab, &lab.core, "server", SERVERS[0]).unwrap();
        for role in Role::ALL {
            let secret = lab
                .ctl()
                .run(&["token", "add", role.as_str(), "--role", role.as_str()])
                .unwrap();
            lab.write(&lab.dir().join(role.as_str()), &secret).unwrap();
        }
        Self {
            lab,
            ca: authority.file(),
            _server: server,
        }
    }

    fn token(&self, name: &str) -> PathBuf {
        self.lab.dir().join(name)
    }

    fn url(&self) -> String {
        format!("https://{INSIDE}:{HTTPS}")
    }

    fn python(&self, script: &str, arguments: &[&str], input: &str) -> (bool, String) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("management")
            .join(script);
        let mut command = self.lab.core.command("python3");
        let mut child = command
            .arg(path)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said + &errors)
    }

    fn answers(&self, how: &[&str], calls: &Value) -> Vec<Value> {
        let (good, said) = self.python("client.py", how, &calls.to_string());
        assert!(good, "{said}");
        serde_json::from_str(&said).unwrap()
    }

    /// By HTTPS, with the token of this role.
    fn remotely(&self, token: &str, calls: &Value) -> Vec<Value> {
        let (url, token) = (self.url(), self.token(token));
        let (ca, token) = (self.ca.display().to_string(), token.display().to_string());
        self.answers(&["https", &url, &ca, &token], calls)
    }

    fn by_socket(&self, calls: &Value) -> Vec<Value> {
        let socket = self.lab.dir().join("run/admin.sock").display().to_string();
        self.answers(&["unix", &socket], calls)
    }

    /// curl to a path of the HTTPS listener: status, headers and body.
    fn curl(&self, path: &str, arguments: &[&str]) -> (u16, String) {
        let mut command = self.lab.core.command("curl");
        command
            .args(["-sS", "--max-time", "20", "--include", "--cacert"])
            .arg(&self.ca)
            .args(arguments)
            .arg(format!("{}{path}", self.url()));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        let status = said.lines().rfind(|l| l.starts_with("HTTP/1.1 "));
        let status = status.unwrap_or_else(|| panic!("{path} {arguments:?}: {said}{errors}"));
        (status[9..12].parse().unwrap(), said)
    }

    /// curl with a JSON body and this token.
    fn post(&self, token: &str, body: &str) -> (u16, String) {
        let authorization = format!("Authorization: Bearer {token}");
        let json = "Content-Type: application/json";
        self.curl("/rpc", &["-H", &authorization, "-H", json, "-d", body])
    }

    fn secret(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.token(name)).unwrap();
        text.trim().to_owned()
    }

    /// The counters of HTTP. What a client saw last may be counted a moment later.
    fn counted(&self, name: &str, value: u64) {
        wait::until(format!("{name} to be {value}"), SOON, || {
            let counters = self.lab.ctl().counters().ok()?;
            (counters.value(name) == value).then_some(())
        })
        .unwrap_or_else(|e| {
            panic!("{e}: {}", self.lab.ctl().counters().unwrap().value(name));
        });
    }

    /// tandemctl from another machine.
    fn ctl(&self, token: &str, arguments: &[&str]) -> (i32, String) {
        let mut command = self.lab.core.command(tandem_e2e::binary("tandemctl"));
        command
            .args(["--url", &self.url(), "--token-file"])
            .arg(self.token(token))
            .arg("--ca")
            .arg(&self.ca)
            .args(arguments);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), said + &errors)
    }
}

fn pool() -> Options {
    Options {
        pool: vec![sip(SERVERS[0])],
        trunk: None,
        carriers: vec![CALLER],
        ..Options::default()
    }
}

/// Every method with parameters that do no harm.
fn harmless() -> Value {
    let params = |name: &str| match name {
        "dispatcher.set_state" => json!(["ap", 1, format!("sip:{}", sip(SERVERS[0]))]),
        "dlg.end_dlg" => json!([1]),
        "dlg.terminate_dlg" => json!(["no-such-call"]),
        "dlg.list" => json!({"limit": 2}),
        "htable.dump" => json!(["blocked"]),
        "tandem.routes.test" => json!(["carrier", "192.0.2.100", "sip:1@192.0.2.10"]),
        "stats.get_statistics" | "stats.fetch" | "stats.fetchn" => json!(["calls", "http:"]),
        "system.methodHelp" => json!(["core.uptime"]),
        "tandem.blocked.add" => json!(["203.0.113.200", 60]),
        "tandem.blocked.remove" => json!(["203.0.113.200"]),
        "ul.lookup" | "ul.rm" => json!(["location", "nobody@example.net"]),
        _ => Value::Null,
    };
    METHODS
        .iter()
        .map(|m| json!([m.name, params(m.name)]))
        .collect()
}

#[test]
fn every_method_is_served_both_ways_and_each_role_may_what_it_may() {
    let scene = Scene::new(pool());
    let calls = harmless();
    // What they say no to: what is not there, and a capture by HTTPS. Nothing is unknown, and nothing is our fault.
    let none = ["dlg.end_dlg", "dlg.terminate_dlg", "ul.lookup", "ul.rm"];
    let check = |answers: &[Value], calls: &[Value]| {
        assert_eq!(answers.len(), calls.len());
        for (call, answer) in calls.iter().zip(answers) {
            let name = call[0].as_str().unwrap();
            match answer["error"]["code"].as_i64() {
                None => assert!(answer.get("result").is_some(), "{name}: {answer}"),
                Some(-32_004) => assert!(none.contains(&name), "{name}: {answer}"),
                Some(-32_600) => assert_eq!(name, "tandem.capture", "{answer}"),
                // Changes of the configuration have tests of their own.
                Some(code) if name.contains("config") => {
                    assert!(![-32_601, -32_603].contains(&code), "{name}: {answer}");
                }
                // Methods that others test have parameters of their own.
                Some(-32_602) => assert!(call[1].is_null(), "{name}: {answer}"),
                Some(_) => panic!("{name}: {answer}"),
            }
        }
    };
    let all = calls.as_array().unwrap();
    check(&scene.remotely("admin", &calls), all);
    let but_capture: Vec<Value> = all
        .iter()
        .filter(|c| c[0] != "tandem.capture")
        .cloned()
        .collect();
    check(&scene.by_socket(&but_capture.clone().into()), &but_capture);
    for role in [Role::Read, Role::Operate] {
        let answers = scene.remotely(role.as_str(), &calls);
        for (method, answer) in METHODS.iter().zip(&answers) {
            let forbidden = answer["error"]["code"] == -32_003;
            assert_eq!(forbidden, method.role > role, "{role}: {answer}");
        }
        let listed = &scene.remotely(role.as_str(), &json!([["system.listMethods", []]]))[0];
        let may = METHODS.iter().filter(|m| m.role <= role).count();
        assert_eq!(listed["result"].as_array().unwrap().len(), may);
    }
    // Whoever changed something, or tried to, is in the log.
    let log = std::fs::read_to_string(scene.lab.log("tandem-sigplane")).unwrap();
    for line in [
        "admin (admin) from 10.20.0.21:",
        "dispatcher.set_state [\"ap\",1,",
        "read (read) from 10.20.0.21:",
        "needs the role operate, and read has read",
        "uid 0 (admin) from unix: tls.reload null: done",
    ] {
        assert!(log.contains(line), "{line:?} is not in:\n{log}");
    }
    assert!(!log.contains("tnd_"), "a secret is in the log");
    // The same by tandemctl of another machine.
    for (arguments, word) in [
        (&["status"][..], "dataplane"),
        (&["info"], "version"),
        (&["dispatcher", "list"], "active"),
        (&["counters", "http_"], "http_accepted"),
        (&["tables", "dump", "blocked"], "NAME"),
        (&["addresses", "list"], &CALLER.to_string()),
        (&["calls", "count"], "0 calls"),
        (&["methods"], "dlg.list"),
        (&["rpc", "stats.fetchn", "calls_now"], "\"calls_now\": 0"),
    ] {
        let (code, said) = scene.ctl("read", arguments);
        assert!(code == 0 && said.contains(word), "{arguments:?}: {said}");
    }
    let (code, said) = scene.ctl("read", &["tls", "reload"]);
    assert!(
        code == 1 && said.contains("needs the role operate"),
        "{said}"
    );
    let (code, said) = scene.ctl("operate", &["dispatcher", "drain", "1"]);
    assert!(code == 0 && said.contains("is draining"), "{said}");
}

#[test]
fn calls_are_paged_and_ended_and_users_are_seen_and_removed() {
    let mut options = pool();
    options.more = format!("[defence]\ntrusted = [\"{CALLER}/32\"]\n");
    options.sip_workers = 2;
    let scene = Scene::new(options);
    let lab = &scene.lab;
    let calls = Calls {
        count: 12,
        rate: 12,
        talk: Duration::from_secs(60),
        ..Calls::default()
    };
    let caller = Caller::start(lab, &lab.carrier, "caller", &calls).unwrap();
    wait::until("12 answered calls", SOON, || {
        (lab.ctl().status().ok()?.confirmed_calls == 12).then_some(())
    })
    .unwrap();
    let ask = |method: &str, params: Value| {
        scene
            .remotely("operate", &json!([[method, params]]))
            .remove(0)
    };
    let (mut after, mut keys) = (0, Vec::new());
    loop {
        let page = ask("dlg.list", json!({"after": after, "limit": 5}));
        let page: Vec<u64> = page["result"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["key"].as_u64().unwrap())
            .collect();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 5);
        after = *last;
        keys.extend(page);
    }
    assert_eq!(keys.len(), 12, "{keys:?}");
    assert!(keys.is_sorted());
    let counts = ask("dlg.stats_active", Value::Null);
    assert_eq!(counts["result"]["ongoing"], 12);
    // One by its number, one by its Call-ID, on both sides of the appliance.
    assert_eq!(ask("dlg.end_dlg", json!([keys[0]]))["result"]["ended"], 1);
    assert_eq!(
        ask("dlg.end_dlg", json!([keys[0]]))["error"]["code"],
        -32_004
    );
    let call = lab.ctl().calls().unwrap().pop().unwrap();
    let (code, said) = scene.ctl("operate", &["calls", "end", &call.call_id]);
    assert!(code == 0 && said == "1 ended\n", "{said}");
    wait::until("two BYEs each", SOON, || {
        let counters = lab.ctl().counters().ok()?;
        (counters.value("byes_sent") == 4).then_some(())
    })
    .unwrap();
    wait::until("two CDRs", SOON, || {
        let causes = lab.sql("SELECT count(*) FROM cdr WHERE cause = 'administrator'");
        (causes.ok()?.trim() == "2").then_some(())
    })
    .unwrap();
    drop(caller);

    lab.sql(&format!(
        "INSERT INTO subscriber (username, domain, password) VALUES ('alice', '', '{PASSWORD}')"
    ))
    .unwrap();
    lab.ctl().run(&["addresses", "reload"]).unwrap();
    let mut sipsak = lab.carrier.command("timeout");
    let text = format!(
        "20 sipsak -U -s sip:alice@{OUTSIDE} -u alice -a {PASSWORD} -C sip:alice@{CALLER}:5999 -x 120 -l 5999"
    );
    let output = sipsak.args(text.split(' ')).output().unwrap();
    assert!(
        output.status.success(),
        "{output:?}\n{}",
        lab.daemons_said()
    );
    let aor = format!("alice@{OUTSIDE}");
    let found = ask("ul.lookup", json!(["location", aor]));
    let contact = &found["result"]["contacts"][0];
    assert_eq!(contact["contact"], format!("sip:alice@{CALLER}:5999"));
    assert!(contact["expires_s"].as_u64().unwrap() > 60);
    let (_, listed) = scene.ctl("read", &["users", "list"]);
    assert!(
        listed.contains(&aor) && listed.contains("sipsak"),
        "{listed}"
    );
    let (code, said) = scene.ctl("read", &["users", "remove", &aor]);
    assert!(
        code == 1 && said.contains("needs the role operate"),
        "{said}"
    );
    let (code, said) = scene.ctl("operate", &["users", "remove", &aor]);
    assert!(code == 0, "{said}");
    assert_eq!(
        ask("ul.lookup", json!([null, aor]))["error"]["code"],
        -32_004
    );
    assert_eq!(
        ask("ul.dump", Value::Null)["result"]["registrations"],
        json!([])
    );
    wait::until("location to follow", SOON, || {
        let rows = lab.sql("SELECT count(*) FROM location").ok()?;
        (rows.trim() == "0").then_some(())
    })
    .unwrap();
}

#[test]
fn the_hostile_the_slow_and_the_wrong_are_refused_and_each_is_counted() {
    let scene = Scene::new(pool());
    let uptime = r#"{"jsonrpc":"2.0","id":1,"method":"core.uptime"}"#;
    let admin = scene.secret("admin");
    // JSON-RPC, well and badly made.
    for (body, status, has) in [
        (uptime, 200, "\"uptime\""),
        ("{\"jsonrpc\":", 200, "-32700"),
        ("[]", 200, "-32600"),
        ("7", 200, "-32600"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"no.such"}"#,
            200,
            "-32601",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"dlg.end_dlg","params":["x"]}"#,
            200,
            "-32602",
        ),
        (r#"{"jsonrpc":"2.0","method":"core.uptime"}"#, 204, ""),
        (r#"[{"jsonrpc":"2.0","method":"core.uptime"}]"#, 204, ""),
        (
            r#"[{"jsonrpc":"2.0","id":"a","method":"core.version"},1]"#,
            200,
            "\"id\":\"a\"",
        ),
    ] {
        let (code, said) = scene.post(&admin, body);
        assert!(code == status && said.contains(has), "{body}: {said}");
    }
    // Who may not come in.
    let json_type = "Content-Type: application/json";
    let (code, said) = scene.curl("/rpc", &["-H", json_type, "-d", uptime]);
    assert!(
        code == 401 && said.contains("www-authenticate: Bearer"),
        "{said}"
    );
    let (code, said) = scene.post("tnd_00", uptime);
    assert!(code == 401 && said.contains("invalid_token"), "{said}");
    scene
        .lab
        .ctl()
        .run(&["token", "add", "old", "--role", "admin", "--days", "0"])
        .map_or_else(
            |e| panic!("{e}"),
            |secret| scene.lab.write(&scene.token("old"), &secret).unwrap(),
        );
    assert_eq!(scene.post(&scene.secret("old"), uptime).0, 401);
    scene
        .lab
        .ctl()
        .run(&["token", "remove", "operate"])
        .unwrap();
    assert_eq!(scene.post(&scene.secret("operate"), uptime).0, 401);
    assert_eq!(scene.curl("/metrics", &[]).0, 401);
    // What is not served.
    let authorization = format!("Authorization: Bearer {admin}");
    for (path, arguments, status) in [
        ("/rpc", &["-X", "GET"][..], 405),
        ("/metrics", &["-X", "DELETE"], 405),
        ("/", &[], 404),
        ("/rpc/../metrics/x", &["--path-as-is"], 404),
        ("/freeswitch/directory", &[], 404),
        (
            "/rpc",
            &[
                "-H",
                "Content-Type: text/plain",
                "-H",
                &authorization,
                "-d",
                uptime,
            ],
            415,
        ),
    ] {
        assert_eq!(
            scene.curl(path, arguments).0,
            status,
            "{path} {arguments:?}"
        );
    }
    let huge = format!("[{}]", "1,".repeat(20_000));
    assert_eq!(scene.post(&admin, &huge).0, 413);
    let chunked = [
        "-H",
        "Transfer-Encoding: chunked",
        "-H",
        json_type,
        "-H",
        &authorization,
        "-d",
        &huge,
    ];
    assert_eq!(scene.curl("/rpc", &chunked).0, 413);
    for (name, value) in [
        ("http_no_token", 2),
        ("http_wrong_token", 2),
        ("http_expired_token", 1),
        ("http_wrong_method", 2),
        ("http_not_found", 3),
        ("http_wrong_type", 1),
        ("http_body_too_long", 2),
    ] {
        scene.counted(name, value);
    }
    // The slow and the confused.
    let (host, port) = (INSIDE.to_string(), HTTPS.to_string());
    std::thread::scope(|scope| {
        let attack = |kind, told: &'static str| {
            let (scene, host, port) = (&scene, &host, &port);
            scope.spawn(move || {
                let (good, said) = scene.python("hostile.py", &[host, port, kind], "");
                assert!(good && said.contains(told), "{kind}: {said}");
            });
        };
        attack("silent", "");
        attack("plain", "400 Bad Request");
        attack("rubbish", "400 Bad Request");
        attack("long-header", "431");
        attack("slow-header", "");
        attack("slow-body", "");
        attack("idle", "404");
    });
    for (name, value) in [
        ("http_slow_handshake", 1),
        ("http_plain_on_tls", 1),
        ("http_bad_request", 2),
        ("http_slow_header", 1),
        ("http_slow_body", 1),
        ("http_idle", 1),
        ("http_connections_now", 0),
    ] {
        scene.counted(name, value);
    }
    // Too many at a time from one source: the ninth is closed at once.
    let crowd = "import socket, sys\n\
        held = [socket.create_connection((sys.argv[1], int(sys.argv[2]))) for _ in range(9)]\n\
        held[8].settimeout(5)\n\
        try: print(held[8].recv(1))\n\
        except ConnectionResetError: print(b'')\n";
    let mut python = scene.lab.core.command("python3");
    let output = python.args(["-c", crowd, &host, &port]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "b''\n",
        "{output:?}"
    );
    scene.counted("http_refused_source", 1);
    // Whoever guesses is not looked at any more, even if he guesses right.
    scene.counted("http_connections_now", 0);
    let guesses = (0..12).map(|_| scene.post("tnd_guess", uptime).0);
    let guesses: Vec<u16> = guesses.take_while(|code| *code == 401).collect();
    assert!((8..=10).contains(&guesses.len()), "{guesses:?}");
    let (code, said) = scene.post(&admin, uptime);
    assert!(code == 429 && said.contains("retry-after: 60"), "{said}");
    scene.counted("http_too_many_wrong_tokens", 2);
    // Who is not in `networks` is not spoken to: the second media server's address.
    let mut other = scene.lab.core.command("curl");
    let from = SERVERS[1].to_string();
    let output = other
        .args(["-sS", "--max-time", "5", "--interface", &from])
        .arg(format!("http://{INSIDE}:{METRICS}/metrics"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    scene.counted("http_refused_network", 1);
    let log = std::fs::read_to_string(scene.lab.log("tandem-sigplane")).unwrap();
    assert!(!log.contains("tnd_"), "a secret is in the log");
    assert!(log.contains("a token that is not known was shown by 10.20.0.21:"));
    assert!(log.contains("the token old, which has expired, was shown by 10.20.0.21:"));
}

#[test]
fn a_new_certificate_and_a_new_token_count_without_a_restart() {
    let mut scene = Scene::new(pool());
    let serial = |scene: &Scene| {
        let line = format!(
            "echo | openssl s_client -connect {INSIDE}:{HTTPS} 2>/dev/null | openssl x509 -noout -serial"
        );
        let mut shell = scene.lab.core.command("sh");
        let output = shell.args(["-c", &line]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let first = serial(&scene);
    assert!(first.starts_with("serial="), "{first}");
    let authority = Authority::make(&scene.lab.dir().join("tls")).unwrap();
    authority.certify("tandem.example.net", INSIDE).unwrap();
    assert_eq!(serial(&scene), first);
    scene.lab.ctl().run(&["tls", "reload"]).unwrap();
    let second = serial(&scene);
    assert_ne!(second, first);
    // A file that cannot be used changes nothing, and is named.
    let chain = scene.lab.dir().join("tls/tandem.example.net.pem");
    let key = std::fs::read_to_string(&chain).unwrap();
    scene.lab.write(&chain, "nonsense").unwrap();
    let output = scene.lab.ctl().output(&["tls", "reload"]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("tandem.example.net.pem"), "{said}");
    assert_eq!(serial(&scene), second);
    scene.lab.write(&chain, &key).unwrap();
    authority.certify("tandem.example.net", INSIDE).unwrap();
    scene.lab.reload_sigplane().unwrap();
    wait::until("the certificate after SIGHUP", SOON, || {
        (serial(&scene) != second).then_some(())
    })
    .unwrap();
}

#[test]
fn promtool_accepts_a_scrape_under_load_and_it_costs_little() {
    let scene = Scene::new(pool());
    let lab = &scene.lab;
    let calls = Calls {
        count: 400,
        rate: 50,
        talk: Duration::from_secs(2),
        ..Calls::default()
    };
    let caller = Caller::start(lab, &lab.carrier, "caller", &calls).unwrap();
    wait::until("calls", SOON, || {
        (lab.ctl().counters().ok()?.value("calls_answered") >= 50).then_some(())
    })
    .unwrap();
    let scrape = || {
        let mut curl = lab.core.command("curl");
        curl.args(["-sS", "--fail", "--max-time", "10", "--interface"])
            .arg(SERVERS[0].to_string())
            .arg(format!("http://{INSIDE}:{METRICS}/metrics"));
        let output = curl.output().unwrap();
        assert!(
            output.status.success(),
            "{output:?}\n{}",
            lab.daemons_said()
        );
        String::from_utf8(output.stdout).unwrap()
    };
    // Of the thread that serves, while calls come and go.
    let before = lab.sigplane_thread_time("http").unwrap();
    let texts: Vec<String> = (0..20).map(|_| scrape()).collect();
    let each = (lab.sigplane_thread_time("http").unwrap() - before) / 20.0;
    let text = texts.last().unwrap();
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout.len() + output.stderr.len(), 0, "{output:?}");
    caller.finish(Duration::from_secs(60)).unwrap();
    lab.wait_until_quiet(400, SOON).unwrap();

    // Everything is there that `tandemctl counters` has, and all of it is explained.
    let said = lab.ctl().run(&["--json", "counters"]).unwrap();
    let text = scrape();
    let counters: Vec<Counter> = serde_json::from_str(&said).unwrap();
    let samples = samples(&text);
    for Counter { plane, name, .. } in &counters {
        if name.starts_with("port_") || name.starts_with("worker_") {
            continue;
        }
        let name = name
            .strip_suffix("_ns")
            .map_or(name.clone(), |n| format!("{n}_seconds"));
        let plane = serde_json::to_value(plane).unwrap();
        let label = format!("{{plane={plane}}}");
        let found = ["", "_total"]
            .iter()
            .any(|end| samples.contains_key(&format!("tandem_{name}{end}{label}")));
        assert!(found, "{name} of {plane} is no metric");
    }
    for line in text.lines().filter_map(|l| l.strip_prefix("# HELP ")) {
        let (name, help) = line.split_once(' ').unwrap();
        let bare = name
            .trim_start_matches("tandem_")
            .trim_end_matches("_total");
        assert_ne!(
            help,
            format!("{}.", bare.replace('_', " ")),
            "{name} is explained nowhere"
        );
    }
    let value = |name: &str| {
        samples
            .get(name)
            .copied()
            .unwrap_or_else(|| panic!("no {name} in\n{text}"))
    };
    assert_eq!(
        value("tandem_calls_answered_total{plane=\"signaling\"}") as u64,
        400
    );
    for histogram in [
        "call_answer_delay",
        "sip_message_wait",
        "database_transaction",
        "journal_sync",
    ] {
        let count = value(&format!("tandem_{histogram}_seconds_count"));
        assert!(count >= 1.0, "{histogram}: {count}");
        assert!(value(&format!("tandem_{histogram}_seconds_bucket{{le=\"+Inf\"}}")) >= count);
    }
    assert_eq!(value("tandem_call_answer_delay_seconds_count") as u64, 400);
    assert!(value("tandem_dispatcher_probe_seconds_count") >= 1.0);
    assert_eq!(
        value("tandem_port_link_up{plane=\"dataplane\",port=\"carrier\"}") as u64,
        1
    );
    assert!(value("tandem_worker_poll_busy_seconds_total{plane=\"dataplane\",worker=\"0\"}") > 0.0);
    // Nothing that a stranger chooses is in it: no user, no Call-ID, no address of a caller.
    let strangers = |line: &&String| line.contains('@') || line.contains(&CALLER.to_string());
    assert_eq!(samples.keys().find(strangers), None);

    // All threads together, the SIP worker's answer included, when there is nothing else to do.
    let before = lab.sigplane_time().unwrap();
    let begin = Instant::now();
    (0..50).for_each(|_| drop(scrape()));
    let (busy, took) = (lab.sigplane_time().unwrap() - before, begin.elapsed());
    let before = lab.sigplane_time().unwrap();
    std::thread::sleep(took.min(Duration::from_secs(2)));
    let slept = took.min(Duration::from_secs(2)).as_secs_f64();
    let idle = (lab.sigplane_time().unwrap() - before) * took.as_secs_f64() / slept;
    let whole = (busy - idle) / 50.0;
    println!(
        "a scrape of {} bytes costs {:.2} ms of the http thread's time under load, and {:.2} ms of all threads' time",
        text.len(),
        each * 1e3,
        whole * 1e3
    );
    // One percent of a core, if there is one each second.
    assert!(each < 0.010, "{each} s under load");
    assert!(whole < 0.010, "{whole} s");
}

/// The samples of a scrape by name and labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}
