//! The program `updraft-tuf` against servers on loopback, honest and not.

mod attacks;
mod downloads;
mod https;
mod refreshes;
mod server;
mod usage;
mod world;
