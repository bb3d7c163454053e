//! The timers of an association.

use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

/// Timers and limits of SCTP, with the names and ranges of Cisco's `ipc zone default` commands.
///
/// ```
/// use std::time::Duration;
/// use ha_transport::sctp::SctpConfig;
/// let config = SctpConfig { path_retransmit: 2, ..SctpConfig::default() };
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SctpConfig {
    /// `retransmit-timeout MIN MAX`: bounds of the retransmission timeout (RFC 9260, section 6.3.1).
    /// 300 to 60 000 ms each; 300 ms and 600 ms.
    pub retransmit_timeout: [Duration; 2],
    /// `path-retransmit`: unanswered transmissions after which a path is unreachable. 2 to 10; 4.
    pub path_retransmit: u16,
    /// `assoc-retransmit`: unanswered transmissions, over all paths and in a row, after which the
    /// association is lost. 2 to 10; 4.
    pub assoc_retransmit: u16,
    /// How often an idle path is asked whether it is there (RFC 9260, section 8.3), beyond the
    /// retransmission timeout. 100 to 60 000 ms; 1000 ms. Not in Cisco's commands.
    pub heartbeat: Duration,
}

impl Default for SctpConfig {
    fn default() -> Self {
        Self {
            retransmit_timeout: [Duration::from_millis(300), Duration::from_millis(600)],
            path_retransmit: 4,
            assoc_retransmit: 4,
            heartbeat: Duration::from_secs(1),
        }
    }
}

impl SctpConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// [`SctpConfigError`], of the first value out of its range.
    pub fn check(&self) -> Result<(), SctpConfigError> {
        let [least, most] = self.retransmit_timeout;
        within("the least retransmit timeout (ms)", ms(least), 300, 60_000)?;
        within("the most retransmit timeout (ms)", ms(most), 300, 60_000)?;
        if least > most {
            return Err(SctpConfigError::Order { least, most });
        }
        within("path_retransmit", self.path_retransmit.into(), 2, 10)?;
        within("assoc_retransmit", self.assoc_retransmit.into(), 2, 10)?;
        within(
            "the heartbeat interval (ms)",
            ms(self.heartbeat),
            100,
            60_000,
        )
    }
}

/// Why SCTP cannot be configured so.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SctpConfigError {
    /// A value is out of its range.
    #[error("{what} is {value}, and has to be {least} to {most}")]
    Range {
        /// The value's name.
        what: &'static str,
        /// The value.
        value: u128,
        /// The least that is possible.
        least: u128,
        /// The most that is possible.
        most: u128,
    },
    /// The bounds of the retransmission timeout are the wrong way round.
    #[error("the least retransmit timeout, {least:?}, is above the most, {most:?}; swap them")]
    Order {
        /// The lower bound.
        least: Duration,
        /// The upper bound.
        most: Duration,
    },
    /// Too few or too many addresses.
    #[error("{count} {side} addresses are given; 1 or {MAX_ADDRESSES} are possible")]
    Addresses {
        /// `local` or `remote`.
        side: &'static str,
        /// How many.
        count: usize,
    },
    /// The addresses of one unit have different ports.
    #[error("the {side} addresses have different ports; an association has one port at each end")]
    Ports {
        /// `local` or `remote`.
        side: &'static str,
    },
    /// IPv4 and IPv6 are mixed.
    #[error("the addresses are of different families; use IPv4 or IPv6 for all of them")]
    Families,
}

/// Checks that an association can have these addresses.
pub(super) fn check_addresses(
    local: &[SocketAddr],
    remote: &[SocketAddr],
) -> Result<(), SctpConfigError> {
    for (side, addresses) in [("local", local), ("remote", remote)] {
        let count = addresses.len();
        if count == 0 || count > MAX_ADDRESSES {
            return Err(SctpConfigError::Addresses { side, count });
        }
        if addresses.iter().any(|a| a.port() != addresses[0].port()) {
            return Err(SctpConfigError::Ports { side });
        }
    }
    let is_ipv4 = local[0].is_ipv4();
    if local.iter().chain(remote).any(|a| a.is_ipv4() != is_ipv4) {
        return Err(SctpConfigError::Families);
    }
    Ok(())
}

fn within(what: &'static str, value: u128, least: u128, most: u128) -> Result<(), SctpConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(SctpConfigError::Range {
        what,
        value,
        least,
        most,
    })
}

const fn ms(time: Duration) -> u128 {
    time.as_millis()
}

/// Most addresses of a unit.
pub const MAX_ADDRESSES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut SctpConfig)) -> Result<(), SctpConfigError> {
        let mut config = SctpConfig::default();
        change(&mut config);
        config.check()
    }

    #[test]
    fn addresses_fit_together() {
        let ends = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let two = ends(&["10.0.0.1:1", "10.0.1.1:1"]);
        assert_eq!(check_addresses(&two, &two), Ok(()));
        let three = ends(&["10.0.0.1:1", "10.0.1.1:1", "10.0.2.1:1"]);
        for count in [0, 3] {
            let expected = SctpConfigError::Addresses {
                side: "remote",
                count,
            };
            assert_eq!(check_addresses(&two, &three[..count]), Err(expected));
        }
        let ports = ends(&["10.0.0.1:1", "10.0.1.1:2"]);
        let expected = SctpConfigError::Ports { side: "local" };
        assert_eq!(check_addresses(&ports, &two), Err(expected));
        let six = ends(&["[fd00::1]:1"]);
        assert_eq!(check_addresses(&two, &six), Err(SctpConfigError::Families));
    }

    #[test]
    fn values_are_refused_beyond_their_limits() {
        let time = Duration::from_millis;
        assert_eq!(with(|_| ()), Ok(()));
        assert!(with(|c| c.retransmit_timeout = [time(300), time(60_000)]).is_ok());
        assert!(with(|c| c.retransmit_timeout = [time(299), time(600)]).is_err());
        assert!(with(|c| c.retransmit_timeout = [time(300), time(60_001)]).is_err());
        assert!(matches!(
            with(|c| c.retransmit_timeout = [time(700), time(600)]),
            Err(SctpConfigError::Order { .. })
        ));
        for (count, fits) in [(1, false), (2, true), (10, true), (11, false)] {
            assert_eq!(with(|c| c.path_retransmit = count).is_ok(), fits);
            assert_eq!(with(|c| c.assoc_retransmit = count).is_ok(), fits);
        }
        for (length, fits) in [(99, false), (100, true), (60_000, true), (60_001, false)] {
            assert_eq!(with(|c| c.heartbeat = time(length)).is_ok(), fits);
        }
        let error = with(|c| c.path_retransmit = 11).unwrap_err().to_string();
        assert_eq!(error, "path_retransmit is 11, and has to be 2 to 10");
    }
}
