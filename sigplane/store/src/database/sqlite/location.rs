//! Writing `location`.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::database::batch::{Located, fit, some};
use crate::database::signed;

/// Addresses of record in one statement: each is a term of a condition, of which SQLite takes 1,000.
const KEYS: usize = 256;
/// Rows in one statement: 16 values each, of which SQLite takes 32,766.
const ROWS: usize = 256;

/// Makes the rows of addresses of record what they are now.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    node: u16,
    located: &[Located],
) -> Result<(), sqlx::Error> {
    for part in located.chunks(KEYS) {
        let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM location WHERE ");
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
        let mut query = QueryBuilder::<Sqlite>::new(
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
                .push("datetime(")
                .push_bind_unseparated(signed(row.expires_s))
                .push_unseparated(", 'unixepoch')")
                .push_bind(f64::from(row.q) / 1_000.0)
                .push_bind(fit(&row.callid, 255))
                .push_bind(row.cseq)
                .push("datetime('now')")
                .push_bind(fit(&row.user_agent, 255))
                .push_bind(some(fit(&row.socket, 64)))
                .push_bind(row.methods)
                .push_bind(some(fit(&row.instance, 255)))
                .push_bind(row.reg_id)
                .push_bind(node);
        });
        query.push(
            " ON CONFLICT (ruid) DO UPDATE SET username = excluded.username, \
             domain = excluded.domain, \
             contact = excluded.contact, \
             received = excluded.received, \
             path = excluded.path, \
             expires = excluded.expires, \
             q = excluded.q, \
             callid = excluded.callid, \
             cseq = excluded.cseq, \
             last_modified = excluded.last_modified, \
             user_agent = excluded.user_agent, \
             socket = excluded.socket, \
             methods = excluded.methods, \
             instance = excluded.instance, \
             reg_id = excluded.reg_id, \
             server_id = excluded.server_id",
        );
        query
            .build()
            .persistent(false)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
