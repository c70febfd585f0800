//! A pass phrase around an export.

use age::secrecy::SecretString;

use crate::client::Failure;

/// What an age file begins with.
const MARK: &[u8] = b"age-encryption.org/";

pub(super) fn is_locked(bytes: &[u8]) -> bool {
    bytes.starts_with(MARK)
}

pub(super) fn lock(bytes: &[u8], passphrase: &str) -> Result<Vec<u8>, Failure> {
    // As hard to guess as this machine makes it in a second.
    let recipient = age::scrypt::Recipient::new(SecretString::from(passphrase));
    #[cfg(test)]
    let recipient = {
        let mut recipient = recipient;
        recipient.set_work_factor(2);
        recipient
    };
    age::encrypt(&recipient, bytes)
        .map_err(|error| Failure::Refused(format!("the export could not be encrypted: {error}")))
}

pub(super) fn unlock(bytes: &[u8], passphrase: &str) -> Result<Vec<u8>, Failure> {
    let identity = age::scrypt::Identity::new(SecretString::from(passphrase));
    age::decrypt(&identity, bytes).map_err(|error| {
        let why = match error {
            age::DecryptError::NoMatchingKeys | age::DecryptError::DecryptionFailed => {
                "the pass phrase is wrong, or the file was changed".to_owned()
            }
            age::DecryptError::ExcessiveWork { .. } => {
                "it was encrypted by a much faster machine: decrypt it with `age --decrypt` there"
                    .to_owned()
            }
            other => format!("the file is damaged ({other}): load it again"),
        };
        Failure::Refused(why)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::path::Path;
    use std::process::{Command, Stdio};

    use super::*;

    const PASSPHRASE: &str = "nine words that nobody says";

    /// Debian's age, at the terminal that it asks for the pass phrase: so many times.
    fn age(at: &Path, arguments: &str, times: usize) {
        let mut script = Command::new("script")
            .args(["-qec", &format!("age {arguments}"), "/dev/null"])
            .current_dir(at)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("script, of util-linux");
        let mut terminal = script.stdin.take().expect("a pipe");
        for _ in 0..times {
            writeln!(terminal, "{PASSPHRASE}").expect("age reads");
        }
        let status = script.wait().expect("script ends");
        assert!(
            status.success(),
            "age {arguments}: {status} (.ci/setup installs it)"
        );
    }

    #[test]
    fn what_is_locked_here_is_opened_by_age() {
        let at = tempfile::tempdir().expect("a folder");
        let locked = lock(b"an export", PASSPHRASE).expect("locked");
        assert!(is_locked(&locked));
        fs::write(at.path().join("export"), locked).expect("written");
        age(at.path(), "--decrypt --output opened export", 1);
        let opened = fs::read(at.path().join("opened")).expect("read");
        assert_eq!(opened, b"an export");
    }

    #[test]
    fn what_age_locked_is_opened_here() {
        let at = tempfile::tempdir().expect("a folder");
        fs::write(at.path().join("export"), "an export").expect("written");
        age(at.path(), "--passphrase --output locked export", 2);
        let mut locked = fs::read(at.path().join("locked")).expect("read");
        assert!(is_locked(&locked));
        assert_eq!(unlock(&locked, PASSPHRASE).expect("opened"), b"an export");
        let told = |bytes: &[u8], phrase| unlock(bytes, phrase).unwrap_err().to_string();
        assert!(told(&locked, "another").contains("the pass phrase is wrong"));
        if let Some(last) = locked.last_mut() {
            *last ^= 1;
        }
        assert!(told(&locked, PASSPHRASE).contains("damaged"));
    }
}
