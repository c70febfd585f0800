//! The tables: made when missing, checked when there.

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::classify;
use crate::database::admin::{TableState, missing, steps};
use crate::database::{CDR_JOINED, DatabaseError};

/// A table, its version in Kamailio's `version` table, and what it has. Kamailio's definitions
/// are those of its SQLite schema, so that its own tools work on them.
pub(super) const TABLES: [(&str, i64, &str); 11] = [
    (
        "dispatcher",
        4,
        "id INTEGER PRIMARY KEY NOT NULL,
            setid INTEGER DEFAULT 0 NOT NULL,
            destination VARCHAR(192) DEFAULT '' NOT NULL,
            flags INTEGER DEFAULT 0 NOT NULL,
            priority INTEGER DEFAULT 0 NOT NULL,
            attrs VARCHAR(128) DEFAULT '' NOT NULL,
            description VARCHAR(64) DEFAULT '' NOT NULL",
    ),
    (
        "address",
        6,
        "id INTEGER PRIMARY KEY NOT NULL,
            grp INTEGER DEFAULT 1 NOT NULL,
            ip_addr VARCHAR(50) NOT NULL,
            mask INTEGER DEFAULT 32 NOT NULL,
            port SMALLINT DEFAULT 0 NOT NULL,
            tag VARCHAR(64)",
    ),
    (
        "subscriber",
        7,
        "id INTEGER PRIMARY KEY NOT NULL,
            username VARCHAR(64) DEFAULT '' NOT NULL,
            domain VARCHAR(64) DEFAULT '' NOT NULL,
            password VARCHAR(64) DEFAULT '' NOT NULL,
            ha1 VARCHAR(128) DEFAULT '' NOT NULL,
            ha1b VARCHAR(128) DEFAULT '' NOT NULL,
            CONSTRAINT subscriber_account_idx UNIQUE (username, domain)",
    ),
    (
        "location",
        9,
        "id INTEGER PRIMARY KEY NOT NULL,
            ruid VARCHAR(64) DEFAULT '' NOT NULL,
            username VARCHAR(64) DEFAULT '' NOT NULL,
            domain VARCHAR(64) DEFAULT NULL,
            contact VARCHAR(512) DEFAULT '' NOT NULL,
            received VARCHAR(128) DEFAULT NULL,
            path VARCHAR(512) DEFAULT NULL,
            expires TIMESTAMP WITHOUT TIME ZONE DEFAULT '2030-05-28 21:32:15' NOT NULL,
            q REAL DEFAULT 1.0 NOT NULL,
            callid VARCHAR(255) DEFAULT 'Default-Call-ID' NOT NULL,
            cseq INTEGER DEFAULT 1 NOT NULL,
            last_modified TIMESTAMP WITHOUT TIME ZONE DEFAULT '2000-01-01 00:00:01' NOT NULL,
            flags INTEGER DEFAULT 0 NOT NULL,
            cflags INTEGER DEFAULT 0 NOT NULL,
            user_agent VARCHAR(255) DEFAULT '' NOT NULL,
            socket VARCHAR(64) DEFAULT NULL,
            methods INTEGER DEFAULT NULL,
            instance VARCHAR(255) DEFAULT NULL,
            reg_id INTEGER DEFAULT 0 NOT NULL,
            server_id INTEGER DEFAULT 0 NOT NULL,
            connection_id INTEGER DEFAULT 0 NOT NULL,
            keepalive INTEGER DEFAULT 0 NOT NULL,
            partition INTEGER DEFAULT 0 NOT NULL,
            CONSTRAINT location_ruid_idx UNIQUE (ruid)",
    ),
    (
        "cdr",
        3,
        "id INTEGER PRIMARY KEY NOT NULL,
            node INTEGER NOT NULL,
            sequence BIGINT NOT NULL,
            call_uuid VARCHAR(64) NOT NULL,
            callid VARCHAR(255) NOT NULL,
            from_tag VARCHAR(128) NOT NULL,
            to_tag VARCHAR(128) NOT NULL,
            direction VARCHAR(16) NOT NULL,
            from_uri VARCHAR(255) NOT NULL,
            to_uri VARCHAR(255) NOT NULL,
            request_uri VARCHAR(255) NOT NULL,
            source VARCHAR(64) NOT NULL,
            destination VARCHAR(255) NOT NULL,
            start_ms BIGINT NOT NULL,
            answer_ms BIGINT,
            end_ms BIGINT NOT NULL,
            sip_code SMALLINT NOT NULL,
            sip_reason VARCHAR(128) NOT NULL,
            cause VARCHAR(16) NOT NULL,
            caller_packets BIGINT NOT NULL,
            caller_bytes BIGINT NOT NULL,
            caller_lost BIGINT NOT NULL,
            caller_jitter INTEGER NOT NULL,
            callee_packets BIGINT NOT NULL,
            callee_bytes BIGINT NOT NULL,
            callee_lost BIGINT NOT NULL,
            callee_jitter INTEGER NOT NULL,
            tenant VARCHAR(64) DEFAULT '' NOT NULL,
            trunk VARCHAR(64) DEFAULT '' NOT NULL,
            carrier_callid VARCHAR(255) DEFAULT '' NOT NULL,
            sent_uri VARCHAR(255) DEFAULT '' NOT NULL,
            sent_from VARCHAR(255) DEFAULT '' NOT NULL,
            source_local VARCHAR(64) DEFAULT '' NOT NULL,
            destination_address VARCHAR(64) DEFAULT '' NOT NULL,
            destination_local VARCHAR(64) DEFAULT '' NOT NULL,
            ring_ms BIGINT,
            ended_by VARCHAR(8) DEFAULT '' NOT NULL,
            q850 SMALLINT,
            q850_source VARCHAR(8) DEFAULT '' NOT NULL,
            attempts INTEGER DEFAULT 0 NOT NULL,
            tried VARCHAR(2048) DEFAULT '' NOT NULL,
            media_partial SMALLINT DEFAULT 0 NOT NULL,
            caller_payload_type SMALLINT,
            caller_codec VARCHAR(64) DEFAULT '' NOT NULL,
            caller_jitter_ms DOUBLE,
            caller_mos DOUBLE,
            caller_other_packets BIGINT DEFAULT 0 NOT NULL,
            caller_other_bytes BIGINT DEFAULT 0 NOT NULL,
            callee_payload_type SMALLINT,
            callee_codec VARCHAR(64) DEFAULT '' NOT NULL,
            callee_jitter_ms DOUBLE,
            callee_mos DOUBLE,
            callee_other_packets BIGINT DEFAULT 0 NOT NULL,
            callee_other_bytes BIGINT DEFAULT 0 NOT NULL,
            caller_rtt_ms DOUBLE,
            caller_rtt_max_ms DOUBLE,
            caller_heard_lost BIGINT,
            caller_heard_jitter_ms DOUBLE,
            caller_heard_mos DOUBLE,
            caller_dtmf INTEGER DEFAULT 0 NOT NULL,
            callee_rtt_ms DOUBLE,
            callee_rtt_max_ms DOUBLE,
            callee_heard_lost BIGINT,
            callee_heard_jitter_ms DOUBLE,
            callee_heard_mos DOUBLE,
            callee_dtmf INTEGER DEFAULT 0 NOT NULL,
            CONSTRAINT cdr_call_uuid_idx UNIQUE (call_uuid)",
    ),
    (
        "acc",
        5,
        "id INTEGER PRIMARY KEY NOT NULL,
            method VARCHAR(16) DEFAULT '' NOT NULL,
            from_tag VARCHAR(128) DEFAULT '' NOT NULL,
            to_tag VARCHAR(128) DEFAULT '' NOT NULL,
            callid VARCHAR(255) DEFAULT '' NOT NULL,
            sip_code VARCHAR(3) DEFAULT '' NOT NULL,
            sip_reason VARCHAR(128) DEFAULT '' NOT NULL,
            time TIMESTAMP WITHOUT TIME ZONE NOT NULL",
    ),
    (
        "dialog",
        7,
        "id INTEGER PRIMARY KEY NOT NULL,
            hash_entry INTEGER NOT NULL,
            hash_id INTEGER NOT NULL,
            callid VARCHAR(255) NOT NULL,
            from_uri VARCHAR(255) NOT NULL,
            from_tag VARCHAR(128) NOT NULL,
            to_uri VARCHAR(255) NOT NULL,
            to_tag VARCHAR(128) NOT NULL,
            caller_cseq VARCHAR(20) NOT NULL,
            callee_cseq VARCHAR(20) NOT NULL,
            caller_route_set VARCHAR(512),
            callee_route_set VARCHAR(512),
            caller_contact VARCHAR(255) NOT NULL,
            callee_contact VARCHAR(255) NOT NULL,
            caller_sock VARCHAR(64) NOT NULL,
            callee_sock VARCHAR(64) NOT NULL,
            state INTEGER NOT NULL,
            start_time INTEGER NOT NULL,
            timeout INTEGER DEFAULT 0 NOT NULL,
            sflags INTEGER DEFAULT 0 NOT NULL,
            iflags INTEGER DEFAULT 0 NOT NULL,
            toroute_name VARCHAR(32),
            req_uri VARCHAR(255) NOT NULL,
            xdata VARCHAR(512)",
    ),
    (
        "did_routing",
        1,
        "id INTEGER PRIMARY KEY NOT NULL,
            tenant VARCHAR(64) DEFAULT '' NOT NULL,
            did VARCHAR(64) NOT NULL,
            dest_type VARCHAR(32) DEFAULT '' NOT NULL,
            destination VARCHAR(255) DEFAULT '' NOT NULL,
            setid INTEGER DEFAULT 0 NOT NULL,
            description VARCHAR(64) DEFAULT '' NOT NULL,
            CONSTRAINT did_routing_did_idx UNIQUE (tenant, did)",
    ),
    (
        "trunk_routing",
        1,
        "id INTEGER PRIMARY KEY NOT NULL,
            tenant VARCHAR(64) DEFAULT '' NOT NULL,
            prefix VARCHAR(32) DEFAULT '' NOT NULL,
            trunk VARCHAR(64) NOT NULL,
            priority INTEGER DEFAULT 0 NOT NULL,
            weight INTEGER DEFAULT 1 NOT NULL,
            description VARCHAR(64) DEFAULT '' NOT NULL",
    ),
    (
        "fs_cdr",
        1,
        "id INTEGER PRIMARY KEY NOT NULL,
            uuid VARCHAR(64) NOT NULL,
            core_uuid VARCHAR(64) NOT NULL,
            switchname VARCHAR(128) NOT NULL,
            leg VARCHAR(1) NOT NULL,
            sip_call_id VARCHAR(255) NOT NULL,
            direction VARCHAR(16) NOT NULL,
            caller_id_name VARCHAR(128) NOT NULL,
            caller_id_number VARCHAR(64) NOT NULL,
            destination VARCHAR(128) NOT NULL,
            network_addr VARCHAR(64) NOT NULL,
            start_us BIGINT NOT NULL,
            answer_us BIGINT,
            end_us BIGINT NOT NULL,
            duration_s BIGINT NOT NULL,
            billsec BIGINT NOT NULL,
            hangup_cause VARCHAR(64) NOT NULL,
            q850 INTEGER NOT NULL,
            disposition VARCHAR(32) NOT NULL,
            read_codec VARCHAR(32) NOT NULL,
            write_codec VARCHAR(32) NOT NULL,
            in_packets BIGINT,
            in_bytes BIGINT,
            in_skipped BIGINT,
            out_packets BIGINT,
            out_bytes BIGINT,
            jitter_min REAL,
            jitter_max REAL,
            loss_rate REAL,
            mos REAL,
            quality REAL,
            bridge_uuid VARCHAR(64) NOT NULL,
            last_app VARCHAR(64) NOT NULL,
            node INTEGER NOT NULL,
            received_ms BIGINT NOT NULL,
            CONSTRAINT fs_cdr_uuid_idx UNIQUE (uuid)",
    ),
    (
        "tandem_spool",
        1,
        "node INTEGER PRIMARY KEY NOT NULL,
            sequence BIGINT NOT NULL",
    ),
];

