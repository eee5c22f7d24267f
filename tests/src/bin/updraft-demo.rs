//! The demo, and under their names the three programs.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    let program: fn(Vec<OsString>) -> ExitCode = match args.get(1).and_then(|arg| arg.to_str()) {
        Some("publisher") => |args| publisher::cli::main(args),
        Some("agent") => |args| agent::cli::main(args),
        Some("auditor") => |args| auditor::cli::main(args),
        _ => return updraft_tests::demo::main(args),
    };
    updraft_tests::programs::end_with_parent_if_asked();
    // Each program names itself in its help by the first argument.
    let name = args.remove(1).to_string_lossy().into_owned();
    args[0] = format!("updraft-{name}").into();
    program(args)
}
