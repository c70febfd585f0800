//! Ports that are stopped and started again, and links that come and go, with the drivers that this machine has. Needs
//! root, for a network namespace of this process alone.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail"
)]

use std::os::fd::AsFd as _;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use nix::sched::{CloneFlags, unshare};
use tandem_dpdk::{
    BURST, Burst, Device, Eal, EalSettings, Error, LinkEvents, Mempool, Port, PortConfig, Started,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

fn fill(pool: &Mempool, burst: &mut Burst) {
    pool.fill(burst);
    for packet in burst.iter_mut() {
        packet.write(&[0xa5; 60]).unwrap();
    }
}

/// Sends until something arrives.
fn talk(pool: &Mempool, from: &mut Started, to: &mut Started) {
    let mut burst = Burst::new();
    let mut received = Burst::new();
    until("nothing arrives", || {
        fill(pool, &mut burst);
        from.tx[0].send(&mut burst);
        let count = to.rx[0].receive(&mut received);
        received.clear();
        count > 0
    });
}

fn restart(started: &mut Started) -> Result<(), Error> {
    let Started { port, rx, tx, .. } = started;
    port.restart(rx, tx).map(drop)
}

/// Waits until the link of one of the ports has changed.
fn link_event(events: LinkEvents) {
    let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, 20_000u16).unwrap(), 1, "no event");
    events.clear();
    let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, 0u16).unwrap(), 0, "it was cleared");
}

#[test]
fn ports_are_stopped_and_started_and_say_when_their_link_goes() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let settings = EalSettings {
        main_core: 0,
        memory_mb: Some(128),
        devices: Vec::new(),
        further: vec![format!("--file-prefix=tnd-restart-{}", std::process::id())],
    };
    let eal = Eal::init(&settings.arguments()).unwrap();
    let pool = Mempool::create(eal, "restart", 8191, 0, 2048).unwrap();
    let start = |device: &str, queues: u16| {
        let config = PortConfig {
            rx_queues: queues,
            tx_queues: queues,
            ..PortConfig::default()
        };
        let device: Device = device.parse().unwrap();
        Port::start(eal, &device, &config, &pool).unwrap()
    };

    // As often as one likes, and only by who has all queues.
    let mut null = start("net_null0", 3);
    for _ in 0..5 {
        restart(&mut null).unwrap();
        let mut burst = Burst::new();
        assert_eq!(null.rx[2].receive(&mut burst), BURST);
        assert_eq!(null.tx[1].send(&mut burst), BURST);
    }
    let other = start("net_null1", 3);
    let away = std::mem::replace(&mut null.rx, other.rx);
    let out = Error::QueuesOut("net_null0".to_owned());
    assert_eq!(restart(&mut null), Err(out.clone()));
    null.rx = away;
    let tx = null.tx.pop().unwrap();
    assert_eq!(restart(&mut null), Err(out));
    null.tx.push(tx);
    restart(&mut null).unwrap();
    assert!(!null.report.link_interrupt);

    // What a ring had stays in it: it is not the device's.
    let mut ring = start("net_ring0", 1);
    let mut burst = Burst::new();
    fill(&pool, &mut burst);
    assert_eq!(ring.tx[0].send(&mut burst), BURST);
    restart(&mut ring).unwrap();
    assert_eq!(ring.rx[0].receive(&mut burst), BURST);
    burst.clear();

    // Shared memory: one end does not read, so that the other cannot send; both begin anew.
    let folder = std::env::temp_dir().join(format!("tnd-restart-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let socket = folder.join("wire");
    let end = |number: u32, role: &str| {
        format!(
            "net_memif{number},role={role},socket={},socket-abstract=no,rsize=8",
            socket.display()
        )
    };
    let mut server = start(&end(0, "server"), 1);
    let mut client = start(&end(1, "client"), 1);
    assert_eq!(
        (server.port.is_client(), client.port.is_client()),
        (false, true)
    );
    let up = |started: &Started| started.port.link().unwrap().up;
    assert!(server.port.waits_for_a_process() && !null.port.waits_for_a_process());
    until("not connected", || up(&server) && up(&client));
    talk(&pool, &mut client, &mut server);
    talk(&pool, &mut server, &mut client);
    for round in 0..3 {
        until("it takes everything", || {
            fill(&pool, &mut burst);
            server.tx[0].send(&mut burst) == 0
        });
        burst.clear();
        restart(&mut server).unwrap();
        until("the client still has a link", || !up(&client));
        restart(&mut client).unwrap();
        until("not connected again", || up(&server) && up(&client));
        talk(&pool, &mut client, &mut server);
        talk(&pool, &mut server, &mut client);
        println!("memif: round {round}");
    }

    // Those that cannot are left alone, and go on.
    ip("link add tnd-restart-a type veth peer name tnd-restart-b");
    ip("link set tnd-restart-a up");
    ip("link set tnd-restart-b up");
    let mut veth = start("net_af_packet0,iface=tnd-restart-a", 1);
    assert!(!veth.port.can_restart());
    let refused = restart(&mut veth).unwrap_err();
    assert!(matches!(refused, Error::NoRestart { .. }), "{refused}");
    assert!(refused.to_string().contains("net_af_packet"), "{refused}");
    fill(&pool, &mut burst);
    assert_eq!(veth.tx[0].send(&mut burst), BURST);

    // A link by interrupt: a virtual machine's end comes and goes.
    let events = LinkEvents::of_process().unwrap();
    let socket = folder.join("machine");
    let mut host = start(&format!("net_vhost0,iface={}", socket.display()), 1);
    assert!(host.report.link_interrupt && !up(&host));
    events.clear();
    let guest = format!("net_virtio_user0,path={}", socket.display());
    let mut guest = start(&guest, 1);
    link_event(events);
    until("the link does not come", || up(&host));
    talk(&pool, &mut guest, &mut host);
    drop(guest);
    link_event(events);
    until("the link does not go", || !up(&host));
    drop(host);
    std::fs::remove_dir_all(&folder).unwrap();
}

fn ip(arguments: &str) {
    let words = arguments.split(' ');
    let done = Command::new("ip").args(words).status().unwrap();
    assert!(done.success(), "ip {arguments}");
}
