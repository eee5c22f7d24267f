//! Holding little memory, and giving it back once there is nothing to do.
//!
//! An update touches most of this program's code and allocates on several
//! threads. Afterwards the agent rests for hours, and its owner sees what it
//! holds on to: pages of code that run once an update, and free memory that the
//! allocator keeps for the next one. Both come back by themselves when they are
//! needed, code from the page cache without a read.
//!
//! glibc would give each thread a heap of its own, with its own free memory,
//! and an agent grew by a megabyte a release. All threads share one instead;
//! few of them are busy at the same time.

use std::fs;
use std::ops::Range;
use std::time::{Duration, Instant};

/// How long nothing has to be done before memory is given back; what an update
/// leaves behind is still being told to other members for a while.
pub const SETTLING: Duration = Duration::from_secs(10);

/// When memory is given back: once each time that work has ended.
#[derive(Debug)]
pub struct Rest {
    due: Option<Instant>,
}

impl Rest {
    /// The program has started, which is work too.
    #[must_use]
    pub fn after_start(now: Instant) -> Self {
        Self { due: Some(now + SETTLING) }
    }

    /// Work goes on, or has ended.
    pub fn work(&mut self, now: Instant, ended: bool) {
        self.due = ended.then(|| now + SETTLING);
    }

    /// When [`Self::is_due`] wants to be asked.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Whether memory is given back now; true once.
    pub fn is_due(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }
}

/// Gives the kernel what this process does not need while it rests. May take
/// some milliseconds; frees no memory that is in use.
pub fn give_back() {
    trim_heap();
    if let Ok(maps) = fs::read_to_string("/proc/self/smaps") {
        unchanged(&maps).into_iter().for_each(forget);
    }
}

