//! Whether an image is what its makers published: SHA256SUMS beside it, signed, lists it and its block map.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bmap::{self, BlockMap};
use crate::digest::{self, Sha256};
use crate::error::Error;
use crate::sums::{Key, Sums};

/// A larger SHA256SUMS, signature or key is none.
const LARGEST: u64 = 1 << 20;

/// From the command line.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The public key that the operator trusts.
    pub key: Option<PathBuf>,
    /// Goes on without checksums or signature where they are missing.
    pub unsigned: bool,
    /// Another block map than the one beside the image.
    pub map: Option<PathBuf>,
    /// No block map.
    pub no_map: bool,
}

/// What is known of an image's origin.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    sums: Option<Sums>,
    /// For the operator to know.
    pub warnings: Vec<String>,
    /// For the operator to know: what was checked.
    pub facts: Vec<String>,
    may_miss: bool,
}

impl Trust {
    /// Reads SHA256SUMS beside an image, and checks its signature.
    ///
    /// # Errors
    /// They are not there and that was not allowed, or they are wrong.
    pub fn read(image: &Path, wishes: &Wishes) -> Result<Self, Error> {
        let mut trust = Self {
            may_miss: wishes.unsigned,
            ..Self::default()
        };
        let path = image.with_file_name("SHA256SUMS");
        let Some(bytes) = read(&path)? else {
            let problem = "there are no checksums beside the image";
            trust.miss(&path, problem)?;
            return Ok(trust);
        };
        trust.signature(image, &bytes, wishes)?;
        let text = String::from_utf8_lossy(&bytes);
        trust.sums = Some(Sums::parse(&text).map_err(|e| untrusted(&path, e.to_string()))?);
        Ok(trust)
    }

    fn signature(&mut self, image: &Path, sums: &[u8], wishes: &Wishes) -> Result<(), Error> {
        let path = image.with_file_name("SHA256SUMS.sig");
        let Some(signature) = read(&path)? else {
            return self.miss(
                &path,
                "there is no signature of the checksums beside the image",
            );
        };
        let beside = image.with_file_name("release-key.pem");
        let key_path = wishes.key.as_ref().unwrap_or(&beside);
        let Some(pem) = read(key_path)? else {
            if wishes.key.is_some() {
                let missing = std::io::Error::from_raw_os_error(libc::ENOENT);
                return Err(Error::io(key_path, "reading the key", missing));
            }
            return self.miss(
                key_path,
                "there is no key to check the signature with (--key FILE)",
            );
        };
        let pem = String::from_utf8_lossy(&pem);
        let key = Key::from_pem(&pem).map_err(|e| untrusted(key_path, e.to_string()))?;
        key.verify(sums, &signature)
            .map_err(|e| untrusted(&path, e.to_string()))?;
        let print = key.fingerprint();
        match wishes.key.is_some() {
            true => self.facts.push(format!("the checksums are signed with your key {print}")),
            false => self.warnings.push(format!(
                "THE SIGNATURE WAS CHECKED WITH THE KEY THAT LAY BESIDE THE IMAGE ({print}). That proves that the files belong together, \
                 not who made them: whoever could change the image could change the key. Give the key that you got \
                 another way with --key FILE."
            )),
        }
        Ok(())
    }

    /// Something is not there.
    fn miss(&mut self, path: &Path, problem: &str) -> Result<(), Error> {
        if !self.may_miss {
            return Err(Error::Trust {
                path: path.to_owned(),
                problem: problem.to_owned(),
                is_missing: true,
            });
        }
        let path = path.display();
        self.warnings.push(format!(
            "{path}: {problem}: nothing says who made the image"
        ));
        Ok(())
    }

    /// Compares a file's digest with its line.
    ///
    /// # Errors
    /// It is another one, or there is no line and that was not allowed.
    pub fn check(&mut self, path: &Path, found: &Sha256) -> Result<(), Error> {
        let Some(sums) = &self.sums else {
            return Ok(());
        };
        let name = name(path);
        match sums.of(&name) {
            Some(expected) if expected == found => {
                self.facts
                    .push(format!("{name} has the SHA-256 that SHA256SUMS says"));
                Ok(())
            }
            Some(expected) => Err(Error::image(
                path,
                format!(
                    "damaged or another one: SHA-256 expected {}, found {}",
                    digest::hex(expected),
                    digest::hex(found)
                ),
            )),
            None => self.miss(
                path,
                "SHA256SUMS beside it does not list it: was it renamed?",
            ),
        }
    }

    /// The block map of an image: the one that was asked for, or the one beside it.
    ///
    /// # Errors
    /// It is damaged, or was asked for and is not there.
    pub fn map(&mut self, image: &Path, wishes: &Wishes) -> Result<Option<BlockMap>, Error> {
        if wishes.no_map {
            return Ok(None);
        }
        let found = match &wishes.map {
            Some(path) => Some(path.clone()),
            None => beside(image).into_iter().find(|p| p.exists()),
        };
        let Some(path) = found else {
            self.warnings.push(
                "there is no block map beside the image: all of it is written, which takes longer"
                    .into(),
            );
            return Ok(None);
        };
        let metadata = fs::metadata(&path).map_err(|e| Error::io(&path, "opening", e))?;
        if metadata.len() > bmap::LARGEST as u64 {
            return Err(Error::image(&path, "too large for a block map"));
        }
        let bytes = fs::read(&path).map_err(|e| Error::io(&path, "reading", e))?;
        self.check(&path, &digest::of(&bytes))?;
        let text = String::from_utf8(bytes).map_err(|_| Error::image(&path, "not a text"))?;
        let map = BlockMap::parse(&text).map_err(|e| Error::image(&path, e.to_string()))?;
        Ok(Some(map))
    }
}

/// Where a block map would be: `x.img.bmap` for `x.img` and `x.img.zst`, and what bmaptool looks for.
fn beside(image: &Path) -> Vec<PathBuf> {
    let name = name(image);
    let plain = name.strip_suffix(".zst").unwrap_or(&name);
    let stem = plain.strip_suffix(".img").unwrap_or(plain);
    [plain, &name, stem]
        .map(|n| image.with_file_name(format!("{n}.bmap")))
        .to_vec()
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn untrusted(path: &Path, problem: String) -> Error {
    Error::Trust {
        path: path.to_owned(),
        problem,
        is_missing: false,
    }
}

/// A small file; `None` if it is not there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(path, "opening", e)),
        Ok(m) if m.len() > LARGEST => return Err(untrusted(path, "it is too large".into())),
        Ok(_) => {}
    }
    fs::read(path)
        .map(Some)
        .map_err(|e| Error::io(path, "reading", e))
}
