//! Ports without a wire: the ring driver's loopback, the null driver, and devices that are not.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail"
)]

use std::sync::OnceLock;

use tandem_dpdk::{
    BURST, Burst, Device, Eal, EalSettings, Error, Mempool, Port, PortConfig, Steering,
};

/// EAL, once for all tests of this process; the first ring is named to EAL itself.
fn eal() -> Eal {
    static EAL: OnceLock<Eal> = OnceLock::new();
    *EAL.get_or_init(|| {
        let settings = EalSettings {
            main_core: 0,
            memory_mb: Some(128),
            devices: vec![device("net_ring0")],
            further: Vec::new(),
        };
        Eal::init(&settings.arguments()).unwrap()
    })
}

fn pool(name: &str) -> Mempool {
    Mempool::create(eal(), name, 2047, 0, 2048).unwrap()
}

fn device(text: &str) -> Device {
    text.parse().unwrap()
}

#[test]
fn what_is_sent_on_a_ring_comes_back_in_order() {
    let pool = pool("ring");
    let config = PortConfig::default();
    let mut started = Port::start(eal(), &device("net_ring0"), &config, &pool).unwrap();
    assert_eq!(started.port.driver(), "net_ring");
    assert_eq!(started.report.steering, Steering::OneQueue);
    assert_eq!((started.rx.len(), started.tx.len()), (1, 1));
    assert!(started.port.link().unwrap().up);
    let (rx, tx) = (&mut started.rx[0], &mut started.tx[0]);

    let mut burst = Burst::new();
    for round in 0..100u32 {
        pool.fill(&mut burst);
        for (i, packet) in burst.iter_mut().enumerate() {
            packet
                .write(format!("packet {round} {i}").as_bytes())
                .unwrap();
        }
        assert_eq!(tx.send(&mut burst), BURST);
        assert!(burst.is_empty(), "what the device took is no longer ours");
        assert_eq!(rx.receive(&mut burst), BURST);
        for (i, packet) in burst.drain().enumerate() {
            assert_eq!(packet.data(), format!("packet {round} {i}").as_bytes());
        }
    }
    let stats = started.port.stats().unwrap();
    assert_eq!(
        (stats.rx_packets, stats.tx_packets, stats.tx_errors),
        (3200, 3200, 0)
    );
    let extended = started.port.extended_stats().unwrap();
    assert!(
        extended.contains(&("rx_good_packets".to_owned(), 3200)),
        "{extended:?}"
    );
    assert_eq!(pool.available(), 2047);
}

#[test]
fn what_a_full_device_does_not_take_stays_with_the_sender() {
    let pool = pool("full");
    let config = PortConfig::default();
    let mut started = Port::start(eal(), &device("net_ring1"), &config, &pool).unwrap();
    let (rx, tx) = (&mut started.rx[0], &mut started.tx[0]);
    let (mut burst, mut accepted, mut refused) = (Burst::new(), 0, 0);
    for _ in 0..48 {
        pool.fill(&mut burst);
        for packet in burst.iter_mut() {
            packet.write(b"x").unwrap();
        }
        let taken = tx.send(&mut burst);
        assert_eq!(burst.len(), BURST - taken);
        accepted += taken;
        refused += burst.clear();
    }
    assert_eq!(accepted + refused, 48 * BURST);
    assert!(
        refused > 0,
        "the ring holds fewer than {} packets",
        48 * BURST
    );
    assert_eq!(usize::try_from(pool.available()).unwrap(), 2047 - accepted);

    let mut received = 0;
    while rx.receive(&mut burst) > 0 {
        received += burst.clear();
    }
    assert_eq!(received, accepted);
    assert_eq!(pool.available(), 2047);
}

#[test]
fn a_burst_that_holds_packets_receives_into_its_free_room() {
    let pool = pool("room");
    let mut started =
        Port::start(eal(), &device("net_null0"), &PortConfig::default(), &pool).unwrap();
    assert_eq!(started.report.driver, "net_null");
    let mut burst = Burst::new();
    for _ in 0..30 {
        burst.push(pool.take().unwrap()).unwrap();
    }
    assert_eq!(started.rx[0].receive(&mut burst), 2);
    assert_eq!(
        started.rx[0].receive(&mut burst),
        0,
        "no room, nothing lost"
    );
    assert_eq!(started.tx[0].send(&mut burst), BURST);
    assert_eq!(started.tx[0].send(&mut burst), 0);
    assert_eq!(pool.available(), 2047);
}

#[test]
fn queues_are_handed_out_once_and_the_port_closes_with_the_last() {
    let pool = pool("once");
    let config = PortConfig {
        rx_queues: 2,
        tx_queues: 2,
        ..PortConfig::default()
    };
    let null = device("net_null7");
    // One queue only, with what the driver makes by itself.
    let started = Port::start(eal(), &null, &PortConfig::default(), &pool).unwrap();
    let again = Port::start(eal(), &null, &config, &pool).unwrap_err();
    assert_eq!(again, Error::InUse("net_null7".to_owned()));

    // The port is gone, a queue is not: it still works, so the device is still in use.
    let mut rx = started.rx;
    drop((started.port, started.tx));
    let mut burst = Burst::new();
    assert_eq!(rx[0].receive(&mut burst), BURST);
    burst.clear();
    assert!(matches!(
        Port::start(eal(), &null, &config, &pool),
        Err(Error::InUse(_))
    ));

    drop(rx);
    // Closed, and for good: DPDK does not take a closed device up again.
    let gone = Port::start(eal(), &null, &PortConfig::default(), &pool).unwrap_err();
    assert!(matches!(gone, Error::Device { .. }), "{gone}");
    assert_eq!(pool.available(), 2047);
}

#[test]
fn a_device_that_is_not_there_is_named_with_a_remedy() {
    let pool = pool("none");
    let config = PortConfig::default();
    let error = Port::start(eal(), &device("net_nonsense0"), &config, &pool).unwrap_err();
    assert!(matches!(error, Error::Device { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .starts_with("device `net_nonsense0` cannot be used: "),
        "{error}"
    );
    assert!(error.to_string().contains("driver's name"), "{error}");

    let absent = device("net_af_packet9,iface=tnd-absent");
    let error = Port::start(eal(), &absent, &config, &pool).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`net_af_packet9,iface=tnd-absent`"),
        "{error}"
    );

    let error = Port::start(eal(), &device("ffff:ff:1f.7"), &config, &pool).unwrap_err();
    assert!(error.to_string().contains("vfio-pci"), "{error}");
}

#[test]
fn wishes_that_cannot_be_are_refused_by_name() {
    let pool = pool("wishes");
    let many = PortConfig {
        rx_queues: 200,
        ..PortConfig::default()
    };
    let error = Port::start(eal(), &device("net_ring2"), &many, &pool).unwrap_err();
    assert!(
        matches!(error, Error::Queues { wanted: 200, .. }),
        "{error:?}"
    );

    let jumbo = PortConfig {
        mtu: 9000,
        ..PortConfig::default()
    };
    let error = Port::start(eal(), &device("net_ring3"), &jumbo, &pool).unwrap_err();
    assert_eq!(
        error,
        Error::BufferSize {
            mtu: 9000,
            needed: 9026,
            has: 2048
        }
    );
}
