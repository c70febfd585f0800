//! The built-in profiles, and mistakes in others.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use tandem_hwprofiles::{Profile, Profiles};

const GOOD: &str = include_str!("../profiles/intel-82599.toml");

#[test]
fn every_profile_has_a_source_for_each_figure_and_no_card_is_in_two() {
    let profiles = Profiles::built_in().unwrap();
    assert_eq!(profiles.iter().count(), 13);
    for name in [
        "intel-82599",
        "intel-700",
        "intel-e810",
        "intel-i350",
        "nvidia-connectx5",
        "virtio",
        "vmxnet3",
        "e1000",
        "aws-ena",
        "lab",
    ] {
        assert!(profiles.named(name).is_some(), "{name}");
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    let says = |from: &str, to: &str| {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        Profile::parse("x.toml", &text).unwrap_err().to_string()
    };
    for (from, to, expected) in [
        (
            "idle = \"poll\"",
            "idle = \"poll\"\nspeed = 1",
            "unknown field `speed`",
        ),
        ("idle = \"poll\"", "idle = \"sometimes\"", "line 8"),
        ("8086:10fb", "8086:10FB", "is not a PCI id"),
        (
            "wanted = 2048",
            "wanted = 2047",
            "rx_descriptors: 2047 wanted is not a multiple of 8",
        ),
        (
            "wanted = 1024",
            "wanted = 8192",
            "tx_descriptors: 8192 wanted",
        ),
        (
            "\"hand-off\"]",
            "\"l4-destination\"]",
            "ends with \"hand-off\"",
        ),
        (
            "binding = \"vfio-pci\"",
            "binding = \"none\"",
            "`binding` is \"none\" for virtual devices",
        ),
        (
            "source = \"DPDK 22.11, drivers/net/ixgbe/ixgbe_ethdev.c: speed_capa\"",
            "source = \"\"",
            "every figure has a source",
        ),
        (
            "[speed_mbps]\nvalue = 10000\n",
            "[speed_mbps]\n",
            "missing field `value`",
        ),
    ] {
        let error = says(from, to);
        assert!(
            error.contains(expected) && error.contains("x.toml"),
            "{error}"
        );
    }
    let twice = Profiles::new([("a.toml", GOOD), ("b.toml", GOOD)]).unwrap_err();
    assert!(
        twice.to_string().contains("8086:10fb is in two profiles"),
        "{twice}"
    );
}
