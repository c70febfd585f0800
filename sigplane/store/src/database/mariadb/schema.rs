//! The tables: made when missing, checked when there.

use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};

use super::partitions::{self, Partitions};
use super::{MariaDb, MariaDbError};
use crate::database::{CDR_JOINED, DatabaseError};

/// A table, its version in Kamailio's `version` table, and how it is made. Kamailio's definitions
/// are those of its MySQL schema, so that its own tools work on them. Each has a primary key, as
/// Galera needs.
pub(super) const TABLES: [(&str, i64, &str); 11] = [
    (
        "dispatcher",
        4,
        "id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
         setid INT DEFAULT 0 NOT NULL,
         destination VARCHAR(192) DEFAULT '' NOT NULL,
         flags INT DEFAULT 0 NOT NULL,
         priority INT DEFAULT 0 NOT NULL,
         attrs VARCHAR(128) DEFAULT '' NOT NULL,
         description VARCHAR(64) DEFAULT '' NOT NULL",
    ),
    (
        "address",
        6,
        "id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
         grp INT(11) UNSIGNED DEFAULT 1 NOT NULL,
         ip_addr VARCHAR(50) NOT NULL,
         mask INT DEFAULT 32 NOT NULL,
         port SMALLINT(5) UNSIGNED DEFAULT 0 NOT NULL,
         tag VARCHAR(64)",
    ),
    (
        "subscriber",
        7,
        "id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
         username VARCHAR(64) DEFAULT '' NOT NULL,
         domain VARCHAR(64) DEFAULT '' NOT NULL,
         password VARCHAR(64) DEFAULT '' NOT NULL,
         ha1 VARCHAR(128) DEFAULT '' NOT NULL,
         ha1b VARCHAR(128) DEFAULT '' NOT NULL,
         CONSTRAINT account_idx UNIQUE (username, domain),
         INDEX username_idx (username)",
    ),
    (
        "location",
        9,
        "id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
         ruid VARCHAR(64) DEFAULT '' NOT NULL,
         username VARCHAR(64) DEFAULT '' NOT NULL,
         domain VARCHAR(64) DEFAULT NULL,
         contact VARCHAR(512) DEFAULT '' NOT NULL,
         received VARCHAR(128) DEFAULT NULL,
         path VARCHAR(512) DEFAULT NULL,
         expires DATETIME DEFAULT '2030-05-28 21:32:15' NOT NULL,
         q FLOAT(10,2) DEFAULT 1.0 NOT NULL,
         callid VARCHAR(255) DEFAULT 'Default-Call-ID' NOT NULL,
         cseq INT(11) DEFAULT 1 NOT NULL,
         last_modified DATETIME DEFAULT '2000-01-01 00:00:01' NOT NULL,
         flags INT(11) DEFAULT 0 NOT NULL,
         cflags INT(11) DEFAULT 0 NOT NULL,
         user_agent VARCHAR(255) DEFAULT '' NOT NULL,
         socket VARCHAR(64) DEFAULT NULL,
         methods INT(11) DEFAULT NULL,
         instance VARCHAR(255) DEFAULT NULL,
         reg_id INT(11) DEFAULT 0 NOT NULL,
         server_id INT(11) DEFAULT 0 NOT NULL,
         connection_id INT(11) DEFAULT 0 NOT NULL,
         keepalive INT(11) DEFAULT 0 NOT NULL,
         `partition` INT(11) DEFAULT 0 NOT NULL,
         CONSTRAINT ruid_idx UNIQUE (ruid),
         INDEX account_contact_idx (username, domain, contact),
         INDEX expires_idx (expires),
         INDEX tcpcon_idx (connection_id),
         INDEX connection_idx (server_id, connection_id)",
    ),
    (
        // A unique key must have the column of the partitions in it. It is `tandem_spool` that
        // keeps a CDR from landing twice; this key keeps a call from being there twice.
        "cdr",
        3,
        "id BIGINT UNSIGNED AUTO_INCREMENT NOT NULL,
         node SMALLINT UNSIGNED NOT NULL,
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
         sip_code SMALLINT UNSIGNED NOT NULL,
         sip_reason VARCHAR(128) NOT NULL,
         cause VARCHAR(16) NOT NULL,
         caller_packets BIGINT NOT NULL,
         caller_bytes BIGINT NOT NULL,
         caller_lost BIGINT NOT NULL,
         caller_jitter INT UNSIGNED NOT NULL,
         callee_packets BIGINT NOT NULL,
         callee_bytes BIGINT NOT NULL,
         callee_lost BIGINT NOT NULL,
         callee_jitter INT UNSIGNED NOT NULL,
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
         q850 SMALLINT UNSIGNED,
         q850_source VARCHAR(8) DEFAULT '' NOT NULL,
         attempts INT UNSIGNED DEFAULT 0 NOT NULL,
         tried VARCHAR(2048) DEFAULT '' NOT NULL,
         media_partial SMALLINT DEFAULT 0 NOT NULL,
         caller_payload_type SMALLINT UNSIGNED,
         caller_codec VARCHAR(64) DEFAULT '' NOT NULL,
         caller_jitter_ms DOUBLE,
         caller_mos DOUBLE,
         caller_other_packets BIGINT DEFAULT 0 NOT NULL,
         caller_other_bytes BIGINT DEFAULT 0 NOT NULL,
         callee_payload_type SMALLINT UNSIGNED,
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
         caller_dtmf INT UNSIGNED DEFAULT 0 NOT NULL,
         callee_rtt_ms DOUBLE,
         callee_rtt_max_ms DOUBLE,
         callee_heard_lost BIGINT,
         callee_heard_jitter_ms DOUBLE,
         callee_heard_mos DOUBLE,
         callee_dtmf INT UNSIGNED DEFAULT 0 NOT NULL,
         PRIMARY KEY (id, start_ms),
         CONSTRAINT cdr_call_uuid_idx UNIQUE (call_uuid, start_ms),
         INDEX cdr_callid_idx (callid),
         INDEX cdr_start_idx (start_ms)",
    ),
    (
        "acc",
        5,
        "id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
         method VARCHAR(16) DEFAULT '' NOT NULL,
         from_tag VARCHAR(128) DEFAULT '' NOT NULL,
         to_tag VARCHAR(128) DEFAULT '' NOT NULL,
         callid VARCHAR(255) DEFAULT '' NOT NULL,
         sip_code VARCHAR(3) DEFAULT '' NOT NULL,
         sip_reason VARCHAR(128) DEFAULT '' NOT NULL,
         time DATETIME NOT NULL,
         INDEX callid_idx (callid)",
    ),
    (
        "dialog",
        7,
        "id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
         hash_entry INT(10) UNSIGNED NOT NULL,
         hash_id INT(10) UNSIGNED NOT NULL,
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
         state INT(10) UNSIGNED NOT NULL,
         start_time INT(10) UNSIGNED NOT NULL,
         timeout INT(10) UNSIGNED DEFAULT 0 NOT NULL,
         sflags INT(10) UNSIGNED DEFAULT 0 NOT NULL,
         iflags INT(10) UNSIGNED DEFAULT 0 NOT NULL,
         toroute_name VARCHAR(32),
         req_uri VARCHAR(255) NOT NULL,
         xdata VARCHAR(512),
         INDEX hash_idx (hash_entry, hash_id)",
    ),
    (
        "did_routing",
        1,
        "id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
         tenant VARCHAR(64) DEFAULT '' NOT NULL,
         did VARCHAR(64) NOT NULL,
         dest_type VARCHAR(32) DEFAULT '' NOT NULL,
         destination VARCHAR(255) DEFAULT '' NOT NULL,
         setid INT(11) DEFAULT 0 NOT NULL,
         description VARCHAR(64) DEFAULT '' NOT NULL,
         CONSTRAINT did_idx UNIQUE (tenant, did)",
    ),
    (
        "trunk_routing",
        1,
        "id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
         tenant VARCHAR(64) DEFAULT '' NOT NULL,
         prefix VARCHAR(32) DEFAULT '' NOT NULL,
         trunk VARCHAR(64) NOT NULL,
         priority INT(11) DEFAULT 0 NOT NULL,
         weight INT(11) DEFAULT 1 NOT NULL,
         description VARCHAR(64) DEFAULT '' NOT NULL",
    ),
    (
        "fs_cdr",
        1,
        "id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
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
         q850 SMALLINT UNSIGNED NOT NULL,
         disposition VARCHAR(32) NOT NULL,
         read_codec VARCHAR(32) NOT NULL,
         write_codec VARCHAR(32) NOT NULL,
         in_packets BIGINT,
         in_bytes BIGINT,
         in_skipped BIGINT,
         out_packets BIGINT,
         out_bytes BIGINT,
         jitter_min DOUBLE,
         jitter_max DOUBLE,
         loss_rate DOUBLE,
         mos DOUBLE,
         quality DOUBLE,
         bridge_uuid VARCHAR(64) NOT NULL,
         last_app VARCHAR(64) NOT NULL,
         node SMALLINT UNSIGNED NOT NULL,
         received_ms BIGINT NOT NULL,
         CONSTRAINT fs_cdr_uuid_idx UNIQUE (uuid),
         INDEX fs_cdr_callid_idx (sip_call_id),
         INDEX fs_cdr_start_idx (start_us)",
    ),
    (
        "tandem_spool",
        1,
        "node SMALLINT UNSIGNED PRIMARY KEY NOT NULL,
         sequence BIGINT NOT NULL",
    ),
];

