//! The rings as the two planes use them, in one process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which fail by panicking"
)]

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use proptest::prelude::*;
use tandem_shm::{
    DatagramMeta, Doorbell, End, MAX_PAYLOAD, MIN_RING_BYTES, PopError, PushError, Reader, Record,
    Session, ShmError, attach, payload_buffer,
};

const EPOCH: u32 = 7;
/// Bytes that datagrams leave free.
const FOR_MESSAGES: usize = 8 * 1024;

struct Pair {
    session: Session,
    dataplane: Vec<End>,
    controller: Vec<End>,
    bell: Doorbell,
}

fn pair(workers: u16) -> Pair {
    let (session, dataplane) = Session::create(EPOCH, workers, 1, MIN_RING_BYTES).unwrap();
    let mut readers = attach(memory(&session), bells(&session), EPOCH, workers).unwrap();
    let Reader { ends, doorbell } = readers.remove(0);
    Pair {
        session,
        dataplane: dataplane.into_iter().flatten().collect(),
        controller: ends,
        bell: doorbell,
    }
}

fn memory(session: &Session) -> OwnedFd {
    session.memory_fd().try_clone_to_owned().unwrap()
}

fn bells(session: &Session) -> Vec<OwnedFd> {
    let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().unwrap();
    session.doorbell_fds().map(own).collect()
}

fn meta(n: u64) -> DatagramMeta {
    DatagramMeta {
        realm: n as u16,
        source: SocketAddr::from(([192, 0, 2, n as u8], 5060)),
        destination: SocketAddr::from(([198, 51, 100, 1], 5060)),
        dscp: 24,
        timestamp_ns: n,
    }
}

fn datagram(n: u64) -> Record {
    Record::Datagram(meta(n))
}

#[test]
fn datagrams_cross_in_both_directions_and_by_worker() {
    let mut p = pair(2);
    let mut buffer = payload_buffer();
    p.dataplane[1].producer.push(&meta(1), b"INVITE").unwrap();
    p.controller[0].producer.push(&meta(2), b"SIP/2.0").unwrap();
    assert_eq!(p.controller[0].consumer.pop(&mut buffer), Ok(None));
    assert_eq!(
        p.controller[1].consumer.pop(&mut buffer),
        Ok(Some((datagram(1), 6)))
    );
    assert_eq!(&buffer[..6], b"INVITE");
    assert_eq!(p.dataplane[1].consumer.pop(&mut buffer), Ok(None));
    assert_eq!(
        p.dataplane[0].consumer.pop(&mut buffer),
        Ok(Some((datagram(2), 7)))
    );
    assert_eq!(&buffer[..7], b"SIP/2.0");
}

#[test]
fn a_full_ring_refuses_counts_and_goes_on_when_read() {
    let mut p = pair(1);
    let mut buffer = payload_buffer();
    let mut taken = 0;
    while p.dataplane[0].producer.push(&meta(taken), &[0x55; 1000]) == Ok(()) {
        taken += 1;
    }
    assert_eq!(
        taken,
        (u64::from(MIN_RING_BYTES) - FOR_MESSAGES as u64) / (7 * 8 + 1000)
    );
    assert_eq!(
        p.dataplane[0].producer.push(&meta(0), &[0; 1000]),
        Err(PushError::Full)
    );
    assert_eq!(p.dataplane[0].producer.dropped(), 2);
    assert_eq!(p.controller[0].consumer.dropped_by_producer(), 2);
    assert_eq!(
        p.controller[0].consumer.pop(&mut buffer),
        Ok(Some((datagram(0), 1000)))
    );
    assert_eq!(p.dataplane[0].producer.push(&meta(9), &[0; 1000]), Ok(()));
}

#[test]
fn datagrams_leave_room_for_messages_which_keep_their_place() {
    let mut p = pair(1);
    let mut buffer = payload_buffer();
    let producer = &mut p.controller[0].producer;
    producer.push(&meta(0), b"before").unwrap();
    producer.push_message(b"a command").unwrap();
    while producer.push(&meta(1), &[0x55; 1000]) == Ok(()) {}
    let dropped = producer.dropped();
    assert!(producer.has_room(2, 2000));
    let mut messages = 0;
    while producer.push_message(&[0x66; 1000]) == Ok(()) {
        messages += 1;
    }
    assert_eq!((messages, producer.has_room(2, 2000)), (7, false));
    assert_eq!(producer.dropped(), dropped, "it may be given again");
    let consumer = &mut p.dataplane[0].consumer;
    assert_eq!(consumer.pop(&mut buffer), Ok(Some((datagram(0), 6))));
    assert_eq!(consumer.pop(&mut buffer), Ok(Some((Record::Message, 9))));
    assert_eq!(&buffer[..9], b"a command");
    assert_eq!(consumer.pop(&mut buffer), Ok(Some((datagram(1), 1000))));
    let mut last = None;
    while let Some((record, _)) = consumer.pop(&mut buffer).unwrap() {
        last = Some(record);
    }
    assert_eq!(last, Some(Record::Message));
}

