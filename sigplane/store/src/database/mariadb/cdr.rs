//! Writing what comes from the journal, each change exactly once.

use std::collections::HashSet;

use sqlx::{Connection as _, MySql, MySqlConnection, QueryBuilder};
use tandem_policy::{Cdr, FsCdr};

use super::partitions::{Partitions, is_short};
use super::{MariaDb, MariaDbError, acc, dialog, fs_cdr, location};
use crate::database::batch::{Batch, acc_rows, fit};
use crate::database::columns::{COLUMNS, Value, columns};
use crate::database::{Written, signed};

/// Rows in one statement: [`COLUMNS`] values each, of which the protocol takes 65,535.
const ROWS: usize = 256;
const _: () = assert!(ROWS * COLUMNS <= 65_535);
/// How often a transaction is tried when others come first.
const ATTEMPTS: u32 = 5;

impl MariaDb {
    pub(in crate::database) async fn last_sequence(
        &mut self,
        node: u16,
    ) -> Result<u64, MariaDbError> {
        let sql = "SELECT CAST(sequence AS SIGNED) FROM tandem_spool WHERE node = ?";
        self.run("read tandem_spool", async |c| {
            last_sequence(c, sql, node).await
        })
        .await
    }

    pub(in crate::database) async fn write(
        &mut self,
        batch: &Batch<'_>,
    ) -> Result<Written, MariaDbError> {
        let starts = batch
            .cdrs(0)
            .into_iter()
            .map(|(_, cdr)| signed(cdr.start_ms));
        if let Some(newest) = starts.max() {
            self.make_partitions(newest).await?;
        }
        let mut attempt = 1;
        loop {
            let written = self
                .run("write what the journal has", async |c| {
                    write(c, batch).await
                })
                .await;
            match written {
                Err(error) if error.is_conflict() && attempt < ATTEMPTS => attempt += 1,
                written => return written,
            }
        }
    }

