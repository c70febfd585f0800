//! `tandemctl capture`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{from_slice, from_value, to_value};
use tandem_admin::{
    CaptureEnd, CaptureParams, CaptureStarted, CapturedPacket, Notification, method,
};

use crate::client::{Client, Failure};
use crate::pcap::Pcap;

/// What to capture, and how much of it at most.
#[derive(Args)]
pub(crate) struct Capture {
    /// The pcap file; `-` for standard output
    #[arg(short = 'w', long = "write", value_name = "FILE")]
    write: PathBuf,
    /// SIP with this Call-ID, and the media of its call
    #[arg(long, value_name = "CALL-ID")]
    call_id: Option<String>,
    /// Media of this flow, as `tandemctl flows` numbers it
    #[arg(long, value_name = "NUMBER")]
    flow: Option<u64>,
    /// Anything from or to this address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<std::net::IpAddr>,
    /// Stop after so many packets
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    max_packets: u64,
    /// Stop after so many bytes
    #[arg(long, value_name = "N", default_value_t = 64 * 1024 * 1024)]
    max_bytes: u64,
    /// Stop after so many seconds
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// Keep so many bytes of each packet; 0 for all
    #[arg(long, value_name = "N", default_value_t = 0)]
    snaplen: u32,
}

/// Writes packets to the file until one of the limits is reached.
pub(crate) fn capture(client: &mut Client, wanted: &Capture) -> Result<(), Failure> {
    let file_error = |error| Failure::File {
        path: wanted.write.clone(),
        error,
    };
    let params = CaptureParams {
        call_id: wanted.call_id.clone(),
        sip_only: false,
        flow: wanted.flow,
        address: wanted.address,
        snaplen: wanted.snaplen,
        max_packets: wanted.max_packets,
        max_bytes: wanted.max_bytes,
        max_seconds: wanted.seconds,
    };
    let params = to_value(&params).map_err(|e| Failure::Protocol(e.to_string()))?;
    let started: CaptureStarted = client.call(method::CAPTURE, params)?;
    // Not before: a capture that is refused leaves a file that was there alone.
    let mut file = Pcap::new(open(&wanted.write).map_err(file_error)?).map_err(file_error)?;
    eprintln!(
        "capturing up to {} packets, {} bytes, {} s",
        started.max_packets, started.max_bytes, started.max_seconds
    );
    // The daemon ends the capture in time; a while more for its last words.
    client.wait_up_to(Duration::from_secs(u64::from(started.max_seconds) + 10))?;
    let mut packets: u64 = 0;
    loop {
        if !client.has_more() {
            // Whoever watches the file, or interrupts us, has every packet so far.
            file.flush().map_err(file_error)?;
        }
        let line = match client.line() {
            Ok(line) => line,
            Err(failure) => {
                eprintln!("{packets} packets written before the capture broke off");
                return Err(failure);
            }
        };
        let note: Notification = from_slice(&line).map_err(|e| Failure::Protocol(e.to_string()))?;
        if note.method == method::CAPTURE_END {
            let end: CaptureEnd =
                from_value(note.params).map_err(|e| Failure::Protocol(e.to_string()))?;
            file.flush().map_err(file_error)?;
            eprintln!(
                "{packets} packets written, {} missed for want of room: {}",
                end.dropped, end.reason
            );
            return Ok(());
        }
        let packet: CapturedPacket =
            from_value(note.params).map_err(|e| Failure::Protocol(e.to_string()))?;
        let bytes = packet
            .bytes()
            .ok_or_else(|| Failure::Protocol("packet data is not hex".into()))?;
        file.packet(packet.timestamp_ns, packet.length, &bytes)
            .map_err(file_error)?;
        packets += 1;
    }
}

fn open(path: &Path) -> io::Result<BufWriter<Box<dyn Write>>> {
    let out: Box<dyn Write> = if path == Path::new("-") {
        Box::new(io::stdout())
    } else {
        Box::new(File::create(path)?)
    };
    Ok(BufWriter::new(out))
}
