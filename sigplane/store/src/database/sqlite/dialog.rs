//! Writing `dialog`.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::database::batch::{DialogState, fit, some};
use crate::database::signed;

/// Calls in one statement.
const ROWS: usize = 256;
/// Kamailio's states of a dialog.
const ANSWERED: i64 = 3;
const ACKNOWLEDGED: i64 = 4;

/// Makes the rows of calls what they are now. Kamailio's key is not unique, so a row that changes is a new one.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    dialogs: &[DialogState],
) -> Result<(), sqlx::Error> {
    for part in dialogs.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM dialog WHERE ");
        let mut terms = query.separated(" OR ");
        for dialog in part {
            terms.push("(hash_entry = ");
            terms.push_bind_unseparated(dialog.hash_entry);
            terms.push_unseparated(" AND hash_id = ");
            terms.push_bind_unseparated(dialog.hash_id);
            terms.push_unseparated(")");
        }
        query
            .build()
            .persistent(false)
            .execute(&mut *connection)
            .await?;
    }
    let rows: Vec<_> = dialogs
        .iter()
        .filter_map(|dialog| Some((dialog, dialog.row.as_ref()?)))
        .collect();
    for part in rows.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO dialog (hash_entry, hash_id, callid, from_uri, from_tag, to_uri, to_tag, caller_cseq, callee_cseq,
             caller_route_set, callee_route_set, caller_contact, callee_contact, caller_sock, callee_sock, state, start_time,
             req_uri) ",
        );
        query.push_values(part, |mut values, (dialog, row)| {
            let (caller, callee) = (&row.caller, &row.callee);
            let state = if row.acknowledged {
                ACKNOWLEDGED
            } else {
                ANSWERED
            };
            values
                .push_bind(dialog.hash_entry)
                .push_bind(dialog.hash_id)
                .push_bind(fit(&row.callid, 255))
                .push_bind(fit(&row.from_uri, 255))
                .push_bind(fit(&row.from_tag, 128))
                .push_bind(fit(&row.to_uri, 255))
                .push_bind(fit(&row.to_tag, 128))
                .push_bind(caller.cseq.to_string())
                .push_bind(callee.cseq.to_string())
                .push_bind(some(fit(&caller.route_set, 512)))
                .push_bind(some(fit(&callee.route_set, 512)))
                .push_bind(fit(&caller.contact, 255))
                .push_bind(fit(&callee.contact, 255))
                .push_bind(fit(&caller.socket, 64))
                .push_bind(fit(&callee.socket, 64))
                .push_bind(state)
                .push_bind(signed(row.start_s))
                .push_bind(fit(&row.req_uri, 255));
        });
        query
            .build()
            .persistent(false)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
