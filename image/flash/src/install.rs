//! A new appliance's disk, made of the stick that the appliance runs from: its boot code, its EFI system partition as it was
//! at first, the slot that runs as slot A, and a data partition with nothing in it.

use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::error::Error;
use crate::fat;
use crate::gpt::{Gpt, HEAD, Partition};
use crate::inspect::{Inspected, Kind};
use crate::layout::BEGINNING;
use crate::source::{PIECE, Piece, Source, runs};
use crate::target::{Device, Target as _};

/// Bytes of the data partition until the first boot lets it grow.
pub const DATA: u64 = 96 << 20;

/// What GRUB knows of the slots of a new machine.
const SLOTS: &str = include_str!("../../boot/slots");

/// Files of the ESP that belong to the machine that the stick ran on.
const OF_MACHINE: &[&str] = &[
    "EFI/tandem/hardware.cfg",
    "EFI/tandem/factory-reset",
    "EFI/tandem/corrupt-A",
    "EFI/tandem/corrupt-B",
];

/// A stick, read.
pub struct Stick {
    /// As if it was an image.
    pub image: Inspected,
    /// Its content.
    pub source: StickSource,
}

impl Stick {
    /// Reads a stick. `data` is a file with the new data partition's file system, [`DATA`] bytes.
    ///
    /// # Errors
    /// It cannot be read, or is no appliance's.
    pub fn read(mut device: Device, path: &Path, slot: &str, data: &Path) -> Result<Self, Error> {
        let mut head = vec![0; HEAD];
        fetch(&mut device, path, 0, &mut head)?;
        let mut table = Gpt::parse(&head).map_err(|e| Error::image(path, e.to_string()))?;
        let find = |label: &str| {
            let problem = format!("it has no partition {label:?}: it is no appliance's");
            table.find(label).ok_or_else(|| Error::image(path, problem))
        };
        let (bios, esp) = (find("bios")?, find("esp")?);
        let (slot_a, slot_b) = (find("slot-a")?, find("slot-b")?);
        let data_partition = find("data")?;
        let running = find(&format!("slot-{slot}"))?;
        let partitions = table.partitions();
        if partitions
            .iter()
            .any(|p| p.bytes.start > data_partition.bytes.start)
        {
            let problem = "its data partition is not the last one";
            return Err(Error::image(path, problem));
        }

        let boot = whole(&mut device, path, &bios, 16 << 20)?;
        let mut system = whole(&mut device, path, &esp, 512 << 20)?;
        new_esp(&mut system).map_err(|e| Error::image(path, format!("its ESP: {e}")))?;
        check_slot(&mut device, path, &running)?;
        let len = running.bytes.end - running.bytes.start;
        if len > slot_a.bytes.end - slot_a.bytes.start {
            let problem = "slot A has no room for the running slot";
            return Err(Error::image(path, problem));
        }

        let random = SystemRandom::new();
        table.renew(|| {
            let mut bytes = [0; 16];
            // The kernel's generator does not fail; if it did, two disks would have one name.
            let _ = random.fill(&mut bytes);
            bytes
        });
        let end = data_partition.bytes.start + DATA;
        table.resize(data_partition.number, end);
        let empty = slot_b.bytes.start..slot_b.bytes.end.min(slot_b.bytes.start + BEGINNING);
        let parts = vec![
            Part::memory(bios.bytes.start, boot),
            Part::memory(esp.bytes.start, system.clone()),
            Part {
                at: slot_a.bytes.start,
                len,
                from: From::Device(running.bytes.start),
            },
            Part {
                at: empty.start,
                len: empty.end - empty.start,
                from: From::Nothing,
            },
            Part {
                at: data_partition.bytes.start,
                len: DATA,
                from: From::File(data.to_owned()),
            },
        ];
        let runs = parts.iter().map(|p| (p.at..p.at + p.len, Kind::Data));
        let runs: Vec<_> = runs.collect();
        Ok(Self {
            image: Inspected {
                size: end,
                head,
                table,
                esp: Some((esp.bytes.start, system)),
                sha256: [0; 32],
                data: parts.iter().map(|p| p.len).sum(),
                runs,
            },
            source: StickSource {
                device,
                path: path.to_owned(),
                parts,
                part: 0,
                done: 0,
                pending: Vec::new(),
            },
        })
    }
}

/// What a part of the new disk is made of.
enum From {
    Memory(Vec<u8>),
    /// The stick, from this byte on.
    Device(u64),
    File(PathBuf),
    /// Zeros.
    Nothing,
}

struct Part {
    at: u64,
    len: u64,
    from: From,
}

impl Part {
    fn memory(at: u64, bytes: Vec<u8>) -> Self {
        Self {
            at,
            len: bytes.len() as u64,
            from: From::Memory(bytes),
        }
    }
}

/// A stick that is being copied.
pub struct StickSource {
    device: Device,
    path: PathBuf,
    parts: Vec<Part>,
    part: usize,
    done: u64,
    pending: Vec<Piece>,
}

