//! `tandemctl export`: files that make another machine work with this one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;
use tandem_config::{Config, Realm, Side};
use tandem_freeswitch::files::{self, File, Member, Route, Services, Settings};
use tandem_store::{Database, DatabasePlace, WantedTables};

use crate::check;
use crate::client::Failure;
use crate::show::write_out;

/// How long the database may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What one set of files is called that is for every member.
const ANY: &str = "any";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// SIP profile, access list, dialplan and modules' configurations for each FreeSWITCH of the pool
    Freeswitch {
        /// A directory; each member's files are in one of its own below it
        directory: PathBuf,
        /// Write over files that are there
        #[arg(long)]
        force: bool,
    },
}

pub(crate) fn run(config: &Path, as_json: bool, command: &Command) -> Result<(), Failure> {
    let Command::Freeswitch { directory, force } = command;
    let config = check::load(config)?;
    let settings = settings(&config)?;
    let members = members(&config)?;
    let mut written = Vec::new();
    for member in &members {
        for file in files::files(&settings, member) {
            written.push((directory.join(&member.name).join(file.path), file));
        }
    }
    if !*force && let Some((path, _)) = written.iter().find(|(path, _)| path.exists()) {
        return Err(Failure::Refused(format!(
            "{} is there: give another directory, or --force to write over it",
            path.display()
        )));
    }
    for (path, file) in &written {
        write(path, file).map_err(|e| Failure::Refused(format!("{}: {e}", path.display())))?;
    }
    let paths: Vec<String> = written
        .iter()
        .map(|(p, _)| p.display().to_string())
        .collect();
    if as_json {
        return write_out(&format!("{}\n", json!({ "files": paths })));
    }
    let mut text = String::new();
    for path in &paths {
        text.push_str(path);
        text.push('\n');
    }
    text.push_str(&steps(&settings, directory));
    write_out(&text)
}

/// What the operator does with them.
fn steps(settings: &Settings, directory: &Path) -> String {
    let mut text = format!(
        "\nOn each member, as root:\n\
         1. Copy what is in its directory below {} into /etc/freeswitch (cp -r).\n\
         2. In autoload_configs/acl.conf.xml, within <network-lists>, add\n\
         \x20      <X-PRE-PROCESS cmd=\"include\" data=\"tandem_acl.xml\"/>\n\
         3. Give the contexts that dialplan/tandem.xml transfers to what they are to do; its calls out go through the context tandem_out.\n",
        directory.display()
    );
    if settings.services.is_some() {
        text.push_str(
            "4. Load mod_xml_curl and mod_xml_cdr: in autoload_configs/modules.conf.xml, and mkdir -p /var/log/freeswitch/xml_cdr.\n\
             \x20  The files of these modules hold a password: they are for their owner alone, which must be FreeSWITCH's user.\n",
        );
    }
    text.push_str(
        "Then: fs_cli -x reloadxml; fs_cli -x 'reload mod_xml_curl'; fs_cli -x 'reload mod_xml_cdr'; fs_cli -x 'reload mod_event_socket';\n\
         \x20     fs_cli -x 'sofia profile tandem restart'; fs_cli -x 'sofia status profile tandem'\n",
    );
    if settings.services.is_none() {
        text.push_str(
            "There is no directory and no collector of CDRs in these files: `freeswitch.url` and `freeswitch.password_file` are not set.\n",
        );
    }
    text
}

fn settings(config: &Config) -> Result<Settings, Failure> {
    let fs = &config.freeswitch;
    let inside = |r: &&Realm| r.side == Side::Internal;
    let realms = || config.realms.iter().filter(inside);
    let kernel = config.sip.kernel.iter();
    let kernel = kernel.filter(|k| k.side == Side::Internal);
    let sip: Vec<SocketAddr> = realms()
        .flat_map(|r| r.sip.iter().copied())
        .chain(kernel.map(|k| k.listen))
        .collect();
    let services = match (&fs.url, &fs.password_file) {
        (Some(url), Some(file)) => Some(Services {
            url: url.clone(),
            user: fs.user.clone(),
            password: password(file)?,
        }),
        _ => None,
    };
    let event_socket = match (fs.event_socket, &fs.event_socket_password_file) {
        (Some(port), Some(file)) => Some((port, password(file)?)),
        _ => None,
    };
    let route = |r: &tandem_config::FreeswitchRoute| Route {
        dest_type: r.dest_type.clone(),
        number: r.number.clone(),
        context: r.context.clone(),
    };
    Ok(Settings {
        sip,
        media: realms().flat_map(|r| r.media.iter().copied()).collect(),
        routes: fs.routes.iter().map(route).collect(),
        context: fs.context.clone(),
        is_registrar: config.routing.registrar_set.is_some(),
        services,
        event_socket,
    })
}

fn password(file: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(file).map_err(|e| {
        Failure::Refused(format!(
            "{}: {e}: run this as who may read it",
            file.display()
        ))
    })?;
    let line = text.lines().next().unwrap_or_default().to_owned();
    match files::can_be_written(&line) && !line.is_empty() {
        true => Ok(line),
        false => Err(Failure::Refused(format!(
            "{}: its first line must be a password without control characters",
            file.display()
        ))),
    }
}

/// The pool's members, as the database has them; one for all where it has none.
fn members(config: &Config) -> Result<Vec<Member>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Database(error.to_string()))?;
    let rows = runtime.block_on(async {
        let mut place = DatabasePlace::of(&config.database)?.with_patience(PATIENCE);
        let mut database = Database::open_as_it_is(&mut place).await?;
        let rows = database.tables(WantedTables::default()).await?;
        database.close().await;
        Ok::<_, Failure>(rows)
    })?;
    let pool = rows.dispatcher.iter();
    let pool = pool.filter(|row| row.setid == config.routing.pool_set);
    let mut members: Vec<Member> = pool.filter_map(|r| Member::of(&r.destination)).collect();
    members.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    members.dedup_by(|a, b| a.name == b.name);
    if members.is_empty() {
        members.push(Member {
            name: ANY.to_owned(),
            address: None,
            port: 5060,
        });
    }
    Ok(members)
}

/// A file with a password is its owner's alone, from its first byte.
fn write(path: &Path, file: &File) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mode = if file.is_secret { 0o600 } else { 0o644 };
    let new = PathBuf::from(format!("{}.new", path.display()));
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut to = options.write(true).create_new(true).mode(mode).open(&new)?;
    to.write_all(file.text.as_bytes())?;
    fs::rename(&new, path)
}
