use super::*;
use tandem_policy::{CdrMedia, EndCause, EndedBy, Q850, Tried};

/// A CDR of the call `uuid`.
pub(crate) fn cdr(uuid: &str) -> Cdr {
    Cdr {
        call_uuid: uuid.into(),
        callid: format!("{uuid}@example.com"),
        carrier_callid: "tnd1.token".into(),
        from_tag: "f".into(),
        to_tag: String::new(),
        cseq: 1,
        direction: "inbound".into(),
        tenant: "acme".into(),
        trunk: "carrier-a".into(),
        from_uri: "sip:a@example.com".into(),
        to_uri: "sip:b@example.com".into(),
        request_uri: "sip:b@192.0.2.1".into(),
        sent_uri: "sip:b@192.0.2.9".into(),
        sent_from: String::new(),
        source: "198.51.100.1:5060".into(),
        source_local: "198.51.100.9:5060".into(),
        destination: "sip:192.0.2.9:5060".into(),
        destination_address: "192.0.2.9:5060".into(),
        destination_local: "192.0.2.1:5060".into(),
        start_ms: 1_700_000_000_000,
        ring_ms: Some(1_700_000_000_250),
        answer_ms: None,
        end_ms: 1_700_000_001_000,
        sip_code: 486,
        sip_reason: "Busy Here".into(),
        cause: EndCause::Rejected,
        ended_by: EndedBy::Callee,
        q850: Some(Q850 {
            cause: 17,
            said: true,
        }),
        attempts: 1,
        tried: vec![Tried {
            target: "sip:192.0.2.9:5060".into(),
            trunk: "carrier-a".into(),
            code: 486,
            ms: 900,
        }],
        media_partial: false,
        caller_media: CdrMedia {
            packets: 1,
            bytes: 2,
            lost: 3,
            jitter: 4,
            jitter_us: Some(500),
            payload_type: Some(8),
            codec: "PCMA/8000".into(),
            mos: Some(441),
            ..CdrMedia::default()
        },
        callee_media: CdrMedia::default(),
        caller_quality: tandem_policy::CdrQuality::default(),
        callee_quality: tandem_policy::CdrQuality::default(),
    }
}

const SMALL: JournalOptions = JournalOptions {
    segment_bytes: 4096,
    clean_bytes: 512,
    backlog_bytes: 4096,
};

fn put(key: u64, body: &[u8]) -> Entry {
    Entry {
        key,
        body: Some(body.to_vec()),
        cdr: None,
        follower: None,
    }
}

fn end(key: u64) -> Entry {
    Entry {
        key,
        body: None,
        cdr: Some(Box::new(cdr(&key.to_string()))),
        follower: None,
    }
}

/// CDRs alone: there is nothing else here.
fn cdrs(changes: Vec<(u64, Change)>) -> Vec<(u64, Cdr)> {
    let cdr = |(sequence, change)| match change {
        Change::Cdr(cdr) => (sequence, *cdr),
        other => panic!("{other:?}"),
    };
    changes.into_iter().map(cdr).collect()
}

fn live(replay: &Replay) -> Vec<(u64, Vec<u8>)> {
    replay
        .live
        .iter()
        .map(|call| (call.key, call.body.clone()))
        .collect()
}

fn only_file(dir: &Path) -> PathBuf {
    let mut files = segment::list(dir).unwrap();
    assert_eq!(files.len(), 1);
    files.remove(0).1
}