    /// Makes the partitions of the next months if they are missing. CDRs are kept without them as
    /// well, so a user without the right to alter tables is no trouble.
    pub(super) async fn make_partitions(&mut self, newest: i64) -> Result<(), MariaDbError> {
        if !self
            .covered
            .is_some_and(|covered| is_short(covered, newest))
        {
            return Ok(());
        }
        let what = "read the partitions of cdr";
        let partitions = self.run(what, Partitions::read).await?;
        self.covered = partitions.as_ref().map(|p| p.covered);
        let Some((statement, covered)) = partitions.and_then(|p| p.extension(newest)) else {
            // Nothing that could be made: not asked again before the next connection.
            if self
                .covered
                .is_some_and(|covered| is_short(covered, newest))
            {
                self.covered = None;
            }
            return Ok(());
        };
        let made = self
            .run("make partitions of cdr", async |c| {
                Partitions::extend(c, statement).await
            })
            .await;
        match made {
            Ok(()) => self.covered = Some(covered),
            Err(error @ (MariaDbError::Denied { .. } | MariaDbError::Statement { .. })) => {
                // Another node of ours may have made them at the same moment.
                let now = self.run(what, Partitions::read).await?;
                self.covered = now.map(|p| p.covered);
                if self
                    .covered
                    .is_some_and(|covered| is_short(covered, newest))
                {
                    tracing::warn!("{error}; CDRs go to the last partition of cdr");
                    self.covered = None;
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl MariaDb {
    pub(in crate::database) async fn fs_cdrs(
        &mut self,
        call_ids: &[&str],
    ) -> Result<Vec<FsCdr>, MariaDbError> {
        self.run("read fs_cdr", async |c| fs_cdr::of_calls(c, call_ids).await)
            .await
    }
}

async fn write(
    connection: &mut MySqlConnection,
    batch: &Batch<'_>,
) -> Result<Written, sqlx::Error> {
    let node = batch.node;
    let mut transaction = connection.begin().await?;
    // Locked: a transaction of ours that a lost connection left behind ends before we look.
    let sql = "SELECT CAST(sequence AS SIGNED) FROM tandem_spool WHERE node = ? FOR UPDATE";
    let last = last_sequence(&mut transaction, sql, node).await?;
    let mut written = Written::default();
    for rows in batch.cdrs(last).chunks(ROWS) {
        let known = known(&mut transaction, rows).await?;
        let is_new = |(_, cdr): &&(u64, &Cdr)| !known.contains(fit(&cdr.call_uuid, 64));
        let rows: Vec<_> = rows.iter().filter(is_new).copied().collect();
        if rows.is_empty() {
            continue;
        }
        insert(&mut transaction, node, &rows).await?;
        written.inserted += rows.len() as u64;
        if batch.acc {
            acc::write(&mut transaction, &acc_rows(&rows)).await?;
        }
    }
    written.known = (batch.cdrs(0).len() as u64).saturating_sub(written.inserted);
    fs_cdr::write(&mut transaction, node, &batch.fs_cdrs(last)).await?;
    let located = batch.located(last);
    location::write(&mut transaction, node, &located).await?;
    dialog::write(&mut transaction, &batch.dialogs(last)).await?;
    written.located = located.len() as u64;
    sqlx::query(
        "INSERT INTO tandem_spool (node, sequence) VALUES (?, ?)
         ON DUPLICATE KEY UPDATE sequence = GREATEST(sequence, VALUES(sequence))",
    )
    .bind(node)
    .bind(signed(batch.newest))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(written)
}

async fn last_sequence(
    connection: &mut MySqlConnection,
    sql: &'static str,
    node: u16,
) -> Result<u64, sqlx::Error> {
    let row: Option<(i64,)> = sqlx::query_as(sql)
        .bind(node)
        .fetch_optional(connection)
        .await?;
    Ok(row.map_or(0, |(sequence,)| u64::try_from(sequence).unwrap_or(0)))
}

/// Those of these calls that are there already. The server does not tell rows that it inserted from those that it left alone: the
/// protocol library asks it to count rows that were found.
async fn known(
    connection: &mut MySqlConnection,
    rows: &[(u64, &Cdr)],
) -> Result<HashSet<String>, sqlx::Error> {
    let starts = || rows.iter().map(|(_, cdr)| signed(cdr.start_ms));
    let mut query = QueryBuilder::<MySql>::new("SELECT call_uuid FROM cdr WHERE start_ms BETWEEN ");
    query
        .push_bind(starts().min().unwrap_or(0))
        .push(" AND ")
        .push_bind(starts().max().unwrap_or(0))
        .push(" AND (call_uuid, start_ms) IN ");
    query.push_tuples(rows, |mut row, (_, cdr)| {
        row.push_bind(fit(&cdr.call_uuid, 64))
            .push_bind(signed(cdr.start_ms));
    });
    let query = query.build_query_scalar::<String>().persistent(false);
    Ok(query.fetch_all(connection).await?.into_iter().collect())
}

/// Inserts rows with one statement.
async fn insert(
    connection: &mut MySqlConnection,
    node: u16,
    rows: &[(u64, &Cdr)],
) -> Result<(), sqlx::Error> {
    let rows: Vec<_> = rows
        .iter()
        .map(|(sequence, cdr)| columns(node, *sequence, cdr))
        .collect();
    let Some(first) = rows.first() else {
        return Ok(());
    };
    let names: Vec<_> = first.iter().map(|(name, _)| *name).collect();
    let mut query = QueryBuilder::<MySql>::new("INSERT INTO cdr (");
    query.push(names.join(", ")).push(") ");
    query.push_values(&rows, |mut row, columns| {
        for (_, value) in columns {
            match value {
                Value::Int(value) => row.push_bind(*value),
                Value::Real(value) => row.push_bind(*value),
                Value::Text(value) => row.push_bind(value.as_ref()),
            };
        }
    });
    // Changes nothing, and says so. IGNORE would hide other mistakes.
    query.push(" ON DUPLICATE KEY UPDATE call_uuid = cdr.call_uuid");
    query.build().persistent(false).execute(connection).await?;
    Ok(())
}
