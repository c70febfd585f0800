//! Changes of the configuration of a daemon that runs.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lab::{Admin, Daemon, Lab, Locker, PATIENCE, Phone, alone};

/// Lines that change what our own answers say.
fn called(server: &str) -> String {
    // It is asked more often than a stranger may.
    format!("[sip]\nworkers = 3\nserver = \"{server}\"\n[defence]\nenabled = false")
}

/// A daemon, with three SIP workers, that calls itself `first`.
struct Run {
    lab: Lab,
    daemon: Daemon,
    admin: Admin,
    phone: Phone,
    asked: std::cell::Cell<u32>,
}

impl Run {
    fn new() -> Self {
        alone();
        let lab = Lab::new();
        lab.write_config(&called("first"));
        Self::with(lab)
    }

    fn with(lab: Lab) -> Self {
        let daemon = lab.start();
        Self {
            admin: lab.admin(),
            phone: Phone::new(),
            asked: 0.into(),
            lab,
            daemon,
        }
    }

    /// SIGKILL, and another life.
    fn killed(self) -> Self {
        let Self { lab, daemon, .. } = self;
        daemon.kill();
        Self::with(lab)
    }

    fn file(&self) -> String {
        std::fs::read_to_string(self.lab.path("tandem.toml")).unwrap()
    }

    /// The file's text with another name of ours.
    fn text(&self, server: &str) -> String {
        let file = self.file();
        let line = file.lines().find(|l| l.starts_with("server = ")).unwrap();
        file.replace(line, &format!("server = \"{server}\""))
    }

    fn call(&mut self, method: &str, params: &Value) -> Result<Value, (i64, String)> {
        let method = format!("tandem.config.{method}");
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = self.admin.line(&request.to_string());
        match answer.get("error") {
            Some(error) => Err((
                error["code"].as_i64().unwrap(),
                error["message"].as_str().unwrap().to_owned(),
            )),
            None => Ok(answer["result"].clone()),
        }
    }

    fn apply(&mut self, text: &str, within: u32) -> Result<Value, (i64, String)> {
        self.call("apply", &json!({"text": text, "confirm_within": within}))
    }

    fn status(&mut self) -> Value {
        self.call("status", &Value::Null).unwrap()
    }

    /// What we call ourselves, by the word of several workers.
    fn name(&self) -> String {
        let mut names = Vec::new();
        for _ in 0..6 {
            self.asked.set(self.asked.get() + 1);
            let id = format!("options-{}-{}", std::process::id(), self.asked.get());
            names.push(self.phone.server_of(&id));
        }
        names.dedup();
        assert_eq!(names.len(), 1, "{names:?}");
        names.remove(0)
    }

    /// Nothing is different from the start.
    fn assert_first(&mut self, file: &str) {
        assert_eq!(self.name(), "first");
        assert_eq!(self.file(), file);
        let status = self.status();
        assert_eq!(status["pending"], Value::Null);
        assert_eq!(status["file_has"], "same");
        assert!(!self.lab.path("state/config/pending.json").exists());
    }

