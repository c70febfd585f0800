//! `tandemctl cdr`: calls that have ended, from the database, a page at a time.

mod command;
mod show;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Map, Value, json};
use tandem_store::{
    CDR_COLUMNS, CdrColumn, CdrFilter, CdrOrder, CdrRow, CdrValue, Database, DatabasePlace,
};

pub(crate) use command::{Command, run};

use crate::check;
use crate::client::Failure;
use crate::show::write_out;
use crate::table::table;
use crate::time::rfc3339;

/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Rows at a time.
const PAGE: u32 = 1_000;

/// Columns of the table that there were before others came: what follows from a row stands between them, since no column's place becomes another.
const FIRST_COLUMNS: usize = 53;

/// The columns behind those, which follow from them.
const DERIVED: [&str; 9] = [
    "start_time",
    "answer_time",
    "end_time",
    // Milliseconds from the INVITE to the first 18x, and to the answer; those that are billed; and all.
    "ring_after_ms",
    "answer_after_ms",
    "duration_ms",
    "total_ms",
    "caller_loss_percent",
    "callee_loss_percent",
];

/// How a row is written.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// RFC 4180
    Csv,
    /// A JSON object a line
    Jsonl,
}

/// The same, in detail.
#[derive(Clone, Copy)]
struct Form {
    format: Format,
    /// For people's spreadsheets rather than programs.
    spreadsheet: bool,
}

/// `tandemctl cdr list`
fn list(config: &Path, as_json: bool, filter: &CdrFilter, limit: u32) -> Result<(), Failure> {
    let mut rows = read(config, async |database| {
        Ok(database.cdrs(filter, CdrOrder::Latest, limit).await?)
    })?;
    rows.reverse();
    if as_json {
        let all: Vec<_> = rows.iter().map(|row| object(&values(row))).collect();
        return write_out(&format!("{}\n", Value::Array(all)));
    }
    let rows: Vec<Vec<String>> = rows.iter().map(line).collect();
    write_out(&table(
        &[
            "begin", "from", "to", "tenant", "trunk", ">code", "cause", ">q.850", ">seconds",
            ">loss %", ">mos", "call-id",
        ],
        &rows,
    ))
}

/// `tandemctl cdr export`
fn export(
    config: &Path,
    filter: &CdrFilter,
    after: Option<i64>,
    form: Form,
    output: Option<&Path>,
) -> Result<(), Failure> {
    let first = after.map_or(CdrOrder::FIRST, CdrOrder::Id);
    let Some(path) = output else {
        let out = BufWriter::new(io::stdout().lock());
        return pages(config, filter, first, form, out, Failure::Output).map(drop);
    };
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| Failure::File {
            path: path.clone(),
            error,
        }
    };
    let part = PathBuf::from(format!("{}.part", path.display()));
    let file = File::create(&part).map_err(failed(&part))?;
    let out = pages(
        config,
        filter,
        first,
        form,
        BufWriter::new(file),
        failed(&part),
    )?;
    let file = out
        .into_inner()
        .map_err(|e| failed(&part)(e.into_error()))?;
    file.sync_all().map_err(failed(&part))?;
    fs::rename(&part, path).map_err(failed(path))
}

/// Writes every row, a page at a time.
fn pages<W: Write>(
    config: &Path,
    filter: &CdrFilter,
    first: CdrOrder,
    form: Form,
    mut out: W,
    failed: impl Fn(io::Error) -> Failure,
) -> Result<W, Failure> {
    if let Format::Csv = form.format {
        let names = names().map(str::as_bytes);
        write_record(&mut out, names).map_err(&failed)?;
    }
    read(config, async |database| {
        let mut order = first;
        loop {
            let page = database.cdrs(filter, order, PAGE).await?;
            for row in &page {
                write_row(&mut out, row, form).map_err(&failed)?;
            }
            match page.last() {
                Some(last) => order = order.behind(last),
                None => return Ok(()),
            }
        }
    })?;
    out.flush().map_err(&failed)?;
    Ok(out)
}

/// Opens the database of a configuration file and does something with it.
fn read<T>(
    config: &Path,
    act: impl AsyncFnOnce(&mut Database) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let config = check::load(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Database(error.to_string()))?;
    runtime.block_on(async {
        let mut place = DatabasePlace::of(&config.database)?.with_patience(PATIENCE);
        let mut database = Database::open_as_it_is(&mut place).await?;
        let done = act(&mut database).await;
        database.close().await;
        done
    })
}