/// Tables of no other software.
const OURS: [&str; 4] = ["cdr", "did_routing", "trunk_routing", "tandem_spool"];

const VERSION: &str = "CREATE TABLE IF NOT EXISTS version (
    id INTEGER PRIMARY KEY NOT NULL,
    table_name VARCHAR(32) NOT NULL,
    table_version INTEGER DEFAULT 0 NOT NULL,
    CONSTRAINT version_table_name_idx UNIQUE (table_name)
)";

/// CDRs are looked for by Call-ID and by time. Those of Kamailio's tables have Kamailio's names.
const INDICES: [&str; 11] = [
    "CREATE INDEX IF NOT EXISTS acc_callid_idx ON acc (callid)",
    "CREATE INDEX IF NOT EXISTS subscriber_username_idx ON subscriber (username)",
    "CREATE INDEX IF NOT EXISTS location_account_contact_idx
         ON location (username, domain, contact)",
    "CREATE INDEX IF NOT EXISTS location_expires_idx ON location (expires)",
    "CREATE INDEX IF NOT EXISTS location_tcpcon_idx ON location (connection_id)",
    "CREATE INDEX IF NOT EXISTS location_connection_idx ON location (server_id, connection_id)",
    "CREATE INDEX IF NOT EXISTS dialog_hash_idx ON dialog (hash_entry, hash_id)",
    "CREATE INDEX IF NOT EXISTS cdr_callid_idx ON cdr (callid)",
    "CREATE INDEX IF NOT EXISTS cdr_start_idx ON cdr (start_ms)",
    "CREATE INDEX IF NOT EXISTS fs_cdr_callid_idx ON fs_cdr (sip_call_id)",
    "CREATE INDEX IF NOT EXISTS fs_cdr_start_idx ON fs_cdr (start_us)",
];

