//! The image that was built, and disks made of it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::{Failure, Result};

/// An image on this machine.
pub struct Image {
    /// Where it is.
    pub path: PathBuf,
}

impl Image {
    /// The image of `make image`, or that of `$TANDEM_IMAGE`.
    ///
    /// # Errors
    /// There is none.
    pub fn built() -> Result<Self> {
        if let Some(path) = std::env::var_os("TANDEM_IMAGE") {
            return Ok(Self { path: path.into() });
        }
        let folder = folder();
        let name = format!("tandem-{}.img", env!("CARGO_PKG_VERSION"));
        let path = folder.join(name);
        if path.exists() {
            Ok(Self { path })
        } else {
            Err(Failure::new(format!(
                "{} is missing: run make image",
                path.display()
            )))
        }
    }
}

/// `target/image`.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/image")
}

/// A disk in a file, gone with this value.
pub struct Disk {
    folder: TempDir,
    path: PathBuf,
}

impl Disk {
    /// A disk of so many bytes with the image on it, as a flash tool leaves it.
    ///
    /// # Errors
    /// No room, or no image.
    pub fn of(image: &Image, bytes: u64) -> Result<Self> {
        let disk = Self::empty(bytes)?;
        // Sparse: what is a hole in the image is one in the copy.
        run(Command::new("cp")
            .arg("--sparse=always")
            .arg(&image.path)
            .arg(&disk.path))?;
        fs::File::options()
            .write(true)
            .open(&disk.path)?
            .set_len(bytes)?;
        Ok(disk)
    }

    /// An empty disk.
    ///
    /// # Errors
    /// No room.
    pub fn empty(bytes: u64) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("tandem-image-").tempdir()?;
        let path = folder.path().join("disk.img");
        fs::File::create(&path)?.set_len(bytes)?;
        Ok(Self { folder, path })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder beside the disk, gone with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// First byte and length of a partition by its label, as the partition table says now.
    ///
    /// # Errors
    /// There is none of that label.
    pub fn partition(&self, label: &str) -> Result<(u64, u64)> {
        let table = run(Command::new("sfdisk").arg("--dump").arg(&self.path))?;
        let row = table
            .lines()
            .find(|line| line.contains(&format!("name=\"{label}\"")));
        let number = |key: &str| {
            let rest = row?.split(&format!("{key}=")).nth(1)?;
            rest.trim_start()
                .split(',')
                .next()?
                .trim()
                .parse::<u64>()
                .ok()
        };
        match (number("start"), number("size")) {
            (Some(start), Some(size)) => Ok((start * 512, size * 512)),
            _ => Err(Failure::new(format!(
                "the disk has no partition {label:?}; its table:\n{table}"
            ))),
        }
    }

    /// Writes a file into the data partition, with its folders, while no machine uses the disk.
    ///
    /// # Errors
    /// debugfs says why.
    pub fn plant(&self, path: &str, content: &str) -> Result<()> {
        let (start, _) = self.partition("data")?;
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(content.as_bytes())?;
        let mut script = String::new();
        let mut folder = String::new();
        for part in Path::new(path)
            .parent()
            .into_iter()
            .flat_map(Path::components)
        {
            if let std::path::Component::Normal(name) = part {
                folder = format!("{folder}/{}", name.to_string_lossy());
                script.push_str(&format!("mkdir {folder}\n"));
            }
        }
        script.push_str(&format!(
            "rm {path}\nwrite {} {path}\nset_inode_field {path} mode 0100644\n",
            file.path().display()
        ));
        let commands = self.folder().join("debugfs");
        fs::write(&commands, script)?;
        // It complains of folders that are there; whether the file is there is asked below.
        let device = format!("{}?offset={start}", self.path.display());
        run(Command::new("debugfs")
            .arg("-w")
            .arg("-f")
            .arg(&commands)
            .arg(&device))?;
        let found = run(Command::new("debugfs")
            .args(["-R", &format!("cat {path}")])
            .arg(&device))?;
        if found == content {
            Ok(())
        } else {
            Err(Failure::new(format!(
                "debugfs did not write {path} into the data partition"
            )))
        }
    }

    /// A tool of mtools on the ESP, while no machine uses the disk; what it said.
    ///
    /// # Errors
    /// There is no ESP, or the tool complains.
    pub fn esp(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let (start, _) = self.partition("esp")?;
        run(Command::new(program)
            .arg("-i")
            .arg(format!("{}@@{start}", self.path.display()))
            .args(arguments)
            .env("MTOOLS_SKIP_CHECK", "1"))
    }

