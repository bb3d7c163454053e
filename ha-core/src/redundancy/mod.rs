//! Redundancy facility (RF): states, progression, switchover and what an operator sees of them.
//!
//! Pure state machines. Each takes `now` where time matters and leaves its outputs to be polled;
//! none knows a clock, a socket or another module's state. [`Facility`] is the RF of one group;
//! who is active is not decided here but by a [`scheme`](crate::scheme), and what two active
//! units do about it by [`Claim`].

pub mod claim;
mod clients;
mod events;
pub mod facility;
pub mod history;
pub mod keepalive;
mod progression;
pub mod show;
mod state;
pub mod switchover;

pub use claim::{Claim, Tenure, Verdict};
pub use clients::{ClientFault, FailedClient, NotificationToken, RfClient};
pub use events::{Action, RfEvent, SwitchoverReason};
pub use facility::{
    Activation, Answer, Facility, FacilityConfig, FacilityConfigError, FallBack, RfAction,
    UnknownToken,
};
pub use history::{History, LogEntry, LogRow, SwitchoverRow};
pub use keepalive::{KeepaliveConfig, KeepaliveConfigError, KeepaliveEvent, KeepaliveMonitor};
pub use progression::Gate;
pub use show::{Communications, ManualSwitchover, RedundancyStates, SwitchoverHistory};
pub use state::{RfState, UnknownState};
pub use switchover::{FencingRefusal, SwitchoverRefusal, SwitchoverView};
