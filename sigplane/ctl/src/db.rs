//! `tandemctl db`: the database itself, whether the daemon runs or not.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;
use tandem_config::{Config, DatabaseUrl, MariaDbUrl};
use tandem_store::{Database, DatabaseError, DatabasePlace, TableState, WantedTables};

use crate::check;
use crate::client::Failure;
use crate::show::write_out;
use crate::table::table;

/// How long a step may take: a table is changed, or filled from another one.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make what is missing of the tables
    Init,
    /// How each table stands, and rows that cannot be used; changes nothing
    Check,
    /// Bring tables of an older version up to date
    Migrate,
    /// Insert what another database has in dispatcher, address and subscriber and this one has not
    Import {
        /// sqlite:/PATH or mysql://USER:PASSWORD@HOST/DATABASE
        from: String,
    },
    /// Print the statements that make the daemon's user with what it needs and no more
    Users,
}

/// Does it to the database of this configuration file. False when something is not as it should be.
pub(crate) fn run(config: &Path, as_json: bool, command: &Command) -> Result<bool, Failure> {
    let config = check::load(config)?;
    if let Command::Users = command {
        return users(&config).map(|()| true);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Database(error.to_string()))?;
    runtime.block_on(async {
        let mut place = DatabasePlace::of(&config.database)?.with_patience(PATIENCE);
        match command {
            Command::Init => {
                let database = Database::open(&mut place).await?;
                show(database, as_json).await
            }
            Command::Check => {
                let database = Database::open_as_it_is(&mut place).await?;
                show(database, as_json).await
            }
            Command::Migrate => {
                let mut database = Database::open_as_it_is(&mut place).await?;
                for step in database.migrate().await? {
                    write_out(&format!("{step}\n"))?;
                }
                show(database, as_json).await
            }
            Command::Import { from } => {
                let mut from = source(&config, from)?.with_patience(PATIENCE);
                let mut source = Database::open_as_it_is(&mut from).await?;
                let rows = source.tables(WantedTables::ALL).await?;
                source.close().await;
                let mut database = Database::open(&mut place).await?;
                let copied = database.copy(&rows).await?;
                database.close().await;
                let mut text = String::new();
                for (name, read, inserted) in [
                    ("dispatcher", rows.dispatcher.len(), copied.dispatcher),
                    ("address", rows.address.len(), copied.address),
                    ("subscriber", rows.subscribers.len(), copied.subscribers),
                ] {
                    let there = (read as u64).saturating_sub(inserted);
                    let _ = writeln!(text, "{name}: {inserted} inserted, {there} were there");
                }
                for row in &rows.bad {
                    let _ = writeln!(text, "not taken: {row}");
                }
                if as_json {
                    text = json!({ "dispatcher": copied.dispatcher, "address": copied.address,
                        "subscriber": copied.subscribers, "refused": rows.bad.len() })
                    .to_string()
                        + "\n";
                }
                write_out(&text)?;
                Ok(rows.bad.is_empty())
            }
            Command::Users => Ok(true),
        }
    })
}

/// Another database, by its URL; with the password and the TLS of this one's configuration where it has the same user.
fn source(config: &Config, url: &str) -> Result<DatabasePlace, Failure> {
    let other = tandem_config::database_url(url).map_err(|problem| {
        Failure::Database(format!(
            "the other database: {problem}: write sqlite:/PATH or mysql://USER:PASSWORD@HOST/DATABASE"
        ))
    })?;
    let mut database = config.database.clone();
    if let DatabaseUrl::MariaDb(MariaDbUrl {
        password: Some(_), ..
    }) = &other
    {
        database.password_file = None;
    }
    database.url = other;
    Ok(DatabasePlace::of(&database)?)
}

async fn show(mut database: Database, as_json: bool) -> Result<bool, Failure> {
    let place = database.place();
    let states = database.inspect().await?;
    let is_good = states.iter().all(TableState::is_good);
    // What its rows are like can be said of tables that can be read.
    let bad = match is_good {
        true => database.tables(WantedTables::ALL).await?.bad,
        false => Vec::new(),
    };
    database.close().await;
    if as_json {
        let tables: Vec<_> = states
            .iter()
            .map(|s| {
                json!({ "table": s.table, "version": s.version, "wanted": s.wanted, "rows": s.rows,
                        "missing": s.missing, "ok": s.is_good() })
            })
            .collect();
        let bad: Vec<_> = bad.iter().map(ToString::to_string).collect();
        let ok = is_good && bad.is_empty();
        let all = json!({ "database": place, "ok": ok, "tables": tables, "bad_rows": bad });
        write_out(&format!("{all}\n"))?;
    } else {
        let or_dash = |n: Option<String>| n.unwrap_or_else(|| "-".to_owned());
        let rows: Vec<Vec<String>> = states
            .iter()
            .map(|s| {
                vec![
                    s.table.to_owned(),
                    or_dash(s.version.map(|v| v.to_string())),
                    s.wanted.to_string(),
                    or_dash(s.rows.map(|r| r.to_string())),
                    remedy(s),
                ]
            })
            .collect();
        write_out(&format!("{place}\n"))?;
        write_out(&table(
            &["table", ">version", ">needed", ">rows", ""],
            &rows,
        ))?;
        for row in &bad {
            write_out(&format!("{row}\n"))?;
        }
    }
    Ok(is_good && bad.is_empty())
}

/// What to do about a table.
fn remedy(state: &TableState) -> String {
    if state.is_good() {
        "ok".to_owned()
    } else if state.rows.is_none() {
        "is not there: tandemctl db init makes it".to_owned()
    } else if state.version.is_none() {
        "has no row in `version`: it is another program's, or its row was lost".to_owned()
    } else if state.is_newer() {
        "is newer than this software knows it: update the appliance".to_owned()
    } else {
        "is older: tandemctl db migrate brings it up to date".to_owned()
    }
}

/// Prints the statements that make a user with what the daemon needs and no more.
fn users(config: &Config) -> Result<(), Failure> {
    let text = match &config.database.url {
        DatabaseUrl::Sqlite(path) => format!(
            "-- SQLite has no users. Whoever may write {0} and make files beside it may do everything:\n\
             --   chown tandem: {0}; chmod 0600 {0}\n",
            path.display()
        ),
        DatabaseUrl::MariaDb(url) => grants(&url.user, &url.database),
    };
    write_out(&text)
}

/// As one who may grant would write it. The tables have to be there: `tandemctl db init` as a user who may make them.
fn grants(user: &str, database: &str) -> String {
    let (user, database) = (user.replace('\'', "''"), database.replace('`', "``"));
    let mut text = format!(
        "-- Make the tables first: tandemctl db init, as a user who may make them. Say the appliance's address instead of %.\n\
         CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY 'write a password here';\n"
    );
    for (tables, rights) in [
        (
            &[
                "version",
                "dispatcher",
                "address",
                "subscriber",
                "did_routing",
                "trunk_routing",
            ][..],
            "SELECT",
        ),
        (&["location", "dialog"], "SELECT, INSERT, UPDATE, DELETE"),
        (&["tandem_spool"], "SELECT, INSERT, UPDATE"),
        (&["acc"], "INSERT"),
        (&["fs_cdr"], "SELECT, INSERT, UPDATE"),
        // The partitions of the next months.
        (&["cdr"], "SELECT, INSERT, UPDATE, ALTER"),
    ] {
        for table in tables {
            let _ = writeln!(
                text,
                "GRANT {rights} ON `{database}`.`{table}` TO '{user}'@'%';"
            );
        }
    }
    text
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error.to_string())
    }
}
