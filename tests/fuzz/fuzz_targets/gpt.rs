//! Any bytes as the beginning of a disk: no panic; a table that is sound is so when it was fitted to a disk.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_flash::gpt::Gpt;

fuzz_target!(|input: (u64, Vec<u8>)| {
    let (size, bytes) = input;
    check(size, bytes.clone());
    check(size, sealed(bytes));
});

fn check(size: u64, mut head: Vec<u8>) {
    let Ok(table) = Gpt::parse(&head) else {
        return;
    };
    if table.fit(&mut head, size).is_ok() {
        let fitted = Gpt::parse(&head).expect("a fitted table is sound");
        assert_eq!(fitted.partitions(), table.partitions());
    }
}

/// With checksums that fit, else nearly nothing would come behind them.
fn sealed(mut head: Vec<u8>) -> Vec<u8> {
    head.resize(head.len().max(20_000), 0);
    head[512..520].copy_from_slice(b"EFI PART");
    let count = u32::from_le_bytes(head[592..596].try_into().unwrap()) % 130;
    let size = u32::from_le_bytes(head[596..600].try_into().unwrap()) % 300;
    head[524..528].copy_from_slice(&92_u32.to_le_bytes());
    head[536..544].copy_from_slice(&1_u64.to_le_bytes());
    head[584..592].copy_from_slice(&2_u64.to_le_bytes());
    head[592..596].copy_from_slice(&count.to_le_bytes());
    let end = (1024 + count as usize * size as usize).min(head.len());
    let entries = tandem_flash::gpt::checksum(&head[1024..end]);
    head[600..604].copy_from_slice(&entries.to_le_bytes());
    head[528..532].fill(0);
    let header = tandem_flash::gpt::checksum(&head[512..604]);
    head[528..532].copy_from_slice(&header.to_le_bytes());
    head
}
