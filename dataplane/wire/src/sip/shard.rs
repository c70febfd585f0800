//! Which part of the signaling plane a call belongs to: 4,096 virtual shards by Call-ID, dealt out to
//! workers.
//!
//! A hidden Call-ID (the token that the carrier side sees in the place of an inside one) says its
//! shard in clear, so that both sides' messages find the same worker without any key:
//!
//! ```text
//! tnd1- SS KKKK sealed
//!       |  |    `-- base64url without padding: RFC 5297 SIV, then the ciphertext
//!       |  `------- key id, 24 bits as four characters of base64url
//!       `---------- shard, 12 bits as two characters of base64url
//! ```
//!
//! Every character may stand in a `word` of RFC 3261 section 25.1, and none needs escaping in a URI's
//! header parameter, so a token is a Call-ID wherever one may be. Its case matters, as that of every
//! Call-ID (section 20.8).

/// How many virtual shards there are.
pub const SHARDS: u16 = 4096;

/// What a hidden Call-ID begins with: the format's name and version.
pub const TOKEN_PREFIX: &[u8] = b"tnd1-";

/// Which worker of the signaling plane has which shard. Both planes, and every worker, reckon with this
/// one: the shards are dealt out in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardTable {
    /// 1 to [`SHARDS`].
    workers: u16,
}

impl ShardTable {
    /// Deals the shards out to so many workers; to one, if there shall be none.
    #[must_use]
    pub fn deal(workers: u16) -> Self {
        Self {
            workers: workers.clamp(1, SHARDS),
        }
    }

    /// How many workers there are: at least one.
    #[must_use]
    pub const fn workers(self) -> u16 {
        self.workers
    }

    /// The worker that has this shard; of a larger number, that of its remainder.
    #[must_use]
    pub const fn owner(self, shard: u16) -> u16 {
        shard % SHARDS % self.workers
    }

    /// The worker that a message belongs to, by its Call-ID; none when it has none that can be read. With
    /// one worker nothing is read.
    #[must_use]
    pub fn route(self, message: &[u8]) -> Option<u16> {
        if self.workers == 1 {
            return Some(0);
        }
        super::call_id(message).map(|call_id| self.owner(shard(call_id)))
    }
}

/// The shard of a Call-ID, below [`SHARDS`]: what a hidden one says, else a hash of it. Never
/// changes, and is the same on every node: journals and tokens outlive a version.
#[must_use]
pub fn shard(call_id: &[u8]) -> u16 {
    token_shard(call_id).unwrap_or_else(|| {
        // FNV-1a of 64 bits, folded: short, and without tables or a key.
        let hash = call_id
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        let folded = hash ^ (hash >> 12) ^ (hash >> 24) ^ (hash >> 36) ^ (hash >> 48);
        (folded & 0xfff) as u16
    })
}

/// The shard that a hidden Call-ID says; none when this is another Call-ID. Whose token it is, and
/// whether it is whole, only its key can tell.
#[must_use]
pub fn token_shard(call_id: &[u8]) -> Option<u16> {
    match call_id.strip_prefix(TOKEN_PREFIX)? {
        [high, low, _, _, _, _, _, ..] => Some(sextet(*high)? << 6 | sextet(*low)?),
        _ => None,
    }
}

/// The two characters that say a shard; of a larger number, its lowest 12 bits.
#[must_use]
pub const fn shard_text(shard: u16) -> [u8; 2] {
    [character(shard >> 6), character(shard)]
}

/// A character of base64url (RFC 4648 section 5) as its six bits.
const fn sextet(character: u8) -> Option<u16> {
    Some(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    } as u16)
}

