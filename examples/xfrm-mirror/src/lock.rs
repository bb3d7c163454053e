//! One daemon for each virtual address.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use ha_transport::vip::VirtualAddress;

/// Holds virtual addresses against other daemons in this network namespace, until it is dropped, or its
/// process is gone.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held, not used")] Vec<UnixDatagram>);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error(
        "another xfrm-mirror in this network namespace has the virtual address {0}; stop it first \
         (its file may have another status_socket)"
    )]
    Held(VirtualAddress),
    #[error("the lock of {address}: {source}")]
    Io {
        address: VirtualAddress,
        source: std::io::Error,
    },
}

/// Abstract sockets: they belong to the network namespace, as the addresses do, and nothing is left of
/// them when a process dies.
pub(crate) fn take(addresses: &[VirtualAddress]) -> Result<Lock, LockError> {
    let one = |address: &VirtualAddress| {
        let name = format!("xfrm-mirror/{}", address.address);
        let bound =
            SocketAddr::from_abstract_name(name).and_then(|at| UnixDatagram::bind_addr(&at));
        bound.map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => LockError::Held(address.clone()),
            _ => LockError::Io {
                address: address.clone(),
                source,
            },
        })
    };
    addresses
        .iter()
        .map(one)
        .collect::<Result<_, _>>()
        .map(Lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_daemon() {
        // Nobody else in this namespace has it.
        let address = VirtualAddress::parse("lo", "198.51.100.77/32").unwrap();
        let held = take(core::slice::from_ref(&address)).unwrap();
        let error = take(core::slice::from_ref(&address)).unwrap_err();
        assert!(error.to_string().contains("198.51.100.77"), "{error}");
        drop(held);
        take(&[address]).unwrap();
    }
}
