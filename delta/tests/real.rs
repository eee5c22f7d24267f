//! Executables of this machine, edited at random: whatever was done to them
//! comes back.
//!
//! Each is edited in two ways: blindly, so that its headers lie about what
//! follows; and as a linker would, who puts bytes into the code and changes
//! every address that leads across them.

mod edits;
mod trip;

use std::path::PathBuf;

use updraft_delta::Options;

use crate::edits::{Random, edited, seeds};
use crate::trip::deltas_of;

const FAST: Options = Options { level: 3 };

const PIECE_BYTES: usize = 1 << 20;

/// Longer ones would take too much of a test's time.
const MAX_BYTES: usize = 3 << 20;

/// Programs and libraries that most machines have; there is always this test.
#[expect(clippy::disallowed_methods, reason = "real executables lie on the disk")]
fn executables() -> Vec<(PathBuf, Vec<u8>)> {
    let usual = [
        "/bin/bash",
        "/bin/sh",
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib/aarch64-linux-gnu/libc.so.6",
        "/lib64/libc.so.6",
    ];
    let own = std::env::current_exe().expect("a test runs from a file");
    let all = usual.iter().map(PathBuf::from).chain([own]);
    let read = all.filter_map(|path| {
        let mut bytes = std::fs::read(&path).ok()?;
        bytes.truncate(MAX_BYTES);
        Some((path, bytes))
    });
    read.collect()
}

fn ends(len: usize) -> Vec<usize> {
    let starts = (0..len).step_by(PIECE_BYTES);
    starts.map(|start| (start + PIECE_BYTES).min(len)).collect()
}

fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..at + BYTES).unwrap_or(&[]);
    field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn put<const BYTES: usize>(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + BYTES].copy_from_slice(&value.to_le_bytes()[..BYTES]);
}

/// The rows of an ELF's table of sections, 64 bytes each.
fn sections(elf: &[u8]) -> Vec<usize> {
    if elf.get(..6) != Some(b"\x7fELF\x02\x01") {
        return Vec::new();
    }
    let (table, count) = (number::<8>(elf, 40) as usize, number::<2>(elf, 60) as usize);
    let rows = (0..count).map(|row| table + 64 * row);
    rows.take_while(|row| row + 64 <= elf.len()).collect()
}

/// `old` with some bytes more in its code, and all addresses as they are then:
/// those of sections, calls and jumps across the place, and words of 8 bytes
/// that lead behind it. `None` if it has no code that we know of.
fn grown(old: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let rows = sections(old);
    let place = |row: &usize| {
        let [va, at, len] = [16, 24, 32].map(|field| number::<8>(old, row + field));
        (va, at as usize, len as usize)
    };
    let is_code = |row: &&usize| number::<8>(old, **row + 8) & 4 != 0;
    let code = rows.iter().filter(is_code).max_by_key(|row| place(row).2)?;
    let (va, at, len) = place(code);
    let by = 16 * (1 + random.below(64));
    let cut = at + random.below(len) / 16 * 16;
    let cut_va = va + (cut - at) as u64;
    let mut new = old.to_vec();
    let beyond = |va: u64| va >= cut_va;
    for field in at..(at + len).saturating_sub(5).min(new.len() - 5) {
        if !matches!(new[field], 0xe8 | 0xe9) {
            continue;
        }
        let here = va + (field - at) as u64 + 5;
        let distance = number::<4>(&new, field + 1) as u32;
        let there = here.wrapping_add_signed(i64::from(distance.cast_signed()));
        if there.wrapping_sub(va) < len as u64 && beyond(here) != beyond(there) {
            let by = by as u32;
            let moved =
                if beyond(there) { distance.wrapping_add(by) } else { distance.wrapping_sub(by) };
            put::<4>(&mut new, field + 1, u64::from(moved));
        }
    }
    let end = rows.iter().map(|row| number::<8>(old, row + 16)).max()?;
    for word in (at + len..new.len() - 8).step_by(8) {
        let address = number::<8>(&new, word);
        if beyond(address) && address < end {
            put::<8>(&mut new, word, address + by as u64);
        }
    }
    for row in &rows {
        let (va, at, len) = place(row);
        if at <= cut && cut < at + len {
            put::<8>(&mut new, row + 32, (len + by) as u64);
        } else if at > cut {
            put::<8>(&mut new, row + 24, (at + by) as u64);
            put::<8>(&mut new, row + 16, if va == 0 { 0 } else { va + by as u64 });
        }
    }
    let table = number::<8>(old, 40);
    put::<8>(&mut new, 40, if table as usize > cut { table + by as u64 } else { table });
    let inserted = random.bytes(by, 255);
    new.splice(cut..cut, inserted);
    Some(new)
}

#[test]
fn random_edits_of_real_executables_come_back() {
    let executables = executables();
    for seed in seeds(4) {
        let mut random = Random(seed);
        for (path, old) in &executables {
            let new = edited(old, &mut random);
            println!("{}: {} bytes, then {}", path.display(), old.len(), new.len());
            deltas_of(std::slice::from_ref(old), &new, &ends(new.len()), &FAST);
        }
    }
}

/// The edits know the calls of x86-64.
#[cfg(target_arch = "x86_64")]
#[test]
fn executables_whose_code_grew_come_back() {
    let executables = executables();
    let mut tried = 0;
    for seed in seeds(2) {
        let mut random = Random(seed ^ 0x6772_6f77);
        for (path, old) in &executables {
            let Some(new) = grown(old, &mut random) else { continue };
            let ends = ends(new.len());
            let deltas = deltas_of(std::slice::from_ref(old), &new, &ends, &Options::default());
            let cost: usize = deltas.iter().map(|delta| delta.object.len()).sum();
            println!("{}: {} bytes, {cost} of deltas", path.display(), new.len());
            // References are foreseen: else each would cost a byte or two.
            assert!(cost < new.len() / 20, "{cost} of {}", new.len());
            tried += 1;
        }
    }
    assert!(tried > 0, "this machine has no executable that could grow");
}
