//! Starts the publisher; everything happens in its library.

fn main() -> std::process::ExitCode {
    updraft_publisher::cli::main(std::env::args_os())
}
