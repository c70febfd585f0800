//! tandemctl: what the appliance is doing, for people and for programs.
//!
//! Exit codes: 0 done, 1 the appliance or a file said no, 2 wrong usage, 3 the daemon is not running.

mod about;
mod alarms;
mod appliance;
mod blocked;
mod calls;
mod capture;
mod cdr;
mod check;
mod client;
mod config;
mod console;
mod cores;
mod db;
mod dispatcher;
mod export;
mod hw;
mod pcap;
mod police;
mod ports;
mod remote;
mod routes;
mod show;
mod table;
mod time;
mod token;
mod update;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::client::{Client, Failure};
use crate::remote::Remote;

/// Looks into a running Tandem appliance.
#[derive(Parser)]
#[command(name = "tandemctl", version, about, propagate_version = true)]
struct Cli {
    /// The management socket of tandem-sigplane [default: /run/tandem/admin.sock]
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
    /// Take the socket's path from this configuration file
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The management API of another machine: https://HOST[:PORT]
    #[arg(
        long,
        global = true,
        value_name = "URL",
        requires = "token_file",
        conflicts_with = "socket"
    )]
    url: Option<String>,
    /// The file with the token for --url
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Who signed the certificate of --url, in PEM [default: those that the system trusts]
    #[arg(long, global = true, value_name = "FILE", requires = "url")]
    ca: Option<PathBuf>,
    /// JSON for programs instead of tables for people
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Both planes, calls, flows, targets, database and journal
    Status,
    /// Media servers and trunks
    Dispatcher {
        #[command(subcommand)]
        command: dispatcher::Command,
    },
    /// Version, node, process and uptime
    Info,
    /// Calls in progress
    Calls {
        /// So many at most
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
        #[command(subcommand)]
        command: Option<calls::Calls>,
    },
    /// Registered users
    Users {
        #[command(subcommand)]
        command: calls::Users,
    },
    /// Where requests would go
    Routes {
        #[command(subcommand)]
        command: routes::Routes,
    },
    /// Tables in memory
    Tables {
        #[command(subcommand)]
        command: calls::Tables,
    },
    /// The address table: who is a carrier
    Addresses {
        #[command(subcommand)]
        command: calls::Addresses,
    },
    /// The certificates
    Tls {
        #[command(subcommand)]
        command: about::Tls,
    },
    /// The methods that you may call
    Methods,
    /// Call any method: PARAMS are a JSON object or list, or the values of a list
    Rpc {
        /// Its name
        method: String,
        /// Its parameters
        #[arg(allow_hyphen_values = true)]
        params: Vec<String>,
    },
    /// Tokens for the management API over HTTPS
    Token {
        /// Their file [default: `admin.tokens` of --config, or /var/lib/tandem/tokens]
        #[arg(long, global = true, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(subcommand)]
        command: token::Command,
    },
    /// Print a shell's completion: source it, or put it where the shell looks
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    Man {
        /// The directory
        directory: PathBuf,
    },
    /// Media flows with packets, loss and jitter in each direction
    Flows,
    /// How the dataplane's workers keep up: load, packets, latency, gaps
    Cores {
        /// Over so many seconds
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3_600))]
        seconds: u32,
    },
    /// The dataplane's ports: link, driver, packets, what was lost and why, restarts
    Ports {
        /// Over so many seconds
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3_600))]
        seconds: u32,
        /// Their queues, too
        #[arg(long)]
        queues: bool,
    },
    /// Named counters of both planes
    Counters {
        /// Only those whose name contains this
        filter: Option<String>,
        /// Also those that are zero
        #[arg(long)]
        all: bool,
    },
    /// What is wrong now: with the planes, and with the system's updates
    Alarms,
    /// Sources that are not heard
    Blocked {
        #[command(subcommand)]
        command: blocked::Command,
    },
    /// How SIP is policed by its sources
    Police {
        #[command(subcommand)]
        command: police::Command,
    },
    /// The configuration: look at it, change it, go back
    Config {
        #[command(subcommand)]
        command: config::Command,
    },
    /// The database of a configuration file, whether the daemon runs or not
    Db {
        #[command(subcommand)]
        command: db::Command,
    },
    /// Files for other machines, of a configuration file
    Export {
        #[command(subcommand)]
        command: export::Command,
    },
    /// What the appliance's units do on the machine
    Appliance {
        #[command(subcommand)]
        command: appliance::Command,
    },
    /// The console: everything on one screen, live
    Console {
        /// What tandem-console takes, as it is
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ARGUMENTS"
        )]
        arguments: Vec<String>,
    },
    /// The machine: what it has, and what becomes of it
    Hw {
        #[command(subcommand)]
        command: hw::Command,
    },
    /// Another version of the appliance's system: install, prove, go back
    Update {
        /// The machine whose file system is here
        #[arg(long, value_name = "DIRECTORY", default_value = "/", hide = true)]
        root: PathBuf,
        #[command(subcommand)]
        command: update::Command,
    },
    /// Calls that have ended, from the database of a configuration file, whether the daemon runs or not
    Cdr {
        #[command(subcommand)]
        command: cdr::Command,
    },
    /// Write what crosses the dataplane's ports to a pcap file (tcpdump sees nothing there)
    Capture(capture::Capture),
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("tandemctl: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let cli = match cli {
        Cli {
            command: Command::Config { command },
            socket: said,
            config: file,
            url,
            token_file,
            ca,
            json,
        } => {
            let connect = |named: Option<&Path>| match (&url, &token_file) {
                (Some(url), Some(token)) => {
                    Ok(Client::remote(Remote::new(url, token, ca.as_deref())?))
                }
                _ => {
                    let file = named.filter(|_| said.is_none()).or(file.as_deref());
                    Client::connect(&socket(said.clone(), file)?)
                }
            };
            return config::run(command, json, &connect);
        }
        other => other,
    };
    let usual = PathBuf::from("/etc/tandem/tandem.toml");
    let file = cli.config.as_ref().unwrap_or(&usual);
    if let Command::Db { command } = &cli.command {
        let is_good = db::run(file, cli.json, command)?;
        return Ok(ExitCode::from(u8::from(!is_good)));
    }
    if let Command::Export { command } = &cli.command {
        export::run(file, cli.json, command)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Cdr { command } = cli.command {
        cdr::run(file, cli.json, command)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Hw { command } = cli.command {
        return hw::run(command, cli.json);
    }
    if let Command::Appliance { command } = cli.command {
        return appliance::run(command, cli.json);
    }
    if let Command::Update { root, command } = cli.command {
        return update::run(command, &root, cli.config.as_deref(), cli.json);
    }
    if let Command::Console { arguments } = &cli.command {
        if cli.url.is_some() {
            let text =
                "the console is for the machine that it runs on: ssh -t HOST tandemctl console";
            return Err(Failure::Usage(text.into()));
        }
        return console::run(cli.socket.as_deref(), cli.config.as_deref(), arguments);
    }
    let command = match offline(cli.command, cli.config.as_deref(), cli.json)? {
        Some(command) => command,
        None => return Ok(ExitCode::SUCCESS),
    };
    let connected = match (cli.url, cli.token_file) {
        (Some(url), Some(token)) => Ok(Client::remote(Remote::new(
            &url,
            &token,
            cli.ca.as_deref(),
        )?)),
        _ => Client::connect(&socket(cli.socket, cli.config.as_deref())?),
    };
    if matches!(command, Command::Alarms) {
        let run_dir = match &cli.config {
            Some(file) => check::load(file)?.node.run_dir,
            None => PathBuf::from("/run/tandem"),
        };
        return alarms::run(connected, &run_dir, cli.json);
    }
    let mut client = connected?;
    match command {
        Command::Status => show::status(&mut client, cli.json),
        Command::Dispatcher { command } => dispatcher::run(&mut client, cli.json, command),
        Command::Info => about::info(&mut client, cli.json),
        Command::Calls { limit, command } => match command {
            None => calls::list(&mut client, cli.json, limit),
            Some(command) => calls::calls(&mut client, cli.json, command),
        },
        Command::Users { command } => calls::users(&mut client, cli.json, command),
        Command::Routes { command } => routes::routes(&mut client, cli.json, command),
        Command::Tables { command } => calls::tables(&mut client, cli.json, command),
        Command::Addresses { command } => calls::addresses(&mut client, cli.json, command),
        Command::Tls {
            command: about::Tls::Reload,
        } => about::tls_reload(&mut client, cli.json),
        Command::Methods => about::methods(&mut client, cli.json),
        Command::Rpc { method, params } => about::rpc(&mut client, &method, &params),
        Command::Flows => show::flows(&mut client, cli.json),
        Command::Cores { seconds } => cores::cores(&mut client, cli.json, seconds),
        Command::Ports { seconds, queues } => ports::ports(&mut client, cli.json, seconds, queues),
        Command::Counters { filter, all } => {
            show::counters(&mut client, cli.json, filter.as_deref(), all)
        }
        Command::Blocked { command } => blocked::run(&mut client, cli.json, command),
        Command::Police { command } => police::run(&mut client, cli.json, command),
        Command::Capture(capture) => capture::capture(&mut client, &capture),
        Command::Alarms
        | Command::Config { .. }
        | Command::Db { .. }
        | Command::Export { .. }
        | Command::Hw { .. }
        | Command::Appliance { .. }
        | Command::Update { .. }
        | Command::Console { .. }
        | Command::Cdr { .. }
        | Command::Token { .. }
        | Command::Completion { .. }
        | Command::Man { .. } => Ok(()),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Does what needs no daemon; gives back any other command.
fn offline(
    command: Command,
    config: Option<&Path>,
    json: bool,
) -> Result<Option<Command>, Failure> {
    match command {
        Command::Token { file, command } => {
            let file = match (file, config) {
                (Some(file), _) => file,
                (None, Some(config)) => check::load(config)?.admin.tokens,
                (None, None) => PathBuf::from("/var/lib/tandem/tokens"),
            };
            token::run(&file, json, command)?;
        }
        Command::Completion { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tandemctl", &mut text);
            show::write_out(&String::from_utf8_lossy(&text))?;
        }
        Command::Man { directory } => {
            clap_mangen::generate_to(Cli::command(), &directory).map_err(|error| {
                Failure::File {
                    path: directory,
                    error,
                }
            })?;
        }
        other => return Ok(Some(other)),
    }
    Ok(None)
}

/// Where the daemon listens: as said, or as the configuration says, or where it usually is.
fn socket(said: Option<PathBuf>, config: Option<&Path>) -> Result<PathBuf, Failure> {
    match (said, config) {
        (Some(path), _) => Ok(path),
        (None, Some(file)) => Ok(check::load(file)?.admin.socket),
        (None, None) => Ok(PathBuf::from("/run/tandem/admin.sock")),
    }
}
