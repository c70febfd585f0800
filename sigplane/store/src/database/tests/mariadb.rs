//! Against a real server.

use super::*;
use server::Server;

async fn open(options: &MariaDbOptions) -> Result<Database, DatabaseError> {
    Database::open(&mut DatabasePlace::MariaDb(options.clone())).await
}

#[test]
fn cdrs_are_read_page_by_page() {
    let server = server::shared();
    let options = server.database("pages");
    block_on(async {
        let mut database = open(&options).await.unwrap();
        check_cdrs(&mut database).await;
    });
}

#[test]
fn a_cdr_table_of_the_version_before_is_migrated_with_its_rows() {
    let server = server::shared();
    let mut place = DatabasePlace::MariaDb(server.database("old"));
    block_on(async {
        let mut database = Database::open(&mut place).await.unwrap();
        database.write_cdrs(1, &[(5, cdr("old"))]).await.unwrap();
        database.close().await;
        server.sql("old", &cdr_version_1());
        // Not by the way: an administrator's rights are needed.
        let refused = Database::open(&mut place).await.err().unwrap().to_string();
        assert!(
            refused.contains("cdr has version 1") && refused.contains("db migrate"),
            "{refused}"
        );
        let mut database = Database::open_as_it_is(&mut place).await.unwrap();
        assert_eq!(database.migrate().await.unwrap().len(), NEW_COLUMNS + 1);
        database.close().await;
        let mut database = Database::open(&mut place).await.unwrap();
        database.write_cdrs(1, &[(6, cdr("new"))]).await.unwrap();
        database.close().await;
    });
    let rows = "select call_uuid, sip_code, tenant, attempts, q850, caller_jitter_ms, caller_mos from cdr order by 1";
    assert_eq!(
        server.sql("old", rows),
        "new|486|acme|1|17|0.5|4.41\nold|486||0|NULL|NULL|NULL\n"
    );
}

#[test]
fn made_at_first_with_a_partition_for_each_month() {
    let server = server::shared();
    let options = server.database("made");
    block_on(async {
        let mut database = open(&options).await.unwrap();
        assert_eq!(database.last_sequence(1).await.unwrap(), 0);
        let batch = [(5, cdr("a")), (9, cdr("b"))];
        let written = database.write_cdrs(1, &batch).await.unwrap();
        assert_eq!((written.inserted, written.known), (2, 0));
        assert_eq!(database.last_sequence(1).await.unwrap(), 9);
        assert_eq!(database.last_sequence(2).await.unwrap(), 0);
        let again = database.write_cdrs(1, &batch).await.unwrap();
        assert_eq!((again.inserted, again.known), (0, 2));
        let twice = [(10, cdr("a")), (11, cdr("c"))];
        let twice = database.write_cdrs(1, &twice).await.unwrap();
        assert_eq!((twice.inserted, twice.known), (1, 1));
        assert_eq!(database.last_sequence(1).await.unwrap(), 11);
        let acc = "select method, sip_code, count(*), min(unix_timestamp(time)) >= 1700000000 from acc group by 1, 2";
        assert_eq!(server.sql("made", acc), "INVITE|486|3|1\n");
        // Months later.
        let partitions = "select count(*) from information_schema.partitions
            where table_schema = 'made' and table_name = 'cdr'";
        assert_eq!(server.sql("made", partitions), "5\n");
        let mut later = cdr("later");
        let mut month = 0;
        let mut at = || {
            month += 1;
            let from = "select unix_timestamp(last_day(now()) + interval 1 day) * 1000";
            let text = server.sql("", &format!("{from} + {month} * 31 * 86400000"));
            text.trim().split('.').next().unwrap().parse().unwrap()
        };
        later.start_ms = at();
        database
            .write_cdrs(1, &[(12, later.clone())])
            .await
            .unwrap();
        later.start_ms = at();
        later.call_uuid = "later still".into();
        database.write_cdrs(1, &[(13, later)]).await.unwrap();
        let made = server.sql("made", partitions);
        assert!(matches!(made.trim(), "7" | "8"), "{made}");
        let last = "select count(*) from cdr partition (pmax)";
        assert_eq!(server.sql("made", last), "0\n");
        database.close().await;
        // A second start changes nothing.
        open(&options).await.unwrap().close().await;
        assert_eq!(server.sql("made", partitions), made);
    });
    assert_eq!(
        server.sql(
            "made",
            "select node, sequence, call_uuid, start_ms, answer_ms, sip_code, cause,
            caller_jitter from cdr where start_ms = 1700000000000 order by sequence"
        ),
        "1|5|a|1700000000000|NULL|486|rejected|4\n1|9|b|1700000000000|NULL|486|rejected|4\n\
         1|11|c|1700000000000|NULL|486|rejected|4\n"
    );
    assert_eq!(
        server.sql(
            "made",
            "select table_name, table_version from version order by 1"
        ),
        "acc|5\naddress|6\ncdr|3\ndialog|7\ndid_routing|1\ndispatcher|4\nfs_cdr|1\nlocation|9\nsubscriber|7\ntandem_spool|1\ntrunk_routing|1\n"
    );
}