#[test]
fn the_latest_state_of_each_call_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, replay) = Journal::open(dir.path(), SMALL).unwrap();
    assert_eq!(
        replay,
        Replay {
            live: vec![],
            records: 0,
            highest_key: 0,
            cut: None
        }
    );
    journal.append(&[put(1, b"one"), put(2, b"two")]).unwrap();
    journal
        .append(&[put(1, b"one again"), end(3), end(2)])
        .unwrap();
    let last = journal.last_sequence();
    assert_eq!(journal.pending_cdrs(), 2);
    drop(journal);

    let (mut journal, replay) = Journal::open(dir.path(), SMALL).unwrap();
    assert_eq!(live(&replay), [(1, b"one again".to_vec())]);
    assert_eq!((replay.records, replay.cut), (5, None));
    assert_eq!(replay.highest_key, 3, "that of a call that has ended");
    assert_eq!((journal.last_sequence(), journal.pending_cdrs()), (last, 2));
    let found = JournalTail::new(dir.path(), 0).next(10).unwrap();
    assert_eq!(
        found.iter().map(|(s, _)| *s).collect::<Vec<_>>(),
        [last - 1, last]
    );
    assert_eq!(
        cdrs(JournalTail::new(dir.path(), last - 1).next(10).unwrap()),
        [(last, cdr("2"))]
    );
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_what_was_before_it_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), SMALL).unwrap();
    journal.append(&[put(1, b"one"), put(2, b"two")]).unwrap();
    let whole = journal.size().0;
    journal.append(&[put(1, b"one again")]).unwrap();
    let first_of_batch = journal.size().0;
    journal.append(&[put(3, b"three"), end(2)]).unwrap();
    drop(journal);
    let path = only_file(dir.path());
    let bytes = std::fs::read(&path).unwrap();

    for length in usize::try_from(whole).unwrap()..bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let (mut journal, replay) = Journal::open(dir.path(), SMALL).unwrap();
        let at = length as u64;
        let expected: &[u8] = if at < first_of_batch {
            b"one"
        } else {
            b"one again"
        };
        let calls = live(&replay);
        assert!(
            calls.contains(&(1, expected.to_vec())),
            "cut at {length}: {calls:?}"
        );
        assert!(
            calls.contains(&(2, b"two".to_vec())),
            "cut at {length}: {calls:?}"
        );
        let cut = replay.cut.map_or(0, |cut| cut.bytes);
        assert_eq!(journal.size().0 + cut, at, "cut at {length}");
        // And it goes on from there.
        journal.append(&[put(9, b"nine")]).unwrap();
        drop(journal);
        let (_, replay) = Journal::open(dir.path(), SMALL).unwrap();
        assert_eq!(replay.cut, None);
        assert!(live(&replay).contains(&(9, b"nine".to_vec())));
    }
}

#[test]
fn a_tail_of_zeros_is_torn_too() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), SMALL).unwrap();
    journal.append(&[put(1, b"one")]).unwrap();
    drop(journal);
    let path = only_file(dir.path());
    let file = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap();
    file.set_len(file.metadata().unwrap().len() + 3000).unwrap();
    let (_, replay) = Journal::open(dir.path(), SMALL).unwrap();
    assert_eq!(live(&replay), [(1, b"one".to_vec())]);
    assert_eq!(replay.cut.unwrap().bytes, 3000);
}

#[test]
fn damage_in_the_middle_names_file_and_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), SMALL).unwrap();
    journal.append(&[put(1, b"one")]).unwrap();
    let offset = journal.size().0;
    journal.append(&[put(2, b"two")]).unwrap();
    journal.append(&[put(3, b"three")]).unwrap();
    drop(journal);
    let path = only_file(dir.path());
    let good = std::fs::read(&path).unwrap();
    // The payload, and the length itself.
    for (byte, value) in [(20, 0xff), (0, 0xff), (3, 0xff)] {
        let mut bytes = good.clone();
        bytes[usize::try_from(offset).unwrap() + byte] ^= value;
        std::fs::write(&path, &bytes).unwrap();
        let error = Journal::open(dir.path(), SMALL).unwrap_err();
        let JournalError::Corrupt {
            path: named,
            offset: at,
            ..
        } = &error
        else {
            panic!("{error}")
        };
        assert_eq!((named, *at), (&path, offset));
        assert!(
            error
                .to_string()
                .contains(&format!("damaged at byte {offset}")),
            "{error}"
        );
        assert_eq!(
            std::fs::read(&path).unwrap(),
            bytes,
            "a damaged file is left as it is"
        );
    }
}

#[test]
fn another_version_is_not_taken_for_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    drop(Journal::open(dir.path(), SMALL).unwrap());
    let mut bytes = Vec::new();
    record::encode(&mut bytes, u64::MAX / 2, 1, Some(b"x"), Wanted::default());
    bytes[8] = 99;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..4]);
    hasher.update(&bytes[8..]);
    bytes[4..8].copy_from_slice(&hasher.finalize().to_le_bytes());
    std::fs::write(only_file(dir.path()), &bytes).unwrap();
    let error = Journal::open(dir.path(), SMALL).unwrap_err().to_string();
    assert!(error.contains("version 99"), "{error}");
}

