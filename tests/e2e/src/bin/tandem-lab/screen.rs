//! How it looks.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// Prints lines with the time since the start in front.
pub(crate) struct Screen {
    begin: Instant,
    colours: bool,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            begin: Instant::now(),
            colours,
        }
    }

    /// A heading.
    pub(crate) fn title(&self, text: &str) {
        println!("\n{}", self.paint("1", text));
    }

    /// Something that happened now.
    pub(crate) fn event(&self, text: &str) {
        println!("{}  {text}", self.paint("2", &self.clock()));
    }

    /// Something good that happened now.
    pub(crate) fn good(&self, text: &str) {
        println!(
            "{}  {}",
            self.paint("2", &self.clock()),
            self.paint("32", text)
        );
    }

    /// Something bad that happened now.
    pub(crate) fn bad(&self, text: &str) {
        println!(
            "{}  {}",
            self.paint("2", &self.clock()),
            self.paint("33", text)
        );
    }

    /// A line that belongs to the event before.
    pub(crate) fn detail(&self, text: &str) {
        println!("          {text}");
    }

    /// How long it took so far.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    fn clock(&self) -> String {
        format!("{:6.1} s", self.elapsed().as_secs_f64())
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// The wires, as a picture.
pub(crate) const PICTURE: &str = "
   carrier               appliance                         core
                       ┌─────────────────────────────┐
   caller              │ tandem-dataplane (DPDK)     │     server 1
   192.0.2.100 ────────┤ 192.0.2.10       10.20.0.10 ├──┬─ 10.20.0.21
                       │      │ rings, commands      │  │
                       │ tandem-sigplane (SIP)       │  └─ server 2
                       └─────────────────────────────┘     10.20.0.22";
