//! The demo: the whole of Updraft in about a minute, with real processes.

mod arguments;
mod audit;
mod story;
mod table;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

/// Runs the demo with these arguments, of which the first is its own name.
#[must_use]
pub fn main(args: Vec<OsString>) -> ExitCode {
    let arguments = match arguments::Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output and are no failure.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()) * 2);
        }
    };
    match story::tell(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\nthe demo could not go on: {why}");
            ExitCode::FAILURE
        }
    }
}