#[test]
fn the_journal_stays_small_and_nothing_live_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), SMALL).unwrap();
    let marks = journal.marks();
    let mut tail = JournalTail::new(dir.path(), 0);
    let mut found = Vec::new();
    journal.append(&[put(1_000_000, &[7; 1000])]).unwrap();
    for key in 0..2000u64 {
        journal.append(&[put(key, &[1; 100])]).unwrap();
        journal.append(&[put(key, &[2; 100])]).unwrap();
        if key >= 10 {
            journal.append(&[end(key - 10)]).unwrap();
        }
        if key % 7 == 0 {
            found.extend(cdrs(tail.next(3).unwrap()));
            found.extend(cdrs(tail.next(1000).unwrap()));
            marks.set_applied(found.last().map_or(0, |(s, _)| *s));
            if let Some(job) = journal.sync_job() {
                job.run().unwrap();
            }
        }
        let (total, live) = journal.size();
        assert!(
            total < 2 * live + 8 * 4096,
            "{total} bytes for {live} live ones"
        );
    }
    found.extend(cdrs(tail.next(1000).unwrap()));
    let uuids: Vec<_> = found.iter().map(|(_, cdr)| cdr.call_uuid.clone()).collect();
    assert_eq!(
        uuids,
        (0..1990)
            .map(|key: u64| key.to_string())
            .collect::<Vec<_>>()
    );
    drop(journal);

    let (_, replay) = Journal::open(dir.path(), SMALL).unwrap();
    let mut calls = live(&replay);
    calls.sort();
    let mut expected: Vec<_> = (1990..2000).map(|key| (key, vec![2; 100])).collect();
    expected.push((1_000_000, vec![7; 1000]));
    assert_eq!(calls, expected);
}

#[test]
fn a_cdr_that_the_database_does_not_have_keeps_its_segment() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), SMALL).unwrap();
    journal.append(&[put(1, b"x"), end(1)]).unwrap();
    let sequence = journal.last_sequence();
    for _ in 0..500 {
        journal.append(&[put(2, &[0; 200])]).unwrap();
        journal.sync_job().unwrap().run().unwrap();
    }
    assert!(
        journal.size().0 > 100_000,
        "the segment with the CDR holds the others back"
    );
    assert_eq!(
        cdrs(JournalTail::new(dir.path(), 0).next(10).unwrap()),
        [(sequence, cdr("1"))]
    );
    journal.marks().set_applied(sequence);
    for _ in 0..500 {
        journal.append(&[put(2, &[0; 200])]).unwrap();
        journal.sync_job().unwrap().run().unwrap();
    }
    assert!(journal.size().0 < 40_000, "{:?}", journal.size());
    assert_eq!(journal.pending_cdrs(), 0);
}

#[test]
fn nothing_is_removed_before_its_copies_are_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), SMALL).unwrap();
    journal.append(&[put(1, b"live")]).unwrap();
    for _ in 0..500 {
        journal.append(&[put(2, &[0; 200])]).unwrap();
    }
    let first = segment::list(dir.path()).unwrap().remove(0);
    assert!(journal.size().0 > 100_000, "no synchronisation, no removal");
    journal.sync_job().unwrap().run().unwrap();
    journal.append(&[put(2, b"")]).unwrap();
    assert_ne!(segment::list(dir.path()).unwrap().remove(0), first);
}

#[test]
fn a_full_disk_keeps_the_batch_for_later_and_a_long_one_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), SMALL).unwrap();
    journal.append(&[put(1, b"one")]).unwrap();
    // A file that refuses writing stands in for the full disk.
    let path = only_file(dir.path());
    let good = std::mem::replace(
        &mut journal.segments.back_mut().unwrap().file,
        Arc::new(File::open(&path).unwrap()),
    );
    assert!(matches!(
        journal.append(&[put(1, b"newer")]),
        Err(JournalError::Io { .. })
    ));
    assert!(matches!(
        journal.append(&[put(2, &[0; 5000])]),
        Err(JournalError::Io { .. })
    ));
    let error = journal.append(&[put(3, b"lost")]).unwrap_err();
    assert!(
        matches!(error, JournalError::Overflow { lost: 1 }),
        "{error}"
    );
    journal.segments.back_mut().unwrap().file = good;
    journal.append(&[]).unwrap();
    drop(journal);
    let (_, replay) = Journal::open(dir.path(), SMALL).unwrap();
    assert_eq!(live(&replay), [(1, b"newer".to_vec()), (2, vec![0; 5000])]);
}

#[test]
fn a_taken_away_journal_begins_above_what_the_database_knows() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), SMALL).unwrap();
    let known = journal.last_sequence() * 2;
    journal.marks().set_applied(known);
    journal.append(&[end(1)]).unwrap();
    assert_eq!(journal.last_sequence(), known + 1);
}

