//! Show commands.
