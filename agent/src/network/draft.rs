//! A mirror's file of an object in the making: answers that broke off are
//! continued, by the same mirror or another.
//!
//! Pure: bytes in, the object out. Promises that what comes out is the object,
//! that what was there is not lost to an answer that begins anew and breaks
//! off earlier, and that it says when nobody in particular is to blame.

use manifest::content::ContentId;
use manifest::release::plan::Wanted;
use store::heads::{Form, Head};

/// The bytes that came so far.
#[derive(Debug)]
pub struct Draft {
    wanted: Wanted,
    form: Form,
    bytes: Vec<u8>,
    /// Where the answer that is coming in is.
    at: usize,
    total: Option<u64>,
    /// Bytes that are kept on the disk already.
    kept: usize,
    /// Whether the answer that is coming in is only the rest.
    patched: bool,
}

/// What came is not the object.
#[derive(Debug, PartialEq, Eq)]
pub struct Flaw {
    /// What was expected and found.
    pub why: String,
    /// Whether it came in one answer, so that it is clear who sent it.
    pub whole: bool,
}

impl Draft {
    /// The file of `wanted`, of which `head` is there.
    #[must_use]
    pub fn new(wanted: Wanted, head: Option<Head>) -> Self {
        let Head { form, bytes } = head.unwrap_or(Head { form: Form::Packed, bytes: Vec::new() });
        let kept = bytes.len();
        Self { wanted, form, bytes, at: 0, total: None, kept, patched: false }
    }

    /// The forms in which the file may be had, the likelier one first.
    #[must_use]
    pub const fn forms(&self) -> [Form; 2] {
        match self.form {
            Form::Packed => [Form::Packed, Form::Plain],
            Form::Plain => [Form::Plain, Form::Packed],
        }
    }

    /// The form of what is there.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// How many bytes are there of the file in this form.
    #[must_use]
    pub fn len_in(&self, form: Form) -> u64 {
        if form == self.form { self.bytes.len() as u64 } else { 0 }
    }

    /// An answer begins, at this byte of a file of this length; whether it may
    /// continue what is there. If not, another is needed from the start.
    pub fn begin(&mut self, form: Form, begins: u64, total: Option<u64>) -> bool {
        if form != self.form {
            self.clear();
            self.form = form;
        }
        let other = matches!((self.total, total), (Some(before), Some(now)) if before != now);
        // A frame of another length was packed otherwise.
        if other || total.is_some_and(|total| total < self.bytes.len() as u64) {
            self.clear();
            if begins > 0 {
                return false;
            }
        }
        let Some(at) = usize::try_from(begins).ok().filter(|at| [0, self.bytes.len()].contains(at))
        else {
            self.clear();
            return false;
        };
        self.patched = begins > 0;
        (self.at, self.total) = (at, total.or(self.total));
        true
    }

    /// The answer goes on; how many bytes of the file are there now.
    pub fn take(&mut self, chunk: &[u8]) -> u64 {
        let again = chunk.len().min(self.bytes.len() - self.at);
        self.bytes[self.at..self.at + again].copy_from_slice(&chunk[..again]);
        self.bytes.extend_from_slice(&chunk[again..]);
        self.at += chunk.len();
        self.bytes.len() as u64
    }

    /// The bytes that are not kept yet, and where they begin, if there are at
    /// least so many. They count as kept from then on.
    pub fn unkept(&mut self, least: usize) -> Option<(u64, Vec<u8>)> {
        let new =
            self.bytes.get(self.kept..).filter(|new| !new.is_empty() && new.len() >= least)?;
        let unkept = (self.kept as u64, new.to_vec());
        self.kept = self.bytes.len();
        Some(unkept)
    }

    /// Throws away what is there.
    pub fn clear(&mut self) {
        self.bytes.clear();
        (self.at, self.total, self.kept, self.patched) = (0, None, 0, false);
    }

