//! A directory that no path leads out of.
//!
//! Every path is resolved by the kernel with `RESOLVE_BENEATH` and
//! `RESOLVE_NO_SYMLINKS`: whatever links somebody plants within it while we
//! work, nothing outside is read or written.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};

use crate::disk::DiskError;

/// An open directory.
#[derive(Debug)]
pub(crate) struct Beneath {
    fd: OwnedFd,
    dir: PathBuf,
}

/// What stands at a path, not following a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) kind: FileType,
    /// All of its mode bits but the kind.
    pub(crate) mode: u32,
    pub(crate) size: u64,
}

impl Beneath {
    pub(crate) fn open(dir: &Path) -> Result<Self, DiskError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = rustix::fs::open(dir, flags, Mode::empty())
            .map_err(|error| DiskError::new("open directory", dir, error))?;
        Ok(Self { fd, dir: dir.to_owned() })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn err(&self, doing: &'static str, path: &str) -> impl FnOnce(rustix::io::Errno) -> DiskError {
        let path = self.dir.join(path);
        move |errno| {
            // These two say "operation not permitted across a boundary" in
            // words nobody would connect with a symlink.
            let escapes = [rustix::io::Errno::XDEV, rustix::io::Errno::LOOP].contains(&errno);
            let source = if escapes {
                io::Error::other("a symlink or .. stands in the path")
            } else {
                errno.into()
            };
            DiskError::new(doing, path, source)
        }
    }

    fn resolve(&self, path: &str, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let within =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let path = if path.is_empty() { "." } else { path };
        rustix::fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC, mode, within)
    }

    /// The directory that holds `path`, and the last component.
    fn parent<'a>(&self, path: &'a str) -> rustix::io::Result<(OwnedFd, &'a str)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        if name.is_empty() || name == "." || name == ".." {
            return Err(rustix::io::Errno::INVAL);
        }
        Ok((self.resolve(parent, flags, Mode::empty())?, name))
    }

    pub(crate) fn look(&self, path: &str) -> Result<Option<Look>, DiskError> {
        let looked = self.parent(path).and_then(|(parent, name)| {
            rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)
        });
        match looked {
            Ok(stat) => Ok(Some(Look {
                kind: FileType::from_raw_mode(stat.st_mode),
                mode: stat.st_mode & 0o7777,
                size: u64::try_from(stat.st_size).unwrap_or(0),
            })),
            // A parent that is a link or a file holds nothing of ours.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
                Ok(None)
            }
            Err(errno) => Err(self.err("look at", path)(errno)),
        }
    }

    /// Opens a plain file to read; anything else is an error.
    pub(crate) fn read(&self, path: &str) -> Result<File, DiskError> {
        // A pipe planted in a file's place must not block us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self.resolve(path, flags, Mode::empty()).map_err(self.err("open", path))?;
        let file = File::from(fd);
        let metadata = file
            .metadata()
            .map_err(|error| DiskError::new("look at", self.dir.join(path), error))?;
        if metadata.is_file() {
            Ok(file)
        } else {
            let source = io::Error::other("it is not a plain file");
            Err(DiskError::new("read", self.dir.join(path), source))
        }
    }

    /// Makes a new file that only we may read until its mode is set.
    pub(crate) fn create(&self, path: &str) -> Result<File, DiskError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(File::from(self.resolve(path, flags, mode).map_err(self.err("create", path))?))
    }

    /// Opens a file that we made, to write.
    pub(crate) fn write(&self, path: &str) -> Result<File, DiskError> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self.resolve(path, flags, Mode::empty()).map_err(self.err("open", path))?;
        Ok(File::from(fd))
    }

    pub(crate) fn create_dir(&self, path: &str) -> Result<(), DiskError> {
        let made =
            self.parent(path).and_then(|(fd, name)| rustix::fs::mkdirat(&fd, name, Mode::RWXU));
        made.map_err(self.err("create directory", path))
    }

    pub(crate) fn create_link(&self, path: &str, target: &str) -> Result<(), DiskError> {
        let made =
            self.parent(path).and_then(|(fd, name)| rustix::fs::symlinkat(target, &fd, name));
        made.map_err(self.err("create symlink", path))
    }

    pub(crate) fn link_target(&self, path: &str) -> Result<Vec<u8>, DiskError> {
        let read = self
            .parent(path)
            .and_then(|(fd, name)| rustix::fs::readlinkat(&fd, name, Vec::with_capacity(256)));
        Ok(read.map_err(self.err("read link", path))?.into_bytes())
    }

    /// Sets the permission bits of a file or directory.
    pub(crate) fn set_mode(&self, path: &str, mode: u32) -> Result<(), DiskError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let set = self
            .resolve(path, flags, Mode::empty())
            .and_then(|fd| rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode & 0o777)));
        set.map_err(self.err("set the mode of", path))
    }

    /// What the directory at `path` holds: names as bytes, and their kinds
    /// where the file system tells.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<Vec<u8>>, DiskError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fd = self.resolve(path, flags, Mode::empty()).map_err(self.err("list", path))?;
        let mut names = Vec::new();
        for entry in Dir::new(fd).map_err(self.err("list", path))? {
            let name = entry.map_err(self.err("list", path))?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Makes everything on the directory's file system durable.
    pub(crate) fn sync_file_system(&self) -> Result<(), DiskError> {
        rustix::fs::syncfs(&self.fd).map_err(self.err("sync the file system of", ""))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_path_leads_out() {
        let outer = tempfile::tempdir().unwrap();
        fs::create_dir_all(outer.path().join("slot/sub")).unwrap();
        fs::write(outer.path().join("secret"), "x").unwrap();
        symlink("../secret", outer.path().join("slot/link")).unwrap();
        symlink("..", outer.path().join("slot/up")).unwrap();
        symlink("sub", outer.path().join("slot/inner")).unwrap();
        let slot = Beneath::open(&outer.path().join("slot")).unwrap();
        for path in ["../secret", "sub/../../secret", "/etc/passwd", "link", "up/secret"] {
            assert!(slot.read(path).is_err(), "{path}");
            assert!(slot.write(path).is_err(), "{path}");
        }
        for path in ["../new", "up/new", "/tmp/updraft-new", "inner/new", ".."] {
            assert!(slot.create(path).is_err(), "{path}");
            assert!(slot.create_dir(path).is_err(), "{path}");
            assert!(slot.create_link(path, "x").is_err(), "{path}");
            assert!(slot.look(path).is_err() || slot.look(path).unwrap().is_none(), "{path}");
        }
        assert!(slot.set_mode("link", 0o777).is_err());
        let error = slot.read("up/secret").unwrap_err();
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(why.contains("symlink"), "{why}");
    }

    #[test]
    fn a_pipe_is_no_file_and_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("p");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::from_raw_mode(0o600)).unwrap();
        assert!(Beneath::open(dir.path()).unwrap().read("p").is_err());
    }
}
