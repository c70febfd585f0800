//! `fs_cdr`: a leg is there once, however often FreeSWITCH posts it.

use sqlx::{AssertSqlSafe, QueryBuilder, Row as _, Sqlite, SqliteConnection};
use tandem_policy::FsCdr;

use crate::database::fs_cdr::{self, COLUMNS, Columns};

/// Rows in one statement: 34 values each, of which SQLite takes 32,766.
const ROWS: usize = 256;

pub(super) async fn write(
    connection: &mut SqliteConnection,
    node: u16,
    cdrs: &[&FsCdr],
) -> Result<(), sqlx::Error> {
    for rows in cdrs.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new(format!("INSERT INTO fs_cdr ({COLUMNS}) "));
        query.push_values(rows, |mut row, cdr| {
            let columns = Columns::of(node, cdr);
            for text in columns.texts {
                row.push_bind(text);
            }
            for number in columns.numbers {
                row.push_bind(number);
            }
            for fraction in columns.fractions {
                row.push_bind(fraction);
            }
        });
        query.push(" ON CONFLICT (uuid) DO NOTHING");
        query
            .build()
            .persistent(false)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// The legs with these Call-IDs.
pub(super) async fn of_calls(
    connection: &mut SqliteConnection,
    call_ids: &[&str],
) -> Result<Vec<FsCdr>, sqlx::Error> {
    let mut query = sqlx::query(AssertSqlSafe(fs_cdr::select(call_ids.len(), "INTEGER")));
    for call_id in call_ids {
        query = query.bind(*call_id);
    }
    let rows = query.fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let texts = (0..16)
                .map(|at| row.try_get(at))
                .collect::<Result<_, _>>()?;
            let numbers = (16..29)
                .map(|at| row.try_get(at))
                .collect::<Result<_, _>>()?;
            let fractions = (29..34)
                .map(|at| row.try_get_unchecked(at))
                .collect::<Result<_, _>>()?;
            Ok(fs_cdr::read(texts, numbers, fractions))
        })
        .collect()
}