    /// The answer has ended: the object.
    ///
    /// # Errors
    /// [`Flaw`] if it is not; what is there is thrown away then.
    pub fn finish(&mut self) -> Result<Vec<u8>, Flaw> {
        // What an earlier answer had beyond the end of this one is not its.
        self.bytes.truncate(self.at);
        let whole = !self.patched;
        let bytes = std::mem::take(&mut self.bytes);
        self.clear();
        let flaw = |why| Flaw { why, whole };
        let object = match self.form {
            Form::Packed => store::frame::unpack(&bytes, self.wanted.len)
                .map_err(|error| flaw(error.to_string()))?,
            Form::Plain => bytes,
        };
        let found = ContentId::of(&object);
        match found == self.wanted.id {
            true => Ok(object),
            false => Err(flaw(format!("its blake3 is {found}, {} bytes long", object.len()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * at / 7 + at) as u8).collect()
    }

    fn draft(object: &[u8]) -> Draft {
        Draft::new(Wanted { id: ContentId::of(object), len: object.len() as u64 }, None)
    }

    #[test]
    fn an_object_is_put_together_from_answers_that_broke_off() {
        let object = noise(1000);
        for frame in [false, true] {
            let (form, file) = match frame {
                true => (Form::Packed, store::frame::pack(&object, 3)),
                false => (Form::Plain, object.clone()),
            };
            let mut draft = draft(&object);
            let total = Some(file.len() as u64);
            let (third, half) = (file.len() / 3, file.len() / 2);
            assert!(draft.begin(form, 0, total));
            assert_eq!(draft.take(&file[..third]), third as u64);
            assert!(draft.begin(form, draft.len_in(form), total));
            assert_eq!(draft.take(&file[third..half]), half as u64);
            // Who knows no ranges begins anew; until it gets further, nothing
            // is new and nothing lost.
            assert!(draft.begin(form, 0, total));
            assert_eq!(draft.take(&file[..third]), half as u64);
            assert!(draft.begin(form, half as u64, None));
            draft.take(&file[half..]);
            assert_eq!(draft.finish(), Ok(object.clone()));
        }
    }

    #[test]
    fn who_is_to_blame_is_said_only_where_it_is_clear() {
        let object = noise(100);
        let mut draft = draft(&object);
        assert!(draft.begin(Form::Plain, 0, Some(100)));
        draft.take(&noise(99));
        let flaw = draft.finish().unwrap_err();
        assert!(flaw.whole && flaw.why.contains("99 bytes long"), "{flaw:?}");
        assert!(draft.begin(Form::Plain, 0, Some(100)));
        draft.take(&[1; 50]);
        assert!(draft.begin(Form::Plain, 50, Some(100)));
        draft.take(&object[50..]);
        assert!(!draft.finish().unwrap_err().whole);
        assert_eq!(draft.len_in(Form::Plain), 0, "it is thrown away");
    }

    #[test]
    fn a_file_of_another_length_is_another_file() {
        let object = noise(100);
        let mut draft = draft(&object);
        assert!(draft.begin(Form::Packed, 0, Some(80)));
        draft.take(&object[..50]);
        assert!(!draft.begin(Form::Packed, 50, Some(81)));
        assert_eq!(draft.len_in(Form::Packed), 0);
        assert!(draft.begin(Form::Packed, 0, Some(81)));
        draft.take(&object[..50]);
        assert!(!draft.begin(Form::Packed, 49, Some(81)), "it is not where we are");
        // The other form shares nothing with it.
        assert!(draft.begin(Form::Plain, 0, Some(100)));
        draft.take(&object);
        assert_eq!(draft.forms()[0], Form::Plain);
        assert_eq!(draft.finish(), Ok(object));
    }

    #[test]
    fn what_an_older_answer_had_beyond_the_end_is_not_in_the_object() {
        let object = noise(100);
        let mut draft = draft(&object);
        assert!(draft.begin(Form::Plain, 0, None));
        draft.take(&[7; 120]);
        assert!(draft.begin(Form::Plain, 0, None));
        draft.take(&object);
        assert_eq!(draft.finish(), Ok(object));
    }

    #[test]
    fn only_what_is_new_goes_to_the_disk() {
        let object = noise(100);
        let wanted = Wanted { id: ContentId::of(&object), len: 100 };
        let head = Head { form: Form::Plain, bytes: object[..40].to_vec() };
        let mut draft = Draft::new(wanted, Some(head));
        assert!(draft.begin(Form::Plain, 40, Some(100)));
        assert_eq!(draft.unkept(0), None);
        draft.take(&object[40..60]);
        assert_eq!(draft.unkept(21), None);
        assert_eq!(draft.unkept(20), Some((40, object[40..60].to_vec())));
        assert_eq!(draft.unkept(0), None);
        draft.take(&object[60..]);
        assert_eq!(draft.finish(), Ok(object));
    }
}