/// Makes all threads share one heap; for the very start of the program.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the allocator has no other way to be told")]
pub fn share_one_heap() {
    // SAFETY: `mallopt(3)` may be called at any time; this sets a number that
    // is looked at when a thread first allocates.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn share_one_heap() {}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the allocator has no other way to be told")]
fn trim_heap() {
    // SAFETY: `malloc_trim(3)` may be called by any thread at any time; it takes
    // the allocator's own locks and touches free memory only.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim_heap() {}

/// The mappings in `/proc/self/smaps` (`proc_pid_smaps(5)`) that are [`code`]
/// and of which the kernel has no page that differs from the file, in memory or
/// in swap: a debugger's breakpoint would be one.
fn unchanged(smaps: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        match line.split_once(':') {
            Some(("Anonymous" | "Swap", size)) if size.trim() != "0 kB" => candidate = None,
            Some((key, _)) if !key.contains(' ') => {}
            // The first line of the next mapping.
            _ => {
                found.extend(candidate);
                candidate = code(line);
            }
        }
    }
    found.extend(candidate);
    found
}

/// The pages of a mapping's first line if they are of a program or library and
/// cannot be written: its code, and what stands from the start of the file, the
/// header and constants. Further constants were relocated when it was loaded and
/// are no longer what is in the file.
fn code(line: &str) -> Option<Range<usize>> {
    let mut fields = line.split_ascii_whitespace();
    let (pages, rights, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let path = fields.nth(2)?;
    let (start, end) = pages.split_once('-')?;
    let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
    let unchanged = rights == "r-xp" || (rights == "r--p" && offset == "00000000");
    (unchanged && path.starts_with('/') && !range.is_empty()).then_some(range)
}

#[expect(unsafe_code, reason = "advice about memory is given by address")]
fn forget(code: Range<usize>) {
    let start = std::ptr::with_exposed_provenance_mut(code.start);
    // SAFETY: the range is a mapping of a file that this process cannot write
    // to, and the kernel has no page of it that differs from the file. Whoever
    // next runs or reads them gets the same bytes from there (`madvise(2)`). It
    // is still mapped: nothing here unloads libraries.
    let told = unsafe { rustix::mm::madvise(start, code.len(), rustix::mm::Advice::LinuxDontNeed) };
    if let Err(error) = told {
        tracing::debug!(%error, "code stays in memory");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_never_written_is_forgotten() {
        let of = |line: &str| code(line).is_some();
        assert!(of("55e5c0000000-55e5c0c37000 r-xp 0030a000 fe:00 1234   /usr/bin/updraft-agent"));
        assert!(of("7f0000000000-7f0000001000 r-xp 00000000 fe:00 5  /with spaces/x (deleted)"));
        assert!(of("55e5bfcf6000-55e5c0000000 r--p 00000000 fe:00 1234   /usr/bin/updraft-agent"));
        assert!(!of("55e5c0c37000-55e5c0cd4000 r--p 00f3f000 fe:00 1234  /usr/bin/updraft-agent"));
        assert!(!of("55e5c0c37000-55e5c0cd4000 rwxp 00f3f000 fe:00 1234  /usr/bin/updraft-agent"));
        assert!(!of("7ffd1b5f0000-7ffd1b5f2000 r-xp 00000000 00:00 0     [vdso]"));
        assert!(!of("7ffd1b5f0000-7ffd1b5f2000 r-xp 00000000 00:00 0"));
        assert!(!of("7ffd1b5f2000-7ffd1b5f0000 r-xp 00000000 fe:00 1 /turned/round"));
        assert!(!of("") && !of("- r-xp 0 0 0 /") && !of("zz-zz r-xp 0 0 0 /x"));
    }

    #[test]
    fn what_differs_from_its_file_is_kept() {
        let mapping = |start: usize, anonymous, swap| {
            format!(
                "{start:x}-{:x} r-xp 00004000 fe:00 1234   /usr/bin/updraft-agent\n\
                 Size:                 4 kB\nAnonymous:            {anonymous} kB\n\
                 Swap:                 {swap} kB\nVmFlags: rd ex mr mw me\n",
                start + 4096
            )
        };
        let text = [(0x1000, 0, 0), (0x3000, 4, 0), (0x5000, 0, 4), (0x7000, 0, 0)]
            .map(|(start, anonymous, swap)| mapping(start, anonymous, swap))
            .concat();
        assert_eq!(unchanged(&text), [0x1000..0x2000, 0x7000..0x8000]);
        assert!(unchanged("").is_empty() && unchanged("Anonymous: 4 kB\nnothing").is_empty());
        let own = fs::read_to_string("/proc/self/smaps").expect("Linux tells");
        assert!(!unchanged(&own).is_empty());
    }

    #[test]
    fn memory_is_given_back_once_work_has_ended_for_a_while() {
        let start = Instant::now();
        let mut rest = Rest::after_start(start);
        assert!(!rest.is_due(start + SETTLING / 2));
        rest.work(start + SETTLING / 2, false);
        assert_eq!(rest.deadline(), None);
        assert!(!rest.is_due(start + SETTLING * 9));
        rest.work(start + SETTLING * 9, true);
        assert_eq!(rest.deadline(), Some(start + SETTLING * 10));
        assert!(rest.is_due(start + SETTLING * 10));
        assert!(!rest.is_due(start + SETTLING * 99));
    }

    #[test]
    fn what_was_freed_goes_back_and_what_is_held_stays() {
        let mut pieces: Vec<Vec<u8>> = (0..8_000).map(|_| vec![7; 4_096]).collect();
        // What lies between pieces that are held does not go back by itself.
        let mut number = 0;
        pieces.retain(|_| {
            number += 1;
            number % 100 == 0
        });
        let before = resident();
        give_back();
        assert!(resident() + 16_000 < before, "{} KiB after {before}", resident());
        assert!(pieces.iter().flatten().all(|&byte| byte == 7));
    }

    fn resident() -> u64 {
        let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("in kB");
        kib.parse().expect("a number")
    }
}
