//! What the fuzz targets do with their input, without libFuzzer: `cargo test` replays the committed
//! corpora through the same code (`ha-core/tests/corpus.rs`).

pub mod envelope;
mod input;
pub mod message;
pub mod operations;
mod pair;
pub mod section;
