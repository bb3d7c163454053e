//! What makes an [`IpsecSa`] whole.

use super::super::codec::limit;
use super::super::{
    IpsecSa, LinuxAttributes, MAX_SECURITY_CONTEXT, MAX_SELECTORS, Mode, NatT, RecordError,
    SaFlags, Transform, TransformKind, Unusable, compression_name,
};
use super::{check_key, check_name, check_selector, check_transform, known, need, refuse_if};
use crate::id::{Protocol, SaId};
use crate::sequence::MAX_BUDGET;

impl IpsecSa {
    /// Whether the record is whole and free of contradictions. Insertion and decoding refuse what
    /// this refuses; what an unknown algorithm would need is not checked.
    ///
    /// # Errors
    /// What is missing, beyond its limit, or contradicts what.
    pub fn check(&self) -> Result<(), RecordError> {
        check_id("spi", &self.id)?;
        self.check_ends()?;
        self.check_selectors()?;
        self.check_algorithms()?;
        self.check_keys()?;
        self.check_mode()?;
        self.check_budget()?;
        self.lifetime.validate()?;
        check_name("crypto_map", &self.crypto_map)?;
        self.linux.as_deref().map_or(Ok(()), check_linux)
    }

    /// Whether this release knows everything that it takes to carry packets on the SA. One that it
    /// does not is kept, and sent on as it came.
    ///
    /// # Errors
    /// What is unknown.
    pub fn usable(&self) -> Result<(), Unusable> {
        known(self.encryption)?;
        known(self.integrity)?;
        match self.compression {
            Some(id) if compression_name(id).is_none() => Err(Unusable::Compression(id)),
            _ => Ok(()),
        }
    }

    fn check_ends(&self) -> Result<(), RecordError> {
        let ipv4 = self.id.destination.is_ipv4();
        refuse_if(
            ipv4 != self.source.is_ipv4(),
            "a source and a destination of different families",
        )?;
        if let Some(ike) = self.ike {
            need(ike.initiator != 0, "ike_initiator")?;
        }
        let Some(pair) = &self.pair else {
            return Ok(());
        };
        check_id("pair_spi", pair)?;
        refuse_if(
            pair.protocol != self.id.protocol || pair.destination.is_ipv4() != ipv4,
            "a pair of another protocol or family",
        )?;
        refuse_if(*pair == self.id, "an SA that is its own pair")
    }

    fn check_selectors(&self) -> Result<(), RecordError> {
        for (field, selectors) in [("local", &self.local), ("remote", &self.remote)] {
            limit(field, selectors.len(), MAX_SELECTORS)?;
            selectors.iter().try_for_each(check_selector)?;
        }
        Ok(())
    }

    fn check_algorithms(&self) -> Result<(), RecordError> {
        if let Some(transform) = self.encryption {
            check_transform(transform, TransformKind::Encryption)?;
        }
        if let Some(transform) = self.integrity {
            check_transform(transform, TransformKind::Integrity)?;
        }
        match self.id.protocol {
            Protocol::Esp => self.check_esp(),
            Protocol::Ah => self.check_ah(),
            Protocol::IpComp => self.check_ipcomp(),
        }
    }

    fn check_esp(&self) -> Result<(), RecordError> {
        need(self.encryption.is_some(), "encryption")?;
        refuse_if(
            self.compression.is_some(),
            "compression in an ESP SA; it is an SA of its own",
        )?;
        let aead = self.encryption.is_some_and(|it| it.is_aead());
        refuse_if(
            aead && self.integrity.is_some(),
            "an integrity algorithm beside a combined mode (RFC 7296 §3.3)",
        )?;
        let null = self
            .encryption
            .is_some_and(|it| it.id == Transform::NULL.id);
        refuse_if(
            null && self.integrity.is_none(),
            "neither encryption nor integrity (RFC 4303 §3.2)",
        )
    }

