//! Files of frames that DPDK's `net_pcap` plays without end.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use tandem_e2e::{Failure, Result};

use crate::frames::{FRAME, Frames};

/// Little endian, microseconds, version 2.4, Ethernet.
const HEADER: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1];

/// Writes one frame of each flow, in this order.
pub(crate) fn write(path: &Path, frames: &mut Frames, order: &[u32]) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    let file = std::fs::File::create(path).map_err(Failure::while_(doing()))?;
    let mut file = BufWriter::new(file);
    let mut put = |bytes: &[u8]| file.write_all(bytes).map_err(Failure::while_(doing()));
    for word in HEADER {
        put(&word.to_le_bytes())?;
    }
    let mut frame = [0; FRAME];
    for (n, flow) in order.iter().enumerate() {
        frames.next(*flow as usize, 0, &mut frame);
        for word in [
            n as u32 / 1_000_000,
            n as u32 % 1_000_000,
            FRAME as u32,
            FRAME as u32,
        ] {
            put(&word.to_le_bytes())?;
        }
        put(&frame)?;
    }
    file.flush().map_err(Failure::while_(doing()))
}
