//! Whether a disk has what an image has, part by part.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::error::Error;
use crate::fat;
use crate::gpt::Gpt;
use crate::inspect::Inspected;
use crate::layout::{Fate, Layout};
use crate::preload::FOLDER;
use crate::progress::{Phase, Progress};
use crate::source::{Piece, Source, is_zero};
use crate::target::Target;

/// How a part of the disk compares with the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// A partition's label, or `table`.
    pub name: String,
    /// Pieces that were compared.
    pub compared: u64,
    /// Bytes in pieces of 4 KiB that differ.
    pub differing: u64,
    /// The first byte of the first difference.
    pub first: Option<u64>,
    /// Files that differ, of the ESP; `None`: not compared by file.
    pub files: Option<Vec<String>>,
}

impl Part {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            compared: 0,
            differing: 0,
            first: None,
            files: None,
        }
    }

    /// Whether it is what the image has. An ESP is, if all files but those for the first boot are.
    #[must_use]
    pub fn is_same(&self) -> bool {
        match &self.files {
            Some(files) => files.iter().all(|f| is_preload(f)),
            None => self.differing == 0,
        }
    }

    fn note(&mut self, at: u64, expected: &[u8], found: &[u8]) {
        const STEP: usize = 4_096;
        self.compared += expected.len() as u64;
        let steps = expected.chunks(STEP).zip(found.chunks(STEP));
        for (n, (a, b)) in steps.enumerate().filter(|(_, (a, b))| a != b) {
            self.differing += a.len() as u64;
            let byte = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(0);
            let place = at + (n * STEP + byte) as u64;
            self.first.get_or_insert(place);
        }
    }
}

/// Whether a file of the ESP is one that was put there for the first boot.
#[must_use]
pub fn is_preload(path: &str) -> bool {
    path.strip_prefix('/')
        .and_then(|p| p.strip_prefix(FOLDER))
        .is_some_and(|rest| rest.starts_with('/'))
}

/// Compares.
///
/// # Errors
/// One of them cannot be read.
pub fn compare(
    source: &mut dyn Source,
    target: &mut dyn Target,
    image: &Inspected,
    disk: &std::path::Path,
    progress: &mut dyn Progress,
    stop: &AtomicBool,
) -> Result<Vec<Part>, Error> {
    let mut fetch = |at: u64, bytes: &mut [u8]| {
        let read = target.read(at, bytes);
        read.map_err(|e| Error::io(disk, format!("reading at byte {at}"), e))
    };
    let mut table = Part::new("table");
    let mut head = image.head.clone();
    let mut found = vec![0; head.len()];
    fetch(0, &mut found)?;
    let size = disk_size(image, &found, disk)?;
    let (tail_at, tail) = image
        .table
        .fit(&mut head, size)
        .map_err(|e| Error::Differs {
            disk: disk.display().to_string(),
            image: "the image".into(),
            problem: e.to_string(),
        })?;
    table.note(0, &head, &found);
    let mut found = vec![0; tail.len()];
    fetch(tail_at, &mut found)?;
    table.note(tail_at, &tail, &found);

    let layout = Layout::new(&image.table, &(tail_at..tail_at + tail.len() as u64), &[]);
    let partitions = image.table.partitions();
    let mut parts: Vec<Part> = partitions.iter().map(|p| Part::new(&p.name)).collect();
    progress.begin(Phase::Verify, image.size);
    let mut done = 0;
    let mut buffer = Vec::new();
    while let Some(piece) = source.next()? {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let whole = piece.range();
        for (range, fate) in layout.cut(whole.clone()) {
            if fate == Fate::Held || (fate == Fate::Raw && matches!(piece, Piece::Gap(_))) {
                continue;
            }
            // What lies between partitions counts to none.
            let inside = partitions.iter().zip(&mut parts);
            let Some((_, part)) = inside
                .into_iter()
                .find(|(p, _)| p.bytes.contains(&range.start))
            else {
                continue;
            };
            buffer.resize((range.end - range.start) as usize, 0);
            fetch(range.start, &mut buffer)?;
            compare_piece(&piece, &whole, &range, &buffer, part);
        }
        done += whole.end - whole.start;
        progress.at(done);
    }
    if let Some((at, bytes)) = &image.esp
        && let Some(part) = parts
            .iter_mut()
            .find(|p| p.name == "esp" && p.differing > 0)
    {
        let mut found = vec![0; bytes.len()];
        fetch(*at, &mut found)?;
        part.files = esp_files(&mut bytes.clone(), &mut found);
    }
    parts.insert(0, table);
    Ok(parts)
}

fn compare_piece(
    piece: &Piece,
    whole: &Range<u64>,
    range: &Range<u64>,
    found: &[u8],
    part: &mut Part,
) {
    match piece {
        Piece::Data { bytes, .. } => {
            let from = (range.start - whole.start) as usize;
            let to = (range.end - whole.start) as usize;
            part.note(range.start, bytes.get(from..to).unwrap_or_default(), found);
        }
        Piece::Zeros(_) | Piece::Gap(_) => match is_zero(found) {
            true => part.compared += found.len() as u64,
            false => part.note(range.start, &vec![0; found.len()], found),
        },
    }
}

/// The size that the disk's own table says it was fitted to: it is the disk's size, or a copy's.
fn disk_size(image: &Inspected, head: &[u8], disk: &std::path::Path) -> Result<u64, Error> {
    let differs = |problem: String| Error::Differs {
        disk: disk.display().to_string(),
        image: "the image".into(),
        problem,
    };
    let table = Gpt::parse(head).map_err(|e| differs(format!("{e} on it")))?;
    let size = table.disk_size();
    match size >= image.table.needed() {
        true => Ok(size),
        false => Err(differs(format!("its partition table is for {size} bytes"))),
    }
}

/// Paths of files that differ; `None` if it is no file system.
fn esp_files(expected: &mut [u8], found: &mut [u8]) -> Option<Vec<String>> {
    let expected = fat::files(expected).ok()?;
    let found = fat::files(found).ok()?;
    let mut paths: Vec<String> = expected
        .iter()
        .filter(|(path, sum)| found.get(*path) != Some(*sum))
        .map(|(path, _)| path.clone())
        .collect();
    paths.extend(found.keys().filter(|p| !expected.contains_key(*p)).cloned());
    paths.sort();
    Some(paths)
}
