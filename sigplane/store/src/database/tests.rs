mod followers;
mod fs_cdr;
mod mariadb;
mod server;

use super::*;
use crate::journal::tests::cdr;
use crate::{Entry, Journal, JournalOptions, JournalTail};
use sqlx::Connection as _;
use std::path::Path;
use std::process::Command;

const BUSY: Duration = Duration::from_millis(50);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn sqlite(path: &Path) -> DatabasePlace {
    DatabasePlace::Sqlite {
        path: path.to_owned(),
        busy: BUSY,
    }
}

async fn open(path: &Path) -> Result<Database, DatabaseError> {
    Database::open(&mut sqlite(path)).await
}

/// What is behind it, for a test that meddles.
fn inside(database: &mut Database) -> &mut SqliteDatabase {
    match database {
        Database::Sqlite(database) => database,
        Database::MariaDb(_) => panic!("not SQLite"),
    }
}

/// Asks the database with the plain tool that an administrator has.
fn sqlite3(path: &Path, sql: &str) -> String {
    let output = Command::new("sqlite3")
        .arg(path)
        .args(["-cmd", ".timeout 5000", sql])
        .output();
    let output = output.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn made_at_first_and_read_by_the_plain_tool() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tandem.db");
    block_on(async {
        let mut database = open(&path).await.unwrap();
        assert_eq!(database.last_sequence(1).await.unwrap(), 0);
        let written = database
            .write_cdrs(1, &[(5, cdr("a")), (9, cdr("b"))])
            .await
            .unwrap();
        assert_eq!(
            written,
            Written {
                inserted: 2,
                known: 0,
                located: 0
            }
        );
        assert_eq!(database.last_sequence(1).await.unwrap(), 9);
        assert_eq!(database.last_sequence(2).await.unwrap(), 0);
        database.close().await;
    });
    assert_eq!(
        sqlite3(
            &path,
            "select node, sequence, call_uuid, typeof(start_ms), start_ms, \
                        typeof(answer_ms), sip_code, cause, caller_jitter from cdr"
        ),
        "1|5|a|integer|1700000000000|null|486|rejected|4\n\
         1|9|b|integer|1700000000000|null|486|rejected|4\n"
    );
    let acc = "select method, sip_code, sip_reason, count(*), min(time) >= '2023-11-14 22:13:20' from acc group by 1, 2, 3";
    assert_eq!(sqlite3(&path, acc), "INVITE|486|Busy Here|2|1\n");
    assert_eq!(
        sqlite3(
            &path,
            "select table_name, table_version from version order by 1"
        ),
        "acc|5\naddress|6\ncdr|3\ndialog|7\ndid_routing|1\ndispatcher|4\nfs_cdr|1\nlocation|9\nsubscriber|7\ntandem_spool|1\ntrunk_routing|1\n"
    );
}

#[test]
fn a_cdr_table_of_the_version_before_is_brought_up_to_date_with_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tandem.db");
    block_on(async {
        let mut database = open(&path).await.unwrap();
        database.write_cdrs(1, &[(5, cdr("old"))]).await.unwrap();
        database.close().await;
        sqlite3(&path, &cdr_version_1());
        // Looked at only: as it is.
        let mut database = Database::open_as_it_is(&mut sqlite(&path)).await.unwrap();
        let states = database.inspect().await.unwrap();
        let state = states.iter().find(|s| s.table == "cdr").unwrap();
        assert_eq!((state.version, state.missing.len()), (Some(1), NEW_COLUMNS));
        database.close().await;
        let mut database = open(&path).await.unwrap();
        let new = database.write_cdrs(1, &[(6, cdr("new"))]).await.unwrap();
        assert_eq!(new.inserted, 1);
        let states = database.inspect().await.unwrap();
        assert!(states.iter().all(TableState::is_good), "{states:?}");
        database.close().await;
    });
    assert_eq!(
        sqlite3(
            &path,
            "select call_uuid, sip_code, tenant, attempts, q850, caller_codec, caller_jitter_ms, caller_mos, tried from cdr order by 1"
        ),
        "new|486|acme|1|17|PCMA/8000|0.5|4.41|\
         [{\"code\":486,\"ms\":900,\"target\":\"sip:192.0.2.9:5060\",\"trunk\":\"carrier-a\"}]\nold|486||0||||||\n"
            .replace("||||||\n", "|||||\n")
    );
}