/// The character of the lowest six bits.
const fn character(bits: u16) -> u8 {
    let bits = (bits & 63) as u8;
    match bits {
        0..26 => b'A' + bits,
        26..52 => b'a' + bits - 26,
        52..62 => b'0' + bits - 52,
        62 => b'-',
        _ => b'_',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shards_never_change() {
        for (call_id, is) in [(&b""[..], 1_983), (b"a", 691), (b"1-4711@10.0.0.11", 972)] {
            assert_eq!(shard(call_id), is, "{}", String::from_utf8_lossy(call_id));
        }
    }

    #[test]
    fn call_ids_that_differ_little_spread_over_all_shards() {
        let mut seen = vec![0_u32; usize::from(SHARDS)];
        for n in 0..409_600 {
            let call_id = format!("{n}-1@10.0.0.11");
            seen[usize::from(shard(call_id.as_bytes()))] += 1;
        }
        let (least, most) = (seen.iter().min().unwrap(), seen.iter().max().unwrap());
        assert!(*least > 50 && *most < 160, "{least} to {most} of 100");
    }

    #[test]
    fn what_is_no_token_says_no_shard() {
        for no in [
            "",
            "tnd1-",
            "tnd1-AAKKKK",
            "tnd2-AAKKKKx",
            "tnd1-A=KKKKx",
            "TND1-AAKKKKx",
        ] {
            assert_eq!(token_shard(no.as_bytes()), None, "{no}");
        }
        assert_eq!(token_shard(b"tnd1-_-KKKKx"), Some(0xffe));
    }

    #[test]
    fn shards_are_dealt_out_evenly_and_none_is_left() {
        for (asked, workers) in [(0, 1), (1, 1), (3, 3), (4, 4), (64, 64), (u16::MAX, SHARDS)] {
            let table = ShardTable::deal(asked);
            assert_eq!(table.workers(), workers);
            let mut has = vec![0; usize::from(workers)];
            for shard in 0..SHARDS {
                has[usize::from(table.owner(shard))] += 1;
            }
            let (least, most) = (has.iter().min().unwrap(), has.iter().max().unwrap());
            assert!(
                *least > 0 && most - least <= 1,
                "{workers}: {least} to {most}"
            );
        }
        assert!(ShardTable::deal(3).owner(u16::MAX) < 3);
    }

    #[test]
    fn a_message_goes_where_its_call_id_belongs() {
        let table = ShardTable::deal(5);
        let message = |call_id: &str| format!("BYE sip:a@b SIP/2.0\r\ni : {call_id}\r\n\r\n");
        assert_eq!(shard(b"1-4711@10.0.0.11"), 972);
        let of = |text: &str| table.route(text.as_bytes());
        assert_eq!(of(&message("1-4711@10.0.0.11")), Some(972 % 5));
        // A token says it itself.
        assert_eq!(of(&message("tnd1-_-KKKKx")), Some(0xffe % 5));
        for unreadable in ["", "\r\n\r\n", "BYE sip:a@b SIP/2.0\r\n\r\ni: a\r\n"] {
            assert_eq!(of(unreadable), None);
            assert_eq!(ShardTable::deal(1).route(unreadable.as_bytes()), Some(0));
        }
    }

    proptest! {
        #[test]
        fn any_datagram_has_a_worker_or_none(bytes: Vec<u8>, workers: u16) {
            let table = ShardTable::deal(workers);
            prop_assert!(table.route(&bytes).is_none_or(|worker| worker < table.workers()));
        }

        #[test]
        fn every_call_id_that_is_read_finds_its_owner(call_id in "[!-~]{1,40}", workers: u16) {
            let table = ShardTable::deal(workers);
            let message = format!("OPTIONS sip:a@b SIP/2.0\r\nTo: <sip:a@b>\r\nCall-ID:{call_id}\r\n\r\n");
            let owner = table.owner(shard(call_id.as_bytes()));
            prop_assert_eq!(table.route(message.as_bytes()), Some(owner));
        }

        #[test]
        fn a_shard_is_read_as_it_was_written(number in 0..SHARDS) {
            let token = [TOKEN_PREFIX, &shard_text(number), b"KKKKx"].concat();
            prop_assert_eq!(token_shard(&token), Some(number));
            prop_assert_eq!(shard(&token), number);
        }

        #[test]
        fn any_call_id_has_a_shard(call_id: Vec<u8>) {
            prop_assert!(shard(&call_id) < SHARDS);
        }
    }
}
