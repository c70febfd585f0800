//! The tables of docs/SCALING.md are what the simulation says.

#[test]
fn the_tables_of_scaling_are_those_of_the_simulation() {
    let text = include_str!("../../../docs/SCALING.md");
    let begin = "<!-- tandem-bench-rss -->\n";
    let (_, rest) = text.split_once(begin).unwrap();
    let (found, _) = rest.split_once("<!-- end -->").unwrap();
    let wanted = tandem_bench_micro::rss::tables();
    assert!(
        found.trim() == wanted.trim(),
        "put this between the marks in docs/SCALING.md:\n{wanted}"
    );
}
