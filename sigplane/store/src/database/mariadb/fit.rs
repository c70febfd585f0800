//! Whether a server may be used, and how its session is set up.

use std::time::Duration;

use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};

/// Why the server must not be used, if so. SHOW alone is answered by a Galera node that is apart
/// from its cluster.
pub(super) async fn unfit(connection: &mut MySqlConnection) -> Result<Option<String>, sqlx::Error> {
    let variables =
        sqlx::raw_sql("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('wsrep_on', 'read_only')")
            .fetch_all(&mut *connection)
            .await?;
    if value(&variables, "wsrep_on").is_some_and(|v| v == "ON") {
        let status = sqlx::raw_sql(
            "SHOW GLOBAL STATUS WHERE Variable_name IN
                 ('wsrep_ready', 'wsrep_cluster_status', 'wsrep_local_state_comment')",
        )
        .fetch_all(connection)
        .await?;
        let state = |name| value(&status, name).unwrap_or_default();
        let (ready, synced) = (state("wsrep_ready"), state("wsrep_local_state_comment"));
        if ready != "ON" || synced != "Synced" {
            return Ok(Some(format!(
                "this node of the Galera cluster is {synced}, wsrep_ready is {ready}, the part of \
                 the cluster that it sees {}",
                state("wsrep_cluster_status")
            )));
        }
    }
    if value(&variables, "read_only").is_some_and(|v| v != "OFF") {
        return Ok(Some("the server is read-only".to_owned()));
    }
    Ok(None)
}

fn value(rows: &[MySqlRow], name: &str) -> Option<String> {
    rows.iter()
        .find(|row| text(row, 0).as_deref() == Some(name))
        .and_then(|row| text(row, 1))
}

fn text(row: &MySqlRow, column: usize) -> Option<String> {
    // Bytes: some of these columns are text, some are not.
    let bytes: Vec<u8> = row.try_get_unchecked(column).ok()?;
    String::from_utf8(bytes).ok()
}

/// What we depend on and a server's configuration may have otherwise.
pub(super) async fn session(
    connection: &mut MySqlConnection,
    deadline: Duration,
) -> Result<(), sqlx::Error> {
    // A lock is given up before the whole statement is, so that it can be tried again.
    let wait = (deadline.as_secs() / 3).max(1);
    sqlx::raw_sql(AssertSqlSafe(format!(
        // Without strictness: a text that a column cannot have whole must not hold up all that come behind it.
        "SET SESSION sql_mode = 'NO_ENGINE_SUBSTITUTION';
         SET SESSION innodb_lock_wait_timeout = {wait};
         SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"
    )))
    .execute(connection)
    .await
    .map(drop)
}
