//! What an administrator does.

use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, Row as _};

use super::schema::{TABLES, tables, versions};
use super::{MariaDb, MariaDbError};
use crate::database::TableRows;
use crate::database::admin::{Copied, TableState, missing};

impl MariaDb {
    pub(in crate::database) async fn inspect(&mut self) -> Result<Vec<TableState>, MariaDbError> {
        self.run("look at the tables", inspect).await
    }

    pub(in crate::database) async fn carry_out(
        &mut self,
        steps: &[String],
    ) -> Result<(), MariaDbError> {
        // Statements that change tables are no part of a transaction: a version is noted behind them.
        for step in steps {
            self.run("bring the tables up to date", async |c| {
                let step = AssertSqlSafe(step.as_str());
                sqlx::raw_sql(step).execute(c).await.map(drop)
            })
            .await?;
        }
        Ok(())
    }

    pub(in crate::database) async fn copy(
        &mut self,
        rows: &TableRows,
    ) -> Result<Copied, MariaDbError> {
        self.run("insert rows of another database", async |c| {
            copy(c, rows).await
        })
        .await
    }
}

async fn inspect(connection: &mut MySqlConnection) -> Result<Vec<TableState>, sqlx::Error> {
    let there = tables(connection).await?;
    let is_there = |name: &str| there.iter().any(|t| t == name);
    let versions = match is_there("version") {
        true => versions(connection).await?,
        false => Vec::new(),
    };
    let mut states = Vec::new();
    for (table, wanted, definition) in TABLES {
        let mut state = TableState {
            table,
            wanted,
            version: versions.iter().find(|(n, _)| n == table).map(|(_, v)| *v),
            rows: None,
            missing: Vec::new(),
        };
        if is_there(table) {
            let columns = sqlx::query(
                "SELECT CAST(column_name AS CHAR) FROM information_schema.columns
                 WHERE table_schema = DATABASE() AND table_name = ?",
            )
            .bind(table)
            .fetch_all(&mut *connection)
            .await?;
            let columns: Result<Vec<String>, _> =
                columns.iter().map(|row| row.try_get(0)).collect();
            state.missing = missing(definition, &columns?);
            // An estimate: counting a table of CDRs would take minutes.
            let row = sqlx::query(
                "SELECT CAST(COALESCE(table_rows, 0) AS SIGNED) FROM information_schema.tables
                 WHERE table_schema = DATABASE() AND table_name = ?",
            )
            .bind(table)
            .fetch_one(&mut *connection)
            .await?;
            state.rows = Some(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0));
        }
        states.push(state);
    }
    Ok(states)
}

async fn copy(connection: &mut MySqlConnection, rows: &TableRows) -> Result<Copied, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let mut copied = Copied::default();
    for row in &rows.dispatcher {
        let done = sqlx::query(
            "INSERT INTO dispatcher (setid, destination, flags, priority, attrs, description)
             SELECT ?, ?, ?, ?, ?, ? FROM DUAL
             WHERE NOT EXISTS (SELECT 1 FROM dispatcher WHERE setid = ? AND destination = ?)",
        )
        .bind(row.setid)
        .bind(&row.destination)
        .bind(row.flags)
        .bind(row.priority)
        .bind(&row.attrs)
        .bind(&row.description)
        .bind(row.setid)
        .bind(&row.destination)
        .execute(&mut *transaction)
        .await?;
        copied.dispatcher += done.rows_affected();
    }
    for row in &rows.address {
        let done = sqlx::query(
            "INSERT INTO address (grp, ip_addr, mask, port, tag) SELECT ?, ?, ?, ?, ? FROM DUAL
             WHERE NOT EXISTS (SELECT 1 FROM address
                 WHERE grp = ? AND ip_addr = ? AND mask = ? AND port = ?)",
        )
        .bind(row.grp)
        .bind(&row.ip_addr)
        .bind(row.mask)
        .bind(row.port)
        .bind(&row.tag)
        .bind(row.grp)
        .bind(&row.ip_addr)
        .bind(row.mask)
        .bind(row.port)
        .execute(&mut *transaction)
        .await?;
        copied.address += done.rows_affected();
    }
    for row in &rows.subscribers {
        let done = sqlx::query(
            "INSERT INTO subscriber (username, domain, password, ha1, ha1b)
             SELECT ?, ?, ?, ?, ? FROM DUAL
             WHERE NOT EXISTS (SELECT 1 FROM subscriber WHERE username = ? AND domain = ?)",
        )
        .bind(&row.username)
        .bind(&row.domain)
        .bind(&row.password)
        .bind(&row.ha1)
        .bind(&row.ha1b)
        .bind(&row.username)
        .bind(&row.domain)
        .execute(&mut *transaction)
        .await?;
        copied.subscribers += done.rows_affected();
    }
    transaction.commit().await?;
    Ok(copied)
}
