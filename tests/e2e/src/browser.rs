//! Chromium without a window, driven through the pipe of its DevTools protocol: pages that run the scripts in
//! `browser/`, which speak SIP with sip.js.
//!
//! Each message is JSON, ended by a zero byte: commands with an `id` and answers with the same, and events. No port is
//! opened for it.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::tls::Certificate;
use crate::{Failure, Lab, Namespace, Process, Result};

/// What the browser and its pages have to do within.
const SOON: Duration = Duration::from_secs(30);

/// A running browser.
pub struct Browser {
    // Before the process: it is told to end, and then killed.
    pipe: Rc<RefCell<Pipe>>,
    process: Process,
}

/// A page in it, with `phone.html` loaded.
pub struct Page {
    pipe: Rc<RefCell<Pipe>>,
    session: String,
    target: String,
}

/// Who a page is.
#[derive(Clone, Debug)]
pub struct Account<'a> {
    /// The WebSocket listener of the appliance.
    pub server: SocketAddr,
    /// The user.
    pub user: &'a str,
    /// The domain.
    pub domain: &'a str,
    /// The password; empty for a page that does not register.
    pub password: &'a str,
    /// Where its session descriptions say that its media is.
    pub media: SocketAddr,
}

impl Browser {
    /// Starts one in a namespace. It trusts `certificate` and no other.
    ///
    /// # Errors
    /// When sip.js is not installed, or the browser does not start.
    pub fn start(
        lab: &Lab,
        namespace: &Namespace,
        name: &str,
        certificate: &Certificate,
    ) -> Result<Self> {
        if !scripts().join("node_modules/sip.js/lib/index.js").exists() {
            return Err(Failure::new(
                "sip.js is missing in tests/e2e/browser: install it with `.ci/setup tools`",
            ));
        }
        let folder = lab.peer_dir(name)?;
        let mut command = namespace.command("taskset");
        // The protocol is on the file descriptors 3 and 4.
        command
            .args(["-c", "0", "sh", "-c"])
            .arg("exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>&2")
            .args(["chromium", "--headless=new", "--remote-debugging-pipe"])
            // The tests run as root, where its sandbox does not; the pages are our own.
            .args(["--no-sandbox", "--allow-file-access-from-files"])
            .args(["--no-first-run", "--disable-gpu", "--disable-dev-shm-usage"])
            // Nobody answers it outside of the laboratory.
            .args(["--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--disable-extensions"])
            .arg(format!("--user-data-dir={}", folder.display()))
            .arg(format!(
                "--ignore-certificate-errors-spki-list={}",
                certificate.key_digest()?
            ))
            // Whatever it keeps outside of its profile is in the laboratory too.
            .env("HOME", &folder)
            .current_dir(&folder);
        let (process, input, output) = Process::start_talking(name, command, lab.log(name))?;
        let pipe = Pipe::new(input, output, lab.log(&format!("{name}-pages")))?;
        let browser = Self {
            pipe: Rc::new(RefCell::new(pipe)),
            process,
        };
        let version = browser.ask("Browser.getVersion", &json!({}));
        version.map_err(|f| Failure::new(format!("{f}\n{}", browser.process.tail(30))))?;
        Ok(browser)
    }

    /// A new page, loaded.
    ///
    /// # Errors
    /// When its scripts do not load.
    pub fn page(&self) -> Result<Page> {
        let made = self.ask("Target.createTarget", &json!({"url": "about:blank"}))?;
        let target = text(&made, "/targetId");
        let attach = json!({"targetId": target, "flatten": true});
        let attached = self.ask("Target.attachToTarget", &attach)?;
        let page = Page {
            pipe: Rc::clone(&self.pipe),
            session: text(&attached, "/sessionId"),
            target,
        };
        for domain in ["Page", "Runtime", "Network", "Log"] {
            page.ask(&format!("{domain}.enable"), &json!({}))?;
        }
        let url = format!("file://{}", scripts().join("phone.html").display());
        page.load("Page.navigate", &json!({"url": url}))?;
        Ok(page)
    }

