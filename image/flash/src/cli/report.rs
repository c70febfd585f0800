//! What the operator sees, or a program reads.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tandem_flash::Failure;
use tandem_flash::progress::{Phase, Progress};

/// Where there is no terminal, a line is written so often; for programs, at most so often.
const LINES: Duration = Duration::from_secs(10);
const EVENTS: Duration = Duration::from_millis(250);

/// A line on the standard error. A terminal that went away is no reason to stop in the middle of a disk.
macro_rules! complain {
    ($($words:tt)*) => {{
        let _ = writeln!(std::io::stderr().lock(), $($words)*);
    }};
}

/// The display.
pub(super) struct Reporter {
    is_json: bool,
    bar: Option<ProgressBar>,
    phase: Option<Running>,
}

struct Running {
    phase: Phase,
    total: u64,
    since: Instant,
    told: Instant,
    done: u64,
}

impl Running {
    /// Bytes a second, and seconds that are left.
    fn rate(&self) -> (u64, Option<u64>) {
        let seconds = self.since.elapsed().as_secs_f64();
        let rate = match seconds > 0.0 {
            true => (self.done as f64 / seconds) as u64,
            false => 0,
        };
        let left = self.total.saturating_sub(self.done);
        (rate, left.checked_div(rate))
    }
}

impl Reporter {
    pub(super) fn new(is_json: bool) -> Self {
        Self {
            is_json,
            bar: None,
            phase: None,
        }
    }

    pub(super) fn is_json(&self) -> bool {
        self.is_json
    }

    /// An object on a line of the standard output.
    pub(super) fn event(&self, event: &Value) {
        // A reader that went away is no reason to stop in the middle of a disk.
        let _ = writeln!(std::io::stdout().lock(), "{event}");
    }

    /// A result: text for people, an object for programs.
    pub(super) fn tell(&self, words: &str, event: &Value) {
        match self.is_json {
            true => self.event(event),
            false => {
                let _ = writeln!(std::io::stdout().lock(), "{words}");
            }
        }
    }

    /// Something that went well, on the side.
    pub(super) fn fact(&self, words: &str) {
        match self.is_json {
            true => self.event(&json!({"event": "fact", "text": words})),
            false => complain!("{words}"),
        }
    }

    pub(super) fn warning(&self, words: &str) {
        match self.is_json {
            true => self.event(&json!({"event": "warning", "text": words})),
            false => complain!("WARNING: {words}"),
        }
    }

    pub(super) fn failure(&mut self, failure: &Failure) {
        self.end();
        let (error, state) = (&failure.error, failure.state);
        if self.is_json {
            self.event(&json!({
                "event": "error",
                "code": error.code(),
                "exit": error.exit_code(),
                "message": error.to_string(),
                "remedy": error.remedy(),
                "disk_state": state,
            }));
            return;
        }
        complain!("tandem-flash: {error}");
        complain!("  {}", error.remedy());
        complain!("  {}", state.words());
    }

    /// A phase is over.
    pub(super) fn end(&mut self) {
        let Some(running) = self.phase.take() else {
            return;
        };
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let seconds = running.since.elapsed().as_secs_f64();
        let (rate, _) = running.rate();
        let words = format!(
            "{}: {} in {seconds:.1} s, {}/s",
            running.phase.words(),
            HumanBytes(running.done),
            HumanBytes(rate)
        );
        match self.is_json {
            true => self.progress_event(&running),
            false => complain!("{words}"),
        }
    }

    fn progress_event(&self, running: &Running) {
        let (rate, left) = running.rate();
        self.event(&json!({
            "event": "progress",
            "phase": running.phase,
            "done": running.done,
            "total": running.total,
            "bytes_per_second": rate,
            "seconds_left": left,
        }));
    }
}

impl Progress for Reporter {
    fn begin(&mut self, phase: Phase, total: u64) {
        self.end();
        // What draws and what counts are apart: a bar's own clock has other ideas of a rate.
        let now = Instant::now();
        let running = Running {
            phase,
            total,
            since: now,
            told: now,
            done: 0,
        };
        if self.is_json {
            self.progress_event(&running);
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(total);
            let template = "{prefix:>9} {wide_bar} {percent:>3}% {bytes}/{total_bytes} {binary_bytes_per_sec} {eta} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_prefix(phase.words());
            self.bar = Some(bar);
        }
        self.phase = Some(running);
    }

    fn at(&mut self, done: u64) {
        let Some(running) = &mut self.phase else {
            return;
        };
        running.done = done;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            return;
        }
        let every = if self.is_json { EVENTS } else { LINES };
        if running.told.elapsed() < every {
            return;
        }
        running.told = Instant::now();
        let Some(running) = self.phase.take() else {
            return;
        };
        if self.is_json {
            self.progress_event(&running);
        } else {
            let (rate, left) = running.rate();
            let left = left.map_or(String::new(), |s| format!(", {s} s left"));
            let percent = (done * 100).checked_div(running.total).unwrap_or(100);
            let phase = running.phase.words();
            complain!("{phase}: {percent} %, {}/s{left}", HumanBytes(rate));
        }
        self.phase = Some(running);
    }

    fn say(&mut self, words: &str) {
        match &self.bar {
            Some(bar) => bar.println(words),
            None => self.fact(words),
        }
    }
}