const VERSION: &str = "CREATE TABLE IF NOT EXISTS version (
    id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,
    table_name VARCHAR(32) NOT NULL,
    table_version INT UNSIGNED DEFAULT 0 NOT NULL,
    CONSTRAINT table_name_idx UNIQUE (table_name)
) ENGINE=InnoDB";

impl MariaDb {
    /// Makes what is missing and checks what is there.
    pub(super) async fn prepare(&mut self, now: i64) -> Result<(), DatabaseError> {
        let there = self.run("look for the tables", tables).await?;
        let is_there = |table: &str| there.iter().any(|name| name == table);
        if !is_there("version") {
            self.make(VERSION.to_owned()).await?;
        }
        for (table, version, columns) in TABLES {
            if is_there(table) {
                continue;
            }
            // First its version: a table without one would be somebody else's. Statements that make
            // tables are no part of a transaction.
            self.run("note a table's version", async |c| {
                note(c, table, version).await
            })
            .await?;
            self.make(create(table, columns, now)).await?;
            if table == "fs_cdr" {
                self.make_view().await;
            }
        }
        let found = self.run("read the version table", versions).await?;
        for (table, wanted, _) in TABLES {
            let version = found.iter().find(|(name, _)| name == table);
            let found = version.map_or(0, |(_, version)| *version);
            if found != wanted {
                return Err(DatabaseError::Version {
                    place: self.place.clone(),
                    table,
                    found,
                    wanted,
                });
            }
        }
        let partitions = self
            .run("read the partitions of cdr", Partitions::read)
            .await?;
        self.covered = partitions.map(|p| p.covered);
        Ok(self.make_partitions(now).await?)
    }

