//! The real command against a management socket that this test serves.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};
use tandem_admin::{Incoming, Notification, Request, Response, decode, method};
use tempfile::TempDir;

/// Serves one connection: answers each request with `answers`, then sends the notifications.
fn serve(
    dir: &Path,
    answer: Value,
    notes: Vec<Notification>,
) -> (PathBuf, JoinHandle<Option<Request>>) {
    let socket = dir.join("admin.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().ok()?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Ok(Incoming::One(request)) = decode(line.as_bytes()) else {
            return None;
        };
        let id = request.id.clone()?;
        let response = match answer.get("refuse") {
            Some(why) => Response {
                jsonrpc: "2.0".into(),
                id,
                result: None,
                error: serde_json::from_value(json!({"code": -32000, "message": why})).ok(),
            },
            None => Response::success(id, answer),
        };
        let stream = reader.get_mut();
        writeln!(stream, "{}", serde_json::to_string(&response).ok()?).ok()?;
        for note in notes {
            writeln!(stream, "{}", serde_json::to_string(&note).ok()?).ok()?;
        }
        Some(request)
    });
    (socket, server)
}

fn tandemctl(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tandemctl"))
        .args(args)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_daemon_that_does_not_run_is_said_so_with_code_3() {
    let output = tandemctl(&["--socket", "/nonexistent/admin.sock", "status"]);
    assert_eq!(output.status.code(), Some(3));
    let error = text(&output.stderr);
    assert!(error.contains("tandem-sigplane is not running"), "{error}");
    assert!(error.contains("/nonexistent/admin.sock"), "{error}");
}

#[test]
fn wrong_usage_is_code_2() {
    assert_eq!(tandemctl(&["capture"]).status.code(), Some(2));
    assert_eq!(tandemctl(&["no-such-command"]).status.code(), Some(2));
}

#[test]
fn counters_are_a_table_without_zeros_and_whole_as_json() {
    let counters = json!([
        {"plane": "dataplane", "name": "media_no_flow", "value": 3},
        {"plane": "signaling", "name": "sip_malformed", "value": 0},
    ]);
    let dir = TempDir::new().unwrap();
    let (socket, server) = serve(dir.path(), counters.clone(), Vec::new());
    let output = tandemctl(&["--socket", socket.to_str().unwrap(), "counters"]);
    assert_eq!(server.join().unwrap().unwrap().method, method::STATISTICS);
    assert_eq!(
        text(&output.stdout),
        "PLANE      COUNTER        VALUE\ndataplane  media_no_flow      3\n"
    );

    let dir = TempDir::new().unwrap();
    let (socket, _server) = serve(dir.path(), counters.clone(), Vec::new());
    let output = tandemctl(&["--json", "--socket", socket.to_str().unwrap(), "counters"]);
    assert_eq!(
        serde_json::from_slice::<Value>(&output.stdout).unwrap(),
        counters
    );
}

#[test]
fn a_refusal_is_shown_with_code_1() {
    let dir = TempDir::new().unwrap();
    let why = json!({"refuse": "the dataplane is not connected"});
    let (socket, _server) = serve(dir.path(), why, Vec::new());
    let output = tandemctl(&["--socket", socket.to_str().unwrap(), "flows"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("the dataplane is not connected"));
}

#[test]
fn a_capture_becomes_a_pcap_file() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("out.pcap");
    let notes = vec![
        Notification::new(
            method::CAPTURE_PACKET,
            json!({"timestamp_ns": 1_500_000_000u64, "port": "p", "sent": false, "length": 4,
                   "data": "01020304"}),
        ),
        Notification::new(
            method::CAPTURE_END,
            json!({"dropped": 0, "reason": "limit reached"}),
        ),
    ];
    let started = json!({"id": 1, "max_packets": 1, "max_bytes": 100, "max_seconds": 2});
    let (socket, server) = serve(dir.path(), started, notes);
    let output = tandemctl(&[
        "--socket",
        socket.to_str().unwrap(),
        "capture",
        "--call-id",
        "a@b",
        "-w",
        file.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(server.join().unwrap().unwrap().params["call_id"], "a@b");
    let bytes = std::fs::read(file).unwrap();
    assert_eq!(bytes.len(), 24 + 16 + 4);
    assert_eq!(bytes[40..], [1, 2, 3, 4]);
}

#[test]
fn a_capture_that_is_refused_or_breaks_off_is_a_failure() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("out.pcap");
    std::fs::write(&file, "precious").unwrap();
    let why = json!({"refuse": "the dataplane is not connected"});
    let (socket, _server) = serve(dir.path(), why, Vec::new());
    let capture = [
        "--socket",
        socket.to_str().unwrap(),
        "capture",
        "-w",
        file.to_str().unwrap(),
    ];
    assert_eq!(tandemctl(&capture).status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");

    std::fs::remove_file(&socket).unwrap();
    let started = json!({"id": 1, "max_packets": 1, "max_bytes": 100, "max_seconds": 2});
    let (_, _server) = serve(dir.path(), started, Vec::new());
    let output = tandemctl(&capture);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("0 packets written"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let dir = TempDir::new().unwrap();
    let (socket, _server) = serve(dir.path(), json!([]), Vec::new());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_tandemctl"))
        .args(["--socket", socket.to_str().unwrap(), "calls"])
        .stdout(writer)
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn a_correct_configuration_is_summed_up() {
    let example = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../config/tandem.example.toml"
    );
    let output = tandemctl(&["config", "check", example]);
    assert!(output.status.success(), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("correct. Node "));
    let output = tandemctl(&["--json", "config", "check", example]);
    assert_eq!(
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["ok"],
        true
    );
}

#[test]
fn config_check_names_each_mistake_with_its_line() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("tandem.toml");
    std::fs::write(&file, "[node]\nid = 0\ncolour = \"red\"\n").unwrap();
    let output = tandemctl(&["config", "check", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let lines = text(&output.stdout);
    assert!(lines.contains("line 2: `node.id`"), "{lines}");
    assert!(lines.contains("line 3: `node.colour`"), "{lines}");
}

/// What bash offers for a line: as it does itself when somebody presses the tabulator.
fn completions(line: &str) -> Vec<String> {
    let script = r#"
        source <("$1" completion bash)
        spec=$(complete -p tandemctl)
        function=$(sed 's/.*-F \([^ ]*\).*/\1/' <<<"$spec")
        COMP_LINE=$2
        COMP_POINT=${#COMP_LINE}
        read -ra COMP_WORDS <<<"$COMP_LINE"
        [[ $COMP_LINE == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        "$function" tandemctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2>/dev/null
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = Command::new("bash")
        .args(["--norc", "-c", script, "bash"])
        .args([env!("CARGO_BIN_EXE_tandemctl"), line])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    assert_eq!(completions("tandemctl disp"), ["dispatcher"]);
    assert_eq!(completions("tandemctl dispatcher set-"), ["set-state"]);
    assert_eq!(completions("tandemctl calls en"), ["end"]);
    assert_eq!(completions("tandemctl --tok"), ["--token-file"]);
    assert_eq!(completions("tandemctl token add x --role op"), ["operate"]);
    assert_eq!(completions("tandemctl completion zs"), ["zsh"]);
    assert!(completions("tandemctl ").contains(&"status".to_owned()));
}

#[test]
fn other_shells_and_the_manual_have_every_command() {
    for shell in ["zsh", "fish"] {
        let output = tandemctl(&["completion", shell]);
        let script = text(&output.stdout);
        assert!(
            output.status.success() && script.contains("dispatcher"),
            "{script}"
        );
    }
    let dir = TempDir::new().unwrap();
    let output = tandemctl(&["man", dir.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for page in [
        "tandemctl.1",
        "tandemctl-calls-end.1",
        "tandemctl-token-add.1",
    ] {
        let page = std::fs::read_to_string(dir.path().join(page)).unwrap();
        assert!(page.contains(".TH tandemctl"), "{page}");
    }
}

#[test]
fn a_token_is_shown_once_and_its_file_is_for_the_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("tokens");
    let token = |arguments: &[&str]| {
        let mut all = vec!["token", "--file", file.to_str().unwrap()];
        all.extend(arguments);
        let output = tandemctl(&all);
        (
            output.status.code(),
            text(&output.stdout) + &text(&output.stderr),
        )
    };
    let (code, said) = token(&["add", "one", "--role", "read"]);
    assert_eq!(code, Some(0));
    let secret = said
        .lines()
        .find(|l| l.starts_with("tnd_"))
        .unwrap()
        .to_owned();
    assert_eq!(secret.len(), 68);
    assert_eq!(
        token(&["add", "two", "--role", "admin", "--days", "2"]).0,
        Some(0)
    );
    assert_eq!(token(&["add", "one", "--role", "read"]).0, Some(1));
    assert_eq!(token(&["add", "a b", "--role", "read"]).0, Some(2));
    assert_eq!(token(&["add", "x", "--role", "root"]).0, Some(2));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert!(!std::fs::read_to_string(&file).unwrap().contains("tnd_"));
    let (_, listed) = token(&["list"]);
    assert!(listed.contains("one   read   never"), "{listed}");
    assert!(!listed.contains(&secret));
    assert_eq!(token(&["remove", "one"]).0, Some(0));
    assert_eq!(token(&["remove", "one"]).0, Some(1));
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        1,
        "nothing is left beside it"
    );
}

#[test]
fn a_url_that_would_show_the_token_is_refused() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "tnd_1\n").unwrap();
    let file = file.to_str().unwrap();
    for (url, says) in [
        ("http://192.0.2.1:80", "use https"),
        ("192.0.2.1", "begins with https://"),
        ("https://192.0.2.1/x", "without a path"),
    ] {
        let output = tandemctl(&["--url", url, "--token-file", file, "status"]);
        assert_eq!(output.status.code(), Some(2), "{url}");
        assert!(
            text(&output.stderr).contains(says),
            "{}",
            text(&output.stderr)
        );
    }
    let output = tandemctl(&[
        "--url",
        "http://127.0.0.1:1",
        "--token-file",
        file,
        "status",
    ]);
    assert_eq!(output.status.code(), Some(3));
}
