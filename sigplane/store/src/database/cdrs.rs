//! Reading CDRs, page by page: millions of them need no memory.

use std::fmt::Write as _;

use super::{Database, DatabaseError};

/// What of `cdr` is read, in this order: the order never changes, new columns come behind.
pub const CDR_COLUMNS: [CdrColumn; 65] = {
    use CdrKind::{Int, Real, Text};
    [
        CdrColumn("id", Int),
        CdrColumn("call_uuid", Text),
        CdrColumn("node", Int),
        CdrColumn("tenant", Text),
        CdrColumn("trunk", Text),
        CdrColumn("direction", Text),
        CdrColumn("callid", Text),
        CdrColumn("carrier_callid", Text),
        CdrColumn("from_tag", Text),
        CdrColumn("to_tag", Text),
        CdrColumn("from_uri", Text),
        CdrColumn("to_uri", Text),
        CdrColumn("request_uri", Text),
        CdrColumn("sent_uri", Text),
        CdrColumn("sent_from", Text),
        CdrColumn("source", Text),
        CdrColumn("source_local", Text),
        CdrColumn("destination", Text),
        CdrColumn("destination_address", Text),
        CdrColumn("destination_local", Text),
        CdrColumn("start_ms", Int),
        CdrColumn("ring_ms", Int),
        CdrColumn("answer_ms", Int),
        CdrColumn("end_ms", Int),
        CdrColumn("sip_code", Int),
        CdrColumn("sip_reason", Text),
        CdrColumn("cause", Text),
        CdrColumn("ended_by", Text),
        CdrColumn("q850", Int),
        CdrColumn("q850_source", Text),
        CdrColumn("attempts", Int),
        CdrColumn("tried", Text),
        CdrColumn("media_partial", Int),
        CdrColumn("caller_packets", Int),
        CdrColumn("caller_bytes", Int),
        CdrColumn("caller_lost", Int),
        CdrColumn("caller_jitter", Int),
        CdrColumn("caller_jitter_ms", Real),
        CdrColumn("caller_payload_type", Int),
        CdrColumn("caller_codec", Text),
        CdrColumn("caller_mos", Real),
        CdrColumn("caller_other_packets", Int),
        CdrColumn("caller_other_bytes", Int),
        CdrColumn("callee_packets", Int),
        CdrColumn("callee_bytes", Int),
        CdrColumn("callee_lost", Int),
        CdrColumn("callee_jitter", Int),
        CdrColumn("callee_jitter_ms", Real),
        CdrColumn("callee_payload_type", Int),
        CdrColumn("callee_codec", Text),
        CdrColumn("callee_mos", Real),
        CdrColumn("callee_other_packets", Int),
        CdrColumn("callee_other_bytes", Int),
        CdrColumn("caller_rtt_ms", Real),
        CdrColumn("caller_rtt_max_ms", Real),
        CdrColumn("caller_heard_lost", Int),
        CdrColumn("caller_heard_jitter_ms", Real),
        CdrColumn("caller_heard_mos", Real),
        CdrColumn("caller_dtmf", Int),
        CdrColumn("callee_rtt_ms", Real),
        CdrColumn("callee_rtt_max_ms", Real),
        CdrColumn("callee_heard_lost", Int),
        CdrColumn("callee_heard_jitter_ms", Real),
        CdrColumn("callee_heard_mos", Real),
        CdrColumn("callee_dtmf", Int),
    ]
};

/// A column's name, and what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CdrColumn(pub &'static str, pub CdrKind);

/// What is in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CdrKind {
    /// Whole numbers.
    Int,
    /// Others.
    Real,
    /// Text.
    Text,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum CdrValue {
    /// NULL
    None,
    /// A whole number.
    Int(i64),
    /// Another one.
    Real(f64),
    /// A text.
    Text(String),
}

/// A row: a value for each of [`CDR_COLUMNS`].
pub type CdrRow = Vec<CdrValue>;

/// Which CDRs.
#[derive(Clone, Debug, Default)]
pub struct CdrFilter {
    /// Calls that began at this moment or later, in Unix milliseconds.
    pub since_ms: Option<i64>,
    /// Calls that began before this moment.
    pub until_ms: Option<i64>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// By this trunk.
    pub trunk: Option<String>,
    /// With this Call-ID on either side.
    pub call_id: Option<String>,
}

/// In which order, and how far that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CdrOrder {
    /// By the calls' begin, behind this one: begin and `id`. An index is in that order.
    Begin(i64, i64),
    /// As they were written, behind this `id`.
    Id(i64),
    /// The latest begin first, once.
    Latest,
}

