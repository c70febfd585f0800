//! The tables that follow the journal, in either database.

use tandem_policy::{DialogEnd, DialogRow, Follower, LocationRow};

use super::*;

/// For tests without such tables.
pub(super) const NONE: Readers<'_> = Readers {
    location: &|_| Vec::new(),
    dialog: &|_| None,
};

const fn row(follower: Follower, key: u64, body: Option<Vec<u8>>) -> Change {
    Change::Row {
        follower,
        key,
        body,
    }
}

/// Contacts of two users, refreshed, one more and one less, and gone: the rows at each step. `expires` comes as Unix seconds.
pub(super) async fn check_location(
    database: &mut Database,
    sql: impl Fn(&str) -> String,
    unix: &str,
) {
    let rows = |body: &[u8]| {
        let contact = |number: &u8| LocationRow {
            username: "o'hara".into(),
            domain: "example.net".into(),
            contact: match number {
                8 => "sip:\u{1f600}@192.0.2.1".into(),
                _ => format!("sip:{number}@192.0.2.1"),
            },
            expires_s: 1_800_000_000 + u64::from(*number),
            q: 500,
            cseq: u32::MAX,
            methods: Some(5),
            path: "x".repeat(if *number == 9 { 513 } else { 0 }),
            instance: "\u{1f600}".into(),
            user_agent: "y".repeat(300),
            ..LocationRow::default()
        };
        body.iter().map(contact).collect()
    };
    let readers = Readers {
        location: &rows,
        ..NONE
    };
    let change = |sequence, key, body: &[u8]| {
        let body = (!body.is_empty()).then(|| body.to_vec());
        (sequence, row(Follower::Location, key, body))
    };
    let asked = format!(
        "select ruid, contact, {unix}, coalesce(received, '-'), length(user_agent), methods, server_id from location order by ruid"
    );
    let line = |key: &str, place: u32, number: u32| {
        format!(
            "tnd-3-{key}-000{place}|sip:{number}@192.0.2.1|{}|-|255|5|3\n",
            1_800_000_000 + number
        )
    };
    let first = [
        change(1, 1, &[1, 2]),
        change(2, 16, &[3]),
        change(3, 1, &[2, 4]),
    ];
    let written = database.write(3, &first, readers, false).await.unwrap();
    assert_eq!((written.inserted, written.located), (0, 2));
    let stand = line("1", 0, 2) + &line("1", 1, 4) + &line("10", 0, 3);
    assert_eq!(sql(&asked), stand);
    // Again, and with something new: what was there before does not come back.
    let mut again = first.to_vec();
    again.push(change(4, 1, &[5]));
    database.write(3, &again, readers, false).await.unwrap();
    let stand = line("1", 0, 5) + &line("10", 0, 3);
    assert_eq!(sql(&asked), stand);
    database.write(3, &first, readers, false).await.unwrap();
    assert_eq!(sql(&asked), stand);
    // What its columns cannot take is not there; another node's rows are.
    let other = [change(1, 1, &[7])];
    database.write(4, &other, readers, false).await.unwrap();
    let gone = [change(5, 1, &[9, 8]), change(6, 16, &[])];
    database.write(3, &gone, readers, false).await.unwrap();
    assert_eq!(
        sql(&asked),
        line("1", 0, 7)
            .replace("tnd-3", "tnd-4")
            .replace("|3\n", "|4\n")
    );
    // Many at once.
    let many: Vec<_> = (0..700)
        .map(|key| change(7 + key, 1_000 + key, &[1, 2, 3]))
        .collect();
    database.write(3, &many, readers, false).await.unwrap();
    assert_eq!(sql("select count(*) from location"), "2101\n");
    let many: Vec<_> = (0..700)
        .map(|key| change(707 + key, 1_000 + key, &[2]))
        .collect();
    database.write(3, &many, readers, false).await.unwrap();
    assert_eq!(sql("select count(*) from location"), "701\n");
}

/// A call that is answered, acknowledged and over, another one that stays, and one with more than the columns take.
pub(super) async fn check_dialog(database: &mut Database, sql: impl Fn(&str) -> String) {
    let read = |body: &[u8]| {
        let number = *body.first()?;
        let end = |name: &str| DialogEnd {
            cseq: u32::from(number),
            route_set: if name == "a" {
                String::new()
            } else {
                "<sip:p1;lr>,<sip:p2;lr>".into()
            },
            contact: format!("sip:{name}@192.0.2.1"),
            socket: "udp:192.0.2.10:5060".into(),
        };
        Some(DialogRow {
            callid: if number == 9 {
                "c".repeat(300)
            } else {
                format!("o'hara-{number}")
            },
            caller: end("a"),
            callee: end("b"),
            acknowledged: number % 2 == 0,
            start_s: 1_700_000_000,
            ..DialogRow::default()
        })
    };
    let readers = Readers {
        dialog: &read,
        ..NONE
    };
    let change = |sequence, key, body: &[u8]| {
        let body = (!body.is_empty()).then(|| body.to_vec());
        (sequence, row(Follower::Dialog, key, body))
    };
    let asked = "select hash_entry, hash_id, callid, caller_cseq, coalesce(caller_route_set, '-'), callee_route_set,
        callee_contact, caller_sock, state, start_time, timeout from dialog order by hash_id";
    let line = |id: u64, number: u8, state: u8| {
        format!(
            "{}|{id}|o'hara-{number}|{number}|-|<sip:p1;lr>,<sip:p2;lr>|sip:b@192.0.2.1|udp:192.0.2.10:5060|{state}|1700000000|0\n",
            3 << 16
        )
    };
    let first = [change(1, 5, &[1]), change(2, 6, &[3])];
    database.write(3, &first, readers, false).await.unwrap();
    assert_eq!(sql(asked), line(5, 1, 3) + &line(6, 3, 3));
    let mut again = first.to_vec();
    again.push(change(3, 5, &[2]));
    database.write(3, &again, readers, false).await.unwrap();
    assert_eq!(sql(asked), line(5, 2, 4) + &line(6, 3, 3));
    // Of another node, with the same number.
    let other = [change(1, 5, &[4])];
    database.write(4, &other, readers, false).await.unwrap();
    // A call's last record has its CDR, too.
    let cdr = Change::Cdr(Box::new(cdr("5")));
    let last = [(4, cdr), change(4, 5, &[]), change(5, 7, &[9])];
    let written = database.write(3, &last, readers, false).await.unwrap();
    assert_eq!(written.inserted, 1);
    assert_eq!(
        sql("select hash_entry, hash_id, length(callid) from dialog order by hash_id"),
        format!("{}|5|8\n{}|6|8\n{}|7|255\n", 4 << 16, 3 << 16, 3 << 16)
    );
    let many: Vec<_> = (0..700)
        .map(|key| change(6 + key, 1_000 + key, &[1]))
        .collect();
    database.write(3, &many, readers, false).await.unwrap();
    assert_eq!(sql("select count(*) from dialog"), "703\n");
}