    fn outcome(&mut self, outcome: &str) {
        let begin = Instant::now();
        while self.status()["last"]["outcome"] != outcome {
            assert!(begin.elapsed() < PATIENCE, "{}", self.status());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn counter(&mut self, name: &str) -> u64 {
        let answer = self.admin.call("stats.get_statistics");
        let all = answer["result"].as_array().unwrap().clone();
        let counter = all.into_iter().find(|c| c["name"] == name);
        counter.unwrap()["value"].as_u64().unwrap()
    }
}

#[test]
fn what_is_confirmed_is_kept_and_in_the_file() {
    let mut run = Run::new();
    let path = run.lab.path("tandem.toml");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let (first, second) = (run.file(), run.text("second"));
    let found = run.call("diff", &json!({"text": second})).unwrap();
    let change =
        json!({"key": "sip.server", "old": "\"first\"", "new": "\"second\"", "needs": "live"});
    assert_eq!(found["changes"], json!([change]));
    assert_eq!(run.name(), "first");

    let applied = run.apply(&second, 100).unwrap();
    assert_eq!(applied["changes"], json!([change]));
    assert_eq!((run.name().as_str(), run.file()), ("second", first.clone()));
    let status = run.status();
    assert_eq!(status["file_has"], "base");
    let left = status["pending"]["seconds_left"].as_u64().unwrap();
    assert!((80..=100).contains(&left), "{status}");
    assert_eq!(run.counter("config_pending"), 1);
    // Of another one nobody speaks.
    let other = run.call("confirm", &json!({"digest": "0123456789abcdef"}));
    assert_eq!(other.unwrap_err().0, -32_011);
    let digest = status["pending"]["digest"].as_str().unwrap();
    let confirmed = run.call("confirm", &json!({"digest": digest[..12]}));
    assert_eq!(confirmed.unwrap()["revision"], 2);
    assert_eq!((run.name().as_str(), run.file()), ("second", second));
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(run.call("confirm", &Value::Null).unwrap_err().0, -32_012);

    let third = run.text("third");
    let kept = run.apply(&third, 0).unwrap();
    assert_eq!(
        (&kept["revision"], &kept["confirm_within"]),
        (&3.into(), &0.into())
    );
    assert_eq!((run.name().as_str(), run.file()), ("third", third));
    let history = run.call("history", &Value::Null).unwrap();
    let hows: Vec<_> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["how"])
        .collect();
    assert_eq!(hows, ["start", "apply", "apply"]);
    let back = run.call("rollback", &json!({"revision": 1, "confirm_within": 0}));
    assert_eq!(back.unwrap()["revision"], 4);
    assert_eq!((run.name().as_str(), run.file()), ("first", first.clone()));
    let text = run.call("show", &json!({"revision": 1})).unwrap();
    assert_eq!(text["text"], Value::from(first));
    assert_eq!(run.counter("config_applied"), 3);
    assert_eq!(
        run.counter("configs_taken"),
        9,
        "three times by three workers"
    );
}

#[test]
fn what_nobody_confirms_goes_back_by_itself_and_by_hand_at_once() {
    let mut run = Run::new();
    let (first, second) = (run.file(), run.text("second"));
    run.apply(&second, 1).unwrap();
    assert_eq!(run.name(), "second");
    run.outcome("went back");
    run.assert_first(&first);
    assert_eq!(run.counter("config_expired"), 1);
    run.apply(&second, 100).unwrap();
    assert_eq!(run.name(), "second");
    run.call("revert", &Value::Null).unwrap();
    run.assert_first(&first);
    assert_eq!(run.status()["revision"], 1);
}

#[test]
fn what_is_wrong_changes_nothing() {
    let mut run = Run::new();
    let first = run.file();
    let certificate = "[[tls.certificate]]\nnames = [\"a.example\"]\nchain = \"/none/chain.pem\"\nkey = \"/none/key.pem\"\n";
    for (text, said) in [
        (first.replace("[sip]", "[sip"), "this is not TOML"),
        (
            first.replace("workers = 3", "workres = 3"),
            "line 41: `sip.workres`: is not a known key",
        ),
        (
            format!("{first}{certificate}"),
            "`tls.certificate.chain`: /none/chain.pem",
        ),
        (
            first.replace("id = 7", "id = 8"),
            "node.id: 7 -> 8 (sigplane restart)",
        ),
        (
            first.replace("[\"192.0.2.10\"]", "[\"192.0.2.11\"]"),
            "realm[carrier].media: [\"192.0.2.10\"] -> [\"192.0.2.11\"] (sigplane and dataplane restart)",
        ),
        (
            first.replace("workers = 3", "workers = 2"),
            "`systemctl restart tandem-sigplane`",
        ),
        (String::new(), "`node.id`"),
    ] {
        let text = text.replace("\"first\"", "\"second\"");
        for within in [0, 100] {
            let (code, message) = run.apply(&text, within).unwrap_err();
            assert_eq!(code, -32_010, "{message}");
            assert!(message.contains(said), "{message}");
        }
        run.assert_first(&first);
    }
    let checked = run.call("check", &json!({"text": format!("{first}{certificate}")}));
    let checked = checked.unwrap();
    let line = first.lines().count() + 3;
    assert_eq!(
        (&checked["ok"], &checked["mistakes"][0]["line"]),
        (&false.into(), &line.into())
    );
    let checked = run.call("check", &json!({"text": first})).unwrap();
    assert_eq!(checked["ok"], true);
    for params in [
        json!({}),
        json!({"text": 1}),
        json!({"text": first, "confirm_within": 90_000}),
        json!({"text": first, "x": 1}),
    ] {
        assert_eq!(
            run.call("apply", &params).unwrap_err().0,
            -32_602,
            "{params}"
        );
    }
    assert_eq!(
        run.call("rollback", &json!({"revision": 9})).unwrap_err().0,
        -32_010
    );
    run.assert_first(&first);
    assert!(run.counter("config_refused") >= 14);
}

#[test]
fn two_administrators_do_not_overwrite_each_other() {
    let mut run = Run::new();
    let (second, third) = (run.text("second"), run.text("third"));
    let seen = run.status()["digest"].as_str().unwrap().to_owned();
    run.apply(&second, 100).unwrap();
    let (code, message) = run.apply(&third, 100).unwrap_err();
    assert_eq!(code, -32_012);
    assert!(
        message.contains("a change by uid 0 (unix) is to be confirmed first"),
        "{message}"
    );
    run.call("confirm", &Value::Null).unwrap();
    let late = json!({"text": third, "expected": seen});
    let (code, message) = run.call("apply", &late).unwrap_err();
    assert_eq!(code, -32_011);
    assert!(message.contains("another configuration runs"), "{message}");
    assert_eq!(run.name(), "second");
    // Nor what somebody has written into the file by hand.
    std::fs::write(run.lab.path("tandem.toml"), run.text("by hand")).unwrap();
    let (code, message) = run.apply(&third, 100).unwrap_err();
    assert_eq!(code, -32_011);
    assert!(
        message.contains("somebody has changed it by hand"),
        "{message}"
    );
    assert_eq!(
        (run.name().as_str(), run.file()),
        ("second", run.text("by hand"))
    );
    assert_eq!(run.status()["file_has"], "other");
}

#[test]
fn a_kill_in_the_middle_ends_in_the_right_place() {
    let mut run = Run::new();
    let (first, second) = (run.file(), run.text("second"));
    run.apply(&second, 3).unwrap();
    let mut run = run.killed();
    assert_eq!((run.name().as_str(), run.file()), ("second", first.clone()));
    run.outcome("went back");
    run.assert_first(&first);

    // It is still confirmed by hand in the next life.
    run.apply(&second, 100).unwrap();
    let mut run = run.killed();
    run.call("confirm", &Value::Null).unwrap();
    assert_eq!(run.file(), second);
    let mut run = run.killed();
    assert_eq!(run.name(), "second");
    assert_eq!(run.status()["revision"], 2);

    // Its time was over while nobody ran.
    let third = run.text("third");
    run.apply(&third, 100).unwrap();
    let pending = run.lab.path("state/config/pending.json");
    assert_eq!(std::fs::metadata(&pending).unwrap().mode() & 0o777, 0o600);
    let mut kept: Value = serde_json::from_slice(&std::fs::read(&pending).unwrap()).unwrap();
    kept["deadline_boot_ms"] = 1.into();
    std::fs::write(&pending, kept.to_string()).unwrap();
    let mut run = run.killed();
    assert_eq!(
        (run.name().as_str(), run.file()),
        ("second", second.clone())
    );
    assert_eq!(run.status()["last"]["outcome"], "went back");
    assert!(!pending.exists());

    // Between the word of confirmation and the file.
    run.apply(&third, 100).unwrap();
    let mut kept: Value = serde_json::from_slice(&std::fs::read(&pending).unwrap()).unwrap();
    kept["confirming"] = true.into();
    std::fs::write(&pending, kept.to_string()).unwrap();
    let run = run.killed();
    assert_eq!((run.name().as_str(), run.file()), ("third", third));
    assert!(!pending.exists());
    assert_eq!(run.daemon.stop(), Some(0));
}

#[test]
fn a_file_that_was_edited_in_place_is_put_back_until_it_is_confirmed() {
    let mut run = Run::new();
    let path = run.lab.path("tandem.toml");
    let (first, second) = (run.file(), run.text("second"));
    std::fs::write(&path, &second).unwrap();
    let applied = run.apply(&second, 1).unwrap();
    assert_eq!(applied["put_back"], true);
    assert_eq!((run.name().as_str(), run.file()), ("second", first.clone()));
    run.outcome("went back");
    run.assert_first(&first);
    std::fs::write(&path, &second).unwrap();
    run.apply(&second, 100).unwrap();
    // The process ended before it was put back.
    std::fs::write(&path, &second).unwrap();
    let mut run = run.killed();
    assert_eq!((run.name().as_str(), run.file()), ("second", first));
    run.call("confirm", &Value::Null).unwrap();
    assert_eq!((run.name().as_str(), run.file()), ("second", second));
}

#[test]
fn sighup_takes_what_can_be_taken_and_says_what_cannot() {
    let mut run = Run::new();
    let path = run.lab.path("tandem.toml");
    let (first, second) = (run.file(), run.text("second"));
    std::fs::write(&path, &second).unwrap();
    run.daemon.hang_up();
    run.outcome("reloaded");
    assert_eq!(
        (run.name().as_str(), run.file()),
        ("second", second.clone())
    );
    assert_eq!(run.status()["revision"], 2);
    for (text, said) in [
        (
            second.replace("workers = 3", "workers = 0"),
            "line 41: `sip.workers`",
        ),
        (first.replace("id = 7", "id = 8"), "node.id: 7 -> 8"),
    ] {
        std::fs::write(&path, text).unwrap();
        run.daemon.hang_up();
        run.daemon.wait_for(said);
        run.daemon.wait_for("what ran before runs on");
        assert_eq!(run.name(), "second");
    }
    assert_eq!(run.counter("config_reloads_refused"), 2);
    // What is pending is not taken for confirmed.
    std::fs::write(&path, &second).unwrap();
    run.apply(&run.text("third"), 100).unwrap();
    std::fs::write(&path, &first).unwrap();
    run.daemon.hang_up();
    run.daemon.wait_for("is to be confirmed first");
    assert_eq!(run.name(), "third");
}

#[test]
fn links_full_disks_and_read_only_directories() {
    alone();
    let lab = Lab::new();
    lab.write_config(&called("first"));
    // A small disk of its own, for the file alone.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    let etc = lab.path("etc");
    std::fs::create_dir(&etc).unwrap();
    let mount = |options: &str| {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&etc)
            .status();
        assert!(status.unwrap().success());
    };
    let private = Command::new("mount")
        .args(["--make-rprivate", "/"])
        .status();
    assert!(private.unwrap().success());
    mount("size=64k");
    std::fs::copy(lab.path("tandem.toml"), etc.join("real.toml")).unwrap();
    std::fs::remove_file(lab.path("tandem.toml")).unwrap();
    symlink(etc.join("real.toml"), lab.path("tandem.toml")).unwrap();
    let mut run = Run::with(lab);
    let (first, second) = (run.file(), run.text("second"));