#[test]
fn tables_of_debians_kamailio_are_read_as_they_are_and_other_versions_refused() {
    let server = server::shared();
    let options = server.database("kamailio");
    for name in server::SCHEMAS {
        let file = format!("/usr/share/kamailio/mysql/{name}-create.sql");
        server.sql("kamailio", &std::fs::read_to_string(file).unwrap());
    }
    let before = server.sql("kamailio", "show create table location");
    server.sql(
        "kamailio",
        "alter table dispatcher add note text first; alter table address add x int",
    );
    // As older schemas have it.
    server.sql("kamailio", "alter table version drop id");
    server.sql("kamailio", server::ROWS);
    server.sql("kamailio", SUBSCRIBERS);
    block_on(async {
        let mut database = open(&options).await.unwrap();
        server::check_rows(&database.tables(WantedTables::default()).await.unwrap());
        look_up(&mut database).await;
        database.close().await;
        assert_eq!(server.sql("kamailio", "show create table location"), before);
        server.sql(
            "kamailio",
            "update version set table_version = 3 where table_name = 'dispatcher'",
        );
        let error = open(&options).await.unwrap_err();
        assert!(!error.is_temporary());
        let text = error.to_string();
        assert!(
            text.contains("table dispatcher has version 3, this software needs 4"),
            "{text}"
        );
        // Somebody else's table with a name of ours.
        server.sql(
            "kamailio",
            "update version set table_version = 4 where table_name = 'dispatcher';
            delete from version where table_name = 'cdr'",
        );
        let text = open(&options).await.unwrap_err().to_string();
        assert!(text.contains("table cdr has version 0"), "{text}");
    });
}

#[test]
fn location_follows_what_is_registered() {
    let server = server::shared();
    let options = server.database("located");
    block_on(async {
        let mut database = open(&options).await.unwrap();
        let sql = |text: &str| server.sql("located", text);
        followers::check_location(&mut database, sql, "unix_timestamp(expires)").await;
    });
}

#[test]
fn legs_of_freeswitch_are_there_once() {
    let server = server::shared();
    let options = server.database("legs");
    block_on(async {
        let mut database = open(&options).await.unwrap();
        fs_cdr::check(&mut database, |text| server.sql("legs", text)).await;
    });
}

#[test]
fn numbers_of_ours_are_read() {
    let server = server::shared();
    let options = server.database("numbers");
    block_on(async {
        let mut database = open(&options).await.unwrap();
        check_dids(&mut database, |text| server.sql("numbers", text)).await;
    });
}

#[test]
fn routes_are_read() {
    let server = server::shared();
    let options = server.database("routes");
    block_on(async {
        let mut database = open(&options).await.unwrap();
        check_routes(&mut database, |text| server.sql("routes", text)).await;
        // What was read says the same to the next connection.
        let stamp = database.routes(None).await.unwrap().unwrap().stamp;
        let mut other = open(&options).await.unwrap();
        assert!(other.routes(Some(&stamp)).await.unwrap().is_none());
    });
}

#[test]
fn dialog_follows_answered_calls() {
    let server = server::shared();
    let options = server.database("answered");
    block_on(async {
        let mut database = open(&options).await.unwrap();
        followers::check_dialog(&mut database, |text| server.sql("answered", text)).await;
    });
}