#[test]
fn the_reader_follows_the_writer_through_a_record_larger_than_its_step() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), SMALL).unwrap();
    let mut tail = JournalTail::new(dir.path(), 0);
    assert_eq!(tail.next(10).unwrap(), []);
    journal
        .append(&[put(1, &vec![0; 3_000_000]), end(1)])
        .unwrap();
    assert_eq!(tail.next(10).unwrap().len(), 1);
    assert_eq!(tail.next(10).unwrap(), []);
    journal.append(&[end(2)]).unwrap();
    journal.append(&[end(3)]).unwrap();
    let uuids: Vec<_> = cdrs(tail.next(10).unwrap())
        .into_iter()
        .map(|(_, c)| c.call_uuid)
        .collect();
    assert_eq!(uuids, ["2", "3"]);
}

/// The next job, with a file that no disk takes: `fdatasync` refuses devices.
fn failing(journal: &mut Journal) -> SyncJob {
    let mut job = journal.sync_job().unwrap();
    job.files.push(Arc::new(File::open("/dev/null").unwrap()));
    job
}

#[test]
fn a_failed_synchronisation_is_not_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), SMALL).unwrap();
    journal.append(&[put(1, b"live")]).unwrap();
    for _ in 0..500 {
        journal.append(&[put(2, &[0; 200])]).unwrap();
    }
    let first = segment::list(dir.path()).unwrap().remove(0);
    let early = journal.sync_job();
    journal.append(&[put(3, b"three")]).unwrap();
    assert!(journal.is_sound());
    failing(&mut journal).run().unwrap_err();
    assert_eq!((journal.sync_failures(), journal.is_sound()), (1, false));

    // Neither one made before nor one of what came later brings back what may be lost.
    early.unwrap().run().unwrap();
    journal.append(&[put(2, b"a")]).unwrap();
    failing(&mut journal).run().unwrap_err();
    journal.append(&[put(2, b"b")]).unwrap();
    let (old, _) = segment::list(dir.path()).unwrap().pop().unwrap();
    journal.sync_job().unwrap().run().unwrap();
    assert_eq!((journal.sync_failures(), journal.is_sound()), (2, false));
    assert_eq!(segment::list(dir.path()).unwrap().remove(0), first);

    // The disk takes data again: everything live goes into a fresh segment, and what was before
    // stays until that is on the disk.
    journal.append(&[put(2, b"c")]).unwrap();
    assert!(!journal.is_sound());
    assert_eq!(segment::list(dir.path()).unwrap().remove(0), first);
    journal.sync_job().unwrap().run().unwrap();
    assert!(journal.is_sound());
    for _ in 0..100 {
        journal.append(&[put(2, b"d")]).unwrap();
    }
    let left = segment::list(dir.path()).unwrap();
    assert!(left.iter().all(|(first, _)| *first > old), "{left:?}");
    drop(journal);
    let (_, replay) = Journal::open(dir.path(), SMALL).unwrap();
    let mut calls = live(&replay);
    calls.sort();
    let expected = [
        (1, b"live".to_vec()),
        (2, b"d".to_vec()),
        (3, b"three".to_vec()),
    ];
    assert_eq!(calls, expected);
}

#[test]
fn a_renewal_that_fails_too_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), SMALL).unwrap();
    journal
        .append(&[put(1, b"live"), put(2, b"x"), end(2)])
        .unwrap();
    failing(&mut journal).run().unwrap_err();
    for _ in 0..2 {
        journal.append(&[put(3, b"y")]).unwrap();
        journal.sync_job().unwrap().run().unwrap();
        journal.append(&[put(3, b"z")]).unwrap();
        failing(&mut journal).run().unwrap_err();
    }
    journal.append(&[put(3, b"y")]).unwrap();
    journal.sync_job().unwrap().run().unwrap();
    journal.append(&[put(3, b"last")]).unwrap();
    journal.sync_job().unwrap().run().unwrap();
    assert_eq!((journal.sync_failures(), journal.is_sound()), (3, true));
    // The CDR is not in the database yet: it is kept, and so is all that comes after.
    journal.append(&[put(3, b"last")]).unwrap();
    assert_eq!(JournalTail::new(dir.path(), 0).next(10).unwrap().len(), 1);
    journal.marks().set_applied(journal.last_sequence());
    for _ in 0..10 {
        journal.append(&[put(3, b"last")]).unwrap();
    }
    assert_eq!(segment::list(dir.path()).unwrap().len(), 1);
    drop(journal);
    let (_, replay) = Journal::open(dir.path(), SMALL).unwrap();
    assert_eq!(
        live(&replay),
        [(1, b"live".to_vec()), (3, b"last".to_vec())]
    );
}

