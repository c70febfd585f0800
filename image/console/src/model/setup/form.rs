//! The fields of the set-up.

use serde::{Deserialize, Serialize};

use super::Step;

/// A field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Field {
    CarrierAddress,
    CarrierGateway,
    CarrierVlan,
    CoreAddress,
    CoreGateway,
    CoreVlan,
    ManagementAddress,
    ManagementGateway,
    ManagementAllow,
    Name,
    Node,
    Key,
}

impl Field {
    /// The fields of a step.
    pub(crate) const fn of(step: Step) -> &'static [Self] {
        match step {
            Step::Addresses => &[
                Self::CarrierAddress,
                Self::CarrierGateway,
                Self::CarrierVlan,
                Self::CoreAddress,
                Self::CoreGateway,
                Self::CoreVlan,
                Self::ManagementAddress,
                Self::ManagementGateway,
                Self::ManagementAllow,
            ],
            Step::Name => &[Self::Name, Self::Node, Self::Key],
            _ => &[],
        }
    }

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CarrierAddress => "Carrier: our address",
            Self::CarrierGateway => "Carrier: gateway",
            Self::CarrierVlan => "Carrier: VLAN",
            Self::CoreAddress => "Core: our address",
            Self::CoreGateway => "Core: gateway",
            Self::CoreVlan => "Core: VLAN",
            Self::ManagementAddress => "Management: our address",
            Self::ManagementGateway => "Management: gateway",
            Self::ManagementAllow => "Management: allowed from",
            Self::Name => "Name of the machine",
            Self::Node => "Number in the cluster",
            Self::Key => "SSH key of the administrator",
        }
    }

    /// What belongs there.
    pub(crate) const fn hint(self) -> &'static str {
        match self {
            Self::CarrierAddress => "192.0.2.10/24",
            Self::CoreAddress => "10.20.0.10/24",
            Self::CarrierGateway | Self::CoreGateway => "optional",
            Self::CarrierVlan | Self::CoreVlan => "optional, 1 to 4094",
            Self::ManagementAddress => "empty: DHCP",
            Self::ManagementGateway => "optional",
            Self::ManagementAllow => "empty: from anywhere; 198.51.100.0/24",
            Self::Name => "letters, digits and -; empty: as it is",
            Self::Node => "1 to 65535; empty: 1",
            Self::Key => "ssh-ed25519 AAAA... name; empty: none",
        }
    }

    /// The most characters.
    pub(crate) const fn longest(self) -> usize {
        match self {
            Self::Key => 2_000,
            _ => 64,
        }
    }
}
