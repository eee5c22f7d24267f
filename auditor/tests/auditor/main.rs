//! The auditor from outside: its program, its trust, and a swarm of machines.

mod cli;
mod machines;
mod roots;
mod workgroup;
