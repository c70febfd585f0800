//! Writing what comes from the journal, each change exactly once.

use std::collections::HashSet;

use sqlx::{Connection as _, QueryBuilder, Sqlite, SqliteConnection};
use tandem_policy::{Cdr, FsCdr};

use super::{SqliteDatabase, acc, dialog, fs_cdr, location};
use crate::database::batch::{Batch, acc_rows};
use crate::database::columns::{COLUMNS, Value, columns};
use crate::database::{DatabaseError, Written, signed};

/// Rows in one statement: [`COLUMNS`] values each, of which SQLite takes 32,766.
const ROWS: usize = 256;
const _: () = assert!(ROWS * COLUMNS <= 32_766);

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
        fs_cdr::write(&mut transaction, node, &batch.fs_cdrs(last))
            .await
            .map_err(&failed)?;
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

impl SqliteDatabase {
    pub(in crate::database) async fn fs_cdrs(
        &mut self,
        call_ids: &[&str],
    ) -> Result<Vec<FsCdr>, DatabaseError> {
        self.check_identity()?;
        let failed = self.failed("read fs_cdr");
        let read = fs_cdr::of_calls(&mut self.connection, call_ids).await;
        read.map_err(failed)
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
    let rows: Vec<_> = rows
        .iter()
        .map(|(sequence, cdr)| columns(node, *sequence, cdr))
        .collect();
    let Some(first) = rows.first() else {
        return Ok(HashSet::new());
    };
    let names: Vec<_> = first.iter().map(|(name, _)| *name).collect();
    let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO cdr (");
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
    query.push(" ON CONFLICT (call_uuid) DO NOTHING RETURNING call_uuid");
    let query = query.build_query_scalar::<String>().persistent(false);
    Ok(query.fetch_all(connection).await?.into_iter().collect())
}
