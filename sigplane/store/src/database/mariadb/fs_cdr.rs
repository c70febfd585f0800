//! `fs_cdr`: a leg is there once, however often FreeSWITCH posts it.

use sqlx::{AssertSqlSafe, MySql, MySqlConnection, QueryBuilder, Row as _};
use tandem_policy::FsCdr;

use crate::database::fs_cdr::{self, COLUMNS, Columns};

/// Rows in one statement: 34 values each, of which the protocol takes 65,535.
const ROWS: usize = 256;

pub(super) async fn write(
    connection: &mut MySqlConnection,
    node: u16,
    cdrs: &[&FsCdr],
) -> Result<(), sqlx::Error> {
    for rows in cdrs.chunks(ROWS) {
        let mut query = QueryBuilder::<MySql>::new(format!("INSERT INTO fs_cdr ({COLUMNS}) "));
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
        query.push(" ON DUPLICATE KEY UPDATE uuid = fs_cdr.uuid");
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
    connection: &mut MySqlConnection,
    call_ids: &[&str],
) -> Result<Vec<FsCdr>, sqlx::Error> {
    let mut query = sqlx::query(AssertSqlSafe(fs_cdr::select(call_ids.len(), "SIGNED")));
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
