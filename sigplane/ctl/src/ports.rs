//! `tandemctl ports`: the dataplane's ports and queues, over a while.

use std::time::{Duration, Instant};

use serde::Serialize;
use tandem_admin::{Port, Queue, Traffic, method};

use crate::client::{Client, Failure};
use crate::show::{ask, print};
use crate::table::table;

/// Bytes of a frame on the wire that no port counts: frame check sequence, preamble, gap.
const WIRE_OVERHEAD: u64 = 4 + 8 + 12;

/// A port, and what went through it meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct PortFigures {
    #[serde(flatten)]
    port: Port,
    rx_rate: Rate,
    tx_rate: Rate,
    /// Lost meanwhile, by whatever reason.
    drops_per_second: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct Rate {
    packets_per_second: f64,
    /// On the wire: with frame check sequence, preamble and gap.
    mbps: f64,
}

/// `tandemctl ports`
pub(crate) fn ports(
    client: &mut Client,
    json: bool,
    seconds: u32,
    queues: bool,
) -> Result<(), Failure> {
    let begin = Instant::now();
    let before = ask::<Vec<Port>>(client, method::PORTS)?;
    std::thread::sleep(Duration::from_secs(seconds.into()));
    let after = ask::<Vec<Port>>(client, method::PORTS)?;
    let figures = figures(&before, after, begin.elapsed());
    print(json, &figures, |all| {
        let mut text = port_table(all) + &drops(all);
        if queues {
            text += &queue_table(all);
        }
        text
    })
}

fn figures(before: &[Port], after: Vec<Port>, time: Duration) -> Vec<PortFigures> {
    let none = Port::default();
    let figures = |port: Port| {
        let was = before.iter().find(|p| p.name == port.name).unwrap_or(&none);
        let lost = |port: &Port| port.drops.iter().map(|drops| drops.packets).sum::<u64>();
        PortFigures {
            rx_rate: rate(was.rx, port.rx, time),
            tx_rate: rate(was.tx, port.tx, time),
            drops_per_second: lost(&port).saturating_sub(lost(was)) as f64 / time.as_secs_f64(),
            port,
        }
    };
    after.into_iter().map(figures).collect()
}

fn rate(before: Traffic, after: Traffic, time: Duration) -> Rate {
    let packets = after.packets.saturating_sub(before.packets);
    let bytes = after.bytes.saturating_sub(before.bytes) + packets * WIRE_OVERHEAD;
    let seconds = time.as_secs_f64();
    Rate {
        packets_per_second: packets as f64 / seconds,
        mbps: bytes as f64 * 8.0 / 1e6 / seconds,
    }
}

fn port_table(all: &[PortFigures]) -> String {
    let row = |figures: &PortFigures| {
        let port = &figures.port;
        let link = match (port.link_up, port.speed_mbps) {
            (Some(false), _) => "DOWN".to_owned(),
            (_, Some(mbps)) if mbps >= 1_000 => format!("{} Gbit/s", f64::from(mbps) / 1e3),
            (_, Some(mbps)) => format!("{mbps} Mbit/s"),
            (Some(true), None) => "up".to_owned(),
            (None, None) => "-".to_owned(),
        };
        let restarts = match port.restarts_failed {
            0 => port.restarts.to_string(),
            failed => format!("{} ({failed} failed)", port.restarts),
        };
        vec![
            port.name.clone(),
            port.driver.clone(),
            link,
            port.state.clone(),
            format!("{:.0}", figures.rx_rate.packets_per_second),
            format!("{:.1}", figures.rx_rate.mbps),
            format!("{:.0}", figures.tx_rate.packets_per_second),
            format!("{:.1}", figures.tx_rate.mbps),
            format!("{:.0}", figures.drops_per_second),
            port.link_changes.to_string(),
            restarts,
        ]
    };
    table(
        &[
            "port",
            "driver",
            "link",
            "state",
            ">rx packets/s",
            ">Mbit/s",
            ">tx packets/s",
            ">Mbit/s",
            ">drops/s",
            ">link changes",
            ">restarts",
        ],
        &all.iter().map(row).collect::<Vec<_>>(),
    )
}

