//! What an administrator does.

use sqlx::{AssertSqlSafe, Connection as _};

use super::SqliteDatabase;
use super::schema::{TABLES, columns, versions};
use crate::database::admin::{Copied, TableState, missing};
use crate::database::{DatabaseError, TableRows};

impl SqliteDatabase {
    pub(in crate::database) async fn inspect(&mut self) -> Result<Vec<TableState>, DatabaseError> {
        let failed = self.failed("look at the tables");
        // Without the table there are no versions.
        let versions = versions(&mut self.connection).await.unwrap_or_default();
        let mut states = Vec::new();
        for (table, wanted, definition) in TABLES {
            let columns = columns(&mut self.connection, table)
                .await
                .map_err(&failed)?;
            let rows = if columns.is_empty() {
                None
            } else {
                let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
                let (count,): (i64,) = sqlx::query_as(count)
                    .fetch_one(&mut self.connection)
                    .await
                    .map_err(&failed)?;
                Some(u64::try_from(count).unwrap_or(0))
            };
            states.push(TableState {
                table,
                wanted,
                version: versions.iter().find(|(n, _)| n == table).map(|(_, v)| *v),
                rows,
                missing: missing(definition, &columns),
            });
        }
        Ok(states)
    }

    pub(in crate::database) async fn carry_out(
        &mut self,
        steps: &[String],
    ) -> Result<(), DatabaseError> {
        let failed = self.failed("bring the tables up to date");
        let mut transaction = self
            .connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(&failed)?;
        for step in steps {
            sqlx::query(AssertSqlSafe(step.as_str()))
                .execute(&mut *transaction)
                .await
                .map_err(&failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    pub(in crate::database) async fn copy(
        &mut self,
        rows: &TableRows,
    ) -> Result<Copied, DatabaseError> {
        let failed = self.failed("insert rows of another database");
        let mut transaction = self
            .connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(&failed)?;
        let mut copied = Copied::default();
        for row in &rows.dispatcher {
            let done = sqlx::query(
                "INSERT INTO dispatcher (setid, destination, flags, priority, attrs, description)
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6
                 WHERE NOT EXISTS (SELECT 1 FROM dispatcher WHERE setid = ?1 AND destination = ?2)",
            )
            .bind(row.setid)
            .bind(&row.destination)
            .bind(row.flags)
            .bind(row.priority)
            .bind(&row.attrs)
            .bind(&row.description)
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
            copied.dispatcher += done.rows_affected();
        }
        for row in &rows.address {
            let done = sqlx::query(
                "INSERT INTO address (grp, ip_addr, mask, port, tag) SELECT ?1, ?2, ?3, ?4, ?5
                 WHERE NOT EXISTS (SELECT 1 FROM address
                     WHERE grp = ?1 AND ip_addr = ?2 AND mask = ?3 AND port = ?4)",
            )
            .bind(row.grp)
            .bind(&row.ip_addr)
            .bind(row.mask)
            .bind(row.port)
            .bind(&row.tag)
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
            copied.address += done.rows_affected();
        }
        for row in &rows.subscribers {
            let done = sqlx::query(
                "INSERT INTO subscriber (username, domain, password, ha1, ha1b)
                 SELECT ?1, ?2, ?3, ?4, ?5
                 WHERE NOT EXISTS (SELECT 1 FROM subscriber WHERE username = ?1 AND domain = ?2)",
            )
            .bind(&row.username)
            .bind(&row.domain)
            .bind(&row.password)
            .bind(&row.ha1)
            .bind(&row.ha1b)
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
            copied.subscribers += done.rows_affected();
        }
        transaction.commit().await.map_err(failed)?;
        Ok(copied)
    }
}