#[test]
fn a_life_that_wrote_nothing_leaves_the_numbers_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    for life in 0..4u64 {
        let (mut journal, replay) = Journal::open(dir.path(), SMALL).unwrap();
        assert_eq!(replay.live.len() as u64, life.saturating_sub(1));
        if life == 0 {
            continue;
        }
        // More than a segment.
        for _ in 0..60 {
            journal.append(&[put(life, &[0; 200])]).unwrap();
        }
        assert!(journal.last_sequence() > 1_000_000_000);
    }
}

#[test]
fn addresses_of_record_reach_the_database_once_and_are_kept_until_then() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), SMALL).unwrap();
    let located = |key: u64, body: Option<&[u8]>| Entry {
        key,
        body: body.map(<[u8]>::to_vec),
        cdr: None,
        follower: Some(Follower::Location),
    };
    let change = |key: u64, body: Option<&[u8]>| Change::Row {
        follower: Follower::Location,
        key,
        body: body.map(<[u8]>::to_vec),
    };
    journal
        .append(&[located(1, Some(b"one")), put(2, b"a call"), end(2)])
        .unwrap();
    journal.append(&[located(3, None)]).unwrap();
    let last = journal.last_sequence();
    assert_eq!(journal.pending_cdrs(), 1);
    // The live one is copied on, which is no news; and what the database does not have stays.
    let churn = |journal: &mut Journal| {
        for _ in 0..500 {
            journal.append(&[put(2, &[0; 200])]).unwrap();
            journal.sync_job().unwrap().run().unwrap();
        }
    };
    churn(&mut journal);
    let read = |after| JournalTail::new(dir.path(), after).next(10).unwrap();
    let changes = read(0);
    assert_eq!(
        changes
            .iter()
            .map(|(_, change)| change.clone())
            .collect::<Vec<_>>(),
        [
            change(1, Some(b"one")),
            Change::Cdr(Box::new(cdr("2"))),
            change(3, None)
        ]
    );
    assert_eq!(changes.last().map(|(sequence, _)| *sequence), Some(last));
    assert_eq!(read(last), []);
    // Without the last one the first segments still stay, in a later life too.
    journal.marks().set_applied(last - 1);
    churn(&mut journal);
    drop(journal);
    let (mut journal, _) = Journal::open(dir.path(), SMALL).unwrap();
    churn(&mut journal);
    assert_eq!(read(last - 1), [(last, change(3, None))]);
    journal.marks().set_applied(last);
    for _ in 0..4 {
        churn(&mut journal);
    }
    assert!(journal.size().0 < 40_000, "{:?}", journal.size());
    assert_eq!(read(0), []);
    drop(journal);
    let (_, replay) = Journal::open(dir.path(), SMALL).unwrap();
    assert!(live(&replay).contains(&(1, b"one".to_vec())));
}

#[test]
fn what_freeswitch_posted_reaches_the_database_once_and_is_kept_until_then() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), SMALL).unwrap();
    let posted = |uuid: &str| FsCdr {
        uuid: uuid.into(),
        ..FsCdr::default()
    };
    let change = |uuid: &str| Change::FsCdr(Box::new(posted(uuid)));
    journal
        .append_fs_cdrs(&[posted("one"), posted("two")])
        .unwrap();
    let last = journal.last_sequence();
    assert_eq!(journal.pending_cdrs(), 0, "they are no calls of ours");
    let churn = |journal: &mut Journal| {
        for _ in 0..500 {
            journal.append(&[put(2, &[0; 200])]).unwrap();
            journal.sync_job().unwrap().run().unwrap();
        }
    };
    churn(&mut journal);
    drop(journal);
    let (mut journal, replay) = Journal::open(dir.path(), SMALL).unwrap();
    assert_eq!(replay.live.len(), 1);
    churn(&mut journal);
    let read = |after| JournalTail::new(dir.path(), after).next(10).unwrap();
    assert_eq!(read(0), [(last - 1, change("one")), (last, change("two"))]);
    journal.marks().set_applied(last);
    for _ in 0..4 {
        churn(&mut journal);
    }
    assert!(journal.size().0 < 40_000, "{:?}", journal.size());
    assert_eq!(read(0), []);
}
