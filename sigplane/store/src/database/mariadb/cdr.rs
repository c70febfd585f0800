//! Writing what comes from the journal, each change exactly once.

use std::collections::HashSet;

use sqlx::{Connection as _, MySql, MySqlConnection, QueryBuilder};
use tandem_policy::Cdr;

use super::partitions::{Partitions, is_short};
use super::{MariaDb, MariaDbError, acc, dialog, location};
use crate::database::batch::{Batch, acc_rows, fit};
use crate::database::{Written, signed};

/// Rows in one statement: 26 values each, of which the protocol takes 65,535.
const ROWS: usize = 256;
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
    let mut query = QueryBuilder::<MySql>::new(
        "INSERT INTO cdr (node, sequence, call_uuid, callid, from_tag, to_tag, direction,
             from_uri, to_uri, request_uri, source, destination, start_ms, answer_ms, end_ms,
             sip_code, sip_reason, cause,
             caller_packets, caller_bytes, caller_lost, caller_jitter,
             callee_packets, callee_bytes, callee_lost, callee_jitter) ",
    );
    query.push_values(rows, |mut row, (sequence, cdr)| {
        row.push_bind(node)
            .push_bind(signed(*sequence))
            .push_bind(fit(&cdr.call_uuid, 64))
            .push_bind(fit(&cdr.callid, 255))
            .push_bind(fit(&cdr.from_tag, 128))
            .push_bind(fit(&cdr.to_tag, 128))
            .push_bind(fit(&cdr.direction, 16))
            .push_bind(fit(&cdr.from_uri, 255))
            .push_bind(fit(&cdr.to_uri, 255))
            .push_bind(fit(&cdr.request_uri, 255))
            .push_bind(fit(&cdr.source, 64))
            .push_bind(fit(&cdr.destination, 255))
            .push_bind(signed(cdr.start_ms))
            .push_bind(cdr.answer_ms.map(signed))
            .push_bind(signed(cdr.end_ms))
            .push_bind(cdr.sip_code)
            .push_bind(fit(&cdr.sip_reason, 128))
            .push_bind(cdr.cause.as_str());
        for media in [&cdr.caller_media, &cdr.callee_media] {
            row.push_bind(signed(media.packets))
                .push_bind(signed(media.bytes))
                .push_bind(signed(media.lost))
                .push_bind(i64::from(media.jitter));
        }
    });
    // Changes nothing, and says so. IGNORE would hide other mistakes.
    query.push(" ON DUPLICATE KEY UPDATE call_uuid = cdr.call_uuid");
    query.build().persistent(false).execute(connection).await?;
    Ok(())
}