    fn ask(&self, method: &str, parameters: &Value) -> Result<Value> {
        self.pipe.borrow_mut().ask(None, method, parameters)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // In order, so that its own processes end too; an error means that it has ended.
        let _ = self.ask("Browser.close", &json!({}));
    }
}

impl Page {
    /// Connects: what the page does from here on is that user's.
    ///
    /// # Errors
    /// When the connection does not come up.
    pub fn connect(&self, account: &Account<'_>) -> Result<()> {
        let settings = json!({
            "server": format!("wss://{}", account.server),
            "user": account.user,
            "domain": account.domain,
            "password": account.password,
            "media": account.media.ip().to_string(),
            "port": account.media.port(),
        });
        self.run(&format!("phone.connect({settings})")).map(drop)
    }

    /// Runs JavaScript in it; a promise is waited for.
    ///
    /// # Errors
    /// With the exception that it threw, or when it takes too long.
    pub fn run(&self, script: &str) -> Result<Value> {
        let evaluate = json!({"expression": script, "awaitPromise": true, "returnByValue": true});
        let answer = self.ask("Runtime.evaluate", &evaluate)?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            return Err(Failure::new(format!("{script}: {thrown}")));
        }
        Ok(at(&answer, "/result/value"))
    }

    /// The same for what gives a status code.
    ///
    /// # Errors
    /// The same, and when it is no number.
    pub fn code(&self, script: &str) -> Result<u64> {
        let value = self.run(script)?;
        value
            .as_u64()
            .ok_or_else(|| Failure::new(format!("{script}: {value}")))
    }

    /// Waits until the page has seen an event, and returns it: the first whose words begin with `words` that was not asked
    /// for before. Its events are what `phone.js` says.
    ///
    /// # Errors
    /// When there is none in time, with all that there were.
    pub fn sees(&self, words: &str) -> Result<String> {
        let value = self.run(&format!("phone.sees({})", json!(words)));
        match value {
            Ok(value) => Ok(value.as_str().unwrap_or_default().to_owned()),
            Err(failure) => {
                let seen = self.run("phone.events").unwrap_or_default();
                Err(Failure::new(format!("{failure}\nseen: {seen}")))
            }
        }
    }

    /// Loads it again, as its user would; all of its connections end.
    ///
    /// # Errors
    /// When it does not load.
    pub fn reload(&self) -> Result<()> {
        self.load("Page.reload", &json!({}))
    }

    /// Closes it.
    ///
    /// # Errors
    /// When the browser has ended.
    pub fn close(self) -> Result<()> {
        let target = json!({"targetId": self.target});
        let mut pipe = self.pipe.borrow_mut();
        pipe.ask(None, "Target.closeTarget", &target).map(drop)
    }

    /// All that has come to it by WebSockets so far, a message each.
    #[must_use]
    pub fn received(&self) -> Vec<String> {
        let pipe = self.pipe.borrow();
        let events = pipe.events.iter().filter(|e| self.is_mine(e));
        let frames = events.filter(|e| is(e, "Network.webSocketFrameReceived"));
        frames
            .map(|e| text(e, "/params/response/payloadData"))
            .collect()
    }

    /// Why WebSockets of it have failed so far.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        let pipe = self.pipe.borrow();
        let events = pipe.events.iter().filter(|e| self.is_mine(e));
        let errors = events.filter(|e| is(e, "Network.webSocketFrameError"));
        errors.map(|e| text(e, "/params/errorMessage")).collect()
    }

    fn load(&self, method: &str, parameters: &Value) -> Result<()> {
        self.pipe
            .borrow_mut()
            .events
            .retain(|e| !(is(e, LOADED) && self.is_mine(e)));
        self.ask(method, parameters)?;
        let mut pipe = self.pipe.borrow_mut();
        pipe.wait(LOADED, |e| is(e, LOADED) && self.is_mine(e))?;
        drop(pipe);
        // The scripts are modules: they have run before the page counts as loaded, if there was no mistake in them.
        match self.run("typeof phone")?.as_str() {
            Some("object") => Ok(()),
            _ => Err(Failure::new("the page's scripts have not run")),
        }
    }

    fn is_mine(&self, event: &Value) -> bool {
        text(event, "/sessionId") == self.session
    }

    fn ask(&self, method: &str, parameters: &Value) -> Result<Value> {
        let mut pipe = self.pipe.borrow_mut();
        pipe.ask(Some(&self.session), method, parameters)
    }
}

