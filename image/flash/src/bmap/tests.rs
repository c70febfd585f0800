use super::*;
use proptest::prelude::*;

/// A block map as bmaptool writes it, with its own checksum.
fn text(image_size: u64, block: u64, ranges: &[(u64, u64)]) -> String {
    let mapped: u64 = ranges.iter().map(|(a, b)| b - a + 1).sum();
    let lines: String = ranges
        .iter()
        .map(|(first, last)| {
            let range = match first == last {
                true => first.to_string(),
                false => format!("{first}-{last}"),
            };
            format!(
                "        <Range chksum=\"{}\"> {range} </Range>\n",
                "ab".repeat(32)
            )
        })
        .collect();
    seal(&format!(
        "<?xml version=\"1.0\" ?>\n<!-- a remark -->\n<bmap version=\"2.0\">\n<ImageSize> {image_size} </ImageSize>\n\
         <BlockSize> {block} </BlockSize>\n<BlocksCount> {} </BlocksCount>\n\
         <MappedBlocksCount> {mapped}  </MappedBlocksCount>\n<ChecksumType> sha256 </ChecksumType>\n\
         <BmapFileChecksum> {} </BmapFileChecksum>\n<BlockMap>\n{lines}</BlockMap>\n</bmap>\n",
        image_size.div_ceil(block),
        "0".repeat(64),
    ))
}

fn seal(text: &str) -> String {
    let zeros = "0".repeat(64);
    text.replace(&zeros, &digest::hex(&digest::of(text.as_bytes())))
}

/// Changes a sealed text, and seals it again.
fn changed(from: &str, to: &str) -> String {
    let sealed = text(40_960, 4_096, &[(0, 1), (3, 3)]);
    let start = sealed.find("<BmapFileChecksum> ").unwrap() + 19;
    let open = sealed.replace(&sealed[start..start + 64], &"0".repeat(64));
    assert!(open.contains(from), "{from}");
    seal(&open.replace(from, to))
}

#[test]
fn ranges_are_read_in_bytes() {
    // The last block is not a whole one.
    let map = BlockMap::parse(&text(40_000, 4_096, &[(0, 1), (3, 3), (9, 9)])).unwrap();
    let places: Vec<_> = map.ranges.iter().map(|r| (r.start, r.end)).collect();
    assert_eq!(places, [(0, 8_192), (12_288, 16_384), (36_864, 40_000)]);
    assert_eq!(map.ranges[0].sha256, Some([0xab; 32]));
    assert_eq!(map.mapped(), 8_192 + 4_096 + 3_136);
}

#[test]
fn a_changed_byte_is_found() {
    let good = text(40_960, 4_096, &[(0, 1), (3, 3)]);
    let bad = good.replace("3 </Range>", "4 </Range>");
    assert!(matches!(
        BlockMap::parse(&bad),
        Err(BmapError::Damaged { .. })
    ));
}

#[test]
fn what_is_wrong_is_told() {
    for (from, to, part) in [
        (
            "<bmap version=\"2.0\">",
            "<bmap version=\"1.4\">",
            "version \"1.4\"",
        ),
        ("<bmap version=\"2.0\">", "<bmap>", "version \"\""),
        ("> sha256 <", "> sha1 <", "type \"sha1\""),
        ("> 10 </BlocksCount>", "> 11 </BlocksCount>", "11 blocks"),
        ("> 3  </Mapped", "> 4  </Mapped", "4 mapped blocks"),
        ("> 4096 </BlockSize>", "> 4095 </BlockSize>", "4095"),
        ("> 4096 </BlockSize>", "> x </BlockSize>", "no number"),
        ("> 3 </Range>", "> 1 </Range>", "range \"1\""),
        ("> 3 </Range>", "> 10 </Range>", "range \"10\""),
        ("> 0-1 </Range>", "> 1-0 </Range>", "range \"1-0\""),
        ("> 0-1 </Range>", "> -1 </Range>", "no number"),
        ("<Range chksum=\"abab", "<Range chksum=\"xbab", "no SHA-256"),
        ("</bmap>", "</bmap><bmap></bmap>", "out of place"),
        ("</bmap>", "", "in the middle"),
        (
            "<!-- a remark -->",
            "<!DOCTYPE bmap [<!ENTITY a \"b\">]>",
            "no block map has",
        ),
        ("> 3 </Range>", "> &a; </Range>", "no block map has"),
        (
            "<ImageSize> 40960 </ImageSize>",
            "<ImageSize> 40960 </ImageSize><ImageSize> 40960 </ImageSize>",
            "two elements",
        ),
    ] {
        let error = BlockMap::parse(&changed(from, to)).unwrap_err().to_string();
        assert!(error.contains(part), "{from} to {to}: {error}");
    }
}

proptest! {
    #[test]
    fn what_is_read_is_sound(
        ranges in prop::collection::vec((0_u64..40, 0_u64..40), 0..8),
        size in 1_u64..200_000,
    ) {
        let ranges: Vec<_> = ranges.into_iter().map(|(a, b)| (a, a + b)).collect();
        if let Ok(map) = BlockMap::parse(&text(size, 4_096, &ranges)) {
            let mut at = 0;
            for range in &map.ranges {
                prop_assert!(range.start >= at && range.end > range.start && range.end <= size);
                at = range.end;
            }
        }
    }

    #[test]
    fn numbers_of_any_size_do_not_panic(a: u64, b: u64, c: u64, block in 0_u32..64) {
        let block = 1_u64.checked_shl(block).unwrap_or(0);
        let from = "<Range chksum";
        let to = format!("<Range>{a}-{b}</Range><Range chksum");
        let _ = BlockMap::parse(&changed(from, &to));
        let sizes = format!("<ImageSize>{c}</ImageSize>");
        let _ = BlockMap::parse(&changed("<ImageSize> 40960 </ImageSize>", &sizes));
        let _ = BlockMap::parse(&changed("> 4096 </BlockSize>", &format!(">{block}</BlockSize>")));
    }
}
