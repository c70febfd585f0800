//! What an appliance finds at its first boot: a configuration, SSH keys, a name, the management network. It lies in the folder
//! [`FOLDER`] of the ESP, and the first boot takes it over.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use tandem_config::Config;
use tandem_management::Management;

use crate::error::Error;
use crate::fat;

/// On the ESP.
pub const FOLDER: &str = "tandem-preload";

/// A larger file is none of these.
const LARGEST: u64 = 1 << 20;

/// From the command line.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// A `tandem.toml`.
    pub config: Option<PathBuf>,
    /// A file with SSH public keys, one a line.
    pub ssh_key: Option<PathBuf>,
    /// A host name.
    pub hostname: Option<String>,
    /// A TOML file that says how the management port is addressed.
    pub management: Option<PathBuf>,
}

/// Files that were found well-formed, by their names in [`FOLDER`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preload {
    files: Vec<(&'static str, Vec<u8>)>,
}

impl Preload {
    /// Reads and checks what was asked for.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn read(wishes: &Wishes) -> Result<Self, Error> {
        let mut files = Vec::new();
        let mut config = None;
        if let Some(path) = &wishes.config {
            let text = text(path)?;
            config = Some(tandem_config::parse(&text).map_err(|mistakes| {
                let lines: Vec<String> = mistakes.iter().map(|m| m.to_string()).collect();
                wrong(path, lines.join("\n  "))
            })?);
            files.push(("tandem.toml", text.into_bytes()));
        }
        if let Some(path) = &wishes.ssh_key {
            let text = text(path)?;
            let keys = authorized_keys(&text).map_err(|problem| wrong(path, problem))?;
            files.push(("authorized_keys", keys.into_bytes()));
        }
        if let Some(name) = &wishes.hostname {
            check_hostname(name).map_err(|problem| wrong(Path::new("--hostname"), problem))?;
            files.push(("hostname", format!("{name}\n").into_bytes()));
        }
        if let Some(path) = &wishes.management {
            let text = text(path)?;
            check_management(&text, config.as_ref()).map_err(|problem| wrong(path, problem))?;
            files.push(("management.toml", text.into_bytes()));
        }
        Ok(Self { files })
    }

    /// Whether nothing was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The names of the files.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.files.iter().map(|f| f.0).collect()
    }

    /// Puts the files into an ESP.
    ///
    /// # Errors
    /// The ESP is no FAT file system, or is full.
    pub fn put(&self, esp: &mut [u8], image: &Path) -> Result<(), Error> {
        fat::put(esp, FOLDER, &self.files)
            .map_err(|e| Error::image(image, format!("its ESP does not take {FOLDER}: {e}")))
    }
}

fn text(path: &Path) -> Result<String, Error> {
    let metadata = fs::metadata(path).map_err(|e| Error::io(path, "opening", e))?;
    if metadata.len() > LARGEST {
        return Err(wrong(
            path,
            format!("{} bytes are too many", metadata.len()),
        ));
    }
    let bytes = fs::read(path).map_err(|e| Error::io(path, "reading", e))?;
    String::from_utf8(bytes).map_err(|_| wrong(path, "not a text in UTF-8"))
}

fn wrong(path: &Path, problem: impl Into<String>) -> Error {
    Error::Preload {
        path: path.to_owned(),
        problem: problem.into(),
    }
}

/// A `management.toml` as the first boot takes it; the realms in it are those of the configuration, if one comes with it.
fn check_management(text: &str, config: Option<&Config>) -> Result<(), String> {
    let management = Management::parse(text).map_err(|mistakes| mistakes.join("\n  "))?;
    let Some(config) = config else { return Ok(()) };
    let known: Vec<_> = config.realms.iter().map(|r| r.name.as_str()).collect();
    let strangers = management.strangers(&known);
    match strangers.is_empty() {
        true => Ok(()),
        false => Err(strangers.join("\n  ")),
    }
}

