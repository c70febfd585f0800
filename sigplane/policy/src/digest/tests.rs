use super::*;
use proptest::prelude::*;

const KEY: [u8; 32] = [7; 32];
const LIFETIME: u64 = 300_000;
const NOW: u64 = 1_800_000_000_000;
const REGISTER: Request<'static> = Request {
    method: b"REGISTER",
    uri: b"sip:example.net",
    realm: b"example.net",
};

const MD5_COUNTED: &str = "72ac5f11d04439a400bfc93a80436ade";
const MD5_PLAIN: &str = "df0bb133859a2df97784ca2117302363";
const SHA256_COUNTED: &str = "46cfcfcb289940602c81e5b57b415d72efb77cff111e6b25a1e6ec803a3da0f5";
const SHA256_PLAIN: &str = "b6f3f19f4a6f7474d318ff24ba561308d184c3c1af98448d6e71cdd12b98bc0d";
const SHA512_COUNTED: &str = "25d278ab196c2df0b888c10bf8d24496907e4fc001e7b10ee855589ac91fc48a";
const SHA512_PLAIN: &str = "a1daebac1bbb132168135562fddab6740aed0c7a4ee0716206ab8349d796aaae";
const HA1B: &str = "dbebd2730b60406a72ab2349a52dcf37";

fn digest() -> Digest {
    let settings = Settings {
        algorithms: Algorithm::ALL.into(),
        ..Settings::default()
    };
    Digest::new(settings, Nonces::new(&KEY, 3, LIFETIME, 100))
}

fn secret() -> Secret {
    Secret::new("se\"cret", "", "").unwrap()
}

/// What a user agent makes of a nonce.
fn says(nonce: &str, algorithm: Algorithm, nc: u32, secret: &Secret) -> String {
    let name = algorithm.as_str();
    let text = format!(
        "Digest username=\"4711\", realm=\"example.net\", nonce=\"{nonce}\", uri=\"sip:example.net\", \
         algorithm={name}, qop=auth, nc={nc:08x}, cnonce=\"x\\\"y\", response=\"RESPONSE\""
    );
    let ha1 = secret.ha1(algorithm, b"4711", b"example.net").unwrap();
    let credentials = Credentials::parse(text.as_bytes()).unwrap();
    let response = response(algorithm, &ha1, b"REGISTER", &credentials);
    text.replace("RESPONSE", std::str::from_utf8(&response).unwrap())
}

fn judge(digest: &mut Digest, now: u64, text: &str) -> Result<(), Denied> {
    let credentials = Credentials::parse(text.as_bytes()).unwrap();
    digest.verify(now, REGISTER, &credentials, Some(&secret()))
}

