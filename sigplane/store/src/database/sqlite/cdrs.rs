//! Reading CDRs.

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::SqliteDatabase;
use crate::database::DatabaseError;
use crate::database::cdrs::{CDR_COLUMNS, CdrColumn, CdrKind, CdrRow, CdrValue};

impl SqliteDatabase {
    pub(in crate::database) async fn cdrs(
        &mut self,
        sql: &str,
        values: &[CdrValue],
    ) -> Result<Vec<CdrRow>, DatabaseError> {
        self.check_identity()?;
        let failed = self.failed("read CDRs");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for value in values {
            query = match value {
                CdrValue::None => query.bind(None::<i64>),
                CdrValue::Int(number) => query.bind(*number),
                CdrValue::Real(number) => query.bind(*number),
                CdrValue::Text(text) => query.bind(text.as_str()),
            };
        }
        let rows = query.fetch_all(&mut self.connection).await;
        let rows = rows.and_then(|rows| rows.iter().map(read).collect());
        rows.map_err(failed)
    }
}

fn read(row: &SqliteRow) -> Result<CdrRow, sqlx::Error> {
    let value = |(at, CdrColumn(_, kind)): (usize, &CdrColumn)| {
        let value = match kind {
            CdrKind::Int => row.try_get::<Option<i64>, _>(at)?.map(CdrValue::Int),
            // SQLite keeps whole numbers as such, whatever the column is.
            CdrKind::Real => row
                .try_get_unchecked::<Option<f64>, _>(at)?
                .map(CdrValue::Real),
            CdrKind::Text => row.try_get::<Option<String>, _>(at)?.map(CdrValue::Text),
        };
        Ok(value.unwrap_or(CdrValue::None))
    };
    CDR_COLUMNS.iter().enumerate().map(value).collect()
}
