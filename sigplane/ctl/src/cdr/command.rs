//! The words of `tandemctl cdr`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::show::show;
use super::{Form, Format, export, list};
use crate::client::Failure;
use crate::time;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// The latest ones
    List {
        #[command(flatten)]
        which: CdrsOf,
        /// So many at most
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// A call with all that is known of it, and what FreeSWITCH says of its legs
    Show {
        /// The Call-ID of either side
        call_id: String,
    },
    /// All of them with all columns, for programs
    Export {
        #[command(flatten)]
        which: CdrsOf,
        /// A line with the columns' names and comma-separated values (RFC 4180), or a JSON object a line
        #[arg(long, value_enum, default_value_t = Format::Csv)]
        format: Format,
        /// The file, which is there when it is whole; standard output without it
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Only those that were written behind the row with this id, in the order in which they were written: the last id of one
        /// export is where the next one goes on
        #[arg(long, value_name = "ID")]
        after: Option<i64>,
        /// Put an apostrophe before texts that a spreadsheet would take for formulas
        #[arg(long)]
        spreadsheet: bool,
    },
}

/// Which CDRs.
#[derive(Args)]
pub(crate) struct CdrsOf {
    /// Calls that began then or later: Unix seconds, 2026-11-30, 2026-11-30T05:00:00Z, or 90m, 24h, 7d ago
    #[arg(long, value_name = "TIME", value_parser = time::parse_now)]
    since: Option<i64>,
    /// Calls that began before that
    #[arg(long, value_name = "TIME", value_parser = time::parse_now)]
    until: Option<i64>,
    /// Calls of this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Calls by this trunk
    #[arg(long, value_name = "NAME")]
    trunk: Option<String>,
    /// Calls with this Call-ID, on either side
    #[arg(long, value_name = "CALL-ID")]
    call_id: Option<String>,
}

impl CdrsOf {
    fn filter(self) -> tandem_store::CdrFilter {
        tandem_store::CdrFilter {
            since_ms: self.since,
            until_ms: self.until,
            tenant: self.tenant,
            trunk: self.trunk,
            call_id: self.call_id,
        }
    }
}

/// Does it with the database of this configuration file.
pub(crate) fn run(config: &Path, as_json: bool, command: Command) -> Result<(), Failure> {
    match command {
        Command::List { which, limit } => list(config, as_json, &which.filter(), limit),
        Command::Show { call_id } => show(config, as_json, call_id),
        Command::Export {
            which,
            format,
            output,
            after,
            spreadsheet,
        } => {
            let form = Form {
                format,
                spreadsheet,
            };
            export(config, &which.filter(), after, form, output.as_deref())
        }
    }
}
