//! What is wrong with a configuration: what its text says, and what this machine has not.

use std::path::Path;

use tandem_config::{Config, Mistake, place};
use tandem_net::StreamsError;
use tandem_store::DatabasePlace;

use crate::{hiding, http, streams};

/// A configuration's text, read and found good here.
///
/// # Errors
/// Every mistake; those of the machine only when the text has none.
pub(crate) fn check(text: &str) -> Result<Config, Vec<Mistake>> {
    let config = tandem_config::parse(text)?;
    let mistakes = machine(text, &config);
    if mistakes.is_empty() {
        Ok(config)
    } else {
        Err(mistakes)
    }
}

/// What a start would stumble over: files that are not there, or are not what they should be. Changes nothing.
pub(crate) fn machine(text: &str, config: &Config) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut add = |key: &str, nth: usize, problem: String, remedy: &str| {
        let (line, column) = place(text, key, nth);
        mistakes.push(Mistake {
            line,
            column,
            key: key.to_owned(),
            problem,
            remedy: remedy.to_owned(),
        });
    };
    if let Err(error) = streams::read_tls(config) {
        let (key, nth) = match &error {
            StreamsError::File { path, .. } => named(config, path),
            _ => ("tls", 0),
        };
        let (problem, remedy) = split(&error.to_string());
        add(key, nth, problem, &remedy);
    }
    for (nth, error) in http::check(config) {
        let (problem, remedy) = split(&error);
        add("http.certificate", nth, problem, &remedy);
    }
    if let Err(error) = hiding::check(config) {
        add(
            "hiding.keys",
            0,
            error.to_string(),
            "nothing else helps: hidden calls need their keys",
        );
    }
    if let Err(error) = DatabasePlace::of(&config.database) {
        let key = match config.database.password_file {
            Some(_) => "database.password_file",
            None => "database.url",
        };
        add(
            key,
            0,
            error.to_string(),
            "tandem-sigplane must be able to read it",
        );
    }
    if let Some(ca) = &config.database.ca
        && let Err(error) = std::fs::File::open(ca)
    {
        let problem = format!("{}: {error}", ca.display());
        add(
            "database.ca",
            0,
            problem,
            "name a file that tandem-sigplane can read",
        );
    }
    mistakes
}

/// The key that names a file of TLS's.
fn named(config: &Config, path: &Path) -> (&'static str, usize) {
    let tls = &config.tls;
    let at = |found: Option<usize>, key| found.map(|nth| (key, nth));
    let chain = tls.certificates.iter().position(|c| c.chain == path);
    let key = tls.certificates.iter().position(|c| c.key == path);
    let trunk = tls.trunks.iter().position(|t| t.ca == path);
    let client = (tls.client_ca.as_deref() == Some(path)).then_some(0);
    at(chain, "tls.certificate.chain")
        .or_else(|| at(key, "tls.certificate.key"))
        .or_else(|| at(trunk, "tls.trunk.ca"))
        .or_else(|| at(client, "tls.client_ca"))
        .unwrap_or(("tls.ca", 0))
}

/// What is wrong, and what to do about it, of a message that has both.
fn split(message: &str) -> (String, String) {
    match message.rsplit_once(": ") {
        Some((problem, remedy)) => (problem.to_owned(), remedy.to_owned()),
        None => (message.to_owned(), "correct it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../../config/tandem.example.toml");

    fn said(lines: &str) -> Vec<String> {
        let mistakes = check(&format!("{EXAMPLE}\n{lines}")).unwrap_err();
        mistakes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn files_that_are_not_there_are_named_with_their_line() {
        let dir = tempfile::tempdir().unwrap();
        let none = dir.path().join("none.pem");
        let line = EXAMPLE.lines().count() + 4;
        let wrong = said(&format!(
            "[[tls.certificate]]\nnames = [\"a.example\"]\nchain = \"{0}\"\nkey = \"{0}\"\n",
            none.display()
        ));
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(
            wrong[0].starts_with(&format!("line {line}: `tls.certificate.chain`: ")),
            "{wrong:?}"
        );
        assert!(wrong[0].contains("none.pem"), "{wrong:?}");
        // A file that is none of that kind.
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "no certificate\n").unwrap();
        let wrong = said(&format!(
            "[[tls.certificate]]\nnames = [\"a.example\"]\nchain = \"{0}\"\nkey = \"{0}\"\n",
            empty.display()
        ));
        assert!(wrong[0].contains("empty.pem"), "{wrong:?}");
        let text = EXAMPLE.replacen(
            "[database]\n",
            "[database]\nurl = \"mysql://u@h/d\"\npassword_file = \"/none/password\"\n",
            1,
        );
        let wrong = check(&text).unwrap_err();
        assert_eq!(wrong[0].key, "database.password_file");
        assert!(wrong[0].problem.contains("/none/password"), "{wrong:?}");
    }

    #[test]
    fn the_example_is_good_here() {
        let dir = tempfile::tempdir().unwrap();
        let text = EXAMPLE.replacen(
            "[node]\n",
            &format!("[node]\nstate_dir = \"{}\"\n", dir.path().display()),
            1,
        );
        assert!(check(&text).is_ok());
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            0,
            "nothing is made"
        );
        assert!(check("[node").is_err());
    }
}
