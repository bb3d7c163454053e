//! Inbound anti-replay windows and ceilings.
