//! Peers that lie, shout, dawdle and come in crowds, against a real agent.
//!
//! In each test an agent runs as a process of its own, with its disk, log and
//! socket; bad peers come before a seeder does. Then the update completes, the
//! agent's memory stays within its bounds, the offender is gone, and the log
//! names it as a machine's owner would look for it: a member by its machine, a
//! stranger by its address.

mod crowds;
mod gossip;
mod members;
mod revoked;
mod strangers;
mod world;
