//! What each command does.

use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tandem_flash::compare::{Part, compare};
use tandem_flash::disks::{Disk, size};
use tandem_flash::engine::{self, Done};
use tandem_flash::job::{job, needed};
use tandem_flash::preload::Preload;
use tandem_flash::refuse::{Wanted, check, unchanged};
use tandem_flash::source::{Image, Source};
use tandem_flash::target::{Access, Device};
use tandem_flash::trust::{self, Trust};
use tandem_flash::{Error, Failure, Inspected, inspect};

use super::report::Reporter;
use super::{Cli, Command, WriteArgs, choose, install};

pub(super) fn run(cli: &Cli, reporter: &mut Reporter) -> Result<(), Failure> {
    let root = cli.root.as_path();
    match &cli.command {
        Command::List { all } => Ok(choose::list(root, *all, reporter)?),
        Command::Check { image, trust } => {
            let (_, found) = open(image, &trust.wishes(), reporter)?;
            let words = format!(
                "{} is good: {} when written, {} of it data",
                image.display(),
                size(found.size),
                size(found.data)
            );
            let event = json!({
                "event": "checked", "image": image, "size": found.size, "data": found.data,
            });
            reporter.tell(&words, &event);
            Ok(())
        }
        Command::Write {
            image,
            disk,
            trust,
            write,
            file,
        } => {
            let preload = Preload::read(&write.preload())?;
            let chosen = Chosen::new(root, disk.as_deref(), *file, Some(image))?;
            // What can be known before a long check is said before.
            chosen.check(0, Some(image))?;
            chosen.readable()?;
            let (source, found) = open(image, &trust.wishes(), reporter)?;
            let mut stream = source.stream()?;
            stream.expect(found.sha256);
            let what = What {
                image: found,
                preload,
                path: image.clone(),
            };
            write_disk(&chosen, &what, &mut stream, write, reporter)
        }
        Command::Verify {
            image,
            disk,
            trust,
            file,
        } => verify(root, image, disk, &trust.wishes(), *file, reporter),
        Command::Install {
            disk,
            write,
            from,
            slot,
            file,
        } => {
            let from = from.as_deref().map(|f| (f, slot.as_str()));
            install::run(root, from, disk.as_deref(), *file, write, reporter)
        }
    }
}

/// A disk, or a file that stands for one.
pub(super) struct Chosen {
    root: PathBuf,
    pub(super) disk: Disk,
    is_file: bool,
}

impl Chosen {
    pub(super) fn new(
        root: &Path,
        given: Option<&Path>,
        is_file: bool,
        image: Option<&Path>,
    ) -> Result<Self, Error> {
        let asked;
        let given = match given {
            Some(given) => given,
            None => {
                asked = choose::ask(root)?;
                asked.as_path()
            }
        };
        let disk = match is_file {
            true => choose::file(given, image)?,
            false => choose::find(root, given)?,
        };
        Ok(Self {
            root: root.to_owned(),
            disk,
            is_file,
        })
    }

    pub(super) fn check(&self, size: u64, image: Option<&Path>) -> Result<(), Error> {
        let disks = choose::disks(&self.root).unwrap_or_default();
        let image_on = match self.is_file {
            true => None,
            false => image.and_then(|i| choose::disk_of(&disks, i)),
        };
        let wanted = Wanted {
            size,
            image_on: image_on.as_deref(),
        };
        check(&self.disk, &wanted)
    }

    /// It is still there, the same, and free.
    fn again(&self, size: u64, image: &Path) -> Result<(), Error> {
        let now = Self::new(&self.root, Some(&self.disk.path), self.is_file, Some(image));
        let now = match now {
            Ok(now) => now,
            Err(Error::Refused { .. }) => return unchanged(None, &self.disk),
            Err(e) => return Err(e),
        };
        unchanged(Some(&now.disk), &self.disk)?;
        now.check(size, Some(image))
    }

    fn open(&self, access: Access) -> Result<Device, Error> {
        let path = &self.disk.path;
        let device = match self.is_file {
            true => Device::file(path, access),
            false => {
                let device = choose::device(&self.root, &self.disk);
                Device::disk(&device, &self.disk.number, access)
            }
        };
        let doing = match access {
            Access::Exclusive => "opening it for writing",
            Access::Read => "opening it",
        };
        device.map_err(|e| match e.raw_os_error() {
            Some(libc::EBUSY) => Error::Refused {
                disk: self.disk.name.clone(),
                problems: vec!["the kernel says that something uses it".into()],
                remedy: "look at `tandem-flash list` and at lsblk, and stop what uses it".into(),
            },
            _ => Error::io(path, doing, e),
        })
    }

    /// Who may not even read it is told before the image is read.
    pub(super) fn readable(&self) -> Result<(), Error> {
        self.open(Access::Read).map(drop)
    }
}

/// An image whose checksums, block map and content were found good.
fn open(
    path: &Path,
    wishes: &trust::Wishes,
    reporter: &mut Reporter,
) -> Result<(Image, Inspected), Failure> {
    let mut image = Image::open(path)?;
    let mut trust = Trust::read(path, wishes)?;
    image.map = trust.map(path, wishes)?;
    for warning in trust.warnings.drain(..) {
        reporter.warning(&warning);
    }
    let found = inspect(&image, reporter, &AtomicBool::new(false))?;
    reporter.end();
    trust.check(path, &found.sha256)?;
    for warning in trust.warnings.drain(..) {
        reporter.warning(&warning);
    }
    for fact in trust.facts.drain(..) {
        reporter.fact(&fact);
    }
    Ok((image, found))
}

