//! A virtual environment with python-tuf, made once and kept beside the build.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// Where the scripts are.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python");

/// An interpreter that knows python-tuf.
pub(crate) struct Oracle {
    python: PathBuf,
}

/// The oracle, or `None` after saying why there is none.
pub(crate) fn oracle() -> Option<&'static Oracle> {
    static ORACLE: OnceLock<Result<Oracle, String>> = OnceLock::new();
    match ORACLE.get_or_init(prepare) {
        Ok(oracle) => Some(oracle),
        Err(why) if std::env::var("CI").as_deref() == Ok("true") => {
            panic!("python-tuf cannot be had: {why}")
        }
        Err(why) => {
            eprintln!("SKIPPED: python-tuf cannot be had: {why}");
            None
        }
    }
}

fn prepare() -> Result<Oracle, String> {
    let requirements = format!("{SCRIPTS}/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).map_err(|error| error.to_string())?;
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-tuf");
    let python = dir.join("bin").join("python");
    let ready = dir.join("ready.txt");
    if std::fs::read_to_string(&ready).is_ok_and(|installed| installed == wanted) {
        return Ok(Oracle { python });
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(&requirements))?;
    std::fs::write(&ready, wanted).map_err(|error| error.to_string())?;
    Ok(Oracle { python })
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} failed: {}", said.trim()))
}

impl Oracle {
    /// Runs a script to its end.
    pub(crate) fn run(&self, script: &str, args: &[&str]) -> Output {
        Command::new(&self.python)
            .arg(format!("{SCRIPTS}/{script}"))
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("the interpreter has run before")
    }

    /// Runs a script that must succeed, and reads what it printed.
    pub(crate) fn json(&self, script: &str, args: &[&str]) -> Value {
        let output = self.run(script, args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script} {args:?}: {said}");
        serde_json::from_slice(&output.stdout).expect("the script prints JSON")
    }

    /// Runs a script that must succeed and prints one JSON value a line, and
    /// hands each out as soon as it is there. The script reads a line before
    /// it goes on, so that it is never more than two values ahead.
    pub(crate) fn lines(&self, script: &str, args: &[&str]) -> impl Iterator<Item = Value> + use<> {
        let mut child = Command::new(&self.python)
            .arg(format!("{SCRIPTS}/{script}"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the interpreter has run before");
        let mut stdin = child.stdin.take().expect("it was piped");
        let mut lines = BufReader::new(child.stdout.take().expect("it was piped")).lines();
        // At the end nobody reads any more; what is wrong shows in its status.
        let _ = stdin.write_all(b"\n");
        std::iter::from_fn(move || {
            if let Some(line) = lines.next() {
                let _ = stdin.write_all(b"\n");
                let line = line.expect("the script prints text");
                return Some(serde_json::from_str(&line).expect("the script prints JSON"));
            }
            assert!(child.wait().expect("it was started").success());
            None
        })
    }

    /// Puts questions to `agree.py`, one a line; gives its answers.
    pub(crate) fn ask(&self, about: &str, questions: &[String]) -> Vec<Value> {
        let mut child = Command::new(&self.python)
            .arg(format!("{SCRIPTS}/agree.py"))
            .arg(about)
            .env("PYTHONIOENCODING", "utf-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the interpreter has run before");
        let mut stdin = child.stdin.take().expect("it was piped");
        let text = questions.join("\n") + "\n";
        // The script answers while it reads, so both ends must keep moving.
        let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
        let output = child.wait_with_output().expect("it was started");
        writer.join().expect("it does not panic").expect("the script reads to the end");
        assert!(output.status.success());
        let answers: Vec<Value> = String::from_utf8(output.stdout)
            .expect("the script prints text")
            .lines()
            .map(|line| serde_json::from_str(line).expect("the script prints JSON"))
            .collect();
        assert_eq!(answers.len(), questions.len());
        answers
    }
}
