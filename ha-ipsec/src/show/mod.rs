//! Show commands: what an operator sees of the tables, as values and as Cisco's text.
//!
//! Each command has a view: a plain value that serializes (serde) and whose `Display` is the text
//! of IOS. The functions of [`build`] fill views from a database's records; whoever keeps SAs
//! elsewhere fills them in by hand.
//!
//! | command | view |
//! |---|---|
//! | `show redundancy states` | [`RedundancyStatesView`] |
//! | `show redundancy history` | [`RedundancyHistoryView`] |
//! | `show redundancy switchover history` | [`SwitchoverHistoryView`] |
//! | `show redundancy clients` | [`RedundancyClientsView`] |
//! | `show redundancy inter-device` | [`InterDeviceView`] |
//! | `show checkpoint statistics` | [`CheckpointStatisticsView`] |
//! | `show crypto ha` | [`CryptoHaView`] |
//! | `show crypto isakmp sa [active \| standby] [detail]` | [`IsakmpSaTable`] |
//! | `show crypto ikev2 sa [active \| standby] [detailed]` | [`Ikev2SaTable`] |
//! | `show crypto ipsec sa [active \| standby]` | [`IpsecSaTable`] |
//! | `show crypto session [active \| standby] [detail]` | [`SessionTable`] |
//!
//! The layouts are those of IOS 12.3(11)T's stateful failover, where a newer one is not named; what
//! differs from Cisco's published samples is listed, with the reason, in
//! `tests/show/DIFFERENCES.md`, and the tests hold the list to be complete.
//!
//! # No keys
//! A view cannot hold key material: every view serializes, and a
//! [`Secret`](crate::secret::Secret) does not.
//!
//! ```
//! fn shown<T: serde::Serialize>() {}
//! shown::<ha_ipsec::show::IpsecSaTable>();
//! ```
//! ```compile_fail,E0277
//! fn shown<T: serde::Serialize>() {}
//! shown::<ha_ipsec::secret::Secret>();
//! ```

mod algorithm;
pub mod build;
mod checkpoint;
mod ha;
mod ikev2;
mod ipsec;
mod isakmp;
mod redundancy;
mod selector;
mod session;
mod text;

pub use build::Show;
pub use checkpoint::CheckpointStatisticsView;
pub use ha::{CryptoHaView, IkeVipView};
pub use ikev2::{Ikev2Detail, Ikev2SaTable, Ikev2SaView};
pub use ipsec::{
    DirectionView, FlowPackets, IpsecFlowView, IpsecInterfaceView, IpsecSaTable, IpsecSaView,
    KeyLifetimeView, SequenceView,
};
pub use isakmp::{Capabilities, IsakmpDetail, IsakmpSaTable, IsakmpSaView};
pub use redundancy::{
    InterDeviceView, RedundancyClientView, RedundancyClientsView, RedundancyHistoryView,
    RedundancyStatesView, SwitchoverHistoryView,
};
pub use selector::SelectorView;
pub use session::{
    SessionDetail, SessionFlowView, SessionIkeView, SessionStatus, SessionTable, SessionTraffic,
    SessionView,
};

pub use crate::clear::{HaStatus, StatusFilter};