/// The columns' names, in the order of [`values`].
fn names() -> impl Iterator<Item = &'static str> {
    let (first, later) = CDR_COLUMNS.split_at(FIRST_COLUMNS);
    let name = |column: &CdrColumn| column.0;
    first
        .iter()
        .map(name)
        .chain(DERIVED)
        .chain(later.iter().map(name))
}

/// A row, and what follows from it.
fn values(row: &CdrRow) -> Vec<CdrValue> {
    let by_name: HashMap<_, _> = CDR_COLUMNS.iter().map(|c| c.0).zip(row).collect();
    let number = |name: &str| match by_name.get(name) {
        Some(CdrValue::Int(number)) => Some(*number),
        _ => None,
    };
    let int = |number: Option<i64>| number.map_or(CdrValue::None, CdrValue::Int);
    let [start, ring, answer, end] = ["start_ms", "ring_ms", "answer_ms", "end_ms"].map(number);
    let time = |ms: Option<i64>| ms.map_or(CdrValue::None, |ms| CdrValue::Text(rfc3339(ms)));
    let between = |from: Option<i64>, to: Option<i64>| Some(to?.saturating_sub(from?).max(0));
    let loss = |received: &str, lost: &str| {
        let (received, lost) = (number(received)?.max(0), number(lost)?.max(0));
        let all = received.saturating_add(lost);
        let percent = lost as f64 * 100.0 / all as f64;
        (all > 0).then_some(CdrValue::Real((percent * 1_000.0).round() / 1_000.0))
    };
    let mut values = row.clone();
    let later = values.split_off(FIRST_COLUMNS.min(values.len()));
    values.extend([
        time(start),
        time(answer),
        time(end),
        int(between(start, ring)),
        int(between(start, answer)),
        // A call that was not answered has none to be billed.
        int(between(answer, end).or(Some(0))),
        int(between(start, end)),
        loss("caller_packets", "caller_lost").unwrap_or(CdrValue::None),
        loss("callee_packets", "callee_lost").unwrap_or(CdrValue::None),
    ]);
    values.extend(later);
    values
}

fn write_row(out: &mut impl Write, row: &CdrRow, form: Form) -> io::Result<()> {
    let values = values(row);
    match form.format {
        Format::Jsonl => writeln!(out, "{}", object(&values)),
        Format::Csv => {
            let cells: Vec<String> = values.into_iter().map(|v| cell(v, form)).collect();
            write_record(out, cells.iter().map(String::as_bytes))
        }
    }
}

fn write_record<'a>(out: &mut impl Write, cells: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
    let mut writer = csv::WriterBuilder::new()
        // RFC 4180 section 2.
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    let failed = |e: &dyn std::fmt::Display| io::Error::other(e.to_string());
    writer.write_record(cells).map_err(|e| failed(&e))?;
    let bytes = writer.into_inner().map_err(|e| failed(&e))?;
    out.write_all(&bytes)
}

fn cell(value: CdrValue, form: Form) -> String {
    match value {
        CdrValue::None => String::new(),
        CdrValue::Int(number) => number.to_string(),
        CdrValue::Real(number) => number.to_string(),
        CdrValue::Text(text) if form.spreadsheet && is_formula(&text) => format!("'{text}"),
        CdrValue::Text(text) => text,
    }
}

/// Whether a spreadsheet may take it for more than a text: what peers send is in many columns.
fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n'])
}

fn object(values: &[CdrValue]) -> Value {
    let value = |name: &str, value: &CdrValue| match value {
        CdrValue::None => Value::Null,
        CdrValue::Int(number) if name == "media_partial" => json!(*number != 0),
        CdrValue::Int(number) => json!(number),
        CdrValue::Real(number) => json!(number),
        CdrValue::Text(text) if name == "tried" => {
            serde_json::from_str(text).unwrap_or_else(|_| json!([]))
        }
        CdrValue::Text(text) => json!(text),
    };
    let pairs = names().zip(values);
    let pairs = pairs.map(|(name, v)| (name.to_owned(), value(name, v)));
    Value::Object(Map::from_iter(pairs))
}