#[test]
fn what_we_make_is_what_kamailio_makes() {
    let server = server::shared();
    server.database("theirs");
    for name in server::SCHEMAS {
        let file = format!("/usr/share/kamailio/mysql/{name}-create.sql");
        server.sql("theirs", &std::fs::read_to_string(file).unwrap());
    }
    let ours = server.database("ours");
    block_on(async { open(&ours).await.unwrap().close().await });
    for table in [
        "version",
        "acc",
        "dispatcher",
        "address",
        "subscriber",
        "location",
        "dialog",
    ] {
        let show = format!("show columns from {table}");
        assert_eq!(
            server.sql("ours", &show),
            server.sql("theirs", &show),
            "{table}"
        );
        let indexes = |database: &str| {
            let asked = "select index_name, non_unique, seq_in_index, column_name from information_schema.statistics where";
            server.sql(
                database,
                &format!(
                    "{asked} table_schema = '{database}' and table_name = '{table}' order by 1, 3"
                ),
            )
        };
        assert_eq!(indexes("ours"), indexes("theirs"), "{table}");
    }
}

#[test]
fn subscribers_are_found_in_any_character_set() {
    let server = server::shared();
    for (name, charset) in [
        ("latin", "latin1"),
        ("binary_", "utf8mb4 collate utf8mb4_bin"),
    ] {
        let options = server.database(name);
        server.sql(
            name,
            &format!("alter database {name} character set {charset}"),
        );
        block_on(async {
            let mut database = open(&options).await.unwrap();
            server.sql(name, SUBSCRIBERS);
            if name == "latin" {
                look_up(&mut database).await;
            } else {
                let bob = database.subscriber("bob", "example.com").await.unwrap();
                assert_eq!(bob.len(), 1);
            }
        });
    }
}

#[test]
fn a_text_that_is_too_long_does_not_hold_up_the_others() {
    let server = server::shared();
    let options = server.database("long_");
    block_on(async {
        let mut database = open(&options).await.unwrap();
        let mut long = cdr("long");
        let text = "\u{1f600}'".repeat(5_000);
        for field in [
            &mut long.callid,
            &mut long.from_tag,
            &mut long.from_uri,
            &mut long.source,
        ] {
            field.clone_from(&text);
        }
        let batch = [(1, long), (2, cdr("short"))];
        assert_eq!(database.write_cdrs(1, &batch).await.unwrap().inserted, 2);
    });
    let asked = "select char_length(callid), char_length(source) from cdr order by sequence";
    assert_eq!(server.sql("long_", asked), "255|64\n17|17\n");
}

#[test]
fn a_transaction_that_loses_to_another_is_tried_again() {
    let server = server::shared();
    let options = server.database("conflict");
    block_on(async {
        let mut database = open(&options).await.unwrap();
        database.write_cdrs(1, &[(1, cdr("first"))]).await.unwrap();
        let mut connect = options.clone();
        connect.deadline = Duration::from_secs(1);
        let mut other = crate::database::mariadb::connect_for_test(&connect).await;
        let mut transaction = other.begin().await.unwrap();
        // So much that the server ends ours, not this one.
        for i in 0..200 {
            let call = if i == 0 {
                "x".to_owned()
            } else {
                format!("other-{i}")
            };
            sqlx::query(
                "insert into cdr (node, sequence, call_uuid, callid, from_tag, to_tag, direction,
                     from_uri, to_uri, request_uri, source, destination, start_ms, answer_ms, end_ms,
                     sip_code, sip_reason, cause, caller_packets, caller_bytes, caller_lost,
                     caller_jitter, callee_packets, callee_bytes, callee_lost, callee_jitter)
                 select 2, ?, ?, callid, from_tag, to_tag, direction,
                     from_uri, to_uri, request_uri, source, destination, start_ms, answer_ms, end_ms,
                     sip_code, sip_reason, cause, 0, 0, 0, 0, 0, 0, 0, 0 from cdr
                 where call_uuid = 'first'",
            )
            .bind(i)
            .bind(call)
            .execute(&mut *transaction)
            .await
            .unwrap();
        }
        let batch = [(2, cdr("x")), (3, cdr("y"))];
        let ours = database.write_cdrs(1, &batch);
        let theirs = async {
            // Ours has the row of tandem_spool and waits for the call `x`.
            let waiting = || {
                server
                    .sql("", "show engine innodb status")
                    .contains("LOCK WAIT")
            };
            while !waiting() {
                tokio::task::yield_now().await;
            }
            sqlx::query("select * from tandem_spool for update")
                .fetch_all(&mut *transaction)
                .await
                .unwrap();
            transaction.commit().await.unwrap();
        };
        let (ours, ()) = tokio::join!(ours, theirs);
        let ours = ours.unwrap();
        assert_eq!((ours.inserted, ours.known), (1, 1));
    });
    let asked = "select count(*) from cdr where call_uuid in ('x', 'y')";
    assert_eq!(server.sql("conflict", asked), "2\n");
}

