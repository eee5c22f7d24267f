//! The auditor from outside: its program, its trust, and a swarm of machines.

mod cli;
mod roots;
mod workgroup;
