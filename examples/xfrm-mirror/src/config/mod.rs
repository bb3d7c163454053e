//! The TOML file: what can be said in it, and what it means.
//!
//! - [`file`](mod@file): the text as it stands, with the defaults
//! - [`check`]: what it may not say
//! - [`settings`]: what was checked

mod check;
mod error;
mod file;
mod settings;
#[cfg(test)]
mod tests;

pub(crate) use error::ConfigError;
#[cfg(feature = "sctp")]
pub(crate) use file::Link;
pub(crate) use file::{LogLevel, Mode, Transport};
pub(crate) use settings::{LinkSettings, SchemeSettings, Settings};
