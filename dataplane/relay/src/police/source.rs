//! What counts as one source.

use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use crate::endpoint::{Address, is_mapped, mapped};

/// What makes hashes that nobody outside can foresee.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed(SipHasher13);

impl Seed {
    pub(crate) fn new(seed: [u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(&seed))
    }
}

/// A source, hashed once for all tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// Its address; IPv4 in its IPv6-mapped form.
    pub(crate) address: Address,
    /// What counts as one source: an IPv4 address, or the upper half of an IPv6 address with zeros behind it, since a
    /// host has a whole /64 (RFC 7421).
    pub(crate) prefix: Address,
    /// Of the prefix.
    pub(crate) hash: u64,
}

impl Source {
    #[inline]
    pub(crate) fn new(seed: Seed, address: Address) -> Self {
        let mut prefix = address;
        if !is_mapped(&address)
            && let Some((_, host)) = prefix.split_first_chunk_mut::<8>()
        {
            host.fill(0);
        }
        Self {
            address,
            prefix,
            hash: seed.0.hash(&prefix),
        }
    }

    pub(crate) fn of(seed: Seed, address: IpAddr) -> Self {
        Self::new(seed, mapped(address))
    }
}