/// The lines with keys; blank lines and comments go.
fn authorized_keys(text: &str) -> Result<String, String> {
    if text.contains("PRIVATE KEY-----") {
        return Err("a private key: give the public one, the file that ends in .pub".into());
    }
    let mut keys = String::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        check_key(line).map_err(|problem| format!("line {}: {problem}", n + 1))?;
        keys.push_str(line);
        keys.push('\n');
    }
    match keys.is_empty() {
        true => Err("there is no key in it".into()),
        false => Ok(keys),
    }
}

/// Kinds that OpenSSH takes (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
const KINDS: &[&str] = &[
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
];

fn check_key(line: &str) -> Result<(), String> {
    let mut words = line.split_ascii_whitespace();
    let kind = words.next().unwrap_or_default();
    if !KINDS.contains(&kind) {
        return Err(format!(
            "{kind:?} is no kind of key that is taken (options before the key are not, either): {}",
            KINDS.join(", ")
        ));
    }
    let blob = words
        .next()
        .ok_or("there is nothing after the key's kind")?;
    let blob = base64::engine::general_purpose::STANDARD
        .decode(blob)
        .map_err(|_| "the key is not base64: was the line cut?")?;
    let (name, rest) = field(&blob).ok_or("the key is cut")?;
    if name != kind.as_bytes() {
        return Err(format!("it says {kind}, and the key is of another kind"));
    }
    if kind == "ssh-ed25519"
        && (field(rest).is_none_or(|(key, rest)| key.len() != 32 || !rest.is_empty()))
    {
        return Err("the key is cut".into());
    }
    if kind == "ssh-rsa" {
        let modulus = field(rest).and_then(|(_, rest)| field(rest)).map(|f| f.0);
        let bits = modulus.map_or(0, |m| m.iter().skip_while(|b| **b == 0).count() * 8);
        if bits < 2_048 {
            return Err(format!(
                "an RSA key of {bits} bits: 2,048 are the least, or take Ed25519"
            ));
        }
    }
    Ok(())
}

/// Four bytes of length, then so many (RFC 4251, section 5).
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*len) as usize)
}

/// RFC 1123, section 2.1, and what Linux takes (HOST_NAME_MAX, 64).
fn check_hostname(name: &str) -> Result<(), String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    match name.len() <= 64 && name.split('.').all(is_label) {
        true => Ok(()),
        false => Err(format!(
            "{name:?} is no host name: letters, digits and - in labels of up to 63, 64 in all"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f admin@example.com";

    #[test]
    fn keys_of_the_right_form_pass() {
        let text = format!("# mine\n\n  {ED25519}\n");
        assert_eq!(authorized_keys(&text).unwrap(), format!("{ED25519}\n"));
    }

    #[test]
    fn keys_of_another_form_say_what_is_wrong() {
        let cut = &ED25519[..50];
        let other = ED25519.replace("ssh-ed25519 ", "ssh-rsa ");
        for (text, part) in [
            ("", "no key"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", "private key"),
            ("ssh-dss AAAA", "no kind of key"),
            ("hello", "no kind of key"),
            ("ssh-ed25519", "nothing after"),
            (cut, "cut"),
            (&other, "another kind"),
        ] {
            let problem = authorized_keys(text).unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn management_is_what_the_first_boot_takes() {
        let fine = "[management]\naddresses = [\"10.0.0.2/24\"]\n[realm.core]\naddresses = [\"10.1.0.2/24\"]\n";
        assert_eq!(check_management(fine, None), Ok(()));
        for (text, part) in [
            ("[managment]\n", "managment"),
            ("[management]\nadresses = []\n", "adresses"),
            (
                "[management]\naddresses = [\"10.0.0.0/24\"]\n",
                "the network itself",
            ),
            ("[management]\nvlan = 0\nallow = []\n", "allow"),
        ] {
            let problem = check_management(text, None).unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn host_names() {
        for name in ["edge-1", "edge1.fra.example.com", "7"] {
            assert!(check_hostname(name).is_ok(), "{name}");
        }
        let long = "a".repeat(65);
        for name in ["", "-a", "a-", "a..b", "a b", "ä", "a_b", &long] {
            assert!(check_hostname(name).is_err(), "{name}");
        }
    }
}
