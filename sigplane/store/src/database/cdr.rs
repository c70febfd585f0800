//! Writing CDRs, each exactly once.

use sqlx::{Connection as _, SqliteConnection};
use tandem_policy::{Cdr, CdrMedia};

use super::{Database, DatabaseError};

/// What [`Database::write_cdrs`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WrittenCdrs {
    /// CDRs inserted.
    pub inserted: u64,
    /// CDRs left out: the database has their sequence number, or their call.
    pub known: u64,
}

impl Database {
    /// The journal sequence number up to which the database has the CDRs of `node`; 0 for none.
    ///
    /// # Errors
    /// Names the file and what is wrong.
    pub async fn last_sequence(&mut self, node: u16) -> Result<u64, DatabaseError> {
        self.check_identity()?;
        let failed = self.failed("read tandem_spool");
        last_sequence(&mut self.connection, node)
            .await
            .map_err(failed)
    }

    /// Inserts CDRs of `node`, given with their journal sequence numbers in ascending order, and
    /// notes the last number, in one transaction. CDRs that were inserted before are left out, so
    /// the same batch may be given again after any failure.
    ///
    /// # Errors
    /// Names the file and what is wrong; nothing of the batch is inserted then.
    pub async fn write_cdrs(
        &mut self,
        node: u16,
        batch: &[(u64, Cdr)],
    ) -> Result<WrittenCdrs, DatabaseError> {
        self.check_identity()?;
        let failed = self.failed("write CDRs");
        let mut written = WrittenCdrs::default();
        let Some((newest, _)) = batch.last() else {
            return Ok(written);
        };
        let mut transaction = self
            .connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(&failed)?;
        let last = last_sequence(&mut transaction, node)
            .await
            .map_err(&failed)?;
        for (sequence, cdr) in batch {
            let inserted = *sequence > last
                && insert(&mut transaction, node, *sequence, cdr)
                    .await
                    .map_err(&failed)?;
            if inserted {
                written.inserted += 1;
            } else {
                written.known += 1;
            }
        }
        sqlx::query(
            "INSERT INTO tandem_spool (node, sequence) VALUES (?1, ?2)
             ON CONFLICT (node) DO UPDATE SET sequence = max(sequence, excluded.sequence)",
        )
        .bind(node)
        .bind(signed(*newest))
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

/// Whether the call was not there yet.
async fn insert(
    connection: &mut SqliteConnection,
    node: u16,
    sequence: u64,
    cdr: &Cdr,
) -> Result<bool, sqlx::Error> {
    let media = |m: &CdrMedia| {
        [
            signed(m.packets),
            signed(m.bytes),
            signed(m.lost),
            m.jitter.into(),
        ]
    };
    let mut query = sqlx::query(
        "INSERT INTO cdr (node, sequence, call_uuid, callid, from_tag, to_tag, direction,
             from_uri, to_uri, request_uri, source, destination, start_ms, answer_ms, end_ms,
             sip_code, sip_reason, cause,
             caller_packets, caller_bytes, caller_lost, caller_jitter,
             callee_packets, callee_bytes, callee_lost, callee_jitter)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (call_uuid) DO NOTHING",
    )
    .bind(node)
    .bind(signed(sequence))
    .bind(&cdr.call_uuid)
    .bind(&cdr.callid)
    .bind(&cdr.from_tag)
    .bind(&cdr.to_tag)
    .bind(&cdr.direction)
    .bind(&cdr.from_uri)
    .bind(&cdr.to_uri)
    .bind(&cdr.request_uri)
    .bind(&cdr.source)
    .bind(&cdr.destination)
    .bind(signed(cdr.start_ms))
    .bind(cdr.answer_ms.map(signed))
    .bind(signed(cdr.end_ms))
    .bind(cdr.sip_code)
    .bind(&cdr.sip_reason)
    .bind(cdr.cause.as_str());
    for value in media(&cdr.caller_media)
        .into_iter()
        .chain(media(&cdr.callee_media))
    {
        query = query.bind(value);
    }
    Ok(query.execute(connection).await?.rows_affected() > 0)
}

/// SQLite has signed numbers only; ours never come near the difference.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
