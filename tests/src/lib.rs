//! Updraft's journeys and demo: everything together.
//!
//! Each program is started as a real process, by re-executing the binary
//! `updraft-demo` under the program's name; see `programs`.

pub mod cast;
pub mod compare;
pub mod control;
pub mod demo;
pub mod folder;
pub mod hearing;
pub mod programs;
pub mod sample;
pub mod scale;
pub mod scene;
pub mod watch;
pub mod webserver;
