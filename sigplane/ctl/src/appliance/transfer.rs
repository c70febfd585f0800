//! `tandemctl appliance export|import`: what makes this machine do what it does, in one file, for another one or for after a reset.
//!
//! The file is a tar archive: `export.json` first, which lists the others with their SHA-256, then the files. With a pass phrase it is an
//! age file (age-encryption.org) around that, which `age --decrypt` opens anywhere. The version in `export.json` goes up when an older
//! reader would take something for what it is not.

mod apply;
mod archive;
mod crypt;

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tandem_config::{Config, DatabaseUrl};
use tandem_store::{Database, DatabasePlace};

use self::archive::{Archive, File};
use crate::client::Failure;
use crate::show::print;
use tandem_management::Management;

pub(crate) use self::apply::finish;

/// The configuration file, below the root.
const CONFIGURATION: &str = "etc/tandem/tandem.toml";
/// The machine's own: another one has other cards.
const NOT_TAKEN: [&str; 1] = ["etc/tandem/hardware.json"];
/// A database with the rows of the tables that are configuration.
const TABLES: &str = "tables.db";
/// How long the database may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Characters of a pass phrase at least.
const SHORTEST: usize = 8;

#[derive(Args)]
pub(crate) struct Export {
    /// The file that is written
    file: PathBuf,
    /// A file whose first line is the pass phrase [default: it is asked for]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Without a pass phrase: keys and secrets can be read by whoever has the file
    #[arg(long, conflicts_with = "passphrase_file")]
    plain: bool,
    #[command(flatten)]
    place: super::Place,
}

#[derive(Args)]
pub(crate) struct Import {
    /// What `export` wrote
    file: PathBuf,
    /// A file whose first line is the pass phrase [default: it is asked for]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Check it, and say what is in it; change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: super::Place,
}

pub(crate) fn export(command: &Export, as_json: bool) -> Result<(), Failure> {
    let passphrase = match (command.plain, &command.passphrase_file) {
        (true, _) => None,
        (false, Some(file)) => Some(first_line(file)?),
        (false, None) => Some(ask_twice()?),
    };
    let archive = gather(&command.place.root)?;
    let files = archive.files.len();
    let bytes = archive.pack()?;
    let bytes = match &passphrase {
        Some(passphrase) => crypt::lock(&bytes, passphrase)?,
        None => bytes,
    };
    put(&command.file, &bytes).map_err(|error| failed(&command.file, error))?;
    let shown = json!({ "file": command.file, "files": files, "encrypted": passphrase.is_some() });
    print(as_json, &shown, |_| {
        let how = if passphrase.is_some() {
            "encrypted"
        } else {
            "NOT encrypted: it has keys and secrets"
        };
        format!("{files} files in {}, {how}\n", command.file.display())
    })
}

pub(crate) fn import(command: &Import, as_json: bool) -> Result<(), Failure> {
    let archive = open(&command.file, || match &command.passphrase_file {
        Some(file) => first_line(file),
        None => ask("Pass phrase: "),
    })?;
    check(&archive)?;
    let root = &command.place.root;
    let files: Vec<_> = archive.files.iter().map(|file| file.path.clone()).collect();
    if !command.dry_run {
        // The way back.
        let before = gather(root)?.pack()?;
        let kept = root.join("data/config/before-import.tar");
        put(&kept, &before).map_err(|error| failed(&kept, error))?;
        apply::take(root, &archive)?;
        tables(root, &archive)?;
    }
    let shown = json!({ "from": archive.host, "version": archive.version, "files": files, "taken": !command.dry_run });
    print(as_json, &shown, |_| {
        let list: String = files.iter().map(|file| format!("  /{file}\n")).collect();
        let then = match command.dry_run {
            true => "nothing was changed\n",
            false => {
                "taken; it is in force with the next start of the machine, or now: `systemctl restart tandem-network tandem-dataplane tandem-sigplane`. \
                What was before is in /data/config/before-import.tar\n"
            }
        };
        format!(
            "an export of {} (version {}):\n{list}{then}",
            archive.host, archive.version
        )
    })
}

/// Reads an export; the pass phrase is asked for where it needs one.
fn open(
    file: &Path,
    passphrase: impl FnOnce() -> Result<String, Failure>,
) -> Result<Archive, Failure> {
    let bytes = fs::read(file).map_err(|error| failed(file, error))?;
    let bytes = match crypt::is_locked(&bytes) {
        true => crypt::unlock(&bytes, &passphrase()?)?,
        false => bytes,
    };
    Archive::unpack(&bytes).map_err(|why| Failure::Refused(format!("{}: {why}", file.display())))
}

/// Everything that an import wants to be right is looked at before anything is touched.
fn check(archive: &Archive) -> Result<(), Failure> {
    let text = |path: &str| {
        let file = archive.files.iter().find(|file| file.path == path)?;
        Some(String::from_utf8_lossy(&file.bytes).into_owned())
    };
    if let Some(configuration) = text(CONFIGURATION)
        && let Err(mistakes) = tandem_config::parse(&configuration)
    {
        let mistakes: String = mistakes
            .iter()
            .map(|mistake| format!("\n  {mistake}"))
            .collect();
        return Err(Failure::Config(format!(
            "the configuration in the export is not understood by this version (it is of version {}):{mistakes}",
            archive.version
        )));
    }
    if let Some(management) = text("etc/tandem/management.toml")
        && let Err(mistakes) = Management::parse(&management)
    {
        return Err(Failure::Config(format!(
            "management.toml in the export: {}",
            mistakes.join("\n")
        )));
    }
    Ok(())
}