/// The event of a page that is there.
const LOADED: &str = "Page.loadEventFired";

/// The DevTools protocol.
struct Pipe {
    to: ChildStdin,
    from: Receiver<Value>,
    last: u64,
    events: Vec<Value>,
    log: std::fs::File,
}

impl Pipe {
    fn new(to: ChildStdin, from: ChildStdout, log: PathBuf) -> Result<Self> {
        let log = std::fs::File::create(&log).map_err(Failure::while_("making a log"))?;
        let (sender, receiver) = channel();
        // It ends with the browser.
        std::thread::spawn(move || read(from, &sender));
        Ok(Self {
            to,
            from: receiver,
            last: 0,
            events: Vec::new(),
            log,
        })
    }

    /// A command and its answer; what comes in between is kept.
    fn ask(&mut self, session: Option<&str>, method: &str, parameters: &Value) -> Result<Value> {
        self.last += 1;
        let id = self.last;
        let mut command = json!({"id": id, "method": method, "params": parameters});
        if let (Some(session), Some(fields)) = (session, command.as_object_mut()) {
            fields.insert("sessionId".to_owned(), json!(session));
        }
        let line = format!("{command}\0");
        self.to
            .write_all(line.as_bytes())
            .map_err(Failure::while_(format!("{method} to the browser")))?;
        let answer = self.wait(method, |m| m.get("id").and_then(Value::as_u64) == Some(id))?;
        match answer.get("error") {
            Some(error) => Err(Failure::new(format!("{method}: {error}"))),
            None => Ok(at(&answer, "/result")),
        }
    }

    fn wait(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        if let Some(known) = self.events.iter().find(|e| wanted(e)) {
            return Ok(known.clone());
        }
        let end = Instant::now() + SOON;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(message) = self.from.recv_timeout(left) else {
                let why = format!("the browser did not answer {what} within {SOON:?}");
                return Err(Failure::new(why));
            };
            let found = wanted(&message);
            if message.get("id").is_none() {
                self.note(&message);
                self.events.push(message.clone());
            }
            if found {
                return Ok(message);
            }
        }
    }

    /// Writes down what helps to understand a failure.
    fn note(&mut self, event: &Value) {
        let method = text(event, "/method");
        let said = [
            "webSocketFrame",
            "exceptionThrown",
            "consoleAPI",
            "Log.entry",
        ];
        if said.iter().any(|w| method.contains(w)) {
            let text = event["params"].to_string().replace("\\r\\n", "\n");
            // A log that cannot be written is no failure of the test.
            let _ = writeln!(self.log, "{method} {text}");
        }
    }
}

fn read(from: ChildStdout, to: &Sender<Value>) {
    let mut from = BufReader::new(from);
    let mut bytes = Vec::new();
    while from.read_until(0, &mut bytes).is_ok_and(|n| n > 0) {
        bytes.pop();
        let message = serde_json::from_slice(&bytes);
        bytes.clear();
        if message.is_ok_and(|m| to.send(m).is_err()) {
            return;
        }
    }
}

fn is(event: &Value, method: &str) -> bool {
    event.get("method").and_then(Value::as_str) == Some(method)
}

/// What a JSON pointer names; null when there is nothing.
fn at(value: &Value, pointer: &str) -> Value {
    value.pointer(pointer).cloned().unwrap_or_default()
}

fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("browser")
}
