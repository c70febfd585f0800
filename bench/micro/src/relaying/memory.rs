//! What a relay holds in memory for a flow pair.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};

use tandem_bench_micro::{counted, held};
use tandem_link::FlowId;

use super::packets::Way;
use super::stage::{relay_on, spec_on};

/// Flow pairs, on as many media addresses a side as they need: each has 25,000 pairs of ports.
const PAIRS: u32 = 100_000;
const ADDRESSES: u8 = 4;

/// Bytes of the table of ports of one local address: an entry for each pair.
const PORT_TABLE: u64 = 32_768 * 4;

/// Bytes for each of 100,000 flow pairs, with all that grows with them: the pairs, the tables of ports, the names.
pub(crate) fn bytes_a_pair() -> Result<f64, Box<dyn Error>> {
    let locals = |leg: u8| -> Vec<IpAddr> {
        (0..ADDRESSES)
            .map(|n| IpAddr::V4(Ipv4Addr::new(192, 0, 2 + leg, 100 + n)))
            .collect()
    };
    let locals = [locals(0), locals(1)];
    let before = held();
    let small = [0, 1].map(|leg: usize| {
        locals
            .get(leg)
            .into_iter()
            .flatten()
            .take(1)
            .copied()
            .collect()
    });
    let mut besides = relay_on(Way::default(), 1, &small)?;
    besides.settle();
    // What a relay has whatever its flows, such as the tables of sources; its two tables of ports are not that.
    let fixed = (held() - before).saturating_sub(2 * PORT_TABLE);
    drop(besides);
    let before = held();
    let mut relay = relay_on(Way::default(), PAIRS, &locals)?;
    relay.settle();
    let (made, bytes) = (counted().0, (held() - before).saturating_sub(fixed));
    for id in 0..PAIRS {
        let (address, flow) = ((id / 25_000) as usize, (id % 25_000) as u16);
        let [a, b] = &locals;
        let on = a.get(address).zip(b.get(address));
        let (a, b) = on.ok_or("too few addresses")?;
        let spec = spec_on(Way::default(), flow, id.into(), [*a, *b]);
        relay.put_flow(0, &spec)?;
    }
    if counted().0 != made {
        return Err("installing flow pairs allocates".into());
    }
    relay.remove_flow(0, FlowId(0))?;
    Ok(bytes as f64 / f64::from(PAIRS))
}