pub(super) async fn prepare(
    path: &Path,
    connection: &mut SqliteConnection,
) -> Result<(), DatabaseError> {
    let failed = |e| classify(path, "make the tables", &e);
    // A first look without the write lock: a complete database is not written at all.
    let mut found = versions(connection).await.unwrap_or_default();
    if TABLES
        .iter()
        .any(|(table, ..)| !found.iter().any(|(name, _)| name == table))
    {
        let mut transaction = connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed)?;
        sqlx::query(VERSION)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        for (table, version, columns) in TABLES {
            let create = format!("CREATE TABLE IF NOT EXISTS {table} ({columns})");
            sqlx::query(AssertSqlSafe(create))
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
            sqlx::query(
                "INSERT INTO version (table_name, table_version) SELECT ?1, ?2
                 WHERE NOT EXISTS (SELECT 1 FROM version WHERE table_name = ?1)",
            )
            .bind(table)
            .bind(version)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        }
        for index in INDICES {
            sqlx::query(index)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        sqlx::query(AssertSqlSafe(format!(
            "CREATE VIEW IF NOT EXISTS {CDR_JOINED}"
        )))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        found = versions(connection).await.map_err(failed)?;
    }
    if update_ours(connection, &found).await.map_err(failed)? {
        found = versions(connection).await.map_err(failed)?;
    }
    for (table, wanted, _) in TABLES {
        let version = found
            .iter()
            .find(|(name, _)| name == table)
            .map_or(0, |(_, v)| *v);
        if version != wanted {
            let place = path.display().to_string();
            return Err(DatabaseError::Version {
                place,
                table,
                found: version,
                wanted,
            });
        }
    }
    Ok(())
}

