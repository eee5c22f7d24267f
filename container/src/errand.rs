//! A [`Codec`] asked over a line of bytes, by another process.
//!
//! A question is a byte, what is to be done, two lengths of 4 bytes,
//! little-endian, and so many bytes; an answer is a byte, whether it was done,
//! a length and so many bytes. Both ends are the same program: this is no
//! format that anybody else reads. Lengths are bounded all the same.

use std::io::{self, Read, Write};

use crate::close::CloseError;
use crate::codec::Codec;
use crate::limits::{CORRECTIONS_BYTES, FILE_BYTES, PLAIN_BYTES, STREAM_BYTES};

/// What is to be done with a pair of byte strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errand {
    /// Corrections of a stream, and its plain text.
    Corrections,
    /// The stream of a plain text, and its corrections.
    Stream,
}

/// The longest reason why something was not done.
const WHY_BYTES: u64 = 512;

/// Asks for what [`Codec::corrections`] gives.
///
/// # Errors
/// What the line says; `InvalidData` if the answer is none.
pub fn corrections(
    line: &mut (impl Read + Write),
    packed: &[u8],
    plain: &[u8],
) -> io::Result<Option<Vec<u8>>> {
    if packed.len() as u64 > FILE_BYTES || plain.len() as u64 > PLAIN_BYTES {
        return Ok(None);
    }
    ask(line, Errand::Corrections, packed, plain)?;
    Ok(answer(line, CORRECTIONS_BYTES)?.ok())
}

/// Asks for what [`Codec::stream`] gives.
///
/// # Errors
/// What the line says; `InvalidData` if the answer is none.
pub fn stream(
    line: &mut (impl Read + Write),
    plain: &[u8],
    corrections: &[u8],
) -> io::Result<Result<Vec<u8>, CloseError>> {
    let (plain_len, corrections_len) = (plain.len() as u64, corrections.len() as u64);
    if plain_len > PLAIN_BYTES || corrections_len > CORRECTIONS_BYTES {
        return Ok(Err(CloseError::TooLong { plain_len, corrections_len }));
    }
    ask(line, Errand::Stream, plain, corrections)?;
    let made = answer(line, STREAM_BYTES)?;
    Ok(made.map_err(|why| CloseError::Corrections { why: String::from_utf8_lossy(&why).into() }))
}

/// Does what is asked for, by `codec`, until the other end has closed the line.
/// `begins` hears, before anything is done, how long the plain text is.
///
/// # Errors
/// What the line says; `InvalidData` if a question is none.
pub fn serve(
    line: &mut (impl Read + Write),
    codec: &dyn Codec,
    begins: &dyn Fn(u64),
) -> io::Result<()> {
    loop {
        let mut what = [0];
        if line.read(&mut what)? == 0 {
            return Ok(());
        }
        let (first, second) = match what {
            [0] => (FILE_BYTES, PLAIN_BYTES),
            [1] => (PLAIN_BYTES, CORRECTIONS_BYTES),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        let lens = [length(line, first)?, length(line, second)?];
        let [first, second] = [bytes(line, lens[0])?, bytes(line, lens[1])?];
        let done = match what {
            [0] => {
                begins(lens[1]);
                codec.corrections(&first, &second).ok_or_else(String::new)
            }
            _ => {
                begins(lens[0]);
                let made = codec.stream(&first, &second).map_err(|error| error.to_string());
                made.and_then(|stream| match stream.len() as u64 <= STREAM_BYTES {
                    true => Ok(stream),
                    false => Err("the stream is longer than is allowed".to_owned()),
                })
            }
        };
        let (is_done, bytes) = match &done {
            Ok(bytes) => (1, bytes.as_slice()),
            Err(why) => (0, &why.as_bytes()[..why.len().min(WHY_BYTES as usize)]),
        };
        line.write_all(&[is_done])?;
        put(line, bytes)?;
        line.flush()?;
    }
}

fn ask(line: &mut impl Write, errand: Errand, first: &[u8], second: &[u8]) -> io::Result<()> {
    line.write_all(&[match errand {
        Errand::Corrections => 0,
        Errand::Stream => 1,
    }])?;
    for bytes in [first, second] {
        line.write_all(&short(bytes).to_le_bytes())?;
    }
    line.write_all(first)?;
    line.write_all(second)?;
    line.flush()
}

fn put(line: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    line.write_all(&short(bytes).to_le_bytes())?;
    line.write_all(bytes)
}

fn short(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("all bounds are far below 4 GiB")
}

/// What was made, or why nothing was.
fn answer(line: &mut impl Read, longest: u64) -> io::Result<Result<Vec<u8>, Vec<u8>>> {
    let mut is_done = [0];
    line.read_exact(&mut is_done)?;
    let is_done = is_done == [1];
    let len = length(line, if is_done { longest } else { WHY_BYTES })?;
    let bytes = bytes(line, len)?;
    Ok(if is_done { Ok(bytes) } else { Err(bytes) })
}

fn length(line: &mut impl Read, longest: u64) -> io::Result<u64> {
    let mut len = [0; 4];
    line.read_exact(&mut len)?;
    let len = u64::from(u32::from_le_bytes(len));
    if len > longest {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(len)
}

fn bytes(line: &mut impl Read, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).expect("it is within a small bound")];
    line.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;
    use crate::codec::Here;

    #[test]
    fn what_is_asked_is_what_is_made_here() {
        let plain: Vec<u8> =
            (0..9000u32).flat_map(|n| (n / 7 % 251).to_string().into_bytes()).collect();
        let packed = miniz_oxide::deflate::compress_to_vec(&plain, 6);
        let (mut line, mut other) = UnixStream::pair().unwrap();
        let begun = AtomicU64::new(0);
        thread::scope(|scope| {
            let served = scope.spawn(|| {
                serve(&mut other, &Here, &|plain_len| {
                    begun.fetch_add(plain_len, Ordering::Relaxed);
                })
            });
            let told = corrections(&mut line, &packed, &plain).unwrap().unwrap();
            assert_eq!(Some(&told), Here.corrections(&packed, &plain).as_ref());
            assert_eq!(stream(&mut line, &plain, &told).unwrap().as_ref(), Ok(&packed));
            let refused = stream(&mut line, &plain, &told[..1]).unwrap();
            assert!(matches!(refused, Err(CloseError::Corrections { .. })), "{refused:?}");
            assert_eq!(corrections(&mut line, &packed[1..], &plain).unwrap(), None);
            drop(line);
            served.join().unwrap().unwrap();
        });
        assert_eq!(begun.into_inner(), 4 * plain.len() as u64);
    }

    #[test]
    fn lengths_beyond_their_bounds_end_the_line() {
        for question in [[0, 1, 0, 0, 4], [1, 1, 0, 0, 1], [2, 0, 0, 0, 0]] {
            let (mut line, mut other) = UnixStream::pair().unwrap();
            line.write_all(&question).unwrap();
            let served = serve(&mut other, &Here, &|_| ());
            assert_eq!(served.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        let (mut line, mut other) = UnixStream::pair().unwrap();
        other.write_all(&[1, 1, 0, 16, 0]).unwrap();
        let answered = corrections(&mut line, &[], &[]);
        assert_eq!(answered.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
