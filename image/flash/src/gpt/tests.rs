use super::*;
use proptest::prelude::*;

/// The first MiB of a disk with these partitions: label, first and last sector.
pub(crate) fn head(partitions: &[(&str, u64, u64)]) -> Vec<u8> {
    let mut head = vec![0; HEAD];
    head[446 + 4] = 0xee;
    head[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut entries = vec![0; 128 * 128];
    for (n, (name, first, last)) in partitions.iter().enumerate() {
        let entry = &mut entries[n * 128..(n + 1) * 128];
        entry[..16].fill(n as u8 + 1);
        entry[16..32].fill(n as u8 + 0x11);
        put(entry, 32, &first.to_le_bytes());
        put(entry, 40, &last.to_le_bytes());
        for (m, unit) in name.encode_utf16().enumerate() {
            put(entry, 56 + 2 * m, &unit.to_le_bytes());
        }
    }
    let mut header = vec![0; 92];
    header[..8].copy_from_slice(b"EFI PART");
    put(&mut header, 8, &0x10000_u32.to_le_bytes());
    put(&mut header, 12, &92_u32.to_le_bytes());
    put(&mut header, 24, &1_u64.to_le_bytes());
    put(&mut header, 32, &99_999_u64.to_le_bytes());
    put(&mut header, 40, &34_u64.to_le_bytes());
    put(&mut header, 48, &99_000_u64.to_le_bytes());
    put(&mut header, 72, &2_u64.to_le_bytes());
    put(&mut header, 80, &128_u32.to_le_bytes());
    put(&mut header, 84, &128_u32.to_le_bytes());
    put(&mut header, 88, &crc32fast::hash(&entries).to_le_bytes());
    head[512..512 + 92].copy_from_slice(&sealed(header));
    head[1024..1024 + entries.len()].copy_from_slice(&entries);
    head
}

fn two() -> Vec<u8> {
    head(&[("esp", 2048, 4095), ("données", 4096, 8191)])
}

#[test]
fn labels_and_places_are_read() {
    let table = Gpt::parse(&two()).unwrap();
    let partitions = table.partitions();
    assert_eq!(partitions.len(), 2);
    assert_eq!(partitions[0].bytes, 2048 * 512..4096 * 512);
    assert_eq!(table.find("données").unwrap().number, 2);
    assert_eq!(table.needed(), 8192 * 512 + 33 * 512);
}

#[test]
fn a_table_is_fitted_to_the_disk_and_stays_the_same_otherwise() {
    let mut bytes = two();
    let before = bytes.clone();
    let table = Gpt::parse(&bytes).unwrap();
    let (at, tail) = table.fit(&mut bytes, 100_000 * 512 + 7).unwrap();
    assert_eq!((at, tail.len()), ((100_000 - 33) * 512, 33 * 512));
    let fitted = Gpt::parse(&bytes).unwrap();
    assert_eq!(fitted.partitions(), table.partitions());
    assert_eq!(fitted.disk_size(), 100_000 * 512);
    assert_eq!(u64_at(&fitted.header, 48), 100_000 - 34);
    // The protective partition covers the disk.
    assert_eq!(u32_at(&bytes, 458), 99_999);
    // The entries, and all behind them, are what they were.
    assert_eq!(bytes[1024..], before[1024..]);
    assert_eq!(tail[..128 * 128], before[1024..1024 + 128 * 128]);
    // A second time changes nothing.
    let again = bytes.clone();
    assert_eq!(fitted.fit(&mut bytes, 100_000 * 512).unwrap(), (at, tail));
    assert_eq!(bytes, again);
}

#[test]
fn a_disk_that_is_too_small_is_refused() {
    let mut bytes = two();
    let table = Gpt::parse(&bytes).unwrap();
    let needed = table.needed();
    assert!(table.fit(&mut bytes.clone(), needed).is_ok());
    let error = table.fit(&mut bytes, needed - 512).unwrap_err();
    assert_eq!(
        error,
        GptError::TooSmall {
            needed,
            size: needed - 512
        }
    );
}

#[test]
fn a_copy_has_guids_of_its_own() {
    let mut bytes = two();
    let mut table = Gpt::parse(&bytes).unwrap();
    let mut n = 0;
    table.renew(|| {
        n += 1;
        [n; 16]
    });
    table.resize(2, 6000 * 512);
    table.fit(&mut bytes, 100_000 * 512).unwrap();
    let copy = Gpt::parse(&bytes).unwrap();
    assert_eq!(copy.header[56..72], version4([1; 16]));
    assert_eq!(copy.entries[16..32], version4([2; 16]));
    assert_eq!(copy.entries[..16], [1; 16]);
    assert_eq!(copy.partitions()[1].bytes, 4096 * 512..6000 * 512);
}

#[test]
fn what_is_not_sound_is_told() {
    let sound = two();
    assert_eq!(Gpt::parse(&[]), Err(GptError::Absent));
    assert_eq!(Gpt::parse(&vec![0; HEAD]), Err(GptError::Absent));
    // Any changed bit of header or entries.
    for at in (512..604).chain(1024..1300) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        assert!(Gpt::parse(&bytes).is_err(), "byte {at}");
    }
    let backwards = head(&[("a", 4096, 2048)]);
    assert!(Gpt::parse(&backwards).is_err());
    let over = head(&[("a", 3, 2048)]);
    assert!(Gpt::parse(&over).is_err());
}

proptest! {
    #[test]
    fn nothing_in_a_header_panics(
        at in 8_usize..92,
        value: u64,
        len in 1_usize..8,
        size: u64,
    ) {
        let mut bytes = two();
        put(&mut bytes, 512 + at, &value.to_le_bytes()[..len]);
        let header = sealed(bytes[512..604].to_vec());
        put(&mut bytes, 512, &header);
        if let Ok(table) = Gpt::parse(&bytes) {
            let _ = table.needed();
            let _ = table.partitions();
            let _ = table.fit(&mut bytes, size);
        }
    }

    #[test]
    fn nothing_in_the_entries_panics(first: u64, last: u64, size: u64) {
        let mut bytes = head(&[("a", first, last)]);
        if let Ok(table) = Gpt::parse(&bytes) {
            let _ = table.fit(&mut bytes, size);
        }
    }
}
