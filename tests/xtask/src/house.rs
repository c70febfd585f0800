//! The house: every room, what it may use, and what kind it is. ADR 2 has the reasons.

/// What kind of crate a room is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Pure: no unsafe, no clock, no I/O.
    Pure,
    /// The only kind that may use unsafe.
    Unsafe,
    /// Neither.
    Plain,
    /// Tests and benchmarks: may use what they test, and nobody may use them.
    Test,
    /// A benchmark that counts allocations, which takes an allocator of its own, and so unsafe.
    Counting,
}

/// One room.
pub(crate) struct Room {
    /// Its package's name.
    pub(crate) name: &'static str,
    /// Its kind.
    pub(crate) kind: Kind,
    /// The rooms that it may depend on.
    pub(crate) may_use: &'static [&'static str],
}

const fn room(name: &'static str, kind: Kind, may_use: &'static [&'static str]) -> Room {
    Room {
        name,
        kind,
        may_use,
    }
}

/// Every room of the workspace. A package that is not here fails the check: a new room is a decision.
pub(crate) const HOUSE: &[Room] = &[
    room("tandem-config", Kind::Pure, &[]),
    room("tandem-wire", Kind::Pure, &[]),
    room("tandem-link", Kind::Pure, &[]),
    room("tandem-relay", Kind::Pure, &["tandem-wire", "tandem-link"]),
    room("tandem-shm", Kind::Unsafe, &[]),
    room("tandem-dpdk-sys", Kind::Unsafe, &[]),
    room("tandem-dpdk", Kind::Unsafe, &["tandem-dpdk-sys"]),
    room(
        "tandem-dataplane",
        Kind::Plain,
        &[
            "tandem-config",
            "tandem-wire",
            "tandem-relay",
            "tandem-link",
            "tandem-shm",
            "tandem-dpdk",
        ],
    ),
    room("tandem-sip", Kind::Pure, &["tandem-wire"]),
    room("tandem-sdp", Kind::Pure, &[]),
    room("tandem-transaction", Kind::Pure, &["tandem-sip"]),
    room("tandem-policy", Kind::Pure, &[]),
    room(
        "tandem-call",
        Kind::Pure,
        &[
            "tandem-transaction",
            "tandem-sip",
            "tandem-sdp",
            "tandem-policy",
            "tandem-link",
        ],
    ),
    room("tandem-freeswitch", Kind::Pure, &["tandem-policy"]),
    room(
        "tandem-store",
        Kind::Plain,
        &["tandem-config", "tandem-policy"],
    ),
    room(
        "tandem-net",
        Kind::Plain,
        &["tandem-shm", "tandem-link", "tandem-sip"],
    ),
    room("tandem-admin", Kind::Pure, &[]),
    room("tandem-hwprofiles", Kind::Plain, &[]),
    // management.toml, for who carries it out, writes it or puts it on a disk; neither daemon reads it.
    room("tandem-management", Kind::Plain, &["tandem-hwprofiles"]),
    room(
        "tandem-flash",
        Kind::Plain,
        &["tandem-config", "tandem-management"],
    ),
    room(
        "tandem-sigplane",
        Kind::Plain,
        &[
            "tandem-config",
            "tandem-call",
            "tandem-store",
            "tandem-net",
            "tandem-admin",
            "tandem-policy",
            "tandem-link",
            "tandem-freeswitch",
        ],
    ),
    room(
        "tandemctl",
        Kind::Plain,
        &[
            "tandem-config",
            "tandem-admin",
            "tandem-store",
            "tandem-freeswitch",
            "tandem-hwprofiles",
            "tandem-management",
        ],
    ),
    // What a person sees and steers by the management API; wire reads the messages of a call that is followed.
    room(
        "tandem-console",
        Kind::Plain,
        &[
            "tandem-admin",
            "tandem-config",
            "tandem-hwprofiles",
            "tandem-management",
            "tandem-wire",
        ],
    ),
    // Operators have it, too.
    room(
        "tandem-load",
        Kind::Plain,
        &["tandem-dpdk", "tandem-wire", "tandem-sip", "tandem-sdp"],
    ),
    room("tandem-e2e", Kind::Test, &[]),
    room("tandem-image-tests", Kind::Test, &["tandem-e2e"]),
    room("tandem-bench", Kind::Test, &[]),
    room("tandem-bench-micro", Kind::Counting, &[]),
    room("tandem-bench-peers", Kind::Test, &["tandem-e2e"]),
    room("tandem-fuzz", Kind::Test, &[]),
    room("tandem-sim", Kind::Test, &[]),
    room("xtask", Kind::Test, &[]),
];

/// What a pure room may not depend on: runtimes and ways to the system.
pub(crate) const IMPURE: &[&str] = &[
    "tokio",
    "nix",
    "libc",
    "rustix",
    "mio",
    "socket2",
    "async-std",
    "tandem-dpdk",
    "tandem-dpdk-sys",
];

/// The room of a package.
pub(crate) fn find(name: &str) -> Option<&'static Room> {
    HOUSE.iter().find(|r| r.name == name)
}