    /// What the flash tool would write for the first boot: files by their names.
    ///
    /// # Errors
    /// As of [`Disk::esp`].
    pub fn preload(&self, files: &[(&str, &str)]) -> Result<()> {
        self.esp("mmd", &["::/tandem-preload"])?;
        for (name, text) in files {
            let file = self.folder().join(name);
            fs::write(&file, text)?;
            let there = format!("::/tandem-preload/{name}");
            self.esp("mcopy", &[&file.display().to_string(), &there])?;
        }
        Ok(())
    }

    /// A root shell on the second serial port, for [`Machine::run`](crate::Machine::run).
    ///
    /// # Errors
    /// As of [`Disk::plant`].
    pub fn plant_shell(&self) -> Result<()> {
        let unit = "\
[Unit]
Description=Root shell of the image's tests
After=systemd-udev-trigger.service

[Service]
Environment=HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin
ExecStart=/bin/bash -c 'stty -echo -onlcr; echo TANDEM-TEST-SHELL; exec /bin/bash --norc'
StandardInput=tty
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
TTYReset=yes
Restart=always
RestartSec=1
# A shell does not end by SIGTERM, and each shutdown would wait for it.
KillSignal=SIGHUP

[Install]
WantedBy=multi-user.target
";
        let units = "/overlay/etc/upper/systemd/system";
        self.plant(&format!("{units}/tandem-test-shell.service"), unit)?;
        // A file in the place of a link that enables it does as well: systemd wants the name alone.
        self.plant(
            &format!("{units}/multi-user.target.d/tandem-test-shell.conf"),
            "[Unit]\nWants=tandem-test-shell.service\n",
        )
    }

    /// Hurts the data partition's file system in a way that e2fsck can put right: the first block bitmap is wrong, and it is marked as having
    /// errors (as the kernel does when it meets them).
    ///
    /// # Errors
    /// There is no file system.
    pub fn damage_data(&self) -> Result<()> {
        let (start, _) = self.partition("data")?;
        let device = format!("{}?offset={start}", self.path.display());
        let said = run(Command::new("dumpe2fs").arg(&device))?;
        let bitmap: u64 = said
            .split("Block bitmap at ")
            .nth(1)
            .and_then(|rest| rest.split([' ', ',', '\n']).next())
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| Failure::new(format!("dumpe2fs shows no bitmap:\n{said}")))?;
        // First: debugfs opens no file system with a wrong bitmap, and says so with exit status 0.
        run(Command::new("debugfs")
            .args(["-w", "-R", "set_super_value state 2"])
            .arg(&device))?;
        let said = run(Command::new("dumpe2fs").arg("-h").arg(&device))?;
        if !said.contains("not clean with errors") {
            return Err(Failure::new(format!("it is not marked:\n{said}")));
        }
        self.overwrite("data", bitmap * 4096, &[0xff; 4096])
    }

    /// Hurts the data partition's file system where it does not know of it: a folder's block is not one, and it is marked as whole.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn damage_folder(&self, folder: &str) -> Result<()> {
        let (start, _) = self.partition("data")?;
        let device = format!("{}?offset={start}", self.path.display());
        let said = run(Command::new("debugfs")
            .args(["-R", &format!("bmap {folder} 0")])
            .arg(&device))?;
        let block: u64 = said
            .trim()
            .parse()
            .ok()
            .filter(|block| *block > 0)
            .ok_or_else(|| Failure::new(format!("debugfs knows no block of {folder}: {said}")))?;
        self.overwrite("data", block * 4096, &[0x5a; 4096])
    }

    /// e2fsck finds nothing wrong with the data partition, which begins at this byte.
    ///
    /// # Errors
    /// It finds something.
    pub fn check_data(&self, start: u64) -> Result<()> {
        run(Command::new("e2fsck")
            .arg("-fn")
            .arg(format!("{}?offset={start}", self.path.display())))
        .map(|_| ())
    }

    /// Overwrites bytes of a partition.
    ///
    /// # Errors
    /// No such partition, or it ends before.
    pub fn overwrite(&self, label: &str, at: u64, bytes: &[u8]) -> Result<()> {
        let (start, size) = self.partition(label)?;
        if at + bytes.len() as u64 > size {
            return Err(Failure::new(format!(
                "partition {label:?} has {size} bytes only"
            )));
        }
        fs::File::options()
            .write(true)
            .open(&self.path)?
            .write_all_at(bytes, start + at)?;
        Ok(())
    }
}

/// Runs a command to its end; its output, or a failure with its complaint.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|error| {
        Failure::new(format!(
            "{:?} cannot be run: {error}",
            command.get_program()
        ))
    })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Failure::new(format!(
            "{command:?} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        )))
    }
}
