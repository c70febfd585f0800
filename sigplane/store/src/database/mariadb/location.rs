//! Writing `location`.

use sqlx::{MySql, MySqlConnection, QueryBuilder};

use crate::database::batch::{Located, fit, some};
use crate::database::signed;

/// Addresses of record, and rows, in one statement.
const ROWS: usize = 256;

/// Makes the rows of addresses of record what they are now. Times are in the server's time zone, as Kamailio has them.
pub(super) async fn write(
    connection: &mut MySqlConnection,
    node: u16,
    located: &[Located],
) -> Result<(), sqlx::Error> {
    for part in located.chunks(ROWS) {
        let mut query = QueryBuilder::<MySql>::new("DELETE FROM location WHERE ");
        let mut terms = query.separated(" OR ");
        for aor in part {
            let (from, to) = aor.gone();
            terms.push("(ruid >= ");
            terms.push_bind_unseparated(from);
            terms.push_unseparated(" AND ruid < ");
            terms.push_bind_unseparated(to);
            terms.push_unseparated(")");
        }
        query
            .build()
            .persistent(false)
            .execute(&mut *connection)
            .await?;
    }
    let rows: Vec<_> = located
        .iter()
        .flat_map(|aor| {
            aor.rows
                .iter()
                .enumerate()
                .map(|(i, row)| (aor.ruid(i), row))
        })
        .collect();
    for part in rows.chunks(ROWS) {
        let mut query = QueryBuilder::<MySql>::new(
            "INSERT INTO location (ruid, username, domain, contact, received, path, expires, q, callid, cseq,
             last_modified, user_agent, socket, methods, instance, reg_id, server_id) ",
        );
        query.push_values(part, |mut values, (ruid, row)| {
            values
                .push_bind(ruid)
                .push_bind(&row.username)
                .push_bind(&row.domain)
                .push_bind(&row.contact)
                .push_bind(some(fit(&row.received, 128)))
                .push_bind(some(&row.path))
                .push("FROM_UNIXTIME(")
                .push_bind_unseparated(signed(row.expires_s))
                .push_unseparated(")")
                .push_bind(f64::from(row.q) / 1_000.0)
                .push_bind(fit(&row.callid, 255))
                // The column is signed.
                .push_bind(i32::try_from(row.cseq).unwrap_or(i32::MAX))
                .push("NOW()")
                .push_bind(fit(&row.user_agent, 255))
                .push_bind(some(fit(&row.socket, 64)))
                .push_bind(row.methods)
                .push_bind(some(fit(&row.instance, 255)))
                .push_bind(i32::try_from(row.reg_id).unwrap_or(i32::MAX))
                .push_bind(node);
        });
        query.push(
            " ON DUPLICATE KEY UPDATE username = VALUES(username), \
             domain = VALUES(domain), \
             contact = VALUES(contact), \
             received = VALUES(received), \
             path = VALUES(path), \
             expires = VALUES(expires), \
             q = VALUES(q), \
             callid = VALUES(callid), \
             cseq = VALUES(cseq), \
             last_modified = VALUES(last_modified), \
             user_agent = VALUES(user_agent), \
             socket = VALUES(socket), \
             methods = VALUES(methods), \
             instance = VALUES(instance), \
             reg_id = VALUES(reg_id), \
             server_id = VALUES(server_id)",
        );
        query
            .build()
            .persistent(false)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
