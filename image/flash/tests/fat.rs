//! File systems that are damaged: an error, no panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::fs::{self, File};

use common::{folder, shell};
use proptest::prelude::*;
use tandem_flash::fat;

/// 2 MiB with a folder and files.
fn sound() -> Vec<u8> {
    let at = folder();
    let path = at.path().join("esp");
    File::create(&path).unwrap().set_len(2 << 20).unwrap();
    shell(
        at.path(),
        "mkfs.vfat -F 12 esp >/dev/null; export MTOOLS_SKIP_CHECK=1; mmd -i esp ::/EFI ::/EFI/tandem
        head -c 5000 /dev/zero >a; mcopy -i esp a ::/EFI/tandem/grubenv; mcopy -i esp a '::/EFI/a long name.cfg'",
    );
    fs::read(path).unwrap()
}

#[test]
fn a_damaged_file_system_is_no_panic() {
    let sound = sound();
    assert_eq!(fat::files(&mut sound.clone()).unwrap().len(), 2);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(400));
    // Boot sector, FAT, root and folders are in the first 64 KiB.
    let places = prop::collection::vec((0_usize..90, any::<u8>()), 0..3);
    let others = prop::collection::vec((0_usize..65_536, any::<u8>()), 0..6);
    runner
        .run(&(places, others), |(places, others)| {
            let mut esp = sound.clone();
            for (at, byte) in places.iter().chain(&others) {
                esp[*at] = *byte;
            }
            let _ = fat::files(&mut esp);
            let _ = fat::put(&mut esp, "tandem-preload", &[("a", vec![1; 3000])]);
            let _ = fat::replace(&mut esp, "EFI/tandem/grubenv", &[2; 1024]);
            let _ = fat::remove(&mut esp, "EFI/tandem/grubenv");
            Ok(())
        })
        .unwrap();
}
