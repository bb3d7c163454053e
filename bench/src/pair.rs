//! Two units in two processes: this one, and children that run this very program.
//!
//! A child is told what to do by lines on its standard input and answers each with a line of JSON.

mod child;
mod peer;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use ha_core::redundancy::RfState;
use ha_transport::Identity;
use tempfile::TempDir;

use crate::held::TableSpec;
use crate::suite::BenchError;
use crate::unit::{Keepalive, LinkKind, Unit, UnitSpec};

pub use child::{Answer, Order, clock_micros, serve};
pub use peer::Peer;

/// Where a pair lives: addresses and identities.
#[derive(Debug)]
pub struct Site {
    spec: UnitSpec,
    _folder: TempDir,
}

impl Site {
    /// Two free addresses on loopback, and two fresh identities.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn new(
        link: LinkKind,
        keepalive: Keepalive,
        tables: Vec<TableSpec>,
    ) -> Result<Self, BenchError> {
        let folder = tempfile::tempdir().map_err(BenchError::io("making a folder"))?;
        for name in ["unit-0", "unit-1"] {
            let identity = Identity::generate(name).map_err(BenchError::failed("an identity"))?;
            let saved = identity.save(folder.path().join(name));
            saved.map_err(BenchError::failed("an identity"))?;
        }
        let spec = UnitSpec {
            unit: 0,
            addresses: [free_address()?, free_address()?],
            folder: folder.path().into(),
            link,
            keepalive,
            tables,
        };
        Ok(Self {
            spec,
            _folder: folder,
        })
    }

    /// Unit 0, active, filled and in this process. Then the standby can come.
    ///
    /// # Errors
    /// If it does not get there.
    pub fn active(&self) -> Result<Unit, BenchError> {
        let mut unit = self.here(0)?;
        unit.start()?;
        unit.await_state(RfState::Active)?;
        // After that: an SA database is changed on an active unit only.
        unit.fill()?;
        Ok(unit)
    }

    /// A unit in this process, not started.
    ///
    /// # Errors
    /// If the library refuses a table.
    pub fn here(&self, unit: u32) -> Result<Unit, BenchError> {
        Unit::new(self.spec(unit))
    }

    /// A unit in a process of its own, not started.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn child(&self, unit: u32) -> Result<Peer, BenchError> {
        Peer::spawn(&self.spec(unit))
    }

    fn spec(&self, unit: u32) -> UnitSpec {
        UnitSpec {
            unit,
            ..self.spec.clone()
        }
    }
}

/// Free for TCP and for UDP. Another process could take it before the unit does; then the unit
/// says so.
fn free_address() -> Result<SocketAddr, BenchError> {
    for _ in 0..100 {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let tcp = tcp.map_err(BenchError::io("finding a free port"))?;
        let address = tcp
            .local_addr()
            .map_err(BenchError::io("finding a free port"))?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(BenchError::failed("finding a free port")("none is"))
}