#[test]
fn errors_name_the_host_and_the_remedy_and_no_password() {
    let server = server::shared();
    let mut options = server.database("errors");
    block_on(async {
        options.password = Some("falsch".into());
        let error = open(&options).await.unwrap_err();
        assert!(
            matches!(error, DatabaseError::MariaDb(MariaDbError::Denied { .. })),
            "{error:?}"
        );
        assert!(!error.is_temporary());
        let text = format!("{error} {error:?} {options:?} {options}");
        assert!(
            text.contains("/sock/errors") && text.contains("password_file"),
            "{text}"
        );
        assert!(!text.contains("falsch"), "{text}");
        options.password = Some("geheim".into());
        // The first two hosts are no servers: the third is used, and is the first from then on.
        options
            .hosts
            .insert(0, MariaDbHost::Socket("/nonexistent/sock".into()));
        options
            .hosts
            .insert(1, MariaDbHost::Tcp("127.0.0.1".into(), 1));
        let mut place = DatabasePlace::MariaDb(options.clone());
        let database = Database::open(&mut place).await.unwrap();
        assert!(
            database.place().contains("/tnd-db-"),
            "{}",
            database.place()
        );
        let order = place.to_string();
        assert!(
            order.ends_with("/sock,/nonexistent/sock,127.0.0.1:1/errors"),
            "{order}"
        );
        options.hosts.truncate(2);
        let error = open(&options).await.unwrap_err();
        assert!(error.is_temporary(), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains("/nonexistent/sock") && text.contains("127.0.0.1:1"),
            "{text}"
        );
    });
}

#[test]
fn a_server_that_hangs_is_given_up_and_one_that_is_read_only_not_used() {
    let server = Server::start();
    let mut options = server.database("hang");
    options.deadline = Duration::from_millis(500);
    block_on(async {
        let mut database = open(&options).await.unwrap();
        database.write_cdrs(1, &[(1, cdr("a"))]).await.unwrap();
        server.freeze();
        let batch = [(1, cdr("a")), (2, cdr("b"))];
        let error = database.write_cdrs(1, &batch).await.unwrap_err();
        assert!(
            matches!(error, DatabaseError::MariaDb(MariaDbError::Slow { .. })),
            "{error:?}"
        );
        assert!(error.is_temporary());
        // What became of it is not known: this connection is not used again.
        let error = database.tables(WantedTables::default()).await.unwrap_err();
        assert!(
            matches!(error, DatabaseError::MariaDb(MariaDbError::Lost { .. })),
            "{error:?}"
        );
        let error = open(&options).await.unwrap_err();
        assert!(
            matches!(error, DatabaseError::MariaDb(MariaDbError::Slow { .. })),
            "{error:?}"
        );
        database.close().await;
        server.thaw();
        options.deadline = Duration::from_secs(10);
        let mut database = open(&options).await.unwrap();
        database.write_cdrs(1, &batch).await.unwrap();
        let rows = server.sql("hang", "select group_concat(call_uuid order by 1) from cdr");
        assert_eq!(rows, "a,b\n");
        // A lookup that its caller gives up.
        server.freeze();
        let hurry = Duration::from_millis(10);
        let lookup = tokio::time::timeout(hurry, database.subscriber("a", "b"));
        assert!(lookup.await.is_err());
        server.thaw();
        assert!(database.tables(WantedTables::default()).await.is_err());
        server.sql("", "set global read_only = 1");
        let error = open(&options).await.unwrap_err();
        assert!(
            matches!(error, DatabaseError::MariaDb(MariaDbError::Unfit { .. })),
            "{error:?}"
        );
        server.sql("", "set global read_only = 0");
        open(&options).await.unwrap().close().await;
    });
}
