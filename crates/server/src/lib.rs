//! Names concrete parts: configuration, assembly, the command line. The only composition root.

pub mod config;
mod listen;
pub mod load;
mod logging;
mod tls;
