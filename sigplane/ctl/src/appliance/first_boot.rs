//! What makes a machine this machine, on its first start: keys, a name, a password, and what was preloaded.

use std::fmt::Write as _;

/// Letters and digits that nobody mistakes for each other, on a screen far away.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789A";

/// A password of 20 letters, 100 bits, in groups.
pub(super) fn password(random: &[u8; 20]) -> String {
    let mut text = String::new();
    for (index, byte) in random.iter().enumerate() {
        if index > 0 && index % 5 == 0 {
            text.push('-');
        }
        let letter = ALPHABET.get(usize::from(byte % 32)).copied();
        text.push(letter.map_or('a', char::from));
    }
    text
}

/// What stands above the login prompt until somebody has logged in.
pub(super) fn issue(password: &str, fingerprints: &[String]) -> String {
    let mut text = format!(
        "\n  This machine has just been set up.\n\n    user      tandem\n    password  {password}\n\n  \
         It was made here and is nowhere else. It is shown until somebody has logged in; change it with passwd.\n"
    );
    for fingerprint in fingerprints {
        let _ = writeln!(text, "  SSH host key: {fingerprint}");
    }
    text.push('\n');
    text
}

/// A name for a machine that has none: of the Ethernet address of its first port, which is on its label.
pub(super) fn host_name(mac: Option<&str>) -> String {
    let digits: String = mac
        .unwrap_or_default()
        .chars()
        .filter(char::is_ascii_hexdigit)
        .collect();
    match digits.get(6..12) {
        Some(end) => format!("tandem-{}", end.to_ascii_lowercase()),
        None => "tandem".into(),
    }
}

/// A host's name as it was preloaded (RFC 1123 section 2.1).
///
/// # Errors
/// What it should be.
pub(super) fn check_host_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if name.len() <= 64 && name.split('.').all(is_label) {
        Ok(name.to_owned())
    } else {
        Err(format!(
            "{name:?} is no host name: letters, digits and hyphens, with dots between, 64 at most"
        ))
    }
}

/// Keys for SSH as they were preloaded: lines that sshd(8) takes, and no others.
///
/// # Errors
/// The line that is none.
pub(super) fn check_keys(text: &str) -> Result<String, String> {
    const KINDS: [&str; 7] = [
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    ];
    let mut keys = String::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words: Vec<_> = line.split_whitespace().collect();
        let kind = words.iter().position(|word| KINDS.contains(word));
        let blob = kind.and_then(|at| words.get(at + 1));
        if !blob.is_some_and(|blob| blob.starts_with("AAAA") && blob.len() >= 64) {
            return Err(format!(
                "line {}: is no public key for SSH (ssh-ed25519 AAAA...)",
                number + 1
            ));
        }
        let _ = writeln!(keys, "{line}");
    }
    if keys.is_empty() {
        return Err("there is no key in it".into());
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_and_legible() {
        let made = password(&[
            0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 31, 255,
        ]);
        assert_eq!(made, "abcde-fghjk-mnpqr-stuAA");
        let mut letters = ALPHABET.to_vec();
        letters.sort_unstable();
        letters.dedup();
        assert_eq!(letters.len(), 32);
        assert!(!letters.iter().any(|letter| b"ilo01".contains(letter)));
    }

    #[test]
    fn it_is_shown_with_the_host_s_key() {
        let text = issue("abcde-fghjk", &["SHA256:x (ED25519)".into()]);
        assert!(text.contains("password  abcde-fghjk\n"));
        assert!(text.contains("SSH host key: SHA256:x (ED25519)\n"));
    }

    #[test]
    fn names() {
        assert_eq!(host_name(Some("52:54:00:AB:cd:ef")), "tandem-abcdef");
        assert_eq!(host_name(None), "tandem");
        assert_eq!(
            check_host_name("edge-1.example.net\n").unwrap(),
            "edge-1.example.net"
        );
        for wrong in ["", "a b", "-a", "a..b", "a;reboot", &"a".repeat(65)] {
            assert!(check_host_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys() {
        let key = format!("ssh-ed25519 AAAA{} admin@example", "C".repeat(64));
        assert_eq!(
            check_keys(&format!("# mine\n\n{key}\n")).unwrap(),
            format!("{key}\n")
        );
        let restricted = format!("from=\"192.0.2.0/24\" {key}");
        assert!(check_keys(&restricted).is_ok());
        assert!(check_keys("").unwrap_err().contains("no key"));
        assert!(
            check_keys(&format!("{key}\n-----BEGIN OPENSSH PRIVATE KEY-----"))
                .unwrap_err()
                .contains("line 2")
        );
    }
}
