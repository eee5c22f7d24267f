//! The admin's program; everything is in the library.

fn main() -> std::process::ExitCode {
    updraft_auditor::cli::main(std::env::args_os())
}
