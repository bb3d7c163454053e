//! `show crypto ha`.

use core::fmt;
use core::net::IpAddr;

use serde::Serialize;

use super::text::hex_bytes;

/// The virtual addresses that IKE and IPsec use; its `Display` is the command's output.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct CryptoHaView {
    /// Those of IKE.
    pub ike: Vec<IkeVipView>,
    /// Those of IPsec.
    pub ipsec: Vec<IpAddr>,
}

/// A virtual address of IKE.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct IkeVipView {
    /// The address.
    pub address: IpAddr,
    /// What marks the cookies of this pair's IKE SAs, so that a cookie of another maker is told
    /// apart; 16 bytes on IOS. Empty if the gateway does not use one.
    #[serde(serialize_with = "hex_bytes")]
    pub stamp: Vec<u8>,
}

impl fmt::Display for CryptoHaView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for vip in &self.ike {
            writeln!(f, "IKE VIP: {}", vip.address)?;
            if vip.stamp.is_empty() {
                continue;
            }
            f.write_str("  stamp:")?;
            vip.stamp
                .iter()
                .try_for_each(|byte| write!(f, " {byte:02X}"))?;
            writeln!(f)?;
        }
        self.ipsec
            .iter()
            .try_for_each(|vip| writeln!(f, "IPSec VIP: {vip}"))
    }
}
