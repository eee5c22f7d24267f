//! What takes deflate streams apart and makes them again.
//!
//! preflate-rs does both, and how long it takes no bound of ours tells: it
//! depends on how the text repeats, and corrections that nobody honest wrote
//! may keep it busy without end. So whoever opens and closes files says where
//! the work is done: [`Here`], or in a process that can be ended, which speaks
//! as [`errand`](crate::errand) does.

use preflate_rs::{PreflateConfig, preflate_whole_deflate_stream, recreate_whole_deflate_stream};

use crate::close::CloseError;
use crate::limits::{CORRECTIONS_BYTES, PLAIN_BYTES};
use crate::quiet::contained;

/// Takes streams apart and makes them again, at most as large as `limits` says.
pub trait Codec: Send + Sync {
    /// What turns `plain` into the stream `packed`; `None` if it is not known.
    fn corrections(&self, packed: &[u8], plain: &[u8]) -> Option<Vec<u8>>;

    /// The stream that has this plain text and these corrections.
    ///
    /// # Errors
    /// [`CloseError::TooLong`], [`CloseError::Corrections`], [`CloseError::Slow`].
    fn stream(&self, plain: &[u8], corrections: &[u8]) -> Result<Vec<u8>, CloseError>;

    /// Hears that nothing is asked of it for a while.
    fn rest(&self) {}
}

/// In this thread, for as long as it takes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Here;

impl Codec for Here {
    fn corrections(&self, packed: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        if plain.len() as u64 > PLAIN_BYTES {
            return None;
        }
        let config = PreflateConfig {
            plain_text_limit: usize::try_from(PLAIN_BYTES).expect("it is a small bound"),
            // Whoever opens a file tries it, the way it will be done.
            verify_compression: false,
            ..PreflateConfig::default()
        };
        let made = contained(|| preflate_whole_deflate_stream(packed, &config))?;
        let (result, text) = made.ok()?;
        let whole = result.compressed_size == packed.len() && text.text() == plain;
        let fits = result.corrections.len() as u64 <= CORRECTIONS_BYTES;
        (whole && fits).then_some(result.corrections)
    }

    fn stream(&self, plain: &[u8], corrections: &[u8]) -> Result<Vec<u8>, CloseError> {
        let (plain_len, corrections_len) = (plain.len() as u64, corrections.len() as u64);
        if plain_len > PLAIN_BYTES || corrections_len > CORRECTIONS_BYTES {
            return Err(CloseError::TooLong { plain_len, corrections_len });
        }
        match contained(|| recreate_whole_deflate_stream(plain, corrections)) {
            Some(Ok(stream)) => Ok(stream),
            Some(Err(error)) => {
                // The lines behind the first one say where in its source it was.
                let why = error.to_string().lines().next().unwrap_or_default().to_owned();
                Err(CloseError::Corrections { why })
            }
            None => Err(CloseError::Corrections { why: "the codec gave up".to_owned() }),
        }
    }
}