/// Brings tables that are ours alone up to date: nobody else has a say in them. Says whether there was one to do.
async fn update_ours(
    connection: &mut SqliteConnection,
    found: &[(String, i64)],
) -> Result<bool, sqlx::Error> {
    let mut states = Vec::new();
    for (table, wanted, definition) in TABLES {
        let version = found.iter().find(|(n, _)| n == table).map(|(_, v)| *v);
        if OURS.contains(&table) && version.is_some_and(|v| v < wanted) {
            let columns = columns(connection, table).await?;
            states.push(TableState {
                table,
                wanted,
                version,
                rows: Some(0),
                missing: missing(definition, &columns),
            });
        }
    }
    if states.is_empty() {
        return Ok(false);
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for step in steps(&states) {
        sqlx::query(AssertSqlSafe(step))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(true)
}

/// The columns of a table; none if it is not there.
pub(super) async fn columns(
    connection: &mut SqliteConnection,
    table: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT name FROM pragma_table_info(?1)")
        .bind(table)
        .fetch_all(connection)
        .await
}

pub(super) async fn versions(
    connection: &mut SqliteConnection,
) -> Result<Vec<(String, i64)>, sqlx::Error> {
    sqlx::query_as("SELECT table_name, table_version FROM version")
        .fetch_all(connection)
        .await
}
