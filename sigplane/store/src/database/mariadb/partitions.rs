//! A partition of `cdr` for each month of `start_ms`: old months go with `ALTER TABLE cdr DROP
//! PARTITION`, at once and without a trace in the others.

use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};

use super::month::Month;

/// How many months after the current one have partitions.
const AHEAD: i64 = 3;
/// When more months are missing, a clock was wrong: the last partition takes what comes.
const MOST: i64 = 60;

/// The partitions that a new `cdr` begins with. What is older is in the first, what is newer in the
/// last.
pub(super) fn initial(now: i64) -> String {
    let first = Month::of(now);
    format!(
        "PARTITION BY RANGE (start_ms) ({}, PARTITION pmax VALUES LESS THAN MAXVALUE)",
        list(first, first.plus(AHEAD))
    )
}

/// How far the partitions of `cdr` go; none when there are none.
pub(super) struct Partitions {
    /// Those with a limit end here, in Unix milliseconds.
    pub(super) covered: i64,
    /// The one without a limit.
    unlimited: Option<String>,
}

impl Partitions {
    /// Asks for them.
    pub(super) async fn read(
        connection: &mut MySqlConnection,
    ) -> Result<Option<Self>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT CAST(partition_name AS CHAR), CAST(partition_description AS CHAR)
             FROM information_schema.partitions
             WHERE table_schema = DATABASE() AND table_name = 'cdr'
                 AND partition_method = 'RANGE' AND subpartition_name IS NULL",
        )
        .fetch_all(connection)
        .await?;
        let (mut covered, mut unlimited) = (None, None);
        for row in &rows {
            let name: String = row.try_get(0)?;
            let limit: String = row.try_get(1)?;
            match limit.parse::<i64>() {
                Ok(limit) => covered = covered.max(Some(limit)),
                Err(_) => unlimited = Some(name),
            }
        }
        Ok(covered.map(|covered| Self { covered, unlimited }))
    }

    /// The statement that makes those missing after `newest`, and how far they go then.
    pub(super) fn extension(&self, newest: i64) -> Option<(String, i64)> {
        // What lies between, if an administrator's do not end with a month, goes to the first.
        let first = Month::of(self.covered);
        let last = Month::of(newest).plus(AHEAD);
        if !is_short(self.covered, newest) || first.plus(MOST) < last {
            return None;
        }
        let list = list(first, last);
        let statement = match &self.unlimited {
            Some(name) => {
                let name = name.replace('`', "``");
                format!(
                    "ALTER TABLE cdr REORGANIZE PARTITION `{name}` INTO
                         ({list}, PARTITION `{name}` VALUES LESS THAN MAXVALUE)"
                )
            }
            None => format!("ALTER TABLE cdr ADD PARTITION ({list})"),
        };
        Some((statement, last.plus(1).start()))
    }

    /// Makes them.
    pub(super) async fn extend(
        connection: &mut MySqlConnection,
        statement: String,
    ) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(connection)
            .await
            .map(drop)
    }
}

/// Whether the month after `newest` has no partition yet.
pub(super) fn is_short(covered: i64, newest: i64) -> bool {
    covered < Month::of(newest).plus(2).start()
}

fn list(first: Month, last: Month) -> String {
    let mut parts = Vec::new();
    let mut month = first;
    while month <= last {
        let limit = month.plus(1).start();
        parts.push(format!("PARTITION p{month} VALUES LESS THAN ({limit})"));
        month = month.plus(1);
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2023-11-14
    const NOW: i64 = 1_700_000_000_000;

    #[test]
    fn what_is_missing_is_made_and_nothing_else() {
        let november = Month::of(NOW);
        let mut partitions = Partitions {
            covered: november.plus(4).start(),
            unlimited: Some("p`x".into()),
        };
        assert!(partitions.extension(NOW).is_none());
        let february = november.plus(3).start();
        let (statement, covered) = partitions.extension(february).unwrap();
        assert_eq!(covered, november.plus(7).start());
        assert!(statement.contains("`p``x` INTO"), "{statement}");
        assert!(!statement.contains("p202402"), "{statement}");
        assert!(statement.contains("p202403") && statement.contains("p202405"));
        // A clock that was years ahead.
        assert!(partitions.extension(NOW * 2).is_none());
        partitions.unlimited = None;
        let (statement, _) = partitions.extension(february).unwrap();
        assert!(statement.starts_with("ALTER TABLE cdr ADD PARTITION (PARTITION p202403 "));
    }
}
