//! SPI allocation.
