//! The tables that are configuration, from one file to another.

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::SqliteDatabase;
use super::schema::columns;
use crate::database::DatabaseError;
use crate::database::configuration::CONFIGURATION;

impl SqliteDatabase {
    /// Inserts the rows of another file's tables that are configuration, those that are not there yet, in one transaction. A table or a
    /// column that the other one lacks is left out: it may be older. Gives how many rows each table got.
    ///
    /// # Errors
    /// Names the file and what is wrong; nothing is inserted then.
    pub async fn copy_configuration(
        &mut self,
        from: &Path,
    ) -> Result<Vec<(&'static str, u64)>, DatabaseError> {
        self.check_identity()?;
        let failed = self.failed("insert the rows of another database");
        // It would be made.
        if !from.exists() {
            return Err(DatabaseError::Replaced {
                path: from.to_owned(),
            });
        }
        sqlx::query("ATTACH DATABASE ?1 AS other")
            .bind(from.display().to_string())
            .execute(&mut self.connection)
            .await
            .map_err(&failed)?;
        let copied = copy(&mut self.connection).await.map_err(&failed);
        sqlx::query("DETACH DATABASE other")
            .execute(&mut self.connection)
            .await
            .map_err(&failed)?;
        copied
    }
}

async fn copy(connection: &mut SqliteConnection) -> Result<Vec<(&'static str, u64)>, sqlx::Error> {
    let mut statements = Vec::new();
    for (table, keys) in CONFIGURATION {
        let Some(keys) = keys else { continue };
        let theirs: Vec<String> =
            sqlx::query_scalar("SELECT name FROM pragma_table_info(?1, 'other')")
                .bind(table)
                .fetch_all(&mut *connection)
                .await?;
        let ours = columns(connection, table).await?;
        statements.push((table, statement(table, keys, &ours, &theirs)));
    }
    let mut transaction = connection.begin().await?;
    let mut copied = Vec::new();
    for (table, statement) in statements {
        let rows = match statement {
            Some(statement) => sqlx::query(AssertSqlSafe(statement))
                .execute(&mut *transaction)
                .await?
                .rows_affected(),
            None => 0,
        };
        copied.push((table, rows));
    }
    transaction.commit().await?;
    Ok(copied)
}

/// None if they lack what makes a row another one.
fn statement(table: &str, keys: &[&str], ours: &[String], theirs: &[String]) -> Option<String> {
    if !keys.iter().all(|key| theirs.iter().any(|name| name == key)) {
        return None;
    }
    // Numbers of rows are each database's own.
    let both = ours
        .iter()
        .filter(|name| *name != "id" && theirs.contains(name));
    let names: Vec<_> = both
        .map(|name| format!("\"{}\"", name.replace('"', "\"\"")))
        .collect();
    let names = names.join(", ");
    let same: Vec<_> = keys
        .iter()
        .map(|key| format!("here.{key} IS there.{key}"))
        .collect();
    let same = same.join(" AND ");
    Some(format!(
        "INSERT INTO main.{table} ({names}) SELECT {names} FROM other.{table} AS there
         WHERE NOT EXISTS (SELECT 1 FROM main.{table} AS here WHERE {same}) ORDER BY there.id"
    ))
}
