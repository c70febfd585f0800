//! Calls through the core, message by message.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod changes;
mod dialogs;
mod dids;
mod forks;
mod guard;
mod hiding;
mod limits;
mod media;
mod names;
mod orders;
mod ourselves;
mod passages;
mod registered;
mod rest;
mod routes;
mod setup;
mod streams;
mod survival;
mod targets;
mod users;
#[path = "../world/mod.rs"]
mod world;

use std::time::Duration;

use world::*;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The caller hangs up, and the callee agrees.
fn hang_up(world: &mut World, dialog: &Dialog) {
    world.from(
        CARRIER,
        &dialog.by_caller("BYE", &format!("bye-{}", dialog.call_id), 20, "", ""),
    );
    let bye = world.sent_to(&dialog.pool).pop().unwrap();
    assert!(bye.starts_with("BYE"), "{bye}");
    world.from(
        &dialog.pool,
        &answer(&bye, &dialog.pool, "200 OK", "", "", ""),
    );
    let ok = world.sent_to(CARRIER).pop().unwrap();
    assert!(ok.starts_with("SIP/2.0 200"), "{ok}");
}

/// What we own of a message shows no address of the other side.
fn assert_hides(message: &str, hidden: &[&str]) {
    let mut owned: Vec<&str> = Vec::new();
    for name in ["Via", "Contact", "Record-Route", "Route"] {
        owned.extend(headers(message, name));
    }
    owned.push(start(message));
    owned.push(body(message));
    for text in owned {
        for address in hidden {
            assert!(!text.contains(address), "{address} in {message}");
        }
    }
}
