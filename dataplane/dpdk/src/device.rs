//! A port's name in the configuration.

use std::{fmt, str::FromStr};

use crate::Error;

/// The device behind a port: a PCI address or a virtual device.
///
/// ```
/// use tandem_dpdk::Device;
///
/// let nic: Device = "0000:41:00.0".parse().unwrap();
/// assert_eq!(nic.eal_argument(), "--allow=0000:41:00.0");
///
/// let veth: Device = "net_af_packet0,iface=veth1".parse().unwrap();
/// assert_eq!(veth.eal_argument(), "--vdev=net_af_packet0,iface=veth1");
/// assert_eq!(veth.name(), "net_af_packet0");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    /// As written, with the PCI domain added.
    text: String,
    pci: bool,
}

impl Device {
    /// Whether it is a PCI device: hardware.
    #[must_use]
    pub fn is_pci(&self) -> bool {
        self.pci
    }

    /// DPDK's name of it: the PCI address, or what stands before the first comma.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.split(',').next().unwrap_or_default()
    }

    /// The whole text, with parameters: what DPDK calls devargs.
    #[must_use]
    pub fn devargs(&self) -> &str {
        &self.text
    }

    /// The EAL argument that lets DPDK take this device. Once EAL has one `--allow`, it takes no
    /// PCI device that is not allowed; without any, it takes all that are bound to it.
    #[must_use]
    pub fn eal_argument(&self) -> String {
        if self.pci {
            format!("--allow={}", self.text)
        } else {
            format!("--vdev={}", self.text)
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = || Error::Argument(text.to_owned());
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(refused());
        }
        let (name, parameters) = match text.split_once(',') {
            Some((name, parameters)) => (name, Some(parameters)),
            None => (text, None),
        };
        if let Some(address) = pci_address(name) {
            let text = match parameters {
                Some(parameters) => format!("{address},{parameters}"),
                None => address,
            };
            return Ok(Self { text, pci: true });
        }
        let driver = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if driver.is_empty()
            || !name.starts_with(|c: char| c.is_ascii_lowercase())
            || !name.chars().all(word)
        {
            return Err(refused());
        }
        Ok(Self {
            text: text.to_owned(),
            pci: false,
        })
    }
}

/// `41:00.0` or `0000:41:00.0` in DPDK's form, with the domain.
fn pci_address(text: &str) -> Option<String> {
    let (rest, function) = text.rsplit_once('.')?;
    let parts: Vec<&str> = rest.split(':').collect();
    let (domain, bus, slot) = match parts.as_slice() {
        [bus, slot] => ("0000", *bus, *slot),
        [domain, bus, slot] => (*domain, *bus, *slot),
        _ => return None,
    };
    let hex = |s: &str, digits| s.len() == digits && s.chars().all(|c| c.is_ascii_hexdigit());
    let function_ok = function.len() == 1 && function.chars().all(|c| ('0'..='7').contains(&c));
    (hex(domain, 4) && hex(bus, 2) && hex(slot, 2) && function_ok)
        .then(|| format!("{domain}:{bus}:{slot}.{function}").to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pci_address_gets_its_domain_and_keeps_its_parameters() {
        let device: Device = "41:00.1,representor=0".parse().unwrap();
        assert!(device.is_pci());
        assert_eq!(device.name(), "0000:41:00.1");
        assert_eq!(device.eal_argument(), "--allow=0000:41:00.1,representor=0");
    }

    #[test]
    fn what_is_no_device_is_refused() {
        for text in [
            "",
            ",iface=x",
            "0000:41:00.8",
            "net null",
            "net_null0\0",
            "41:0.0",
            "7",
        ] {
            assert_eq!(
                text.parse::<Device>(),
                Err(Error::Argument(text.to_owned())),
                "{text}"
            );
        }
    }
}
