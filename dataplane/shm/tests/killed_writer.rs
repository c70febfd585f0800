//! A writer that is killed in the middle of writing harms nobody: the reader never sees a torn
//! record, and everything it sees is in order.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which fail by panicking"
)]

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};

use tandem_shm::{
    DatagramMeta, MIN_RING_BYTES, PushError, Record, Session, attach, payload_buffer,
};

/// The parent's process id and its descriptor of the memory, for the child.
const MEMORY: &str = "TANDEM_SHM_TEST_MEMORY";

const ROUNDS: u64 = 60;

#[test]
fn a_killed_writer_leaves_no_torn_record() {
    let mut buffer = payload_buffer();
    let mut seen = 0;
    for round in 0..ROUNDS {
        let epoch = round as u32 + 1;
        let (session, mut ends) = Session::create(epoch, 1, 1, MIN_RING_BYTES).unwrap();
        let consumer = &mut ends[0][0].consumer;
        let mut writer = spawn_writer(&session, epoch);
        // The kill comes after a number of records that differs by round: a moment that is
        // anywhere in the writer's loop.
        let kill_after = (round * 7919) % 2000;
        let mut expected = 0;
        while expected <= kill_after {
            match consumer.pop(&mut buffer).unwrap() {
                Some((Record::Datagram(meta), length)) => {
                    check(&mut expected, meta, &buffer[..length]);
                }
                Some((Record::Message, _)) => panic!("nobody sent a message"),
                None => assert!(
                    writer.try_wait().unwrap().is_none(),
                    "the writer died early"
                ),
            }
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        while let Some((Record::Datagram(meta), length)) = consumer.pop(&mut buffer).unwrap() {
            check(&mut expected, meta, &buffer[..length]);
        }
        assert_eq!(consumer.corrupt(), 0);
        seen += expected;
    }
    assert!(seen > ROUNDS);
}

/// The child's part: writes without end until killed. Does nothing in the parent.
#[test]
fn child_writes_until_killed() {
    let Ok(place) = std::env::var(MEMORY) else {
        return;
    };
    let (path, epoch) = place.split_once(' ').unwrap();
    let memory = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let bell = OpenOptions::new().write(true).open("/dev/null").unwrap();
    let epoch = epoch.parse().unwrap();
    let mut reader = attach(memory.into(), vec![bell.into()], epoch, 1)
        .unwrap()
        .remove(0);
    let ends = &mut reader.ends;
    for n in 0.. {
        while ends[0].producer.push(&meta(n), &payload(n)) == Err(PushError::Full) {
            std::thread::yield_now();
        }
    }
}

fn spawn_writer(session: &Session, epoch: u32) -> Child {
    let fd = session.memory_fd().as_raw_fd();
    let place = format!("/proc/{}/fd/{fd} {epoch}", std::process::id());
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_writes_until_killed", "--test-threads=1"])
        .env(MEMORY, place)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn check(expected: &mut u64, header: DatagramMeta, bytes: &[u8]) {
    assert_eq!(header, meta(*expected));
    assert_eq!(bytes, payload(*expected), "record {expected} is torn");
    *expected += 1;
}

fn meta(n: u64) -> DatagramMeta {
    DatagramMeta {
        realm: n as u16,
        source: SocketAddr::from((n.to_be_bytes().map(u16::from), n as u16)),
        destination: SocketAddr::from(([0; 8], 5060)),
        dscp: (n % 64) as u8,
        timestamp_ns: n,
    }
}

fn payload(n: u64) -> Vec<u8> {
    vec![n as u8; (n * 37 % 3001) as usize]
}