/// CDRs by page, in both orders and by what they say.
async fn check_cdrs(database: &mut Database) {
    let mut batch = Vec::new();
    for i in 0..25_u64 {
        let mut cdr = cdr(&format!("page-{i}"));
        // Several begin at once, and not in the order in which they end.
        cdr.start_ms += (25 - i) / 3 * 1_000;
        cdr.tenant = format!("tenant-{}", i % 2);
        cdr.trunk = if i < 5 { "a" } else { "b" }.into();
        batch.push((i + 1, cdr));
    }
    database.write_cdrs(4, &batch).await.unwrap();
    let mut all = Vec::new();
    for first in [CdrOrder::FIRST, CdrOrder::Id(0)] {
        let (mut order, mut seen) = (first, Vec::new());
        loop {
            let page = database
                .cdrs(&CdrFilter::default(), order, 7)
                .await
                .unwrap();
            let Some(last) = page.last() else { break };
            order = first.behind(last);
            seen.extend(page);
        }
        assert_eq!(seen.len(), 25);
        let key = |row: &CdrRow| format!("{:?} {:?}", row[20], row[0]);
        let mut keys: Vec<_> = seen.iter().map(key).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 25);
        all = seen;
    }
    let text = |at: usize| match &all[0][at] {
        CdrValue::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((text(1), text(7)), ("page-0".into(), "tnd1.token".into()));
    let mos = CDR_COLUMNS
        .iter()
        .position(|c| c.0 == "caller_mos")
        .unwrap();
    assert_eq!(all[0][mos], CdrValue::Real(4.41));
    let answer = CDR_COLUMNS.iter().position(|c| c.0 == "answer_ms").unwrap();
    assert_eq!(all[0][answer], CdrValue::None);
    let filters = [
        (
            CdrFilter {
                tenant: Some("tenant-1".into()),
                ..CdrFilter::default()
            },
            12,
        ),
        (
            CdrFilter {
                trunk: Some("a".into()),
                ..CdrFilter::default()
            },
            5,
        ),
        (
            CdrFilter {
                trunk: Some("' OR 1 = 1 --".into()),
                ..CdrFilter::default()
            },
            0,
        ),
        (
            CdrFilter {
                call_id: Some("page-3@example.com".into()),
                ..CdrFilter::default()
            },
            1,
        ),
        (
            CdrFilter {
                since_ms: Some(1_700_000_008_000),
                ..CdrFilter::default()
            },
            2,
        ),
        (
            CdrFilter {
                until_ms: Some(1_700_000_001_000),
                ..CdrFilter::default()
            },
            2,
        ),
    ];
    for (filter, expected) in filters {
        let found = database.cdrs(&filter, CdrOrder::FIRST, 100).await.unwrap();
        assert_eq!(found.len(), expected, "{filter:?}");
    }
    let latest = database
        .cdrs(&CdrFilter::default(), CdrOrder::Latest, 1)
        .await
        .unwrap();
    assert_eq!(latest[0][20], CdrValue::Int(1_700_000_008_000));
}

#[test]
fn cdrs_are_read_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let mut database = open(&dir.path().join("tandem.db")).await.unwrap();
        check_cdrs(&mut database).await;
    });
}

/// How many columns version 3 of `cdr` has more than version 1.
const NEW_COLUMNS: usize = 39;

/// Makes `cdr` what it was in version 1.
fn cdr_version_1() -> String {
    let sample = cdr("any");
    let names = columns::columns(1, 1, &sample)
        .into_iter()
        .map(|(name, _)| name);
    let new = names.skip_while(|name| *name != "tenant");
    let drop: String = new
        .map(|name| format!("alter table cdr drop column {name};\n"))
        .collect();
    drop + "update version set table_version = 1 where table_name = 'cdr'"
}

#[test]
fn rows_that_the_plain_tool_wrote_are_read_and_bad_ones_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tandem.db");
    block_on(async {
        let mut database = open(&path).await.unwrap();
        sqlite3(
            &path,
            "insert into dispatcher (setid, destination) values (1, 'sip:10.0.0.1:5060');
             insert into dispatcher (setid, destination) values (-1, 'sip:10.0.0.2:5060');
             insert into dispatcher (setid, destination, flags) values (1, 'sip:10.0.0.3', 'x');
             insert into address (ip_addr) values ('192.0.2.1');
             insert into address (ip_addr, mask) values ('192.0.2.1', 300);",
        );
        let rows = database.tables(WantedTables::ALL).await.unwrap();
        assert_eq!(rows.dispatcher.len(), 1);
        assert_eq!(rows.dispatcher[0].destination, "sip:10.0.0.1:5060");
        assert_eq!(rows.address.len(), 1);
        assert_eq!((rows.address[0].mask, rows.address[0].grp), (32, 1));
        assert_eq!(rows.address[0].tag, "");
        let bad: Vec<_> = rows.bad.iter().map(ToString::to_string).collect();
        assert_eq!(
            bad,
            [
                "table dispatcher, id 2: setid cannot be -1",
                "table dispatcher, id 3: flags is not a whole number",
                "table address, id 2: mask cannot be 300",
            ]
        );
    });
}