impl CdrOrder {
    /// By the calls' begin, from the first one.
    pub const FIRST: Self = Self::Begin(i64::MIN, i64::MIN);

    /// Behind this row.
    #[must_use]
    pub fn behind(self, row: &[CdrValue]) -> Self {
        let number = |name: &str| {
            let at = CDR_COLUMNS.iter().position(|c| c.0 == name);
            match at.and_then(|at| row.get(at)) {
                Some(CdrValue::Int(number)) => *number,
                _ => i64::MAX,
            }
        };
        match self {
            Self::Begin(..) => Self::Begin(number("start_ms"), number("id")),
            Self::Id(_) => Self::Id(number("id")),
            Self::Latest => Self::Latest,
        }
    }
}

impl Database {
    /// Up to `most` CDRs. To go on, the order [`CdrOrder::behind`] the last one.
    ///
    /// # Errors
    /// Names the place and what is wrong.
    pub async fn cdrs(
        &mut self,
        filter: &CdrFilter,
        order: CdrOrder,
        most: u32,
    ) -> Result<Vec<CdrRow>, DatabaseError> {
        let (sql, values) = query(filter, order, most);
        match self {
            Self::Sqlite(database) => database.cdrs(&sql, &values).await,
            Self::MariaDb(database) => Ok(database.cdrs(&sql, &values).await?),
        }
    }
}

/// The statement, in words that both databases know, and its values.
fn query(filter: &CdrFilter, order: CdrOrder, most: u32) -> (String, Vec<CdrValue>) {
    let mut sql = "SELECT ".to_owned();
    for (i, CdrColumn(name, kind)) in CDR_COLUMNS.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        // Whatever width a number has.
        let _ = match kind {
            CdrKind::Int => write!(sql, "{comma}CAST({name} AS SIGNED)"),
            CdrKind::Real | CdrKind::Text => write!(sql, "{comma}{name}"),
        };
    }
    sql += " FROM cdr WHERE 1 = 1";
    let mut values = Vec::new();
    let mut and = |condition: &str, with: &[CdrValue]| {
        sql += " AND ";
        sql += condition;
        values.extend_from_slice(with);
    };
    let text = |text: &String| CdrValue::Text(text.clone());
    if let Some(since) = filter.since_ms {
        and("start_ms >= ?", &[CdrValue::Int(since)]);
    }
    if let Some(until) = filter.until_ms {
        and("start_ms < ?", &[CdrValue::Int(until)]);
    }
    if let Some(tenant) = &filter.tenant {
        and("tenant = ?", &[text(tenant)]);
    }
    if let Some(trunk) = &filter.trunk {
        and("trunk = ?", &[text(trunk)]);
    }
    if let Some(call_id) = &filter.call_id {
        and(
            "(callid = ? OR carrier_callid = ?)",
            &[text(call_id), text(call_id)],
        );
    }
    match order {
        CdrOrder::Begin(start, id) => {
            let [start, id] = [start, id].map(CdrValue::Int);
            // The first condition is for the index.
            and(
                "start_ms >= ? AND (start_ms > ? OR id > ?)",
                &[start.clone(), start, id],
            );
            sql += " ORDER BY start_ms, id";
        }
        CdrOrder::Id(id) => {
            and("id > ?", &[CdrValue::Int(id)]);
            sql += " ORDER BY id";
        }
        CdrOrder::Latest => sql += " ORDER BY start_ms DESC, id DESC",
    }
    let _ = write!(sql, " LIMIT {most}");
    (sql, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::columns::{COLUMNS, columns};

    #[test]
    fn all_columns_are_read_but_where_in_the_journal_it_was() {
        let cdr = crate::journal::tests::cdr("a");
        let mut written: Vec<_> = columns(1, 2, &cdr).into_iter().map(|(n, _)| n).collect();
        written.retain(|name| *name != "sequence");
        written.push("id");
        let mut read: Vec<_> = CDR_COLUMNS.iter().map(|c| c.0).collect();
        written.sort_unstable();
        read.sort_unstable();
        assert_eq!(read, written);
        assert_eq!(read.len(), COLUMNS);
    }

    #[test]
    fn an_order_goes_on_behind_a_row() {
        let mut row = vec![CdrValue::None; CDR_COLUMNS.len()];
        row[0] = CdrValue::Int(7);
        row[20] = CdrValue::Int(1_000);
        assert_eq!(CdrOrder::FIRST.behind(&row), CdrOrder::Begin(1_000, 7));
        assert_eq!(CdrOrder::Id(1).behind(&row), CdrOrder::Id(7));
    }
}