    run.apply(&second, 100).unwrap();
    run.call("confirm", &Value::Null).unwrap();
    let link = std::fs::symlink_metadata(run.lab.path("tandem.toml")).unwrap();
    assert!(link.is_symlink());
    assert_eq!(
        (run.file(), run.name().as_str()),
        (second.clone(), "second")
    );

    std::fs::write(etc.join("fill"), vec![b'x'; 1 << 20]).unwrap_err();
    for within in [0, 100] {
        let (code, message) = run.apply(&first, within).unwrap_err();
        assert_eq!(code, -32_010);
        assert!(
            message.contains("No space left") && message.contains("nothing was changed"),
            "{message}"
        );
        assert_eq!(
            (run.file(), run.name().as_str()),
            (second.clone(), "second")
        );
        assert_eq!(std::fs::read_dir(&etc).unwrap().count(), 2);
    }
    std::fs::remove_file(etc.join("fill")).unwrap();
    run.apply(&first, 100).unwrap();
    mount("remount,ro");
    // Where it cannot be kept it can still be taken back, or tried again.
    let (_, message) = run.call("confirm", &Value::Null).unwrap_err();
    assert!(message.contains("Read-only file system"), "{message}");
    assert_eq!((run.file(), run.name().as_str()), (second.clone(), "first"));
    mount("remount,rw");
    run.call("confirm", &Value::Null).unwrap();
    assert_eq!((run.file(), run.name().as_str()), (first, "first"));
}

