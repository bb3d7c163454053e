//! Clear commands.
