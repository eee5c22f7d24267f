//! A third client, the crate `sigstore-tuf`: a program of its own, in
//! `tests/third`, which is built once and kept beside the build.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/third/Cargo.toml");

/// A process that answers for any number of clients.
pub(crate) struct Third {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// The program, or `None` after saying why there is none.
fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PROGRAM.get_or_init(build) {
        Ok(program) => Some(program),
        Err(why) if std::env::var("CI").as_deref() == Ok("true") => {
            panic!("sigstore-tuf cannot be had: {why}")
        }
        Err(why) => {
            eprintln!("SKIPPED: sigstore-tuf cannot be had: {why}");
            None
        }
    }
}

fn build() -> Result<PathBuf, String> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("third");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--manifest-path", MANIFEST, "--target-dir"])
        .arg(&dir)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(dir.join("debug").join("updraft-third-client")),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

impl Third {
    /// Starts one; `None` after saying why it cannot be had.
    pub(crate) fn start() -> Option<Self> {
        let mut child = Command::new(program()?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was just built");
        let stdin = child.stdin.take().expect("it was piped");
        let stdout = BufReader::new(child.stdout.take().expect("it was piped"));
        Some(Self { child, stdin, stdout })
    }

    /// What the client that keeps its files in `home`, and was shipped with
    /// `root`, makes of `repository` and of these targets.
    pub(crate) fn ask(
        &mut self,
        root: &Path,
        home: &Path,
        repository: &Path,
        targets: &[&String],
    ) -> Value {
        let question =
            json!({ "root": root, "home": home, "repository": repository, "targets": targets });
        writeln!(self.stdin, "{question}").expect("it reads until it is told to end");
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it prints text");
        serde_json::from_str(&line).expect("it prints a line of JSON")
    }
}

impl Drop for Third {
    fn drop(&mut self) {
        // It holds nothing that could be lost.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