#[test]
fn a_ring_is_crowded_from_half_of_it_on_until_it_is_read() {
    let mut p = pair(1);
    let mut buffer = payload_buffer();
    let mut pushed = 0;
    while p.dataplane[0].producer.has_free(4) {
        assert_eq!(
            p.dataplane[0].producer.push(&meta(0), &[0x55; 1000]),
            Ok(())
        );
        pushed += 1;
    }
    let record = 7 * 8 + 1000;
    assert_eq!(pushed, (MIN_RING_BYTES / 2).div_ceil(record));
    p.controller[0].consumer.pop(&mut buffer).unwrap();
    assert!(p.dataplane[0].producer.has_free(4));
}

#[test]
fn the_longest_payload_fits_and_a_longer_one_is_refused() {
    let mut p = pair(1);
    let mut buffer = payload_buffer();
    let long = vec![0xA5; MAX_PAYLOAD + 1];
    assert_eq!(
        p.dataplane[0].producer.push(&meta(0), &long),
        Err(PushError::TooLong)
    );
    p.dataplane[0]
        .producer
        .push(&meta(0), &long[..MAX_PAYLOAD])
        .unwrap();
    assert_eq!(
        p.controller[0].consumer.pop(&mut buffer),
        Ok(Some((datagram(0), MAX_PAYLOAD)))
    );
    assert!(buffer.iter().all(|b| *b == 0xA5));
}

#[test]
fn a_fenced_session_answers_fenced_at_both_ends_and_rings() {
    let mut p = pair(1);
    let mut buffer = payload_buffer();
    p.dataplane[0]
        .producer
        .push(&meta(0), b"left behind")
        .unwrap();
    p.session.fence();
    assert!(rung(&p.bell, 0));
    assert_eq!(
        p.controller[0].consumer.pop(&mut buffer),
        Err(PopError::Fenced)
    );
    assert_eq!(
        p.controller[0].producer.push(&meta(0), b"x"),
        Err(PushError::Fenced)
    );
    assert_eq!(
        p.dataplane[0].consumer.pop(&mut buffer),
        Err(PopError::Fenced)
    );
    assert_eq!(
        p.dataplane[0].producer.push(&meta(0), b"x"),
        Err(PushError::Fenced)
    );
}

#[test]
fn each_reader_has_rings_and_a_bell_of_its_own() {
    let (session, mut workers) = Session::create(EPOCH, 2, 3, MIN_RING_BYTES).unwrap();
    let mut readers = attach(memory(&session), bells(&session), EPOCH, 2).unwrap();
    assert_eq!((workers.len(), readers.len()), (2, 3));
    let asleep = |reader: &Reader| reader.ends.iter().all(|e| e.consumer.prepare_sleep());
    assert!(readers.iter().all(asleep));
    let to_one = &mut workers[1][1].producer;
    to_one.push(&meta(1), b"for 1").unwrap();
    for end in workers.iter_mut().flatten() {
        end.producer.flush();
    }
    let rang: Vec<bool> = readers.iter().map(|r| rung(&r.doorbell, 0)).collect();
    assert_eq!(rang, [false, true, false], "the others sleep on");
    let mut buffer = payload_buffer();
    for (at, reader) in readers.iter_mut().enumerate() {
        for (worker, end) in reader.ends.iter_mut().enumerate() {
            let expected = ((at, worker) == (1, 1)).then_some((datagram(1), 5));
            assert_eq!(end.consumer.pop(&mut buffer), Ok(expected));
            let number = (at * 2 + worker) as u64;
            end.producer.push(&meta(number), b"back").unwrap();
        }
    }
    for (worker, ends) in workers.iter_mut().enumerate() {
        for (at, end) in ends.iter_mut().enumerate() {
            let number = (at * 2 + worker) as u64;
            assert_eq!(
                end.consumer.pop(&mut buffer),
                Ok(Some((datagram(number), 4)))
            );
        }
    }
    let fewer = bells(&session).into_iter().take(2).collect();
    let refused = attach(memory(&session), fewer, EPOCH, 2);
    assert_eq!(refused.err(), Some(ShmError::Shape));
    let none = Session::create(EPOCH, 2, 0, MIN_RING_BYTES);
    assert_eq!(none.err(), Some(ShmError::Shape));
}

