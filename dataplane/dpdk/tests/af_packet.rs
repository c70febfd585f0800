//! Two ports wired to each other by a veth pair, as in the lab, in a network namespace of this
//! process alone; it goes away with the process. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail"
)]

use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use tandem_dpdk::{
    Burst, Checksum, Device, Eal, EalSettings, Error, Mempool, Port, PortConfig, Started,
};

fn ip(arguments: &str) {
    let done = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .unwrap();
    assert!(done.success(), "ip {arguments}");
}

/// An Ethernet frame of `len` bytes with a local experimental type (IEEE 802), which no kernel
/// answers; tagged if `vlan`.
fn frame(len: usize, vlan: Option<u16>, mark: u16) -> Vec<u8> {
    let mut frame = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2];
    if let Some(id) = vlan {
        frame.extend(0x8100u16.to_be_bytes());
        frame.extend(id.to_be_bytes());
    }
    frame.extend(0x88b5u16.to_be_bytes());
    frame.extend(mark.to_be_bytes());
    frame.resize(len, 0xa5);
    frame
}

fn send(from: &mut Started, pool: &Mempool, frames: &[Vec<u8>]) {
    let mut burst = Burst::new();
    for frame in frames {
        let mut packet = pool.take().unwrap();
        packet.write(frame).unwrap();
        burst.push(packet).unwrap();
        if burst.is_full() {
            while from.tx[0].send(&mut burst) == 0 {}
        }
    }
    while !burst.is_empty() {
        from.tx[0].send(&mut burst);
    }
}

/// Receives until `enough` of the frames with our type; the kernel's own are passed over.
fn receive(at: &mut Started, enough: impl Fn(&[Vec<u8>]) -> bool) -> Vec<Vec<u8>> {
    let (mut frames, mut burst) = (Vec::new(), Burst::new());
    while !enough(&frames) {
        at.rx[0].receive(&mut burst);
        for packet in burst.drain() {
            assert_eq!(packet.segments(), 1);
            assert_eq!(packet.stripped_vlan(), None, "the driver puts the tag back");
            // The driver does not say what the kernel knows: peers must send whole checksums.
            assert_eq!(packet.rx_checksums().l4, Checksum::Unknown);
            if packet.data().windows(2).take(17).any(|w| w == [0x88, 0xb5]) {
                frames.push(packet.data().to_vec());
            }
        }
    }
    frames
}

#[test]
fn a_veth_pair_carries_frames_and_every_loss_is_counted() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    ip("link add tnd-dpdk-a type veth peer name tnd-dpdk-b");
    for end in ["tnd-dpdk-a", "tnd-dpdk-b"] {
        ip(&format!("link set {end} addrgenmode none"));
        ip(&format!("link set {end} up"));
    }
    let devices: Vec<Device> = [
        "net_af_packet0,iface=tnd-dpdk-a",
        "net_af_packet1,iface=tnd-dpdk-b",
    ]
    .map(|text| text.parse().unwrap())
    .into();
    let settings = EalSettings {
        main_core: 0,
        memory_mb: Some(128),
        devices: devices.clone(),
        further: Vec::new(),
    };
    let eal = Eal::init(&settings.arguments()).unwrap();
    let pool = Mempool::create(eal, "af_packet", 4095, 0, 2048).unwrap();
    let config = PortConfig {
        promiscuous: true,
        ..PortConfig::default()
    };

    let two = PortConfig {
        rx_queues: 2,
        ..config
    };
    let error = Port::start(eal, &devices[0], &two, &pool).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Queues {
                has: 1,
                wanted: 2,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("net_af_packet"), "{error}");
    drop(error);

    let mut a = Port::start(eal, &devices[0], &config, &pool).unwrap();
    let mut b = Port::start(eal, &devices[1], &config, &pool).unwrap();
    assert_eq!(a.report.driver, "net_af_packet");
    assert_eq!((a.report.mtu, a.report.longest_frame), (1500, 1518));
    assert!(a.report.promiscuous);
    assert!(
        !a.report.tx_udp_checksum,
        "the driver fills in no checksums"
    );
    assert!(a.port.link().unwrap().up);

    // Frames of all sizes arrive as they were sent, tagged or not.
    let sizes = [60, 214, 1513, 1514];
    let mut frames: Vec<_> = sizes.map(|len| frame(len, None, 0)).into();
    frames.extend(sizes.map(|len| frame(len + 4, Some(100), 0)));
    send(&mut a, &pool, &frames);
    assert_eq!(receive(&mut b, |got| got.len() >= frames.len()), frames);

    // More than the kernel's ring holds (512), while nobody reads: what is not received was
    // counted, to the last one.
    let before = b.port.stats().unwrap();
    let many = 1200;
    let frames: Vec<_> = (0..many).map(|mark| frame(200, None, mark)).collect();
    send(&mut a, &pool, &frames);
    let last = frame(60, None, u16::MAX);
    // Some are read, which makes room for a mark, and then the rest up to the mark.
    let some = receive(&mut b, |got| got.len() >= 64).len();
    send(&mut a, &pool, std::slice::from_ref(&last));
    let received = some + receive(&mut b, |got| got.last() == Some(&last)).len() - 1;
    let stats = b.port.stats().unwrap();
    let missed = stats.rx_missed - before.rx_missed;
    assert!(missed > 0, "the ring overflowed");
    assert_eq!(u64::try_from(received).unwrap() + missed, many.into());
    assert_eq!(
        b.port.stats().unwrap().rx_missed,
        stats.rx_missed,
        "reading changes nothing"
    );
    assert_eq!(a.port.stats().unwrap().tx_errors, 0);

    drop((a, b));
    assert_eq!(pool.available(), 4095);
}
