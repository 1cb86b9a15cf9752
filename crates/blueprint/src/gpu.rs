//! GPUs of a machine as they are named and chosen from.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::document::{GpuVendor, Name};

/// Address of a device on the PCI bus, by which a GPU is told: it stays the same over starts of the machine, which numbers of device nodes do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct PciAddress {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

/// A text that is no address of the PCI bus.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address of the PCI bus, as 0000:01:00.0")]
pub struct NoPciAddress(String);

impl FromStr for PciAddress {
    type Err = NoPciAddress;

    fn from_str(text: &str) -> Result<PciAddress, NoPciAddress> {
        let parts = || {
            let (domain, rest) = text.split_once(':')?;
            let (bus, rest) = rest.split_once(':')?;
            let (device, function) = rest.split_once('.')?;
            let number = |text: &str, digits: std::ops::RangeInclusive<usize>| {
                let plain = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                u32::from_str_radix(text, 16).ok().filter(|_| plain)
            };
            Some(PciAddress {
                domain: number(domain, 4..=8)?,
                bus: u8::try_from(number(bus, 2..=2)?).ok()?,
                device: u8::try_from(number(device, 2..=2)?).ok().filter(|device| *device < 32)?,
                function: u8::try_from(number(function, 1..=1)?).ok().filter(|function| *function < 8)?,
            })
        };
        parts().ok_or_else(|| NoPciAddress(text.to_string()))
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

/// A GPU as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its vendor.
    pub vendor: GpuVendor,
    /// Its name for people.
    pub model: String,
}

/// GPUs that are chosen from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// Those of the machine.
    pub there: BTreeMap<PciAddress, Gpu>,
    /// Those that instances which are there have, with their application.
    pub busy: BTreeMap<PciAddress, Name>,
    /// Those that instances of other agents of the machine have, with words for whoever that is.
    pub others: BTreeMap<PciAddress, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_bus_are_read_and_printed_in_one_way() {
        for (text, printed) in
            [("0000:01:00.0", "0000:01:00.0"), ("0000:C1:1f.7", "0000:c1:1f.7"), ("00010000:00:02.0", "10000:00:02.0")]
        {
            let address: PciAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), printed);
        }
        for wrong in ["", "01:00.0", "0000:01:00", "0000:01:20.0", "0000:01:00.8", "000g:01:00.0", "0000:+1:00.0"] {
            assert_eq!(wrong.parse::<PciAddress>(), Err(NoPciAddress(wrong.into())), "{wrong}");
        }
    }
}
