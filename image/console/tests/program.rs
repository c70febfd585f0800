//! The program itself, where it has no terminal.
#![allow(missing_docs)]
#![allow(
    clippy::unwrap_used,
    reason = "a program that does not start fails the test"
)]

use std::process::{Command, Stdio};

#[test]
fn without_a_terminal_it_says_so_and_ends() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_tandem-console"));
    let ended = program.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success(), "{said}");
    assert!(said.starts_with("tandem-console: "), "{said}");
    assert!(ended.stdout.is_empty());
}
