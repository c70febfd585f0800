//! `tandemctl config check`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use tandem_config::Config;

use crate::client::Failure;
use crate::show::write_out;

/// Reads a configuration file.
pub(crate) fn load(path: &Path) -> Result<Config, Failure> {
    tandem_config::parse(&read(path)?).map_err(|mistakes| {
        let mut text = format!("{} has {}:", path.display(), count(mistakes.len()));
        for mistake in mistakes {
            let _ = write!(text, "\n  {mistake}");
        }
        Failure::Config(text)
    })
}

/// Names every mistake, or says what the file configures.
pub(crate) fn check(path: &Path, as_json: bool) -> Result<ExitCode, Failure> {
    match tandem_config::parse(&read(path)?) {
        Ok(config) => {
            if as_json {
                write_out(&format!("{}\n", json!({ "ok": true, "mistakes": [] })))?;
            } else {
                let summary = summary(&config);
                write_out(&format!("{}: correct. {summary}\n", path.display()))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(mistakes) => {
            if as_json {
                let list: Vec<_> = mistakes
                    .iter()
                    .map(|m| {
                        json!({ "line": m.line, "column": m.column, "key": m.key,
                                "problem": m.problem, "remedy": m.remedy })
                    })
                    .collect();
                write_out(&format!("{}\n", json!({ "ok": false, "mistakes": list })))?;
            } else {
                for mistake in &mistakes {
                    write_out(&format!("{}: {mistake}\n", path.display()))?;
                }
                eprintln!("tandemctl: {}", count(mistakes.len()));
            }
            Ok(ExitCode::from(1))
        }
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::File {
        path: path.to_path_buf(),
        error,
    })
}

pub(crate) fn count(mistakes: usize) -> String {
    if mistakes == 1 {
        "1 mistake".to_owned()
    } else {
        format!("{mistakes} mistakes")
    }
}

fn summary(config: &Config) -> String {
    let realms: Vec<&str> = config.realms.iter().map(|r| r.name.as_str()).collect();
    format!(
        "Node {}, {} workers, {} ports, realms {}.",
        config.node.id,
        config.dataplane.workers.len(),
        config.ports.len(),
        realms.join(", ")
    )
}
