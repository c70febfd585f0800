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