#[test]
fn a_database_that_kamailio_made_works_and_other_versions_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kamailio.sqlite");
    sqlite3(
        &path,
        "create table version (table_name varchar(32) not null, table_version integer default 0
             not null, constraint version_table_name_idx unique (table_name));
         insert into version values ('dispatcher', 4), ('address', 6), ('acc', 5);
         create table dispatcher (id integer primary key not null, setid integer default 0 not null,
             destination varchar(192) default '' not null, flags integer default 0 not null,
             priority integer default 0 not null, attrs varchar(128) default '' not null,
             description varchar(64) default '' not null);
         insert into dispatcher (setid, destination) values (1, 'sip:10.0.0.1');
         create table address (id integer primary key not null, grp integer default 1 not null,
             ip_addr varchar(50) not null, mask integer default 32 not null,
             port smallint default 0 not null, tag varchar(64));",
    );
    block_on(async {
        let mut database = open(&path).await.unwrap();
        assert_eq!(
            database
                .tables(WantedTables::ALL)
                .await
                .unwrap()
                .dispatcher
                .len(),
            1
        );
        database.close().await;
        sqlite3(
            &path,
            "update version set table_version = 3 where table_name = 'dispatcher'",
        );
        let error = open(&path).await.unwrap_err();
        assert!(!error.is_temporary());
        let text = error.to_string();
        assert!(
            text.contains("table dispatcher has version 3, this software needs 4"),
            "{text}"
        );
    });
}

#[test]
fn errors_name_the_file_and_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("no/such/dir/tandem.db");
    let error = block_on(open(&path)).unwrap_err();
    assert!(
        matches!(error, DatabaseError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("no/such/dir/tandem.db"),
        "{error}"
    );

    let path = dir.path().join("broken.db");
    std::fs::write(&path, [b'x'; 8192]).unwrap();
    let error = block_on(open(&path)).unwrap_err();
    assert!(matches!(error, DatabaseError::Broken { .. }), "{error:?}");
    assert!(error.to_string().contains("restore the file"), "{error}");
}

#[test]
fn a_locked_database_is_a_temporary_trouble() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tandem.db");
    block_on(async {
        let mut database = open(&path).await.unwrap();
        let mut other = open(&path).await.unwrap();
        let lock = inside(&mut other)
            .connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .unwrap();
        let error = database.write_cdrs(1, &[(1, cdr("a"))]).await.unwrap_err();
        assert!(error.is_temporary(), "{error:?}");
        assert!(
            database.tables(WantedTables::ALL).await.is_ok(),
            "reading does not wait for a writer"
        );
        lock.rollback().await.unwrap();
        database.write_cdrs(1, &[(1, cdr("a"))]).await.unwrap();
    });
}

#[test]
fn a_removed_file_is_noticed_before_cdrs_vanish_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tandem.db");
    block_on(async {
        let mut database = open(&path).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let error = database.write_cdrs(1, &[(1, cdr("a"))]).await.unwrap_err();
        assert!(matches!(error, DatabaseError::Replaced { .. }), "{error:?}");
    });
}

/// Where the process dies on a CDR's way from the journal to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    BeforeRead,
    BeforeCommit,
    AfterCommit,
    Nowhere,
}

