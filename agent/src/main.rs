//! Starts the agent's command line.

fn main() -> std::process::ExitCode {
    updraft_agent::rest::share_one_heap();
    updraft_agent::cli::main(std::env::args_os())
}