/// What is written.
pub(super) struct What {
    pub(super) image: Inspected,
    pub(super) preload: Preload,
    /// For messages, and to know where it lies.
    pub(super) path: PathBuf,
}

pub(super) fn write_disk(
    chosen: &Chosen,
    what: &What,
    source: &mut dyn Source,
    args: &WriteArgs,
    reporter: &mut Reporter,
) -> Result<(), Failure> {
    let disk = &chosen.disk;
    let needed = needed(&what.image);
    chosen.check(needed, Some(&what.path))?;
    let job = job(&what.image, disk.size, &what.preload, &what.path)?;
    if args.dry_run {
        dry_run(disk, what, reporter);
        return Ok(());
    }
    choose::confirm(disk, args.yes_erase.as_deref(), reporter)?;
    let stop = interruptible();
    chosen.again(needed, &what.path)?;
    let mut device = chosen.open(Access::Exclusive)?;
    let since = Instant::now();
    let done = engine::write(source, &mut device, &job, &disk.path, reporter, &stop)?;
    reporter.end();
    drop(device);
    if !chosen.is_file {
        // The kernel may still have the partitions of before; udev does this, too, where there is one.
        let _ = Process::new("blockdev")
            .env("PATH", tandem_flash::path())
            .arg("--rereadpt")
            .arg(&disk.path)
            .stderr(std::process::Stdio::null())
            .status();
    }
    tell(disk, what, &done, since.elapsed().as_secs_f64(), reporter);
    Ok(())
}

/// Ctrl-C and the like end the work between two pieces, so that the state of the disk can be told; the second time at once. A connection
/// that breaks ends nothing: the disk is finished.
fn interruptible() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let _ = signal_hook::flag::register(SIGHUP, Arc::default());
    for signal in [SIGINT, SIGTERM] {
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop));
        let _ = signal_hook::flag::register(signal, Arc::clone(&stop));
    }
    stop
}

fn dry_run(disk: &Disk, what: &What, reporter: &Reporter) {
    let found = &what.image;
    let mut words = format!(
        "{} would be erased, and get {} ({} of data):\n",
        disk.name,
        what.path.display(),
        size(found.data)
    );
    for partition in found.table.partitions() {
        let len = partition.bytes.end - partition.bytes.start;
        words += &format!(
            "  {} {:<8} {:>9} at byte {}\n",
            partition.number,
            partition.name,
            size(len),
            partition.bytes.start
        );
    }
    if !what.preload.is_empty() {
        words += &format!(
            "  for the first boot: {}\n",
            what.preload.names().join(", ")
        );
    }
    words += "Nothing was written.";
    let event = json!({
        "event": "dry_run", "disk": disk, "image": what.path, "size": found.size, "data": found.data,
        "preload": what.preload.names(),
    });
    reporter.tell(&words, &event);
}

fn tell(disk: &Disk, what: &What, done: &Done, seconds: f64, reporter: &Reporter) {
    let mut words = format!(
        "{} has {} on it: {} written, {} made zeros, all read back, in {seconds:.1} s.",
        disk.name,
        what.path.display(),
        size(done.written),
        size(done.zeros)
    );
    if disk.is_removable {
        words += " It can be pulled.";
    }
    if !what.preload.is_empty() {
        words += &format!(
            "\nFor the first boot it has {}: they are on the ESP in clear until then.",
            what.preload.names().join(", ")
        );
    }
    let event = json!({
        "event": "done", "disk": disk.name, "image": what.path, "written": done.written,
        "zeros": done.zeros, "verified": done.verified, "seconds": seconds,
        "preload": what.preload.names(),
    });
    reporter.tell(&words, &event);
}

fn verify(
    root: &Path,
    image: &Path,
    disk: &Path,
    wishes: &trust::Wishes,
    is_file: bool,
    reporter: &mut Reporter,
) -> Result<(), Failure> {
    let chosen = Chosen::new(root, Some(disk), is_file, Some(image))?;
    let mut device = chosen.open(Access::Read)?;
    let (source, found) = open(image, wishes, reporter)?;
    let mut stream = source.stream()?;
    let stop = AtomicBool::new(false);
    let path = &chosen.disk.path;
    let parts = compare(&mut stream, &mut device, &found, path, reporter, &stop)?;
    reporter.end();
    let words: Vec<String> = parts.iter().map(line).collect();
    let event = json!({"event": "compared", "disk": chosen.disk.name, "parts": parts});
    reporter.tell(&words.join("\n"), &event);
    let differing: Vec<&str> = parts
        .iter()
        .filter(|p| !p.is_same())
        .map(|p| p.name.as_str())
        .collect();
    if differing.is_empty() {
        return Ok(());
    }
    Err(Error::Differs {
        disk: chosen.disk.name.clone(),
        image: image.display().to_string(),
        problem: format!(
            "{} differ; an appliance that has booted changes table, esp and data, an update a slot",
            differing.join(", ")
        ),
    }
    .into())
}

fn line(part: &Part) -> String {
    let verdict = match (&part.files, part.first) {
        (Some(files), _) if part.is_same() => {
            format!("the same but for the first boot: {}", files.join(", "))
        }
        (Some(files), _) => format!("differs: {}", files.join(", ")),
        (None, Some(first)) => format!(
            "differs from byte {first} on, {} in all",
            size(part.differing)
        ),
        (None, None) => "the same".to_owned(),
    };
    format!("{:<8} {:>9}  {verdict}", part.name, size(part.compared))
}