/// What there is to export.
fn gather(root: &Path) -> Result<Archive, Failure> {
    let mut archive = Archive::new(root);
    for folder in ["etc/tandem", "etc/ssh/authorized_keys"] {
        add(&mut archive, root, Path::new(folder))?;
    }
    add(&mut archive, root, Path::new("etc/hostname"))?;
    let configuration = root.join(CONFIGURATION);
    if let Ok(config) = crate::check::load(&configuration) {
        for file in [&config.admin.tokens, &config.hiding.keys] {
            let inside = file.strip_prefix("/").unwrap_or(file);
            if !archive::is_allowed(&inside.to_string_lossy()) {
                continue;
            }
            add(&mut archive, root, inside)?;
        }
        if let Some(bytes) = rows(root, &config)? {
            archive.files.push(File::ours(TABLES, bytes));
        }
    }
    archive.files.sort_by(|a, b| a.path.cmp(&b.path));
    archive.files.dedup_by(|a, b| a.path == b.path);
    Ok(archive)
}

/// A file, or all that are below a folder. What is not there is left out.
fn add(archive: &mut Archive, root: &Path, inside: &Path) -> Result<(), Failure> {
    let path = root.join(inside);
    let Ok(meta) = path.symlink_metadata() else {
        return Ok(());
    };
    if meta.is_dir() {
        let entries = fs::read_dir(&path).map_err(|error| failed(&path, error))?;
        for entry in entries {
            let name = entry.map_err(|error| failed(&path, error))?.file_name();
            add(archive, root, &inside.join(name))?;
        }
        return Ok(());
    }
    let name = inside.to_string_lossy().into_owned();
    if meta.is_file() && !NOT_TAKEN.contains(&name.as_str()) {
        let file = File::read(&path, name).map_err(|error| failed(&path, error))?;
        archive.files.push(file);
    }
    Ok(())
}

/// The rows of the tables that are configuration, as a database of their own; none if the database is another machine's.
fn rows(root: &Path, config: &Config) -> Result<Option<Vec<u8>>, Failure> {
    let Some(path) = database(root, config).filter(|path| path.exists()) else {
        return Ok(None);
    };
    let directory = tempfile::tempdir().map_err(|error| failed(Path::new("/tmp"), error))?;
    let copy = directory.path().join(TABLES);
    copy_rows(&path, &copy)?;
    let bytes = fs::read(&copy).map_err(|error| failed(&copy, error))?;
    Ok(Some(bytes))
}

/// Rows of an export that the machine has not.
fn tables(root: &Path, archive: &Archive) -> Result<(), Failure> {
    let Some(file) = archive.files.iter().find(|file| file.path == TABLES) else {
        return Ok(());
    };
    let config = crate::check::load(&root.join(CONFIGURATION))?;
    let Some(path) = database(root, &config) else {
        return Ok(());
    };
    let directory = tempfile::tempdir().map_err(|error| failed(Path::new("/tmp"), error))?;
    let from = directory.path().join(TABLES);
    fs::write(&from, &file.bytes).map_err(|error| failed(&from, error))?;
    let is_new = !path.exists();
    copy_rows(&from, &path)?;
    if is_new {
        belongs_to_its_folder(&path).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

/// The embedded database's file.
fn database(root: &Path, config: &Config) -> Option<PathBuf> {
    match &config.database.url {
        DatabaseUrl::Sqlite(path) => Some(root.join(path.strip_prefix("/").unwrap_or(path))),
        DatabaseUrl::MariaDb(_) => None,
    }
}

/// The signaling plane is to write it, whoever made it.
fn belongs_to_its_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/")).metadata()?;
    std::os::unix::fs::chown(path, Some(folder.uid()), Some(folder.gid()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o640))
}

fn copy_rows(from: &Path, into: &Path) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Database(error.to_string()))?;
    let mut place = DatabasePlace::Sqlite {
        path: into.to_owned(),
        busy: PATIENCE,
    };
    runtime.block_on(async {
        let mut database = Database::open(&mut place).await?;
        if let Database::Sqlite(database) = &mut database {
            database.copy_configuration(from).await?;
        }
        database.close().await;
        Ok(())
    })
}

fn first_line(file: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(file).map_err(|error| failed(file, error))?;
    let line = text.lines().next().unwrap_or("").to_owned();
    long_enough(line)
}

fn long_enough(passphrase: String) -> Result<String, Failure> {
    match passphrase.chars().count() >= SHORTEST {
        true => Ok(passphrase),
        false => Err(Failure::Usage(format!(
            "a pass phrase has {SHORTEST} characters at least"
        ))),
    }
}

fn ask(question: &str) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "there is no terminal to ask for the pass phrase: --passphrase-file FILE".into(),
        ));
    }
    rpassword::prompt_password(question).map_err(Failure::Output)
}

fn ask_twice() -> Result<String, Failure> {
    let first = long_enough(ask("Pass phrase for the export: ")?)?;
    match ask("The same again: ")? == first {
        true => Ok(first),
        false => Err(Failure::Usage("the two pass phrases differ".into())),
    }
}

/// Whole or not at all, for its owner alone.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(name);
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

fn failed(path: &Path, error: io::Error) -> Failure {
    Failure::File {
        path: path.to_owned(),
        error,
    }
}

#[cfg(test)]
mod tests;