impl Source for StickSource {
    fn next(&mut self) -> Result<Option<Piece>, Error> {
        loop {
            if let Some(piece) = self.pending.pop() {
                return Ok(Some(piece));
            }
            let Some(part) = self.parts.get(self.part) else {
                return Ok(None);
            };
            if self.done >= part.len {
                self.part += 1;
                self.done = 0;
                continue;
            }
            let len = (part.len - self.done).min(PIECE as u64);
            let at = part.at + self.done;
            let mut bytes = vec![0; len as usize];
            match &part.from {
                From::Nothing => {}
                From::Memory(all) => {
                    let from = all.get(self.done as usize..(self.done + len) as usize);
                    bytes.copy_from_slice(from.unwrap_or_default());
                }
                From::Device(from) => {
                    fetch(&mut self.device, &self.path, from + self.done, &mut bytes)?;
                }
                From::File(path) => read_file(path, self.done, &mut bytes)?,
            }
            self.done += len;
            self.pending = runs(at, &bytes);
            self.pending.reverse();
        }
    }
}

fn read_file(path: &Path, at: u64, bytes: &mut [u8]) -> Result<(), Error> {
    use std::os::unix::fs::FileExt as _;
    let read = std::fs::File::open(path).and_then(|f| f.read_exact_at(bytes, at));
    read.map_err(|e| Error::io(path, "reading the new data partition", e))
}

fn fetch(device: &mut Device, path: &Path, at: u64, bytes: &mut [u8]) -> Result<(), Error> {
    let last = at + bytes.len() as u64;
    let read = device.read(at, bytes);
    read.map_err(|e| Error::io(path, format!("reading bytes {at} to {}", last - 1), e))
}

fn whole(
    device: &mut Device,
    path: &Path,
    partition: &Partition,
    most: u64,
) -> Result<Vec<u8>, Error> {
    let Range { start, end } = partition.bytes;
    if end - start > most {
        let problem = format!(
            "its partition {} is larger than any should be",
            partition.name
        );
        return Err(Error::image(path, problem));
    }
    let mut bytes = vec![0; (end - start) as usize];
    fetch(device, path, start, &mut bytes)?;
    Ok(bytes)
}

/// A slot has a squashfs, and behind it the seal that is checked at each boot: it is copied as a whole.
fn check_slot(device: &mut Device, path: &Path, slot: &Partition) -> Result<(), Error> {
    let mut block = vec![0; 4_096];
    fetch(device, path, slot.bytes.start, &mut block)?;
    match block.starts_with(b"hsqs") {
        true => Ok(()),
        false => Err(Error::image(
            path,
            format!("its partition {} has no squashfs in it", slot.name),
        )),
    }
}

/// The EFI system partition of a machine that never ran.
fn new_esp(esp: &mut [u8]) -> io::Result<()> {
    let slots = environment();
    for name in ["EFI/tandem/grubenv", "EFI/tandem/grubenv.bak"] {
        fat::replace(esp, name, &slots)?;
    }
    for name in OF_MACHINE {
        fat::remove(esp, name)?;
    }
    Ok(())
}

/// GRUB's environment block: 1,024 bytes, filled up with `#` (GRUB manual, "The GRUB environment block").
fn environment() -> Vec<u8> {
    let mut text = String::from("# GRUB Environment Block\n");
    for line in SLOTS.lines().filter(|line| !line.starts_with('#')) {
        text.push_str(line);
        text.push('\n');
    }
    let mut bytes = text.into_bytes();
    bytes.resize(1_024, b'#');
    bytes
}

/// Makes the file system of an empty data partition in a file.
///
/// # Errors
/// `mke2fs` is not there or fails.
pub fn new_data(path: &Path) -> Result<(), Error> {
    let file = std::fs::File::create(path).and_then(|f| f.set_len(DATA));
    file.map_err(|e| Error::io(path, "making room for the new data partition", e))?;
    let mut child = std::process::Command::new("mke2fs")
        .env("PATH", crate::path())
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256"])
        .args(["-L", "tandem-data", "-m", "1", "-J", "size=32"])
        // As the image has it (image/lib/disk): identities that may change, room to grow while it is mounted.
        .args(["-O", "metadata_csum_seed,64bit", "-E"])
        .arg("resize=1900000000,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0")
        .arg(path)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .map_err(|e| Error::io(Path::new("mke2fs"), "starting it (package e2fsprogs)", e))?;
    let mut said = String::new();
    if let Some(stderr) = &mut child.stderr {
        let _ = stderr.read_to_string(&mut said);
    }
    let status = child
        .wait()
        .map_err(|e| Error::io(Path::new("mke2fs"), "waiting for it", e))?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::io(
            Path::new("mke2fs"),
            "making the new data partition",
            io::Error::other(said.trim().to_owned()),
        )),
    }
}
