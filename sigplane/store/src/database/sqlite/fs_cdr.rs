//! `fs_cdr`: a leg is there once, however often FreeSWITCH posts it.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use tandem_policy::FsCdr;

use crate::database::fs_cdr::{COLUMNS, Columns};

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