#[test]
fn each_cdr_lands_once_wherever_the_process_dies() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tandem.db");
    let log = dir.path().join("journal");
    let options = JournalOptions {
        segment_bytes: 2048,
        clean_bytes: 512,
        ..Default::default()
    };
    let deaths = [
        Death::BeforeRead,
        Death::BeforeCommit,
        Death::AfterCommit,
        Death::Nowhere,
    ];
    let mut number = 0;
    block_on(async {
        for round in 0..40 {
            let death = deaths[round % deaths.len()];
            let (mut journal, _) = Journal::open(&log, options).unwrap();
            for _ in 0..10 {
                number += 1;
                let key = number;
                let body = Some(vec![0; 50]);
                journal
                    .append(&[Entry {
                        key,
                        body,
                        cdr: None,
                        follower: None,
                    }])
                    .unwrap();
                let cdr = Some(Box::new(cdr(&key.to_string())));
                journal
                    .append(&[Entry {
                        key,
                        body: None,
                        cdr,
                        follower: None,
                    }])
                    .unwrap();
                journal.sync_job().unwrap().run().unwrap();
            }
            if death == Death::BeforeRead {
                continue;
            }
            let mut database = open(&path).await.unwrap();
            let mut tail = JournalTail::new(&log, database.last_sequence(1).await.unwrap());
            loop {
                let batch = tail.next(4).unwrap();
                let Some((last, _)) = batch.last() else { break };
                if death == Death::BeforeCommit {
                    // What SQLite does with a transaction whose process is gone.
                    let mut half = inside(&mut database).connection.begin().await.unwrap();
                    sqlx::query("DELETE FROM tandem_spool")
                        .execute(&mut *half)
                        .await
                        .unwrap();
                    half.rollback().await.unwrap();
                    break;
                }
                database
                    .write(1, &batch, followers::NONE, false)
                    .await
                    .unwrap();
                if death == Death::AfterCommit {
                    // The mark in memory is lost with the process.
                    break;
                }
                journal.marks().set_applied(*last);
            }
        }
    });
    let rows = sqlite3(&path, "select count(*), count(distinct call_uuid) from cdr");
    assert_eq!(rows, format!("{number}|{number}\n"));
}

#[test]
fn a_batch_given_again_and_a_call_given_twice_insert_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tandem.db");
    block_on(async {
        let mut database = open(&path).await.unwrap();
        let batch = [(1, cdr("a")), (2, cdr("b"))];
        database.write_cdrs(7, &batch).await.unwrap();
        let again = database.write_cdrs(7, &batch).await.unwrap();
        assert_eq!(
            again,
            Written {
                inserted: 0,
                known: 2,
                located: 0
            }
        );
        let twice = database
            .write_cdrs(7, &[(3, cdr("a")), (4, cdr("c"))])
            .await
            .unwrap();
        assert_eq!(
            twice,
            Written {
                inserted: 1,
                known: 1,
                located: 0
            }
        );
        assert_eq!(database.last_sequence(7).await.unwrap(), 4);
    });
}

use tandem_policy::Cdr;

impl Database {
    async fn write_cdrs(
        &mut self,
        node: u16,
        batch: &[(u64, Cdr)],
    ) -> Result<Written, DatabaseError> {
        let change = |(sequence, cdr): &(u64, Cdr)| (*sequence, Change::Cdr(Box::new(cdr.clone())));
        let changes: Vec<_> = batch.iter().map(change).collect();
        self.write(node, &changes, followers::NONE, true).await
    }
}

#[test]
fn location_follows_what_is_registered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tandem.db");
    block_on(async {
        let mut database = open(&path).await.unwrap();
        let sql = |text: &str| sqlite3(&path, text);
        followers::check_location(&mut database, sql, "strftime('%s', expires)").await;
    });
}

/// `did_routing`, if it is wanted.
async fn check_dids(database: &mut Database, sql: impl Fn(&str) -> String) {
    sql(
        "insert into did_routing (tenant, did, dest_type, destination, setid) values
            ('acme', '1000', 'ivr', 'front', 5), ('', '2', '', '', -1), ('zeta', '1000', '', '', 0)",
    );
    let rows = database.tables(WantedTables::ALL).await.unwrap();
    let read: Vec<_> = rows
        .dids
        .iter()
        .map(|r| {
            (
                r.tenant.as_str(),
                r.did.as_str(),
                r.destination.as_str(),
                r.setid,
            )
        })
        .collect();
    assert_eq!(
        read,
        [("acme", "1000", "front", 5), ("zeta", "1000", "", 0)]
    );
    assert!(
        rows.bad[0].to_string().contains("setid cannot be -1"),
        "{:?}",
        rows.bad
    );
    let rows = database.tables(WantedTables::default()).await.unwrap();
    assert!(rows.dids.is_empty() && rows.bad.is_empty());
}

#[test]
fn numbers_of_ours_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tandem.db");
    block_on(async {
        let mut database = open(&path).await.unwrap();
        check_dids(&mut database, |text| sqlite3(&path, text)).await;
    });
}