#[test]
fn tables_that_a_change_needs_are_there_with_it_or_it_does_not_come() {
    let run = Run::new();
    let Run { lab, daemon, .. } = run;
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(lab.start().stop(), Some(0));
    let locker = Locker::lock(&lab.path("state/tandem.db"));
    let mut run = Run::with(lab);
    let first = run.file();
    let dids = format!("{first}[routing]\ndids = true\n");
    let (code, message) = run.apply(&dids, 100).unwrap_err();
    assert_eq!(code, -32_010);
    assert!(message.contains("the database has to be read"), "{message}");
    run.assert_first(&first);
    locker.release();
    run.daemon.wait_for("tandem.db is in use");
    let taken = run.counter("configs_taken");
    run.apply(&dids, 100).unwrap();
    run.call("revert", &Value::Null).unwrap();
    assert_eq!(run.counter("configs_taken"), taken + 6);
    run.assert_first(&first);
}

/// Whom a TLS server says that it is.
fn subject(port: u16) -> String {
    let show = format!(
        "openssl s_client -connect 127.0.0.1:{port} </dev/null 2>/dev/null | openssl x509 -noout -subject"
    );
    let output = Command::new("sh").args(["-c", &show]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn certificates_and_limits_of_connections_change_with_the_rest() {
    alone();
    let lab = Lab::new();
    let names = ["one", "two"];
    for name in names {
        let (key, chain) = (
            lab.path(&format!("{name}.key")),
            lab.path(&format!("{name}.pem")),
        );
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
            ])
            .args(["-days", "2", "-subj", &format!("/CN={name}"), "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&chain)
            .output();
        assert!(made.unwrap().status.success());
    }
    let dir = lab.dir.path().display().to_string();
    let more = |name: &str, most: u32| {
        format!(
            "{}\n[[sip.listen]]\ntransport = \"tls\"\nlisten = \"127.0.0.1:5061\"\nside = \"external\"\n\
             [[tls.certificate]]\nnames = [\"a.example\"]\nchain = \"{dir}/{name}.pem\"\nkey = \"{dir}/{name}.key\"\n\
             [tls]\nverify = false\n[streams]\nmax_per_source = {most}\n",
            called("first")
        )
    };
    lab.write_config(&more("one", 100));
    let mut run = Run::with(lab);
    assert!(subject(5_061).contains("one"), "{}", subject(5_061));
    let first = run.file();
    let second = first
        .replace("/one.", "/two.")
        .replace("max_per_source = 100", "max_per_source = 1");
    run.apply(&second, 100).unwrap();
    let begin = Instant::now();
    while !subject(5_061).contains("two") {
        assert!(begin.elapsed() < PATIENCE);
    }
    let kept = std::net::TcpStream::connect("127.0.0.1:5061").unwrap();
    let refused = Instant::now();
    while run.counter("stream_refused_source") == 0 {
        drop(std::net::TcpStream::connect("127.0.0.1:5061"));
        assert!(refused.elapsed() < PATIENCE);
    }
    drop(kept);
    // A file that is gone by now keeps nobody from going back.
    std::fs::remove_file(run.lab.path("one.pem")).unwrap();
    run.call("revert", &Value::Null).unwrap();
    run.daemon.wait_for("this part stays as it is");
    assert_eq!(run.file(), first);
}
