//! What the comparisons share: CPU time and memory of processes, and wires through the kernel.
#![forbid(unsafe_code)]

pub mod cpu;
pub mod wires;
