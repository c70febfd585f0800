//! Writing Kamailio's `acc`.

use sqlx::{MySql, MySqlConnection, QueryBuilder};

use crate::database::batch::{AccRow, fit};

/// Rows in one statement.
const ROWS: usize = 256;

/// Inserts rows.
pub(super) async fn write(
    connection: &mut MySqlConnection,
    rows: &[AccRow<'_>],
) -> Result<(), sqlx::Error> {
    for part in rows.chunks(ROWS) {
        let mut query = QueryBuilder::<MySql>::new(
            "INSERT INTO acc (method, from_tag, to_tag, callid, sip_code, sip_reason, time) ",
        );
        query.push_values(part, |mut values, row| {
            values
                .push_bind(row.method)
                .push_bind(fit(row.from_tag, 128))
                .push_bind(fit(row.to_tag, 128))
                .push_bind(fit(row.callid, 255))
                .push_bind(row.sip_code.to_string())
                .push_bind(fit(row.sip_reason, 128))
                .push("FROM_UNIXTIME(")
                .push_bind_unseparated(row.time_s)
                .push_unseparated(")");
        });
        query
            .build()
            .persistent(false)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
