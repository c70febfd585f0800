//! What a call asks of the allocator does not grow unseen: allocations are counted, and are the same on every machine.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::process::Command;

/// What a benchmark printed.
struct Printed(String);

impl Printed {
    fn by(binary: &str, arguments: &[&str]) -> Self {
        let output = Command::new(binary).args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        println!("{text}");
        Self(text)
    }

    /// The first number that stands before these words is no more than this.
    fn assert_at_most(&self, most: f64, words: &str) {
        let Self(text) = self;
        let (front, _) = text
            .split_once(words)
            .unwrap_or_else(|| panic!("no {words:?} in {text}"));
        let figure: f64 = front.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(figure <= most, "{words} above {most}: {text}");
    }
}

/// Allocations a call in the core; fewer are better, and then this goes down with them.
const MOST: f64 = 245.0;
/// Bytes of the journal a call.
const MOST_JOURNALED: f64 = 2_300.0;

#[test]
fn a_call_takes_no_more_allocations_than_it_did() {
    let printed = Printed::by(env!("CARGO_BIN_EXE_tandem-bench-calls"), &["1000", "0"]);
    printed.assert_at_most(MOST, " allocations");
    printed.assert_at_most(MOST_JOURNALED, " bytes in");
}

/// Allocations a registration, 401 and 200, and bytes that it keeps in the core.
const MOST_REGISTER: f64 = 183.0;
const MOST_KEPT: f64 = 300.0;

#[test]
fn a_registration_takes_and_keeps_no_more_than_it_did() {
    let printed = Printed::by(env!("CARGO_BIN_EXE_tandem-bench-registers"), &["50000"]);
    printed.assert_at_most(MOST_REGISTER, " allocations");
    printed.assert_at_most(MOST_KEPT, " bytes held a registration");
}

/// Bytes that a prefix keeps, and allocations of a number that finds its carriers: the list of them.
const MOST_PREFIX: f64 = 90.0;

#[test]
fn a_prefix_keeps_and_a_number_takes_no_more_than_it_did() {
    let printed = Printed::by(env!("CARGO_BIN_EXE_tandem-bench-routes"), &["100000"]);
    printed.assert_at_most(MOST_PREFIX, " bytes held a prefix");
    printed.assert_at_most(1.0, " allocations");
}