/// Routes are read whole, however many they are, and not again while nobody has changed them.
async fn check_routes(database: &mut Database, sql: impl Fn(&str) -> String) {
    sql(
        "insert into trunk_routing (tenant, prefix, trunk, priority, weight) values
            ('acme', '49', 'a', 10, 1), ('', '', 'b', 0, 0), ('', '4', 'a', 1, 1)",
    );
    let read = database.routes(None).await.unwrap().unwrap();
    let rows: Vec<_> = read
        .rows
        .iter()
        .map(|r| {
            (
                r.tenant.as_str(),
                r.prefix.as_str(),
                r.trunk.as_str(),
                r.priority,
            )
        })
        .collect();
    assert_eq!(
        rows,
        [("acme", "49", "a", 10), ("", "", "b", 0), ("", "4", "a", 1)]
    );
    assert!(read.bad.is_empty());
    assert_eq!(database.routes(Some(&read.stamp)).await.unwrap(), None);
    sql("update trunk_routing set weight = 7 where prefix = '4'");
    let again = database.routes(Some(&read.stamp)).await.unwrap().unwrap();
    assert_eq!(again.rows[2].weight, 7);
    sql("insert into trunk_routing (tenant, prefix, trunk)
            with recursive n(i) as (select 1 union all select i + 1 from n where i < 900)
            select '', a.i * 1000 + b.i, 'c' from n a, n b where a.i <= 50");
    let many = database.routes(Some(&again.stamp)).await.unwrap().unwrap();
    assert_eq!(
        many.rows.len(),
        3 + 50 * 900,
        "more than are read in one go"
    );
    assert_eq!(database.routes(Some(&many.stamp)).await.unwrap(), None);
}

#[test]
fn routes_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tandem.db");
    block_on(async {
        let mut database = open(&path).await.unwrap();
        check_routes(&mut database, |text| sqlite3(&path, text)).await;
        // What a connection says of changes means nothing to another one.
        let stamp = database.routes(None).await.unwrap().unwrap().stamp;
        let mut other = open(&path).await.unwrap();
        assert!(other.routes(Some(&stamp)).await.unwrap().is_some());
    });
}

#[test]
fn dialog_follows_answered_calls() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tandem.db");
    block_on(async {
        let mut database = open(&path).await.unwrap();
        followers::check_dialog(&mut database, |text| sqlite3(&path, text)).await;
    });
}

/// The rows that both kinds of database are asked about.
const SUBSCRIBERS: &str = "insert into subscriber (username, domain, password, ha1, ha1b) values
    ('alice', 'example.com', 'geheim', 'aaa', 'bbb'),
    ('bob', 'example.com', '', 'ccc', ''),
    ('alice', 'example.net', 'anders', '', '')";

/// Looks subscribers up, those whose names would harm a careless program too.
async fn look_up(database: &mut Database) {
    let mut rows = database.subscriber("alice", "EXAMPLE.com").await.unwrap();
    assert_eq!(rows.len(), 1);
    let alice = rows.remove(0);
    assert_eq!(
        (alice.password.as_str(), alice.ha1.as_str()),
        ("geheim", "aaa")
    );
    assert_eq!(
        (alice.domain.as_str(), alice.ha1b.as_str()),
        ("example.com", "bbb")
    );
    let shown = format!("{alice:?}");
    assert!(shown.contains("alice"), "{shown}");
    assert!(
        !["geheim", "aaa", "bbb"].iter().any(|s| shown.contains(s)),
        "{shown}"
    );
    let long = "x".repeat(10_240);
    for name in [
        "ALICE",
        "alice ",
        "",
        "' or '1'='1",
        "alice'; drop table subscriber; --",
        "al%",
        "al_ce",
        "\\",
        "\u{1f600}",
        "\0",
        "alice\0",
        &long,
    ] {
        assert_eq!(
            database.subscriber(name, "example.com").await.unwrap(),
            [],
            "{name}"
        );
        assert_eq!(
            database.subscriber("alice", name).await.unwrap(),
            [],
            "{name}"
        );
    }
    assert_eq!(
        database
            .tables(WantedTables::ALL)
            .await
            .unwrap()
            .subscribers
            .len(),
        3
    );
    assert!(
        database
            .tables(WantedTables::default())
            .await
            .unwrap()
            .subscribers
            .is_empty()
    );
}

#[test]
fn subscribers_are_found_and_their_secrets_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tandem.db");
    block_on(async {
        let mut database = open(&path).await.unwrap();
        sqlite3(&path, SUBSCRIBERS);
        look_up(&mut database).await;
    });
}

#[test]
fn tables_of_debians_kamailio_are_read_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kamailio.sqlite");
    for name in server::SCHEMAS {
        let file = format!("/usr/share/kamailio/db_sqlite/{name}-create.sql");
        sqlite3(&path, &std::fs::read_to_string(file).unwrap());
    }
    sqlite3(
        &path,
        "alter table dispatcher add column note text; alter table address add x int",
    );
    sqlite3(&path, server::ROWS);
    sqlite3(&path, SUBSCRIBERS);
    block_on(async {
        let mut database = open(&path).await.unwrap();
        server::check_rows(&database.tables(WantedTables::default()).await.unwrap());
        look_up(&mut database).await;
    });
}
