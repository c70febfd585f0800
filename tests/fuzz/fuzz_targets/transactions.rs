//! Any order of messages, timers and orders: the transaction layer never panics, is empty in the end, and
//! says the end of each transaction once.
#![no_main]

use std::collections::BTreeSet;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tandem_transaction::{
    ClientKey, Hop, InviteRequest, Layer, Method, Output, ServerKey, Settings,
};

#[derive(Clone, Copy, Debug)]
struct Way(u8);

impl Hop for Way {
    fn is_reliable(&self) -> bool {
        self.0 % 2 == 1
    }
}

fn method(byte: u8) -> Method {
    match byte % 3 {
        0 => Method::Invite,
        1 => Method::Cancel,
        _ => Method::Other,
    }
}

/// 100 to 697.
fn code(byte: u8) -> u16 {
    100 + u16::from(byte) * 2 + u16::from(byte) / 3
}

fuzz_target!(|data: &[u8]| {
    let mut layer = Layer::new(Settings::with_t1(Duration::from_millis(500)));
    let mut now = Duration::ZERO;
    let (mut clients, mut servers) = (Vec::new(), Vec::new());
    let mut ended = BTreeSet::new();
    for op in data.chunks_exact(4) {
        let [what, which, how, value] = [op[0], op[1], op[2], op[3]];
        let branch = [b'b', which % 8];
        let key = ServerKey {
            branch: &branch,
            sent_by: b"a",
            method: method(how),
        };
        match what % 10 {
            0 => clients.push(layer.invite(
                now,
                &branch,
                Way(value),
                InviteRequest {
                    request: b"I"[..].into(),
                    ack_head: b"A"[..].into(),
                },
            )),
            1 => {
                let method = if how % 2 == 0 {
                    Method::Cancel
                } else {
                    Method::Other
                };
                clients.push(layer.request(now, &branch, method, Way(value), b"R"[..].into()));
            }
            2 => {
                let key = ClientKey {
                    branch: &branch,
                    method: method(how),
                };
                layer.response(now, &key, code(value), b"<sip:x>;tag=y");
            }
            3 => {
                layer.receive(now, &key, value % 2 == 0);
            }
            4 if layer.to_cancel(&key).is_none() => servers.push(layer.accept(key, Way(value))),
            5 => {
                if let Some(id) = servers.get(usize::from(which) % servers.len().max(1)) {
                    layer.respond(now, *id, code(value), b"S"[..].into());
                }
            }
            6 => {
                if let Some(id) = clients.get(usize::from(which) % clients.len().max(1)) {
                    layer.give_up(now, *id);
                }
            }
            7 => {
                if let Some(id) = clients.get(usize::from(which) % clients.len().max(1)) {
                    layer.abort(*id);
                }
            }
            8 => {
                now += Duration::from_millis(u64::from(how) * u64::from(value));
                layer.expire(now);
            }
            _ => {
                if let Some(at) = layer.next_timeout() {
                    now = now.max(at);
                    layer.expire(now);
                }
            }
        }
        drain(&mut layer, &mut ended);
    }
    // Whoever uses the layer answers every request and gives up every INVITE in the end.
    for id in clients {
        layer.give_up(now, id);
    }
    for id in servers {
        layer.respond(now, id, 480, b"S"[..].into());
    }
    for _ in 0..100_000 {
        let Some(at) = layer.next_timeout() else {
            break;
        };
        now = now.max(at);
        layer.expire(now);
        drain(&mut layer, &mut ended);
    }
    assert!(layer.is_empty(), "{:?}", layer.len());
});

fn drain(layer: &mut Layer<Way>, ended: &mut BTreeSet<String>) {
    while let Some(output) = layer.output() {
        if let Output::ClientEnded(_) | Output::ServerEnded(_) = output {
            assert!(ended.insert(format!("{output:?}")), "ended twice");
        }
    }
}
