//! Prints the tables of docs/SCALING.md: how evenly calls load the cores.
//!
//!     cargo run --release -p tandem-bench-micro --bin tandem-bench-rss

fn main() {
    print!("{}", tandem_bench_micro::rss::tables());
}
