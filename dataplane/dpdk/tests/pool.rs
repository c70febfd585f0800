//! Buffers: every one taken comes back, once; windows stay inside.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail"
)]

use std::sync::OnceLock;

use tandem_dpdk::{
    BURST, Burst, Checksum, Eal, EalSettings, Error, HEADROOM, Mempool, Registration, TxChecksums,
    WindowError,
};

/// EAL, once for all tests of this process.
fn eal() -> Eal {
    static EAL: OnceLock<Eal> = OnceLock::new();
    *EAL.get_or_init(|| {
        let settings = EalSettings {
            main_core: 0,
            memory_mb: Some(128),
            devices: Vec::new(),
            further: Vec::new(),
        };
        Eal::init(&settings.arguments()).unwrap()
    })
}

fn pool(name: &str, buffers: u32) -> Mempool {
    Mempool::create(eal(), name, buffers, 0, 2048).unwrap()
}

#[test]
fn every_buffer_comes_back_by_whatever_way_it_goes() {
    let pool = pool("ways", 255);
    assert_eq!(pool.available(), 255);
    let mut burst = Burst::new();

    let one = pool.take().unwrap();
    assert_eq!(pool.available(), 254);
    drop(one);

    assert_eq!(pool.fill(&mut burst), BURST);
    assert!(burst.is_full());
    assert_eq!(pool.available(), 255 - 32);
    assert_eq!(burst.clear(), BURST);
    assert_eq!(pool.available(), 255);

    // Half of a drained burst is used, the other half is dropped with the iterator.
    pool.fill(&mut burst);
    let used: Vec<_> = burst.drain().take(16).collect();
    assert_eq!(
        (used.len(), burst.len(), pool.available()),
        (16, 0, 255 - 16)
    );
    drop(used);

    // A burst that is dropped with packets in it.
    let mut other = Burst::new();
    pool.fill(&mut other);
    drop(other);

    // A packet that finds no room is handed back, not lost.
    pool.fill(&mut burst);
    let refused = burst.push(pool.take().unwrap()).unwrap_err();
    drop(refused);
    burst.clear();
    assert_eq!(pool.available(), 255);
}

#[test]
fn an_empty_pool_gives_nothing_and_recovers() {
    let pool = pool("empty", 31);
    let mut all: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
    assert_eq!(all.len(), 31);
    assert!(pool.take().is_none());
    all.truncate(16);
    // All or nothing: 15 are free, a burst wants 32.
    let mut burst = Burst::new();
    assert_eq!(
        (pool.fill(&mut burst), burst.len(), pool.available()),
        (0, 0, 15)
    );
    drop(all);
    assert_eq!(pool.available(), 31);
}

#[test]
fn packets_go_to_other_threads_and_back() {
    let pool = Mempool::create(eal(), "threads", 511, 32, 2048).unwrap();
    let (to_worker, from_here) = std::sync::mpsc::channel();
    let freer = std::thread::spawn({
        let eal = eal();
        move || {
            let registration = Registration::register(eal).unwrap();
            let number = registration.number();
            assert!(
                matches!(Registration::register(eal), Err(Error::Thread(_))),
                "once"
            );
            let mut count = 0;
            for packet in from_here {
                drop(packet);
                count += 1;
            }
            (count, number)
        }
    });
    let taker = std::thread::spawn({
        let (eal, pool) = (eal(), pool.clone());
        move || {
            let registration = Registration::register(eal).unwrap();
            for _ in 0..5_000 {
                // All buffers may be on their way to the other thread.
                let packet = loop {
                    if let Some(packet) = pool.take() {
                        break packet;
                    }
                    std::thread::yield_now();
                };
                to_worker.send(packet).unwrap();
            }
            registration.number()
        }
    });
    let taker = taker.join().unwrap();
    let (count, freer) = freer.join().unwrap();
    assert_eq!(count, 5_000);
    assert_ne!(
        taker, freer,
        "each registered thread has a number, and a cache, of its own"
    );
    assert_eq!(
        pool.available(),
        511,
        "caches of threads that left are counted"
    );
}

#[test]
fn a_window_moves_inside_of_the_buffer_and_not_outside() {
    let pool = pool("window", 31);
    let mut packet = pool.take().unwrap();
    let headroom = usize::from(HEADROOM);
    assert_eq!(
        (packet.start(), packet.len(), packet.segments()),
        (headroom, 0, 1)
    );
    assert_eq!(packet.buf().len(), 2048 + headroom);

    packet.write(b"payload").unwrap();
    // A header in front of it: written into the headroom, then the window is widened.
    packet.buf_mut()[headroom - 4..headroom].copy_from_slice(b"head");
    packet.set_window(headroom - 4, 11).unwrap();
    assert_eq!(packet.data(), b"headpayload");
    assert_eq!(packet.total_len(), 11);

    packet.set_window(0, 2048 + headroom).unwrap();
    for (start, len) in [
        (0, 2049 + headroom),
        (2048 + headroom, 1),
        (1, usize::MAX),
        (70_000, 0),
    ] {
        assert_eq!(
            packet.set_window(start, len),
            Err(WindowError),
            "{start} {len}"
        );
    }
    assert_eq!(
        packet.len(),
        2048 + headroom,
        "a refused window changes nothing"
    );
    assert_eq!(packet.write(&[0; 2049]), Err(WindowError));
}

#[test]
fn offloads_are_forgotten_when_the_buffer_is_used_anew() {
    let pool = pool("offloads", 1);
    let mut packet = pool.take().unwrap();
    assert_eq!(packet.rx_checksums().ip, Checksum::Unknown);
    assert_eq!(packet.rx_checksums().l4, Checksum::Unknown);
    assert_eq!((packet.stripped_vlan(), packet.rss_hash()), (None, None));
    packet.set_tx_checksums(TxChecksums {
        ipv4: true,
        udp: true,
        ipv6: false,
        l2_len: 14,
        l3_len: 20,
    });
    packet.set_tx_checksums(TxChecksums::default());
    packet.prefetch();
    drop(packet);
    assert!(pool.take().is_some());
}

#[test]
fn a_pool_that_does_not_fit_says_what_helps() {
    let error = Mempool::create(eal(), "large", 1 << 20, 0, 2048).unwrap_err();
    assert!(
        matches!(error, Error::Pool { buffers, .. } if buffers == 1 << 20),
        "{error}"
    );
    assert!(error.to_string().contains("memory_mb"), "{error}");

    let _first = pool("twice", 31);
    let error = Mempool::create(eal(), "twice", 31, 0, 2048).unwrap_err();
    assert!(
        error.to_string().contains("There is a pool of this name"),
        "{error}"
    );
}

#[test]
fn dpdk_starts_once() {
    assert!(eal().version().starts_with("DPDK "));
    assert_eq!(Eal::init(&["--no-huge"]).unwrap_err(), Error::Initialised);
}
