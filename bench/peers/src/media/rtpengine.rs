//! Debian's RTPEngine in user space: no kernel module, one thread that relays. Its sessions are set up by the ng protocol.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tandem_bench_peers::wires;
use tandem_e2e::{Failure, Process, Result, wait};

use crate::bencode::{Value, dictionary, text_of};
use crate::frames::Ports;
use crate::lab::{Bench, Flow, SUBJECT_CORE, Wire};

const PATIENCE: Duration = Duration::from_secs(20);
const CONTROL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 2223);
/// The peers' first media port.
const PEER_PORT: u16 = 10_000;

/// Its start with the highest limit of descriptors that we may give.
const RAISED: &str =
    "ulimit -n 262144 2>/dev/null || ulimit -n $(ulimit -Hn); exec rtpengine \"$@\"";

/// It runs.
pub(crate) struct RtpEngine {
    pub(crate) process: Process,
    socket: UdpSocket,
    asked: u64,
}

impl RtpEngine {
    pub(crate) fn start(bench: &Bench) -> Result<Self> {
        let lab = &bench.lab;
        bench.neighbours(Wire::Veth, true)?;
        let mut command = lab.appliance.command("nice");
        command.args(["-n", "-20", "taskset", "-c", &SUBJECT_CORE.to_string()]);
        // Four sockets a session: as many as may be.
        command.args(["sh", "-c", RAISED, "rtpengine"]);
        command.args([
            "--config-file=none",
            "--foreground",
            "--log-stderr",
            "--log-level=3",
        ]);
        command.args(["--table=-1", "--num-threads=1", "--timeout=36000"]);
        command.args(["--port-min=10240", "--port-max=65535"]);
        command.arg(format!("--listen-ng={CONTROL}"));
        command.arg(format!("--interface=carrier/{}", wires::OUTSIDE));
        command.arg(format!("--interface=core/{}", wires::INSIDE));
        let process = Process::start("rtpengine", command, lab.log("rtpengine"))?;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let socket = lab.udp(&lab.appliance, any)?;
        socket
            .set_read_timeout(Some(Duration::from_millis(500)))
            .map_err(Failure::while_("the control socket"))?;
        let mut engine = Self {
            process,
            socket,
            asked: 0,
        };
        wait::until("RTPEngine", PATIENCE, || {
            let pong = engine.ask(&[("command", Value::Text("ping"))]).ok()?;
            (text_of(&pong, "result") == Some("pong")).then_some(())
        })?;
        Ok(engine)
    }

    /// Sets up sessions from this number to that one; their flows.
    pub(crate) fn sessions(&mut self, from: u32, to: u32) -> Result<Vec<Flow>> {
        (from..to).map(|n| self.session(n)).collect()
    }

    fn session(&mut self, n: u32) -> Result<Flow> {
        let peer = PEER_PORT + 2 * n as u16;
        let call = format!("call-{n}");
        let (caller, callee) = (sdp(wires::CALLER, peer), sdp(wires::SERVER, peer));
        let offered = self.ask(&[
            ("ICE", Value::Text("remove")),
            ("call-id", Value::Text(&call)),
            ("command", Value::Text("offer")),
            ("direction", Value::List(&["carrier", "core"])),
            ("from-tag", Value::Text("a")),
            ("sdp", Value::Text(&caller)),
        ])?;
        let core = port(&offered)?;
        let answered = self.ask(&[
            ("ICE", Value::Text("remove")),
            ("call-id", Value::Text(&call)),
            ("command", Value::Text("answer")),
            ("direction", Value::List(&["core", "carrier"])),
            ("from-tag", Value::Text("a")),
            ("sdp", Value::Text(&callee)),
            ("to-tag", Value::Text("b")),
        ])?;
        let carrier = port(&answered)?;
        let ports = |subject| Ports { peer, subject };
        Ok(Flow {
            sides: [ports(carrier), ports(core)],
        })
    }

    /// One request, its answer without the cookie.
    fn ask(&mut self, entries: &[(&str, Value<'_>)]) -> Result<Vec<u8>> {
        self.asked += 1;
        let cookie = format!("{}_{} ", std::process::id(), self.asked);
        let request = format!("{cookie}{}", dictionary(entries));
        let mut room = [0; 4_096];
        for _ in 0..5 {
            self.socket
                .send_to(request.as_bytes(), CONTROL)
                .map_err(Failure::while_("asking RTPEngine"))?;
            while let Ok(length) = self.socket.recv(&mut room) {
                let answer = room.get(..length).unwrap_or_default();
                if let Some(answer) = answer.strip_prefix(cookie.as_bytes()) {
                    return Ok(answer.to_vec());
                }
            }
        }
        let said = self.process.tail(5);
        Err(Failure::new(format!(
            "RTPEngine does not answer; it said: {said}"
        )))
    }
}

fn sdp(address: std::net::IpAddr, port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=sendrecv\r\n"
    )
}

/// The port of the first media line of an answer's SDP.
fn port(answer: &[u8]) -> Result<u16> {
    let port = text_of(answer, "sdp").and_then(|sdp| {
        let (_, line) = sdp.split_once("m=audio ")?;
        line.split(' ').next()?.parse().ok()
    });
    port.ok_or_else(|| {
        let answer = String::from_utf8_lossy(answer);
        Failure::new(format!("RTPEngine answers: {answer}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_an_answer_is_found() {
        let body = sdp(wires::CALLER, 30_002);
        let text = dictionary(&[("result", Value::Text("ok")), ("sdp", Value::Text(&body))]);
        assert_eq!(port(text.as_bytes()).unwrap(), 30_002);
        let refused = dictionary(&[
            ("error-reason", Value::Text("no")),
            ("result", Value::Text("error")),
        ]);
        assert!(
            port(refused.as_bytes())
                .unwrap_err()
                .to_string()
                .contains("no")
        );
    }
}
