//! IKEv2 message-id windows.