    /// The view is for people: a user without the right to make views does without.
    async fn make_view(&mut self) {
        let made = self
            .make(format!("CREATE OR REPLACE VIEW {CDR_JOINED}"))
            .await;
        if let Err(error) = made {
            tracing::warn!("{error}; there is no view cdr_joined");
        }
    }

    async fn make(&mut self, statement: String) -> Result<(), MariaDbError> {
        self.run("make the tables", async |c| {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(c).await
        })
        .await
        .map(drop)
    }
}

fn create(table: &str, columns: &str, now: i64) -> String {
    let more = match table {
        // Call-IDs and tags differ in case.
        "cdr" => format!(
            " DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin {}",
            partitions::initial(now)
        ),
        "fs_cdr" => " DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin".to_owned(),
        _ => String::new(),
    };
    format!("CREATE TABLE IF NOT EXISTS {table} ({columns}) ENGINE=InnoDB{more}")
}

async fn note(
    connection: &mut MySqlConnection,
    table: &str,
    version: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO version (table_name, table_version) VALUES (?, ?)
         ON DUPLICATE KEY UPDATE table_version = version.table_version",
    )
    .bind(table)
    .bind(version)
    .execute(connection)
    .await
    .map(drop)
}

pub(super) async fn tables(connection: &mut MySqlConnection) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT CAST(table_name AS CHAR) FROM information_schema.tables
         WHERE table_schema = DATABASE()",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

pub(super) async fn versions(
    connection: &mut MySqlConnection,
) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let rows =
        sqlx::query("SELECT CAST(table_name AS CHAR), CAST(table_version AS SIGNED) FROM version")
            .fetch_all(connection)
            .await?;
    let read = |row: &MySqlRow| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(read).collect()
}