#[test]
fn memory_that_is_not_the_announced_one_is_not_mapped() {
    let (session, _ends) = Session::create(EPOCH, 1, 1, MIN_RING_BYTES).unwrap();
    let refused = |epoch, workers| attach(memory(&session), bells(&session), epoch, workers);
    assert_eq!(refused(EPOCH + 1, 1).err(), Some(ShmError::Epoch));
    assert_eq!(refused(EPOCH, 2).err(), Some(ShmError::Shape));
    let plain = tempfile();
    plain.set_len(1 << 20).unwrap();
    assert!(attach(plain.into(), bells(&session), EPOCH, 1).is_err());
    assert_eq!(
        Session::create(0, 1, 1, MIN_RING_BYTES).err(),
        Some(ShmError::Shape)
    );
    assert_eq!(
        Session::create(1, 1, 1, MIN_RING_BYTES + 8).err(),
        Some(ShmError::Shape)
    );
    session.fence();
    assert_eq!(refused(EPOCH, 1).err(), Some(ShmError::Epoch));
}

#[test]
fn the_memory_cannot_be_resized() {
    let (session, _ends) = Session::create(EPOCH, 1, 1, MIN_RING_BYTES).unwrap();
    let file = File::from(memory(&session));
    assert!(file.set_len(4096).is_err());
    assert!(file.set_len(1 << 30).is_err());
}

#[test]
fn a_sleeping_reader_is_woken_and_a_waking_one_left_in_peace() {
    let mut p = pair(1);
    let dataplane = &mut p.dataplane[0];
    dataplane.producer.push(&meta(0), b"x").unwrap();
    dataplane.producer.flush();
    assert!(!rung(&p.bell, 0), "nobody sleeps");
    assert!(
        !p.controller[0].consumer.prepare_sleep(),
        "there is something to read"
    );
    p.controller[0].consumer.awake();
    p.controller[0].consumer.pop(&mut payload_buffer()).unwrap();
    assert!(p.controller[0].consumer.prepare_sleep());
    dataplane.producer.push(&meta(1), b"y").unwrap();
    dataplane.producer.flush();
    assert!(rung(&p.bell, 0));
    p.bell.silence();
    assert!(!rung(&p.bell, 0));
    p.controller[0].consumer.awake();
    p.controller[0].consumer.pop(&mut payload_buffer()).unwrap();
    // A poll loop flushes in every turn; without news the reader goes on sleeping.
    assert!(p.controller[0].consumer.prepare_sleep());
    dataplane.producer.flush();
    assert!(!rung(&p.bell, 0));
}

#[test]
fn no_wake_up_is_lost() {
    const DATAGRAMS: u64 = 100_000;
    let Pair {
        session: _session,
        mut dataplane,
        mut controller,
        bell,
    } = pair(1);
    let writer = std::thread::spawn(move || {
        let producer = &mut dataplane[0].producer;
        for n in 0..DATAGRAMS {
            while producer.push(&meta(n), &n.to_le_bytes()) == Err(PushError::Full) {
                std::thread::yield_now();
            }
            producer.flush();
        }
    });
    let consumer = &mut controller[0].consumer;
    let mut buffer = payload_buffer();
    let mut expected = 0;
    while expected < DATAGRAMS {
        while let Some((header, _)) = consumer.pop(&mut buffer).unwrap() {
            assert_eq!(header, datagram(expected));
            expected += 1;
        }
        if expected < DATAGRAMS && consumer.prepare_sleep() {
            assert!(
                rung(&bell, 10_000),
                "asleep with {expected} read: a wake-up was lost"
            );
        }
        consumer.awake();
        bell.silence();
    }
    writer.join().unwrap();
}

