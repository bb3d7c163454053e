//! How a facility is set up, and what is refused.

use core::time::Duration;

use crate::id::{ClientId, UnitId};
use crate::redundancy::clients::RfClient;
use crate::redundancy::history::History;

/// How a facility is set up.
#[derive(Clone, Debug)]
pub struct FacilityConfig {
    /// This unit.
    pub unit: UnitId,
    /// The group's clients, in any order; ids must differ.
    pub clients: Vec<RfClient>,
    /// How long a client may take to answer (`client_notification_TMR`): above zero, at most
    /// [`FacilityConfig::MAX_NOTIFICATION_TIMER`].
    pub notification_timer: Duration,
    /// How many switchovers the history keeps: 1 to [`History::MAX_ROWS`].
    pub history_rows: usize,
    /// The pause after the first client fault of a standby; it doubles with each further one.
    pub retry_min: Duration,
    /// The longest such pause.
    pub retry_max: Duration,
}

impl FacilityConfig {
    /// The longest notification timer.
    pub const MAX_NOTIFICATION_TIMER: Duration = Duration::from_secs(3600);

    /// The defaults: notification timer 30 s, 10 rows of history, pauses of 1 s to 60 s.
    pub const fn new(unit: UnitId, clients: Vec<RfClient>) -> Self {
        Self {
            unit,
            clients,
            notification_timer: Duration::from_secs(30),
            history_rows: History::DEFAULT_ROWS,
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
        }
    }

    pub(super) fn validate(&self) -> Result<(), FacilityConfigError> {
        let timer = self.notification_timer;
        if timer.is_zero() || timer > Self::MAX_NOTIFICATION_TIMER {
            return Err(FacilityConfigError::NotificationTimer { timer });
        }
        if !(1..=History::MAX_ROWS).contains(&self.history_rows) {
            return Err(FacilityConfigError::HistoryRows {
                rows: self.history_rows,
            });
        }
        let (min, max) = (self.retry_min, self.retry_max);
        if min.is_zero() || min > max {
            return Err(FacilityConfigError::Retry { min, max });
        }
        Ok(())
    }
}

/// Why a facility cannot be set up.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FacilityConfigError {
    /// The notification timer is out of range.
    #[error("client notification timer {timer:?} is out of range: above 0, at most 1 hour")]
    NotificationTimer {
        /// What was asked for.
        timer: Duration,
    },
    /// The number of rows is out of range.
    #[error("history of {rows} rows is out of range: 1 to {max}", max = History::MAX_ROWS)]
    HistoryRows {
        /// What was asked for.
        rows: usize,
    },
    /// The pauses make no range.
    #[error("retry pause from {min:?} to {max:?}: the first must be above 0, the second not less")]
    Retry {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// Too many clients.
    #[error("{found} clients in one group, at most {limit} are allowed; use another group")]
    TooManyClients {
        /// How many there were.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A client's id belongs to the facility.
    #[error("{id} is reserved for the facility itself; choose another id than 0 and 65000")]
    ReservedClient {
        /// The id.
        id: ClientId,
    },
    /// Two clients have one id.
    #[error("{id} is registered twice; each client of a group needs an id of its own")]
    DuplicateClient {
        /// The id.
        id: ClientId,
    },
    /// A client's name cannot be shown.
    #[error("{id}: a name has 1 to 64 bytes and no control characters")]
    ClientName {
        /// The client's id.
        id: ClientId,
    },
}
