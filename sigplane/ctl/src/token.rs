//! `tandemctl token`: the file of tokens, whether the daemon runs or not. The daemon sees by itself that it has changed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use serde_json::json;
use tandem_admin::Role;
use tandem_admin::tokens::{SECRET_BYTES, Token, Tokens, secret};

use crate::client::Failure;
use crate::show::{age, print, write_out};
use crate::table::table;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a token, and show it once
    Add {
        /// Whose it is: letters, digits, `.`, `_` and `-`
        name: String,
        /// read: look; operate: steer calls, targets, registrations; admin: everything
        #[arg(long, value_parser = ["read", "operate", "admin"])]
        role: String,
        /// For so many days [default: until it is removed]
        #[arg(long, value_name = "DAYS")]
        days: Option<u32>,
    },
    /// Every token, without its secret
    List,
    /// Let a token count no more
    Remove {
        /// Its name
        name: String,
    },
}

pub(crate) fn run(path: &Path, as_json: bool, command: Command) -> Result<(), Failure> {
    match command {
        Command::Add { name, role, days } => add(path, as_json, &name, &role, days),
        Command::List => list(path, as_json),
        Command::Remove { name } => remove(path, as_json, &name),
    }
}

fn add(
    path: &Path,
    as_json: bool,
    name: &str,
    role: &str,
    days: Option<u32>,
) -> Result<(), Failure> {
    let mut tokens = read(path)?;
    let role = Role::parse(role).ok_or_else(|| Failure::Usage(format!("no role {role}")))?;
    let mut random = [0; SECRET_BYTES];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .map_err(|error| at(Path::new("/dev/urandom"), error))?;
    let secret = secret(&random);
    let expires = days.map(|days| now() + u64::from(days) * 86_400);
    let token = Token::new(name, role, expires, &secret)
        .map_err(|why| Failure::Usage(format!("{name:?}: {why}")))?;
    if !tokens.add(token) {
        return Err(Failure::Refused(format!(
            "{name:?} is there already: remove it first, or choose another name"
        )));
    }
    write(path, &tokens)?;
    let shown = json!({"name": name, "role": role, "expires": expires, "token": secret});
    print(as_json, &shown, |_| {
        // The token alone on standard output, to go into a file.
        eprintln!("{name} may {role}; this is shown once:");
        format!("{secret}\n")
    })
}

fn list(path: &Path, as_json: bool) -> Result<(), Failure> {
    let tokens = read(path)?;
    let now = now();
    let shown: Vec<_> = tokens
        .iter()
        .map(|t| {
            json!({"name": t.name, "role": t.role, "expires": t.expires,
                "expired": t.is_expired(now)})
        })
        .collect();
    print(as_json, &shown, |_| {
        let rows: Vec<Vec<String>> = tokens
            .iter()
            .map(|t| {
                let left = match t.expires {
                    None => "never".to_owned(),
                    Some(_) if t.is_expired(now) => "EXPIRED".to_owned(),
                    Some(at) => format!("in {}", age(at - now)),
                };
                vec![t.name.clone(), t.role.to_string(), left]
            })
            .collect();
        table(&["name", "role", "expires"], &rows)
    })
}

fn remove(path: &Path, as_json: bool, name: &str) -> Result<(), Failure> {
    let mut tokens = read(path)?;
    if !tokens.remove(name) {
        return Err(Failure::Refused(format!("there is no token {name:?}")));
    }
    write(path, &tokens)?;
    if as_json {
        return write_out("true\n");
    }
    write_out(&format!("{name} counts no more\n"))
}

fn read(path: &Path) -> Result<Tokens, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Tokens::parse(&text)
            .map_err(|error| Failure::Config(format!("{}: {error}", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Tokens::default()),
        Err(error) => Err(at(path, error)),
    }
}

/// Whole or not at all; for the owner of the file, or of its directory, alone.
fn write(path: &Path, tokens: &Tokens) -> Result<(), Failure> {
    let written = || -> io::Result<()> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        let owner = fs::metadata(path).or_else(|_| fs::metadata(directory))?;
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", std::process::id()));
        let beside = PathBuf::from(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        let done = file
            .write_all(tokens.text().as_bytes())
            .and_then(|()| file.sync_all())
            // Who is not root has it already, or may not.
            .map(|()| drop(chown(&beside, Some(owner.uid()), Some(owner.gid()))))
            .and_then(|()| fs::rename(&beside, path));
        if done.is_err() {
            let _ = fs::remove_file(&beside);
        }
        done
    };
    written().map_err(|error| at(path, error))
}

fn at(path: &Path, error: io::Error) -> Failure {
    Failure::File {
        path: path.to_path_buf(),
        error,
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
