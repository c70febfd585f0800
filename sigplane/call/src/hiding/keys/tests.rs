use proptest::prelude::*;
use tandem_sip::{SHARDS, shard};

use super::*;

const INSIDE: &[u8] = b"1-4711@10.0.0.11";

fn ring(seed: u8) -> KeyRing {
    KeyRing::generate(std::array::from_fn(|i| seed.wrapping_add(i as u8)))
}

fn token(ring: &KeyRing, call_id: &[u8]) -> Vec<u8> {
    ring.seal(ring.current(), call_id).unwrap()
}

const fn is_ours(opened: &Opened) -> bool {
    matches!(opened, Opened::Ours { .. })
}

#[test]
fn the_format_never_changes() {
    // The same from another implementation of RFC 5297.
    let file = format!(
        "0102fe {}",
        (0..32).map(|b| format!("{b:02x}")).collect::<String>()
    );
    let ring = KeyRing::parse(&file).unwrap();
    assert_eq!(
        String::from_utf8(token(&ring, INSIDE)).unwrap(),
        "tnd1-PMAQL-rmZ4OYjoDqslz-rMWbGKN09cfyDEpktkf-fQLecabAQ"
    );
}

#[test]
fn old_keys_go_on_to_open_and_the_first_seals() {
    let (old, new) = (ring(1), ring(100));
    let before = token(&old, INSIDE);
    let both = KeyRing::parse(&(new.file() + &old.file())).unwrap();
    assert_eq!(both.current(), new.current());
    assert_eq!(token(&both, INSIDE), token(&new, INSIDE));
    // A dialog keeps its key.
    assert_eq!(both.seal(old.current(), INSIDE).unwrap(), before);
    let opened = |ring: &KeyRing| ring.open(&before);
    assert_eq!(
        opened(&both),
        Opened::Ours {
            call_id: INSIDE.to_vec(),
            key: old.current()
        }
    );
    assert_eq!(opened(&new), Opened::Foreign, "its key is gone");
    assert_eq!(new.seal(old.current(), INSIDE), None);
}

#[test]
fn a_token_of_another_appliance_is_a_call_id_like_any_other() {
    let theirs = token(&ring(1), INSIDE);
    let ours = ring(2);
    assert_eq!(ours.open(&theirs), Opened::Foreign);
    // And it can be hidden in turn.
    let twice = token(&ours, &theirs);
    assert_eq!(shard(&twice), shard(INSIDE));
    assert_eq!(
        ours.open(&twice),
        Opened::Ours {
            call_id: theirs,
            key: ours.current()
        }
    );
}

#[test]
fn files_with_mistakes_are_refused_by_line() {
    let good = ring(1).file();
    let fault = |text: &str| KeyRing::parse(text).unwrap_err();
    assert_eq!(fault(""), KeyFault::Empty);
    assert_eq!(fault("# nothing\n\n"), KeyFault::Empty);
    assert_eq!(fault(&good.replace(" 04", " x4")), KeyFault::Line(2));
    assert_eq!(fault(&good.replace(" 04", " ")), KeyFault::Line(2));
    assert_eq!(fault(&good.replace('\n', " more\n")), KeyFault::Line(2));
    assert_eq!(fault(&(good.clone() + &good)), KeyFault::Repeated(4));
    assert!(fault("secret").to_string().contains("line 1"));
    assert!(!fault("secret").to_string().contains("secret"));
    assert_eq!(format!("{:?}", ring(1)), "[KeyId([1, 2, 3])]");
    assert_eq!(KeyRing::parse(&good), Ok(ring(1)));
}

proptest! {
    #[test]
    fn any_call_id_comes_back_and_its_token_is_legal(
        seed: u8, call_id in proptest::collection::vec(any::<u8>(), 0..300)
    ) {
        let ring = ring(seed);
        let hidden = token(&ring, &call_id);
        prop_assert_eq!(&hidden, &token(&ring, &call_id), "the same each time");
        let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        prop_assert!(hidden.iter().all(word));
        prop_assert_eq!(shard(&hidden), shard(&call_id));
        prop_assert!(shard(&hidden) < SHARDS);
        prop_assert_eq!(ring.open(&hidden), Opened::Ours { call_id, key: ring.current() });
    }

    #[test]
    fn a_token_that_was_touched_opens_nothing(
        at in 0_usize..200, with in "[A-Za-z0-9_-]", cut in 1_usize..80
    ) {
        let ring = ring(9);
        let whole = token(&ring, INSIDE);
        let mut touched = whole.clone();
        let at = at % touched.len();
        touched[at] = with.as_bytes()[0];
        prop_assume!(touched != whole);
        let expected = if (7..11).contains(&at) || at < 5 { Opened::Foreign } else { Opened::Forged };
        prop_assert_eq!(ring.open(&touched), expected);
        let short = &whole[..whole.len().saturating_sub(cut)];
        prop_assert!(!is_ours(&ring.open(short)));
        prop_assert!(!is_ours(&ring.open(&[&whole[..], b"A"].concat())));
    }

    #[test]
    fn any_bytes_are_no_token_of_ours(bytes: Vec<u8>, sealed in "[A-Za-z0-9_-]{0,60}") {
        let ring = ring(9);
        prop_assert_eq!(ring.open(&bytes), Opened::Foreign);
        let whole = token(&ring, INSIDE);
        let forged = [&whole[..11], sealed.as_bytes()].concat();
        prop_assert!(!is_ours(&ring.open(&forged)));
    }

    #[test]
    fn any_file_is_read_or_refused(text in "([0-9a-f]{6}|[0-9a-f]{64}| |\n|#){0,12}") {
        if let Ok(ring) = KeyRing::parse(&text) {
            prop_assert_eq!(KeyRing::parse(&ring.file()), Ok(ring));
        }
    }
}
