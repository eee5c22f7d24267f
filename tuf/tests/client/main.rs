//! The program `updraft-tuf` against servers on loopback, honest and not.

mod attacks;
mod downloads;
mod refreshes;
mod server;
mod usage;
mod world;