/// What was lost since the start, where something was.
fn drops(all: &[PortFigures]) -> String {
    let mut text = String::new();
    for PortFigures { port, .. } in all {
        for drops in port.drops.iter().filter(|drops| drops.packets != 0) {
            let (name, reason, packets) = (&port.name, &drops.reason, drops.packets);
            text += &format!("{name}: {packets} lost since the start ({reason})\n");
        }
    }
    text
}

fn queue_table(all: &[PortFigures]) -> String {
    let mut rows = Vec::new();
    for PortFigures { port, .. } in all {
        for (direction, queues) in [("rx", &port.rx_queues), ("tx", &port.tx_queues)] {
            for (number, queue) in queues.iter().enumerate() {
                rows.push(queue_row(&port.name, direction, number, queue));
            }
        }
    }
    let heads = ["port", "queue", ">worker", ">packets", ">bytes"];
    "\n".to_owned() + &table(&heads, &rows)
}

fn queue_row(port: &str, direction: &str, number: usize, queue: &Queue) -> Vec<String> {
    let count = |of: fn(&Traffic) -> u64| {
        let traffic = queue.traffic.as_ref();
        traffic.map_or("-".to_owned(), |traffic| of(traffic).to_string())
    };
    vec![
        port.to_owned(),
        format!("{direction} {number}"),
        queue.worker.to_string(),
        count(|traffic| traffic.packets),
        count(|traffic| traffic.bytes),
    ]
}

#[cfg(test)]
mod tests {
    use tandem_admin::PortDrops;

    use super::*;

    fn port(packets: u64, missed: u64) -> Port {
        let traffic = |packets| Traffic {
            packets,
            bytes: packets * 214,
        };
        Port {
            name: "carrier".to_owned(),
            driver: "net_ixgbe".to_owned(),
            link_up: Some(true),
            speed_mbps: Some(10_000),
            state: "running".to_owned(),
            link_changes: 2,
            restarts: 1,
            rx: traffic(packets),
            tx: traffic(packets / 2),
            drops: vec![PortDrops {
                reason: "rx_missed".to_owned(),
                packets: missed,
            }],
            rx_queues: vec![Queue {
                worker: 3,
                traffic: Some(traffic(packets)),
            }],
            tx_queues: vec![Queue {
                worker: 3,
                traffic: None,
            }],
            ..Port::default()
        }
    }

    /// G.711 at 20 ms is 238 bytes on the wire: 5.25 Mpps are 10 Gbit/s.
    #[test]
    fn a_port_is_what_went_through_it_between_two_looks() {
        let time = Duration::from_secs(2);
        let all = figures(&[port(1_000, 5)], vec![port(10_501_000, 105)], time);
        let [figures] = &all[..] else {
            panic!("{all:?}")
        };
        assert_eq!(figures.rx_rate.packets_per_second, 5_250_000.0);
        assert!((figures.rx_rate.mbps - 9_996.0).abs() < 0.1, "{all:?}");
        assert_eq!(figures.drops_per_second, 50.0);
        let text = port_table(&all);
        let row = text.lines().last().unwrap();
        for part in [
            "carrier",
            "net_ixgbe",
            "10 Gbit/s",
            "running",
            "5250000",
            "9996.0",
        ] {
            assert!(row.contains(part), "{part}: {text}");
        }
        assert_eq!(
            drops(&all),
            "carrier: 105 lost since the start (rx_missed)\n"
        );
        let queues = queue_table(&all);
        let cells = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let rows: Vec<_> = queues
            .lines()
            .filter(|l| l.contains("carrier"))
            .map(cells)
            .collect();
        assert_eq!(rows[0][1..], ["rx", "0", "3", "10501000", "2247214000"]);
        assert_eq!(rows[1][1..], ["tx", "0", "3", "-", "-"]);
    }
}