#[test]
fn the_responses_of_rfc_7616_come_out() {
    // Section 3.9.1.
    let text = "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
        nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
        cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"\"";
    let credentials = Credentials::parse(text.as_bytes()).unwrap();
    let secret = Secret::new("Circle of Life", "", "").unwrap();
    for (algorithm, expected) in [
        (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
        (
            Algorithm::Sha256,
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ] {
        let ha1 = secret
            .ha1(algorithm, &credentials.username, &credentials.realm)
            .unwrap();
        let response = response(algorithm, &ha1, b"GET", &credentials);
        assert_eq!(String::from_utf8(response).unwrap(), expected);
    }
}

#[test]
fn other_programs_compute_the_same() {
    // By Python's hashlib.
    let with = "Digest username=\"4711\", realm=\"example.net\", nonce=\"abc\", uri=\"sip:example.net\", nc=00000001, cnonce=\"cn\", qop=auth, response=\"\"";
    let without = "Digest username=\"4711\", realm=\"example.net\", nonce=\"abc\", uri=\"sip:example.net\", response=\"\"";
    for (algorithm, counted, plain) in [
        (Algorithm::Md5, MD5_COUNTED, MD5_PLAIN),
        (Algorithm::Sha256, SHA256_COUNTED, SHA256_PLAIN),
        (Algorithm::Sha512Trunc256, SHA512_COUNTED, SHA512_PLAIN),
    ] {
        let ha1 = secret().ha1(algorithm, b"4711", b"example.net").unwrap();
        for (text, expected) in [(with, counted), (without, plain)] {
            let credentials = Credentials::parse(text.as_bytes()).unwrap();
            let response = response(algorithm, &ha1, b"REGISTER", &credentials);
            assert_eq!(String::from_utf8(response).unwrap(), expected);
        }
    }
    let ha1b = secret().ha1(Algorithm::Md5, b"4711@example.net", b"example.net");
    assert_eq!(ha1b.unwrap(), HA1B.as_bytes());
}

#[test]
fn kamailios_columns_are_taken() {
    let (md5, sha256) = ("A".repeat(32), "b".repeat(64));
    let secret = Secret::new("", &md5, &sha256).unwrap();
    let of = |algorithm, user: &str| secret.ha1(algorithm, user.as_bytes(), b"r");
    assert_eq!(of(Algorithm::Md5, "u").unwrap(), "a".repeat(32).as_bytes());
    assert_eq!(of(Algorithm::Sha256, "u@d").unwrap(), sha256.as_bytes());
    assert_eq!(of(Algorithm::Sha256, "u"), None);
    assert_eq!(of(Algorithm::Sha512Trunc256, "u@d"), None);
    assert_eq!(Secret::new("", "no hash", ""), None);
    assert_eq!(format!("{secret:?}"), "Secret");
    let offered = |secret| {
        let values = digest().challenges(NOW, 1, b"r", false, secret);
        values.len()
    };
    assert_eq!((offered(Some(&secret)), offered(None)), (1, 3));
}

#[test]
fn a_challenge_is_answered_once_for_each_count() {
    let mut digest = digest();
    let challenges = digest.challenges(NOW, 99, b"exa\"mple", true, None);
    let first = String::from_utf8(challenges[0].clone()).unwrap();
    assert!(
        first.starts_with("Digest realm=\"exa\\\"mple\", nonce=\""),
        "{first}"
    );
    assert!(
        first.ends_with("algorithm=SHA-512-256, qop=\"auth\", stale=true"),
        "{first}"
    );
    for algorithm in Algorithm::ALL {
        let nonce = digest.nonces.make(NOW, algorithm as u64, b"example.net");
        let counts = [1, 2, 5, 3, 4, 100, 37];
        for nc in counts {
            let text = says(&nonce, algorithm, nc, &secret());
            assert_eq!(judge(&mut digest, NOW + 1, &text), Ok(()), "{nc}");
            assert_eq!(judge(&mut digest, NOW + 1, &text), Err(Denied::Replayed));
        }
        // Too far behind to be remembered.
        let text = says(&nonce, algorithm, 36, &secret());
        assert_eq!(judge(&mut digest, NOW + 1, &text), Err(Denied::Replayed));
    }
    assert_eq!(digest.nonces.len(), 3);
}

#[test]
fn a_nonce_ends_and_is_nobody_elses() {
    let mut digest = digest();
    let nonce = digest.nonces.make(NOW, 5, b"example.net");
    let text = says(&nonce, Algorithm::Sha256, 1, &secret());
    assert_eq!(
        judge(&mut digest, NOW + LIFETIME, &text),
        Err(Denied::Stale)
    );
    assert_eq!(
        judge(&mut digest, NOW - LIFETIME, &text),
        Err(Denied::Stale)
    );
    let other = |key: [u8; 32], worker, realm: &[u8]| {
        Nonces::new(&key, worker, LIFETIME, 9).make(NOW, 5, realm)
    };
    for (nonce, expected) in [
        (other(KEY, 4, b"example.net"), Denied::Stale),
        (other([8; 32], 3, b"example.net"), Denied::Forged),
        (other(KEY, 3, b"example.org"), Denied::Forged),
        ("abc".into(), Denied::Forged),
        (nonce.replacen(&nonce[..2], "ff", 1), Denied::Forged),
    ] {
        let text = says(&nonce, Algorithm::Sha256, 1, &secret());
        assert_eq!(judge(&mut digest, NOW, &text), Err(expected), "{nonce}");
    }
    assert!(Denied::Stale.is_stale() && !Denied::Wrong.is_stale());
    // A wrong password is wrong also with an old nonce, and uses nothing up.
    let wrong = says(
        &nonce,
        Algorithm::Sha256,
        1,
        &Secret::new("guess", "", "").unwrap(),
    );
    assert_eq!(
        judge(&mut digest, NOW + LIFETIME, &wrong),
        Err(Denied::Wrong)
    );
    assert_eq!(judge(&mut digest, NOW, &wrong), Err(Denied::Wrong));
    assert!(digest.nonces.is_empty());
    assert_eq!(judge(&mut digest, NOW, &text), Ok(()));
}

#[test]
fn what_is_not_offered_is_refused_by_name() {
    let mut digest = digest();
    digest.settings.algorithms = vec![Algorithm::Md5];
    let nonce = digest.nonces.make(NOW, 5, b"example.net");
    let good = says(&nonce, Algorithm::Md5, 1, &secret());
    for (from, to, expected) in [
        ("algorithm=MD5", "algorithm=MD5-sess", Denied::Algorithm),
        ("algorithm=MD5", "algorithm=SHA-256", Denied::Algorithm),
        ("realm=\"example.net\"", "realm=\"x\"", Denied::Realm),
        ("qop=auth", "qop=\"auth-int\"", Denied::AuthInt),
        ("qop=auth", "qop=more", Denied::Qop),
        ("qop=auth, ", "", Denied::Qop),
        ("nc=00000001", "nc=00000000", Denied::Count),
        ("nc=00000001", "nc=1", Denied::Count),
        ("nc=00000001", "nc=+0000001", Denied::Count),
        ("cnonce=\"x\\\"y\", ", "", Denied::Count),
        (
            "algorithm=MD5",
            "userhash=true, algorithm=MD5",
            Denied::Userhash,
        ),
        (
            "uri=\"sip:example.net\"",
            "uri=\"sip:example.org\"",
            Denied::Uri,
        ),
        ("username=\"4711\"", "username=\"4712\"", Denied::Wrong),
    ] {
        assert!(good.contains(from), "{from}");
        let text = good.replacen(from, to, 1);
        assert_eq!(judge(&mut digest, NOW, &text), Err(expected), "{to}");
    }
    let credentials = Credentials::parse(good.as_bytes()).unwrap();
    let denied = digest.verify(NOW, REGISTER, &credentials, None);
    assert_eq!(denied, Err(Denied::Wrong), "nobody");
    assert_eq!(judge(&mut digest, NOW, &good), Ok(()));
    digest.settings.same_uri = false;
    assert_eq!(
        judge(
            &mut digest,
            NOW,
            &good.replacen("sip:example.net", "sip:example.org", 1)
        ),
        Err(Denied::Wrong)
    );
}

#[test]
fn old_user_agents_are_taken_where_that_is_allowed() {
    let mut digest = digest();
    digest.settings.without_qop = true;
    let nonce = digest.nonces.make(NOW, 5, b"example.net");
    let text = format!(
        "digest username=4711, realm=\"example.net\", nonce={nonce}, uri=\"sip:example.net\", response=R"
    );
    let ha1 = secret()
        .ha1(Algorithm::Md5, b"4711", b"example.net")
        .unwrap();
    let credentials = Credentials::parse(text.as_bytes()).unwrap();
    let right = response(Algorithm::Md5, &ha1, b"REGISTER", &credentials);
    let text = text.replace(
        "response=R",
        &format!("response={}", std::str::from_utf8(&right).unwrap()),
    );
    assert_eq!(judge(&mut digest, NOW, &text), Ok(()));
    assert_eq!(judge(&mut digest, NOW, &text), Err(Denied::Replayed));
}

#[test]
fn a_flood_of_used_nonces_makes_old_ones_stale_and_lets_none_in_twice() {
    let mut digest = digest();
    let at = |n: u64| NOW + n;
    let first = digest.nonces.make(at(0), 0, b"example.net");
    let used = says(&first, Algorithm::Sha256, 1, &secret());
    assert_eq!(judge(&mut digest, at(0), &used), Ok(()));
    for n in 1..=150 {
        let nonce = digest.nonces.make(at(n), n, b"example.net");
        let text = says(&nonce, Algorithm::Sha256, 1, &secret());
        assert_eq!(judge(&mut digest, at(n), &text), Ok(()));
    }
    assert!(digest.nonces.len() <= 100);
    assert_eq!(judge(&mut digest, at(151), &used), Err(Denied::Stale));
    // What was never used but is as old is stale too; a young one is not.
    let unused = digest.nonces.make(at(40), 777, b"example.net");
    let text = says(&unused, Algorithm::Sha256, 1, &secret());
    assert_eq!(judge(&mut digest, at(151), &text), Err(Denied::Stale));
    let young = digest.nonces.make(at(140), 778, b"example.net");
    let text = says(&young, Algorithm::Sha256, 1, &secret());
    assert_eq!(judge(&mut digest, at(151), &text), Ok(()));
    let next = digest.nonces.make(at(LIFETIME * 2), 1_000, b"example.net");
    let text = says(&next, Algorithm::Sha256, 1, &secret());
    assert_eq!(judge(&mut digest, at(LIFETIME * 2), &text), Ok(()));
    assert_eq!(digest.nonces.len(), 1, "all others are over");
}

#[test]
fn credentials_that_cannot_be_read_say_what_is_wrong() {
    let good = "Digest username=\"a\\\\b\", realm=\"\", nonce=n, uri=\"u\", response=r, x=\"y,z\",";
    let credentials = Credentials::parse(good.as_bytes()).unwrap();
    assert_eq!(
        (&*credentials.username, &*credentials.realm),
        (&b"a\\b"[..], &b""[..])
    );
    for (text, expected) in [
        ("Basic abc", Unreadable::Scheme),
        ("", Unreadable::Scheme),
        ("Digest", Unreadable::Missing("username")),
        (
            "Digest username=a, username=b",
            Unreadable::Twice("username"),
        ),
        ("Digest username=a realm=b", Unreadable::Syntax),
        ("Digest username=\"a", Unreadable::Syntax),
        ("Digest username=\"a\" b", Unreadable::Syntax),
        ("Digest username", Unreadable::Syntax),
        ("Digest =a", Unreadable::Syntax),
        ("Digest username=", Unreadable::Syntax),
        (
            "Digest username=a, realm=b, nonce=c, uri=d",
            Unreadable::Missing("response"),
        ),
    ] {
        assert_eq!(Credentials::parse(text.as_bytes()), Err(expected), "{text}");
    }
    let long = format!("Digest username=\"{}\"", "x".repeat(10_000));
    assert_eq!(
        Credentials::parse(long.as_bytes()),
        Err(Unreadable::TooLong)
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes: Vec<u8>,
        text in "(Digest )?([a-z]{0,8}=?\"?[a-z\\\\\"]{0,5}\"?,? ?){0,6}"
    ) {
        let mut digest = digest();
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            if let Ok(credentials) = Credentials::parse(bytes) {
                let _ = digest.verify(NOW, REGISTER, &credentials, None);
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_never_taken(at in 0_usize..400, bit in 0_u8..8) {
        let mut digest = digest();
        let nonce = digest.nonces.make(NOW, 5, b"example.net");
        let good = says(&nonce, Algorithm::Sha256, 1, &secret());
        let mut bytes = good.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let changed = Credentials::parse(&bytes).ok();
        let same = changed == Credentials::parse(good.as_bytes()).ok();
        // Hexadecimal digits and the scheme are the same in either case.
        let case = bytes.eq_ignore_ascii_case(good.as_bytes());
        if let Some(credentials) = changed
            && !same
            && !case
        {
            let taken = digest.verify(NOW, REGISTER, &credentials, Some(&secret()));
            prop_assert!(taken.is_err(), "{}", String::from_utf8_lossy(&bytes));
        }
    }
}