/// A row for people.
fn line(row: &CdrRow) -> Vec<String> {
    let all: HashMap<_, _> = names().zip(values(row)).collect();
    let text = |name: &str| match all.get(name) {
        None | Some(CdrValue::None) => "-".to_owned(),
        Some(CdrValue::Text(text)) if text.is_empty() => "-".to_owned(),
        Some(CdrValue::Text(text)) => text.clone(),
        Some(CdrValue::Int(number)) => number.to_string(),
        Some(CdrValue::Real(number)) => number.to_string(),
    };
    let ms = match all.get("duration_ms") {
        Some(CdrValue::Int(ms)) => *ms,
        _ => 0,
    };
    let worse = |a: &str, b: &str, worse: fn(f64, f64) -> f64| {
        let of = |name: &str| match all.get(name) {
            Some(CdrValue::Real(number)) => Some(*number),
            _ => None,
        };
        match (of(a), of(b)) {
            (Some(a), Some(b)) => worse(a, b).to_string(),
            (a, b) => a.or(b).map_or_else(|| "-".to_owned(), |n| n.to_string()),
        }
    };
    vec![
        text("start_time"),
        text("from_uri"),
        text("to_uri"),
        text("tenant"),
        text("trunk"),
        text("sip_code"),
        text("cause"),
        text("q850"),
        format!("{}.{}", ms / 1_000, ms % 1_000 / 100),
        worse("caller_loss_percent", "callee_loss_percent", f64::max),
        worse("caller_mos", "callee_mos", f64::min),
        text("callid"),
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    fn row(change: impl Fn(&str) -> Option<CdrValue>) -> CdrRow {
        let value = |name| change(name).unwrap_or(CdrValue::None);
        CDR_COLUMNS.iter().map(|column| value(column.0)).collect()
    }

    fn written(row: &CdrRow, form: Form) -> String {
        let mut out = Vec::new();
        write_row(&mut out, row, form).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn any_text_comes_back_from_csv_as_it_was() {
        let texts = ["a,b", "say \"no\"", "two\r\nlines", "=1+1", "", " x "];
        for text in texts {
            let row = row(|name| (name == "callid").then(|| CdrValue::Text(text.into())));
            let form = |spreadsheet| Form {
                format: Format::Csv,
                spreadsheet,
            };
            let read = |spreadsheet| {
                let csv = written(&row, form(spreadsheet));
                assert!(csv.ends_with("\r\n"));
                let mut reader = csv::ReaderBuilder::new()
                    .has_headers(false)
                    .from_reader(csv.as_bytes());
                let record = reader.records().next().unwrap().unwrap();
                assert_eq!(record.len(), names().count());
                record[6].to_owned()
            };
            assert_eq!(read(false), text);
            let guarded = if text == "=1+1" { "'=1+1" } else { text };
            assert_eq!(read(true), guarded);
        }
    }

    #[test]
    fn what_follows_from_a_row_is_behind_it() {
        let row = row(|name| {
            Some(match name {
                "start_ms" => CdrValue::Int(1_700_000_000_000),
                "answer_ms" => CdrValue::Int(1_700_000_002_000),
                "end_ms" => CdrValue::Int(1_700_000_062_500),
                "caller_packets" => CdrValue::Int(990),
                "caller_lost" => CdrValue::Int(10),
                "tried" => CdrValue::Text("[{\"code\":200}]".into()),
                "media_partial" => CdrValue::Int(0),
                _ => return None,
            })
        });
        let form = Form {
            format: Format::Jsonl,
            spreadsheet: false,
        };
        let read: Value = serde_json::from_str(&written(&row, form)).unwrap();
        assert_eq!(read["start_time"], "2023-11-14T22:13:20.000Z");
        assert_eq!(read["answer_after_ms"], 2_000);
        assert_eq!(
            (&read["duration_ms"], &read["total_ms"]),
            (&json!(60_500), &json!(62_500))
        );
        assert_eq!(read["ring_after_ms"], Value::Null);
        assert_eq!(read["caller_loss_percent"], 1.0);
        assert_eq!(read["callee_loss_percent"], Value::Null);
        assert_eq!(read["tried"][0]["code"], 200);
        assert_eq!(read["media_partial"], false);
        assert_eq!(read.as_object().unwrap().len(), names().count());
        let line = line(&row);
        assert_eq!((line[8].as_str(), line[9].as_str()), ("60.5", "1"));
    }
}
