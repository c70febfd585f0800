//! From an image that was found good and a disk that may be written to what has to be done.

use std::path::Path;

use crate::engine::Job;
use crate::error::Error;
use crate::gpt::SECTOR;
use crate::inspect::{Inspected, Kind};
use crate::layout::{Fate, Layout};
use crate::preload::Preload;

/// Bytes that a disk must have for this image.
#[must_use]
pub fn needed(image: &Inspected) -> u64 {
    image.table.needed()
}

/// What has to be done for a disk of `size` bytes.
///
/// # Errors
/// The disk is too small, or the ESP does not take what is to be preloaded.
pub fn job(image: &Inspected, size: u64, preload: &Preload, path: &Path) -> Result<Job, Error> {
    let mut head = image.head.clone();
    let size = size / SECTOR * SECTOR;
    let tail = image
        .table
        .fit(&mut head, size)
        .map_err(|e| Error::image(path, e.to_string()))?;
    let mut held = Vec::new();
    if !preload.is_empty() {
        let Some((at, mut esp)) = image.esp.clone() else {
            let problem = "it has no partition `esp` to preload anything into";
            return Err(Error::image(path, problem));
        };
        preload.put(&mut esp, path)?;
        held.push((at, esp));
    }
    let ranges: Vec<_> = held
        .iter()
        .map(|(at, bytes)| *at..at + bytes.len() as u64)
        .collect();
    let layout = Layout::new(
        &image.table,
        &(tail.0..tail.0 + tail.1.len() as u64),
        &ranges,
    );
    Ok(Job {
        head,
        tail,
        total: total(image, &layout) + held.iter().map(|h| h.1.len() as u64).sum::<u64>(),
        layout,
        held,
    })
}

/// Bytes that will be written or made zeros: what is left alone does not count, or the rate would be too good to be true.
fn total(image: &Inspected, layout: &Layout) -> u64 {
    let runs = image.runs.iter();
    runs.flat_map(|(range, kind)| layout.cut(range.clone()).into_iter().map(|c| (c, *kind)))
        .filter(|((_, fate), kind)| *fate != Fate::Held && (*fate, *kind) != (Fate::Raw, Kind::Gap))
        .map(|((range, _), _)| range.end - range.start)
        .sum()
}
