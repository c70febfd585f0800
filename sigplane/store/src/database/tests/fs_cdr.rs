//! FreeSWITCH's CDRs, in either database.

use tandem_policy::FsCdr;

use super::*;

pub(super) fn fs_cdr(uuid: &str, call_id: &str) -> FsCdr {
    FsCdr {
        uuid: uuid.into(),
        sip_call_id: call_id.into(),
        start_us: 1_700_000_000_000_001,
        answer_us: None,
        end_us: 1_700_000_001_000_001,
        in_bytes: Some(7),
        jitter_min: Some(1),
        mos: Some(449),
        q850: 16,
        billsec: 3,
        last_app: "bridge".into(),
        received_ms: 9,
        ..FsCdr::default()
    }
}

/// A leg is there once, whoever posts it to which node how often; whatever is in its texts; and beside our call with its Call-ID.
pub(super) async fn check(database: &mut Database, sql: impl Fn(&str) -> String) {
    let change = |sequence, cdr: FsCdr| (sequence, Change::FsCdr(Box::new(cdr)));
    let nasty = FsCdr {
        caller_id_name: "'; drop table cdr; -- \u{1f600}\u{fffd}".repeat(20),
        in_packets: Some(u64::MAX),
        ..fs_cdr("u2", "A@example.com")
    };
    let batch = [
        change(1, fs_cdr("u1", "a@example.com")),
        change(2, nasty),
        change(3, fs_cdr("u1", "b@example.com")),
        (4, Change::Cdr(Box::new(cdr("a")))),
    ];
    for node in [1, 2, 1] {
        database
            .write(node, &batch, followers::NONE, false)
            .await
            .unwrap();
    }
    assert_eq!(
        sql(
            "select uuid, sip_call_id, node, mos, q850, answer_us is null, coalesce(in_packets, 0), char_length(caller_id_name) from fs_cdr order by uuid"
        ),
        "u1|a@example.com|1|4.49|16|1|0|0\nu2|A@example.com|1|4.49|16|1|9223372036854775807|128\n"
    );
    let read = database.fs_cdrs(&["a@example.com", "b@example.com"]).await;
    assert_eq!(read.unwrap(), [fs_cdr("u1", "a@example.com")]);
    let read = database.fs_cdrs(&["A@example.com", "'"]).await.unwrap();
    assert_eq!(read[0].in_packets, Some(i64::MAX as u64));
    assert_eq!(database.fs_cdrs(&[]).await.unwrap(), []);
    let joined = "select callid, fs_uuid, fs_mos, sip_code from cdr_joined";
    assert_eq!(sql(joined), "a@example.com|u1|4.49|486\n");
}

#[test]
fn legs_are_there_once_and_beside_our_call() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tandem.db");
    block_on(async {
        let mut database = open(&path).await.unwrap();
        let sql = |text: &str| {
            let text = text.replace("char_length", "length");
            sqlite3(&path, &text)
        };
        check(&mut database, sql).await;
    });
}
