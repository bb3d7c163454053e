//! The counters of IPsec SAs as a checkpoint client.