#[test]
fn scribbling_over_the_memory_never_panics_the_reader() {
    let mut p = pair(1);
    let path = format!("/proc/self/fd/{}", p.session.memory_fd().as_raw_fd());
    let scribbler = OpenOptions::new().write(true).open(path).unwrap();
    let size = File::from(memory(&p.session)).metadata().unwrap().len();
    let mut buffer = payload_buffer();
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let (mut read, mut corrupt) = (0, 0);
    for round in 0..20_000 {
        let _ = p.controller[0]
            .producer
            .push(&meta(round), &vec![1; (next() % 3000) as usize]);
        // Half of the scribbles hit the control words of the ring that the dataplane reads.
        let target = match next() % 4 {
            0 => 4096 + 4096 + u64::from(MIN_RING_BYTES) + next() % 32 * 8,
            1 => 4096 + 4096 + u64::from(MIN_RING_BYTES),
            // The epoch stays: a scribble there is only a fence.
            _ => 4096 + next() % (size - 4096 - 8),
        };
        let value = if next() % 2 == 0 {
            next()
        } else {
            next() % 100_000
        };
        scribbler.write_at(&value.to_le_bytes(), target).unwrap();
        for _ in 0..8 {
            match p.dataplane[0].consumer.pop(&mut buffer) {
                Ok(None) => break,
                Ok(Some((_, length))) => {
                    assert!(length <= MAX_PAYLOAD);
                    read += 1;
                }
                Err(error) => {
                    assert_eq!(error, PopError::Corrupt);
                    corrupt += 1;
                }
            }
        }
        let _ = p.dataplane[0].producer.push(&meta(round), b"still alive");
    }
    assert!(read > 0 && corrupt > 0, "read {read}, corrupt {corrupt}");
    assert_eq!(p.dataplane[0].consumer.corrupt(), corrupt);
}

#[test]
fn after_corruption_the_next_whole_record_is_read() {
    let mut p = pair(1);
    let mut buffer = payload_buffer();
    p.controller[0].producer.push(&meta(1), b"lost").unwrap();
    let header = 4096 + (4096 + u64::from(MIN_RING_BYTES)) + 4096;
    let path = format!("/proc/self/fd/{}", p.session.memory_fd().as_raw_fd());
    let scribbler = OpenOptions::new().write(true).open(path).unwrap();
    scribbler.write_at(&u64::MAX.to_le_bytes(), header).unwrap();
    assert_eq!(
        p.dataplane[0].consumer.pop(&mut buffer),
        Err(PopError::Corrupt)
    );
    assert_eq!(p.dataplane[0].consumer.pop(&mut buffer), Ok(None));
    p.controller[0].producer.push(&meta(2), b"read").unwrap();
    assert_eq!(
        p.dataplane[0].consumer.pop(&mut buffer),
        Ok(Some((datagram(2), 4)))
    );
}

proptest! {
    /// Against a model: whatever is pushed and popped in whatever order and sizes, what comes out
    /// is what went in, in order, and only a ring without room refuses.
    #[test]
    fn the_ring_is_a_bounded_queue(
        steps in proptest::collection::vec(
            (any::<bool>(), any::<bool>(), 0..20_000usize, any::<u8>()), 1..300)
    ) {
        let mut p = pair(1);
        let mut buffer = payload_buffer();
        let mut model = VecDeque::new();
        for (n, (push, message, length, fill)) in (0u64..).zip(steps) {
            if push {
                let payload = vec![fill; length];
                let used = model.iter().map(|(_, p): &(Record, Vec<u8>)| record(p.len())).sum::<usize>();
                let spare = if message { 0 } else { FOR_MESSAGES };
                let room = used + record(length) + spare <= MIN_RING_BYTES as usize;
                let producer = &mut p.dataplane[0].producer;
                let result = if message {
                    producer.push_message(&payload)
                } else {
                    producer.push(&meta(n), &payload)
                };
                prop_assert_eq!(result, if room { Ok(()) } else { Err(PushError::Full) });
                if room {
                    model.push_back((if message { Record::Message } else { datagram(n) }, payload));
                }
            } else {
                let popped = p.controller[0].consumer.pop(&mut buffer).unwrap();
                match model.pop_front() {
                    None => prop_assert_eq!(popped, None),
                    Some((n, payload)) => {
                        prop_assert_eq!(popped, Some((n, payload.len())));
                        prop_assert_eq!(&buffer[..payload.len()], &payload[..]);
                    }
                }
            }
        }
    }
}

fn record(length: usize) -> usize {
    56 + length.next_multiple_of(8)
}

fn rung(bell: &Doorbell, milliseconds: u16) -> bool {
    let mut fds = [PollFd::new(bell.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(milliseconds)).unwrap() == 1
}

fn tempfile() -> File {
    let path = std::env::temp_dir().join(format!("tandem-shm-{}", std::process::id()));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(path).unwrap();
    file
}
