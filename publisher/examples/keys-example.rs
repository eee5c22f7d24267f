//! Writes the example keys anew: `cargo run --release -p updraft-publisher
//! --example keys-example -- DIR`.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: keys-example DIR");
        return ExitCode::from(2);
    };
    for (name, key) in manifest::example_keys::all() {
        if let Err(error) = store::keyfile::create(&dir.join(format!("{name}.pem")), &key) {
            eprintln!("cannot write {name}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
