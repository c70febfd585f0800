//! Any bytes from an event socket, in pieces: news or a refusal, and no more is kept than a message may have.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_freeswitch::event_socket::Client;

fuzz_target!(|pieces: Vec<Vec<u8>>| {
    let mut client = Client::new("p");
    for piece in pieces {
        if client.receive(&piece).is_err() {
            return;
        }
        client.ask();
        let _ = client.transmit();
    }
});
