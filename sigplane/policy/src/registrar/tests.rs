use super::*;
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000_000;

fn same(a: &[u8], b: &[u8]) -> bool {
    a == b
}

fn contact(uri: &'static str) -> Contact<'static> {
    Contact {
        uri: uri.as_bytes(),
        q: 1_000,
        ..Contact::default()
    }
}

fn registration(cseq: u32, contacts: Vec<Contact<'static>>) -> Registration<'static> {
    Registration {
        call_id: b"reg@phone",
        cseq,
        contacts: Contacts::These(contacts),
        flow: b"flow",
        user_agent: b"phone/1.0",
        ..Registration::default()
    }
}

fn after(bindings: &[Binding], registration: &Registration<'_>) -> Result<Vec<Binding>, Refused> {
    update(NOW, bindings, registration, Settings::default(), same)
}

fn uris(bindings: &[Binding]) -> Vec<String> {
    let text = |b: &Binding| String::from_utf8_lossy(&b.uri).into_owned();
    bindings.iter().map(text).collect()
}

fn lefts(bindings: &[Binding]) -> Vec<u64> {
    bindings.iter().map(|b| b.left_s(NOW)).collect()
}

#[test]
fn times_are_kept_within_bounds() {
    let with = |own, stated| {
        let contact = Contact {
            expires: own,
            ..contact("sip:a")
        };
        let registration = Registration {
            expires: stated,
            ..registration(1, vec![contact])
        };
        after(&[], &registration).map(|b| lefts(&b))
    };
    assert_eq!(with(None, None), Ok(vec![300]));
    assert_eq!(with(None, Some(120)), Ok(vec![120]));
    assert_eq!(with(Some(90), Some(120)), Ok(vec![90]));
    assert_eq!(with(Some(u32::MAX), None), Ok(vec![3_600]));
    assert_eq!(with(Some(59), None), Err(Refused::TooBrief(60)));
    assert_eq!(with(Some(1), Some(600)), Err(Refused::TooBrief(60)));
    assert_eq!(with(Some(0), None), Ok(vec![]));
    assert_eq!(with(None, Some(0)), Ok(vec![]));
}

#[test]
fn contacts_are_added_refreshed_and_removed() {
    let first = after(
        &[],
        &registration(1, vec![contact("sip:a"), contact("sip:b")]),
    )
    .unwrap();
    assert_eq!(uris(&first), ["sip:a", "sip:b"]);
    let fetch = Registration {
        contacts: Contacts::Fetch,
        ..registration(2, vec![])
    };
    assert_eq!(after(&first, &fetch), Ok(first.clone()));
    let refreshed = after(&first, &registration(2, vec![contact("sip:a")])).unwrap();
    assert_eq!(uris(&refreshed), ["sip:b", "sip:a"], "the latest is last");
    let gone = Contact {
        expires: Some(0),
        ..contact("sip:b")
    };
    let fewer = after(&refreshed, &registration(3, vec![gone])).unwrap();
    assert_eq!(uris(&fewer), ["sip:a"]);
    let late = update(NOW + 300_000, &fewer, &fetch, Settings::default(), same);
    assert_eq!(late, Ok(vec![]));
}

#[test]
fn the_star_removes_all_and_only_with_expires_0() {
    let bindings = after(&[], &registration(5, vec![contact("sip:a")])).unwrap();
    let star = |cseq, expires| Registration {
        contacts: Contacts::All,
        expires,
        ..registration(cseq, vec![])
    };
    assert_eq!(after(&bindings, &star(6, None)), Err(Refused::Star));
    assert_eq!(after(&bindings, &star(6, Some(60))), Err(Refused::Star));
    assert_eq!(
        after(&bindings, &star(4, Some(0))),
        Err(Refused::OutOfOrder)
    );
    assert_eq!(after(&bindings, &star(6, Some(0))), Ok(vec![]));
}

#[test]
fn an_overtaken_request_changes_nothing_and_a_repeated_one_is_answered_again() {
    let bindings = after(&[], &registration(5, vec![contact("sip:a")])).unwrap();
    let old = registration(4, vec![contact("sip:b"), contact("sip:a")]);
    assert_eq!(after(&bindings, &old), Err(Refused::OutOfOrder));
    let again = registration(5, vec![contact("sip:a")]);
    assert_eq!(after(&bindings, &again), Ok(bindings.clone()));
    // Another Call-ID has numbers of its own: the user agent was started anew.
    let anew = Registration {
        call_id: b"other@phone",
        ..registration(1, vec![contact("sip:a")])
    };
    assert_eq!(after(&bindings, &anew).unwrap()[0].cseq, 1);
}

#[test]
fn too_many_contacts_change_nothing() {
    let settings = Settings {
        max_contacts: 2,
        ..Settings::default()
    };
    let three = registration(
        1,
        vec![contact("sip:a"), contact("sip:b"), contact("sip:c")],
    );
    let refused = update(NOW, &[], &three, settings, same);
    assert_eq!(refused, Err(Refused::TooMany(2)));
}

#[test]
fn a_flow_of_an_instance_replaces_itself_whatever_its_contact_is() {
    let flow = |uri, reg_id| Contact {
        instance: b"<urn:uuid:1>",
        reg_id,
        ..contact(uri)
    };
    let one = after(&[], &registration(1, vec![flow("sip:a", 1)])).unwrap();
    let two = after(&one, &registration(2, vec![flow("sip:a", 2)])).unwrap();
    assert_eq!(two.len(), 2);
    let moved = after(&two, &registration(3, vec![flow("sip:b", 1)])).unwrap();
    assert_eq!(uris(&moved), ["sip:a", "sip:b"]);
    let record = Record {
        bindings: moved,
        ..Record::default()
    };
    let order: Vec<Vec<u32>> = record
        .targets(NOW, None)
        .iter()
        .map(|set| set.iter().map(|b| b.reg_id).collect())
        .collect();
    assert_eq!(
        order,
        [[1], [2]],
        "the latest, then the other for when it fails"
    );
}

#[test]
fn targets_come_by_preference_and_method() {
    let with = |uri, q, methods| Binding {
        q,
        methods,
        until_s: NOW / 1_000 + 60,
        ..Binding {
            uri: Vec::from(uri),
            ..Binding::default()
        }
    };
    let record = Record {
        bindings: vec![
            with("sip:a", 500, None),
            with("sip:b", 1_000, Some(1)),
            with("sip:c", 1_000, Some(3)),
            Binding {
                until_s: NOW / 1_000,
                ..with("sip:over", 1_000, None)
            },
        ],
        ..Record::default()
    };
    let order = |method| {
        let sets = record.targets(NOW, method).into_iter();
        let text = |b: &Binding| String::from_utf8_lossy(&b.uri).into_owned();
        sets.map(|set| set.into_iter().map(text).collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    };
    assert_eq!(order(None), ["sip:c sip:b", "sip:a"]);
    assert_eq!(order(Some(2)), ["sip:c", "sip:a"]);
}

#[test]
fn what_is_over_goes_and_the_journal_brings_back_the_rest() {
    let mut location = Location::new([1; 16]);
    let mut journal = std::collections::BTreeMap::new();
    for n in 0..1_000_u64 {
        let expires = if n % 2 == 0 { 60 } else { 600 };
        let registration = Registration {
            expires: Some(expires),
            ..registration(1, vec![contact("sip:a")])
        };
        let record = Record {
            key: n,
            aor: format!("{n}@example.net").into_bytes(),
            bindings: after(&[], &registration).unwrap(),
        };
        journal.insert(n, location.put(&record).unwrap());
    }
    assert_eq!((location.len(), location.contacts()), (1_000, 1_000));
    assert_eq!(location.find(b"7@example.net").unwrap().key, 7);
    assert_eq!(location.find(b"1000@example.net"), None);
    assert_eq!(location.expire(NOW + 59_000, 10_000), []);
    let due = location.next_due().unwrap();
    assert!((NOW + 60_000..=NOW + 64_000).contains(&due), "{due}");
    let mut gone = 0;
    loop {
        let over = location.expire(due, 10);
        if over.is_empty() && location.next_due().is_none_or(|next| next > due) {
            break;
        }
        for (key, bytes) in over {
            assert_eq!(bytes, None);
            journal.remove(&key);
            gone += 1;
        }
    }
    assert_eq!(gone, 500);
    assert_eq!((location.len(), location.contacts()), (500, 500));
    let mut next = Location::new([2; 16]);
    for bytes in journal.values() {
        next.restore(bytes).unwrap();
    }
    assert_eq!(next.restore(b"nonsense"), Err(BadRecord));
    let all = |location: &Location| {
        let mut all: Vec<Record> = location.records().collect();
        all.sort_by_key(|r| r.key);
        all
    };
    assert_eq!(all(&next), all(&location));
}

proptest! {
    /// Whatever comes, no contact is there twice, none too many, and the packed record says the same.
    #[test]
    fn bindings_stay_sound(
        requests in proptest::collection::vec(
            (0_u64..200, 0_u32..4, 0_u8..3, 0_usize..12, proptest::option::of(0_u32..5_000), 0_u32..3, 0_u8..9),
            1..40,
        )
    ) {
        const URIS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let mut location = Location::new([3; 16]);
        let mut now = NOW;
        for (wait, cseq, call, uri, expires, reg_id, kind) in requests {
            now += wait * 1_000;
            let one = Contact { expires, reg_id, instance: b"i", ..contact(URIS[uri]) };
            let contacts = match kind {
                0 => Contacts::Fetch,
                1 => Contacts::All,
                _ => Contacts::These(vec![one, contact(URIS[(uri + 1) % 12])]),
            };
            let call_ids: [&[u8]; 3] = [b"x", b"y", b"z"];
            let registration = Registration {
                call_id: call_ids[usize::from(call)],
                expires: Some(if kind == 1 { 0 } else { 300 }),
                contacts,
                ..registration(cseq, vec![])
            };
            location.expire(now, 100);
            let before = location.find(b"aor").unwrap_or_default();
            if let Ok(bindings) = update(now, &before.bindings, &registration, Settings::default(), same) {
                prop_assert!(bindings.len() <= 10);
                prop_assert!(bindings.iter().all(|b| b.is_alive(now) && b.left_s(now) <= 3_600));
                let mut keys: Vec<_> = bindings
                    .iter()
                    .map(|b| if b.reg_id > 0 { (b.reg_id, b.instance.clone()) } else { (0, b.uri.clone()) })
                    .collect();
                keys.sort();
                let count = keys.len();
                keys.dedup();
                prop_assert_eq!(keys.len(), count);
                let record = Record { key: 1, aor: b"aor".to_vec(), bindings };
                location.put(&record);
                let targets: usize = record.targets(now, None).iter().map(Vec::len).sum();
                prop_assert_eq!(targets, record.bindings.len());
                let found = location.find(b"aor");
                prop_assert_eq!(found.is_none(), record.bindings.is_empty());
                prop_assert_eq!(found.unwrap_or_default().bindings, record.bindings);
            }
        }
    }
}
