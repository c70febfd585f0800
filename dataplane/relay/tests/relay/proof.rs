//! The worker's own packet, for the proof of a new system.

use std::sync::Arc;

use tandem_link::CommandError;
use tandem_relay::{Forwarding, proof_forwarding};

use crate::lab::{Lab, Packet, rtp};

#[test]
fn it_is_relayed_and_nothing_is_left_of_it() {
    let mut lab = Lab::with_flow();
    let flows = lab.relay.flow_count();
    let forwarding = Arc::new(proof_forwarding(2));
    assert_eq!(lab.relay.prove(lab.now, Arc::clone(&forwarding)), Ok(()));
    lab.moved(&[("proof_relayed", 1)]);
    assert_eq!(lab.relay.flow_count(), flows);
    assert_eq!(lab.relay.event(), None);
    assert_eq!(lab.relay.needed_next_hop(), None);
    // Whoever made the snapshot frees it.
    assert_eq!(Arc::strong_count(&forwarding), 1);
    // A call's packet goes where it went before.
    lab.relays(&Packet::to_a(&rtp(1)));
}

#[test]
fn a_relay_that_does_not_relay_fails() {
    let mut lab = Lab::new();
    let nowhere = Arc::new(Forwarding::builder(u64::MAX, 2).build());
    assert_eq!(
        lab.relay.prove(lab.now, nowhere),
        Err(CommandError::NotRelayed)
    );
    lab.moved(&[("proof_failed", 1)]);
    assert_eq!(lab.relay.flow_count(), 0);
}

#[test]
fn a_worker_without_ports_has_nothing_to_prove() {
    let mut lab = Lab::with(|config| {
        config.worker = 1;
    });
    let forwarding = Arc::new(proof_forwarding(2));
    assert_eq!(lab.relay.prove(lab.now, forwarding), Ok(()));
    lab.moved(&[]);
}
