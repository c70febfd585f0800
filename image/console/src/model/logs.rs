//! The last lines of the logs.

use std::collections::VecDeque;

use crate::feed::{Got, Level, LogLine};

/// Lines kept.
const KEPT: usize = 5_000;

/// The logs.
#[derive(Clone, Debug)]
pub(crate) struct Logs {
    lines: VecDeque<LogLine>,
    /// Where they come from, or why there are none.
    pub(crate) source: Option<Got<String>>,
    /// What is less serious is not shown.
    pub(crate) level: Level,
    /// The last line is shown, whatever comes.
    pub(crate) follow: bool,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            lines: VecDeque::new(),
            source: None,
            level: Level::Info,
            follow: true,
        }
    }
}

impl Logs {
    /// More lines.
    pub(crate) fn take(&mut self, lines: Vec<LogLine>) {
        self.lines.extend(lines);
        let more = self.lines.len().saturating_sub(KEPT);
        self.lines.drain(..more);
    }

    /// The lines that level and filter let through.
    pub(crate) fn shown(&self, filter: &str) -> Vec<&LogLine> {
        let lines = self.lines.iter();
        lines
            .filter(|line| {
                line.level >= self.level && super::has(filter, &[&line.text, &line.unit])
            })
            .collect()
    }

    /// The next level: all, information, warnings, errors.
    pub(crate) fn turn(&mut self) {
        self.level = match self.level {
            Level::Debug => Level::Info,
            Level::Info => Level::Warning,
            Level::Warning => Level::Error,
            Level::Error => Level::Debug,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: Level, text: &str) -> LogLine {
        LogLine {
            time_ms: 0,
            unit: "tandem-sigplane".to_owned(),
            level,
            text: text.to_owned(),
        }
    }

    #[test]
    fn the_last_lines_stay_and_filters_hide_the_others() {
        let mut logs = Logs::default();
        logs.take(vec![line(Level::Debug, "first"); KEPT]);
        logs.take(vec![
            line(Level::Error, "Broken"),
            line(Level::Info, "fine"),
        ]);
        assert_eq!(logs.lines.len(), KEPT);
        assert_eq!(logs.shown("").len(), 2);
        assert_eq!(logs.shown("broken").len(), 1);
        logs.turn();
        assert_eq!(logs.shown("").len(), 1);
        logs.turn();
        logs.turn();
        assert_eq!(logs.shown("sigplane").len(), KEPT);
    }
}
