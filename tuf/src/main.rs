//! Starts the client's command line.

fn main() -> std::process::ExitCode {
    updraft_tuf::cli::main(std::env::args_os())
}