    fn check_ah(&self) -> Result<(), RecordError> {
        need(self.integrity.is_some(), "integrity")?;
        refuse_if(
            self.encryption.is_some() || self.compression.is_some(),
            "an AH SA with encryption or compression",
        )?;
        refuse_if(self.nat_t.is_some(), "an AH SA behind NAT (RFC 3948 §1)")
    }

    fn check_ipcomp(&self) -> Result<(), RecordError> {
        need(self.compression.is_some_and(|id| id != 0), "compression")?;
        let (encryption, integrity) = (&self.keys.encryption, &self.keys.integrity);
        refuse_if(
            self.encryption.is_some() || self.integrity.is_some(),
            "an IPComp SA with encryption or integrity",
        )?;
        refuse_if(
            !encryption.is_empty() || !integrity.is_empty(),
            "an IPComp SA with keys",
        )?;
        refuse_if(
            self.esn || self.nat_t.is_some(),
            "an IPComp SA with sequence numbers or UDP encapsulation",
        )
    }

    fn check_keys(&self) -> Result<(), RecordError> {
        check_key("encryption_key", self.encryption, &self.keys.encryption)?;
        check_key("integrity_key", self.integrity, &self.keys.integrity)
    }

    fn check_mode(&self) -> Result<(), RecordError> {
        let tunnel_only = [
            SaFlags::SET_DF,
            SaFlags::ANY_INNER_FAMILY,
            SaFlags::FRAGMENT_BEFORE,
        ];
        let has = |flag| self.flags.contains(flag);
        let padded = self.linux.as_ref().is_some_and(|it| it.tfc_padding > 0);
        refuse_if(
            self.mode == Mode::Transport && (padded || tunnel_only.into_iter().any(has)),
            "transport mode with what only a tunnel has (an outer DF bit, an inner family, \
             fragmentation before encryption, TFC padding)",
        )?;
        refuse_if(
            has(SaFlags::SET_DF) && has(SaFlags::CLEAR_DF),
            "a DF bit both set and clear",
        )?;
        self.nat_t.as_deref().map_or(Ok(()), check_nat_t)
    }

    fn check_budget(&self) -> Result<(), RecordError> {
        let (field, got) = ("budget", self.budget);
        if got == 0 {
            let allowed = 1;
            return Err(RecordError::TooSmall {
                field,
                got,
                allowed,
            });
        }
        if got > MAX_BUDGET {
            let allowed = MAX_BUDGET;
            return Err(RecordError::Limit {
                field,
                got,
                allowed,
            });
        }
        Ok(())
    }
}

/// RFC 4303 §2.1: SPIs up to 255 are reserved. RFC 3173 §3.3: a CPI has 16 bits, and 0 is reserved.
fn check_id(field: &'static str, id: &SaId) -> Result<(), RecordError> {
    let (min, max) = match id.protocol {
        Protocol::Esp | Protocol::Ah => (256, u32::MAX),
        Protocol::IpComp => (1, 0xffff),
    };
    let got = id.spi.into();
    if id.spi < min {
        let allowed = min.into();
        return Err(RecordError::TooSmall {
            field,
            got,
            allowed,
        });
    }
    if id.spi > max {
        let allowed = max.into();
        return Err(RecordError::Limit {
            field,
            got,
            allowed,
        });
    }
    Ok(())
}

fn check_nat_t(nat_t: &NatT) -> Result<(), RecordError> {
    need(nat_t.local_port != 0, "local_port")?;
    need(nat_t.remote_port != 0, "remote_port")
}

fn check_linux(linux: &LinuxAttributes) -> Result<(), RecordError> {
    check_name("offload_device", &linux.offload_device)?;
    limit(
        "security_context",
        linux.security_context.len(),
        MAX_SECURITY_CONTEXT,
    )?;
    refuse_if(
        !linux.icv_bits.is_multiple_of(8),
        "an ICV that is no whole number of bytes",
    )
}
