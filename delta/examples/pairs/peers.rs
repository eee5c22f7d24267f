//! Each way to make a patch and to apply it, measured and compared.

use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs, io};

use crate::process::{Usage, run};

/// One way on one pair.
pub(crate) struct Measured {
    /// Of the patch, or of all deltas.
    pub(crate) bytes: u64,
    pub(crate) encode: Usage,
    pub(crate) apply: Usage,
}

/// A command line; `OLD`, `NEW`, `PATCH` and `OUT` stand for files.
type Line = &'static [&'static str];

/// A program, how it makes a patch, and how one is applied.
const OTHERS: [(&str, Line, Line); 3] = [
    ("bsdiff", &["bsdiff", "OLD", "NEW", "PATCH"], &["bspatch", "OLD", "OUT", "PATCH"]),
    (
        "zstd",
        &[
            "zstd",
            "-q",
            "-19",
            "--ultra",
            "--long=31",
            "-f",
            "--patch-from=OLD",
            "NEW",
            "-o",
            "PATCH",
        ],
        &["zstd", "-q", "-d", "--long=31", "-f", "--patch-from=OLD", "PATCH", "-o", "OUT"],
    ),
    (
        "hdiffz",
        &["hdiffz", "-f", "-SD", "-c-zstd-21-24", "OLD", "NEW", "PATCH"],
        &["hpatchz", "-f", "OLD", "PATCH", "OUT"],
    ),
];

/// Our deltas of what is in `dir`.
pub(crate) fn ours(dir: &Path) -> io::Result<Measured> {
    let this = |step: &str| {
        let usage = run(Command::new(env::current_exe()?).args([step.as_ref(), dir.as_os_str()]))?;
        usage.ok_or_else(|| io::Error::other("this program is gone"))
    };
    let encode = this("encode")?;
    let apply = this("apply")?;
    let mut bytes = 0;
    for target in fs::read_dir(dir.join("deltas"))? {
        for delta in fs::read_dir(target?.path())? {
            bytes += delta?.metadata()?.len();
        }
    }
    for made in fs::read_dir(dir.join("new"))? {
        let name = made?.file_name();
        let out = fs::read(dir.join("out").join(&name))?;
        if out != fs::read(dir.join("new").join(&name))? {
            return Err(io::Error::other("what was made does not compare equal"));
        }
    }
    Ok(Measured { bytes, encode, apply })
}

/// What our deltas of what is in `dir`, once made, take in memory.
pub(crate) fn speed_of_ours(dir: &Path) -> io::Result<String> {
    let told = Command::new(env::current_exe()?).arg("speed").arg(dir).output()?;
    if !told.status.success() {
        return Err(io::Error::other("our deltas cannot be applied in memory"));
    }
    Ok(String::from_utf8_lossy(&told.stdout).into_owned())
}

/// What those `wanted` of the others that are installed make of `old.all` and
/// `new.all`.
pub(crate) fn others(
    dir: &Path,
    wanted: &dyn Fn(&str) -> bool,
) -> io::Result<Vec<(&'static str, Measured)>> {
    let command = |line: Line| {
        let named = |word: &str| -> String {
            let files =
                [("OLD", "old.all"), ("NEW", "new.all"), ("PATCH", "patch"), ("OUT", "out.all")];
            let file = files.iter().find(|(name, _)| word.ends_with(name));
            file.map_or_else(
                || word.to_owned(),
                |(name, file)| word.replace(name, &dir.join(file).to_string_lossy()),
            )
        };
        let mut words = line.iter().map(|word| named(word));
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).stderr(Stdio::null());
        command
    };
    let mut measured = Vec::new();
    for (name, encode, apply) in OTHERS.into_iter().filter(|(name, ..)| wanted(name)) {
        let Some(encode) = run(&mut command(encode))? else { continue };
        let bytes = fs::metadata(dir.join("patch"))?.len();
        let apply = run(&mut command(apply))?.unwrap_or_default();
        if fs::read(dir.join("out.all"))? != fs::read(dir.join("new.all"))? {
            return Err(io::Error::other(format!("{name} made other bytes")));
        }
        fs::remove_file(dir.join("patch"))?;
        fs::remove_file(dir.join("out.all"))?;
        measured.push((name, Measured { bytes, encode, apply }));
    }
    Ok(measured)
}
