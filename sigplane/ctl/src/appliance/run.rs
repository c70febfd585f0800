//! What touches the machine: files, and the programs that Debian has for the rest.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{Flock, FlockArg};

use super::hardware::{Failed, failed};

const LOCK: &str = "/run/tandem-appliance/lock";

/// The machine below a root. Programs are run on the machine itself alone (`/`): elsewhere files are all that changes.
pub(super) struct Host {
    pub(super) root: PathBuf,
}

impl Host {
    pub(super) fn is_this(&self) -> bool {
        self.root == Path::new("/")
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Waits until no other step is at work on this machine; it is held as long as the value is. A machine on which that cannot be had
    /// is set up all the same.
    pub(super) fn alone(&self) -> Option<Flock<File>> {
        if !self.is_this() {
            return None;
        }
        let path = Path::new(LOCK);
        fs::create_dir_all(path.parent()?).ok()?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .ok()?;
        Flock::lock(file, FlockArg::LockExclusive).ok()
    }

    /// A file's text; none if it is not there.
    pub(super) fn read(&self, path: &str) -> Result<Option<String>, Failed> {
        let path = self.path(path);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    /// Writes a whole file or none of it, and says whether that changed anything.
    pub(super) fn write(&self, path: &str, mode: u32, text: &str) -> Result<bool, Failed> {
        if self.read(path).ok().flatten().as_deref() == Some(text) {
            return Ok(false);
        }
        let path = self.path(path);
        let write = || -> io::Result<()> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let new = path.with_extension("tandem-new");
            let _ = fs::remove_file(&new);
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&new)?;
            file.write_all(text.as_bytes())?;
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().map_err(|error| failed(&path, &error))?;
        Ok(true)
    }

    pub(super) fn remove(&self, path: &str) -> Result<(), Failed> {
        let path = self.path(path);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&path, &error)),
            _ => Ok(()),
        }
    }

    /// Gives a file to a user and a group, by the names that the machine has for them.
    pub(super) fn give(&self, path: &str, user: &str, group: &str) -> Result<(), Failed> {
        let uid = self.number("etc/passwd", user)?;
        let gid = self.number("etc/group", group)?;
        let path = self.path(path);
        chown(&path, Some(uid), Some(gid)).map_err(|error| failed(&path, &error))
    }

    /// The third field of a name's line.
    fn number(&self, file: &str, name: &str) -> Result<u32, Failed> {
        let text = self.read(file)?.unwrap_or_default();
        let line = text
            .lines()
            .find(|line| line.split(':').next() == Some(name));
        let field = line.and_then(|line| line.split(':').nth(2)?.parse().ok());
        field.ok_or_else(|| format!("/{file}: there is no {name}: install the packages tandem-dataplane and tandem-sigplane"))
    }

    /// Runs a program, with `input` on its standard input; its output if all went well.
    pub(super) fn run(
        &self,
        program: &str,
        arguments: &[&str],
        input: &str,
    ) -> Result<String, Failed> {
        if !self.is_this() {
            return Ok(String::new());
        }
        let called = || format!("{program} {}", arguments.join(" "));
        let spawned = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.map_err(|error| format!("{}: {error}", called()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // Who does not read it says why by how it ends.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child
            .wait_with_output()
            .map_err(|error| format!("{}: {error}", called()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}: {} ({})", called(), said.trim(), output.status))
    }
}

/// Bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Failed> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; N];
    fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| failed(path, &error))?;
    Ok(bytes)
}
