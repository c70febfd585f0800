//! Writing what comes from the journal, each change exactly once.

use std::collections::HashSet;

use sqlx::{Connection as _, QueryBuilder, Sqlite, SqliteConnection};
use tandem_policy::Cdr;

use super::{SqliteDatabase, acc, dialog, location};
use crate::database::batch::{Batch, acc_rows};
use crate::database::{DatabaseError, Written, signed};

/// Rows in one statement: 26 values each, of which SQLite takes 32,766.
const ROWS: usize = 256;

impl SqliteDatabase {
    /// The journal sequence number up to which the database has the CDRs of `node`; 0 for none.
    ///
    /// # Errors
    /// Names the file and what is wrong.
    pub(in crate::database) async fn last_sequence(
        &mut self,
        node: u16,
    ) -> Result<u64, DatabaseError> {
        self.check_identity()?;
        let failed = self.failed("read tandem_spool");
        last_sequence(&mut self.connection, node)
            .await
            .map_err(failed)
    }

    pub(in crate::database) async fn write(
        &mut self,
        batch: &Batch<'_>,
    ) -> Result<Written, DatabaseError> {
        self.check_identity()?;
        let failed = self.failed("write what the journal has");
        let node = batch.node;
        let mut transaction = self
            .connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(&failed)?;
        let last = last_sequence(&mut transaction, node)
            .await
            .map_err(&failed)?;
        let mut written = Written::default();
        for rows in batch.cdrs(last).chunks(ROWS) {
            let new = insert(&mut transaction, node, rows)
                .await
                .map_err(&failed)?;
            written.inserted += new.len() as u64;
            if batch.acc {
                let is_new = |(_, cdr): &&(u64, &Cdr)| new.contains(&cdr.call_uuid);
                let rows: Vec<_> = rows.iter().filter(is_new).copied().collect();
                acc::write(&mut transaction, &acc_rows(&rows))
                    .await
                    .map_err(&failed)?;
            }
        }
        written.known = (batch.cdrs(0).len() as u64).saturating_sub(written.inserted);
        let located = batch.located(last);
        location::write(&mut transaction, node, &located)
            .await
            .map_err(&failed)?;
        written.located = located.len() as u64;
        dialog::write(&mut transaction, &batch.dialogs(last))
            .await
            .map_err(&failed)?;
        sqlx::query(
            "INSERT INTO tandem_spool (node, sequence) VALUES (?1, ?2)
             ON CONFLICT (node) DO UPDATE SET sequence = max(sequence, excluded.sequence)",
        )
        .bind(node)
        .bind(signed(batch.newest))
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        Ok(written)
    }
}

async fn last_sequence(connection: &mut SqliteConnection, node: u16) -> Result<u64, sqlx::Error> {
    let row: Option<(i64,)> = sqlx::query_as("SELECT sequence FROM tandem_spool WHERE node = ?1")
        .bind(node)
        .fetch_optional(connection)
        .await?;
    Ok(row.map_or(0, |(sequence,)| u64::try_from(sequence).unwrap_or(0)))
}

/// Inserts rows with one statement, which costs a fraction of one for each; returns those of the
/// calls that were not there yet.
async fn insert(
    connection: &mut SqliteConnection,
    node: u16,
    rows: &[(u64, &Cdr)],
) -> Result<HashSet<String>, sqlx::Error> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO cdr (node, sequence, call_uuid, callid, from_tag, to_tag, direction,
             from_uri, to_uri, request_uri, source, destination, start_ms, answer_ms, end_ms,
             sip_code, sip_reason, cause,
             caller_packets, caller_bytes, caller_lost, caller_jitter,
             callee_packets, callee_bytes, callee_lost, callee_jitter) ",
    );
    query.push_values(rows, |mut row, (sequence, cdr)| {
        row.push_bind(node)
            .push_bind(signed(*sequence))
            .push_bind(&cdr.call_uuid)
            .push_bind(&cdr.callid)
            .push_bind(&cdr.from_tag)
            .push_bind(&cdr.to_tag)
            .push_bind(&cdr.direction)
            .push_bind(&cdr.from_uri)
            .push_bind(&cdr.to_uri)
            .push_bind(&cdr.request_uri)
            .push_bind(&cdr.source)
            .push_bind(&cdr.destination)
            .push_bind(signed(cdr.start_ms))
            .push_bind(cdr.answer_ms.map(signed))
            .push_bind(signed(cdr.end_ms))
            .push_bind(cdr.sip_code)
            .push_bind(&cdr.sip_reason)
            .push_bind(cdr.cause.as_str());
        for media in [&cdr.caller_media, &cdr.callee_media] {
            row.push_bind(signed(media.packets))
                .push_bind(signed(media.bytes))
                .push_bind(signed(media.lost))
                .push_bind(i64::from(media.jitter));
        }
    });
    query.push(" ON CONFLICT (call_uuid) DO NOTHING RETURNING call_uuid");
    let query = query.build_query_scalar::<String>().persistent(false);
    Ok(query.fetch_all(connection).await?.into_iter().collect())
}
