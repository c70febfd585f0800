//! What a call asks of the allocator does not grow unseen: allocations are counted, and are the same on every machine.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::process::Command;

/// Allocations a call in the core; fewer are better, and then this goes down with them.
const MOST: f64 = 222.0;
/// Bytes of the journal a call.
const MOST_JOURNALED: f64 = 1_400.0;

#[test]
fn a_call_takes_no_more_allocations_than_it_did() {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_tandem-bench-calls"));
    let output = bench.args(["1000", "0"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let before = |word: &str| -> f64 {
        let (front, _) = text
            .split_once(word)
            .unwrap_or_else(|| panic!("no {word:?} in {text}"));
        front.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let (allocations, journaled) = (before(" allocations"), before(" bytes in"));
    println!("{text}");
    assert!(allocations <= MOST, "{text}");
    assert!(journaled <= MOST_JOURNALED, "{text}");
}

/// Allocations a registration, 401 and 200, and bytes that it keeps in the core.
const MOST_REGISTER: f64 = 183.0;
const MOST_KEPT: f64 = 300.0;

#[test]
fn a_registration_takes_and_keeps_no_more_than_it_did() {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_tandem-bench-registers"));
    let output = bench.arg("50000").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let before = |words: &str| -> f64 {
        let (front, _) = text
            .split_once(words)
            .unwrap_or_else(|| panic!("no {words:?} in {text}"));
        front.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let (allocations, kept) = (before(" allocations"), before(" bytes held a registration"));
    println!("{text}");
    assert!(allocations <= MOST_REGISTER, "{text}");
    assert!(kept <= MOST_KEPT, "{text}");
}

/// Bytes that a prefix keeps, and allocations of a number that finds its carriers: the list of them.
const MOST_PREFIX: f64 = 90.0;

#[test]
fn a_prefix_keeps_and_a_number_takes_no_more_than_it_did() {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_tandem-bench-routes"));
    let output = bench.arg("100000").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let before = |words: &str| -> f64 {
        let (front, _) = text
            .split_once(words)
            .unwrap_or_else(|| panic!("no {words:?} in {text}"));
        front.rsplit(' ').next().unwrap().parse().unwrap()
    };
    println!("{text}");
    assert!(before(" bytes held a prefix") <= MOST_PREFIX, "{text}");
    assert!(before(" allocations") <= 1.0, "{text}");
}
