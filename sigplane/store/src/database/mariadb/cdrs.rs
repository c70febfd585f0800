//! Reading CDRs.

use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::{MariaDb, MariaDbError};
use crate::database::cdrs::{CDR_COLUMNS, CdrColumn, CdrKind, CdrRow, CdrValue};

impl MariaDb {
    pub(in crate::database) async fn cdrs(
        &mut self,
        sql: &str,
        values: &[CdrValue],
    ) -> Result<Vec<CdrRow>, MariaDbError> {
        self.run("read CDRs", async |c| {
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for value in values {
                query = match value {
                    CdrValue::None => query.bind(None::<i64>),
                    CdrValue::Int(number) => query.bind(*number),
                    CdrValue::Real(number) => query.bind(*number),
                    CdrValue::Text(text) => query.bind(text.as_str()),
                };
            }
            let rows = query.fetch_all(c).await?;
            rows.iter().map(read).collect()
        })
        .await
    }
}

fn read(row: &MySqlRow) -> Result<CdrRow, sqlx::Error> {
    let value = |(at, CdrColumn(_, kind)): (usize, &CdrColumn)| {
        let value = match kind {
            CdrKind::Int => row.try_get::<Option<i64>, _>(at)?.map(CdrValue::Int),
            CdrKind::Real => row.try_get::<Option<f64>, _>(at)?.map(CdrValue::Real),
            CdrKind::Text => row.try_get::<Option<String>, _>(at)?.map(CdrValue::Text),
        };
        Ok(value.unwrap_or(CdrValue::None))
    };
    CDR_COLUMNS.iter().enumerate().map(value).collect()
}
