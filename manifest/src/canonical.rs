//! OLPC canonical JSON: the one byte string that is signed for a document.
//!
//! Reading is bounded in length, depth and count, and refuses what has no
//! single meaning: floats and repeated member names. Writing sorts members by
//! code point and escapes only `\` and `"`; what it gives may hold raw control
//! characters and is then no JSON file, so [`to_file`] writes the same order
//! with JSON's own escapes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep arrays and objects may stand in each other.
pub const MAX_DEPTH: usize = 32;

/// How many values one document may hold, whatever its length.
pub const MAX_VALUES: usize = 1_000_000;

/// A document that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// More bytes than the reader allows.
    #[error("a document of {found} bytes exceeds the {limit} allowed")]
    TooLong {
        /// How many bytes there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// No JSON, or JSON beyond the bounds of this module.
    #[error("not a document: {0}")]
    Malformed(serde_json::Error),
}

/// A value that has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Canonical JSON knows integers only.
    #[error("the number {found} is not an integer")]
    Float {
        /// The number.
        found: String,
    },
    /// Arrays and objects stand too deep in each other.
    #[error("values nest deeper than {MAX_DEPTH}")]
    TooDeep,
}

/// Reads one JSON document of at most `limit` bytes.
///
/// # Errors
/// [`ReadError`] for anything longer, deeper than [`MAX_DEPTH`], with more
/// than [`MAX_VALUES`] values, with a float, an integer beyond 64 bits or a
/// repeated member name, or followed by more than white space.
pub fn parse(bytes: &[u8], limit: usize) -> Result<Value, ReadError> {
    if bytes.len() > limit {
        return Err(ReadError::TooLong { found: bytes.len(), limit });
    }
    let mut values_left = MAX_VALUES;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let seed = Bounded { depth_left: MAX_DEPTH, values_left: &mut values_left };
    let value = seed.deserialize(&mut deserializer).map_err(ReadError::Malformed)?;
    deserializer.end().map_err(ReadError::Malformed)?;
    Ok(value)
}

/// The canonical form of `value`: what is hashed and signed.
///
/// # Errors
/// [`WriteError`] for floats and for values deeper than [`MAX_DEPTH`].
pub fn to_vec(value: &Value) -> Result<Vec<u8>, WriteError> {
    let mut out = Vec::with_capacity(1024);
    write(value, Strings::Canonical, MAX_DEPTH, &mut out)?;
    Ok(out)
}

/// `value` as a JSON file without white space, members in canonical order.
///
/// # Errors
/// As [`to_vec`].
pub fn to_file(value: &Value) -> Result<Vec<u8>, WriteError> {
    let mut out = Vec::with_capacity(1024);
    write(value, Strings::Json, MAX_DEPTH, &mut out)?;
    Ok(out)
}

/// How strings are escaped.
#[derive(Clone, Copy)]
enum Strings {
    /// Only `\` and `"`.
    Canonical,
    /// As JSON demands, control characters too.
    Json,
}

fn write(
    value: &Value,
    strings: Strings,
    depth_left: usize,
    out: &mut Vec<u8>,
) -> Result<(), WriteError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            if number.is_f64() {
                return Err(WriteError::Float { found: number.to_string() });
            }
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::String(text) => write_string(text, strings, out),
        Value::Array(items) => {
            let depth_left = depth_left.checked_sub(1).ok_or(WriteError::TooDeep)?;
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, strings, depth_left, out)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let depth_left = depth_left.checked_sub(1).ok_or(WriteError::TooDeep)?;
            // The map's own order hangs on a feature of serde_json that any
            // crate may switch on. Bytes of UTF-8 sort as code points do.
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
            out.push(b'{');
            for (i, (name, member)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(name, strings, out);
                out.push(b':');
                write(member, strings, depth_left, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_string(text: &str, strings: Strings, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match (byte, strings) {
            (b'"' | b'\\', _) => out.extend_from_slice(&[b'\\', byte]),
            (0..0x20, Strings::Json) => {
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Reads one value within what is left of depth and count.
struct Bounded<'a> {
    depth_left: usize,
    values_left: &'a mut usize,
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Bounded<'_> {
    /// Opens an array or object: what is left of depth within it.
    fn enter<E: serde::de::Error>(&mut self) -> Result<usize, E> {
        self.count()?;
        self.depth_left
            .checked_sub(1)
            .ok_or_else(|| E::custom(format_args!("values nest deeper than {MAX_DEPTH}")))
    }

    fn count<E: serde::de::Error>(&mut self) -> Result<(), E> {
        *self.values_left = self
            .values_left
            .checked_sub(1)
            .ok_or_else(|| E::custom(format_args!("more than {MAX_VALUES} values")))?;
        Ok(())
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value whose numbers are integers of at most 64 bits")
    }

    fn visit_unit<E: serde::de::Error>(mut self) -> Result<Value, E> {
        self.count()?;
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(mut self, value: bool) -> Result<Value, E> {
        self.count()?;
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(mut self, value: i64) -> Result<Value, E> {
        self.count()?;
        Ok(Value::Number(Number::from(value)))
    }

    fn visit_u64<E: serde::de::Error>(mut self, value: u64) -> Result<Value, E> {
        self.count()?;
        Ok(Value::Number(Number::from(value)))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E: serde::de::Error>(mut self, value: String) -> Result<Value, E> {
        self.count()?;
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Value, A::Error> {
        let depth_left = self.enter()?;
        let mut items = Vec::new();
        while let Some(item) =
            seq.next_element_seed(Bounded { depth_left, values_left: self.values_left })?
        {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let depth_left = self.enter()?;
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let member =
                map.next_value_seed(Bounded { depth_left, values_left: self.values_left })?;
            // Readers differ on which of two equal names counts, so a document
            // with both would mean different things to different clients.
            if let Some(_earlier) = members.insert(name.clone(), member) {
                let name: String = name.chars().take(80).collect();
                return Err(serde::de::Error::custom(format_args!(
                    "the member {name:?} stands there twice"
                )));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn canonical(json: &str) -> String {
        String::from_utf8(to_vec(&parse(json.as_bytes(), LIMIT).unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn the_canonical_form_has_no_space_and_sorted_members() {
        assert_eq!(
            canonical(r#" { "b" : [ 1 , -2 , true , false , null ] , "a" : { } } "#),
            r#"{"a":{},"b":[1,-2,true,false,null]}"#
        );
    }

    #[test]
    fn only_backslash_and_quote_are_escaped() {
        // Escapes of the source vanish; control characters stand raw.
        assert_eq!(canonical(r#""\"\\\/\n\u0001\u00e9""#), "\"\\\"\\\\/\n\u{1}\u{e9}\"");
    }

    #[test]
    fn members_sort_by_code_point_of_the_unescaped_name() {
        // With quotes or escapes included, `a"` and `a!` would change places;
        // by UTF-16 units, U+10000 would come before U+FFFF.
        assert_eq!(
            canonical(r#"{"a\"":1,"a!":2,"a":3,"\uffff":4,"\ud800\udc00":5}"#),
            "{\"a\":3,\"a!\":2,\"a\\\"\":1,\"\u{ffff}\":4,\"\u{10000}\":5}"
        );
    }

    #[test]
    fn text_is_not_normalised() {
        assert_eq!(canonical("\"e\u{301}\""), "\"e\u{301}\"");
    }

    #[test]
    fn floats_and_wide_integers_are_refused() {
        for bad in ["1.0", "1e3", "-0.5", "18446744073709551616", "-9223372036854775809"] {
            assert!(parse(bad.as_bytes(), LIMIT).is_err(), "{bad}");
        }
        assert_eq!(canonical("18446744073709551615"), "18446744073709551615");
        assert_eq!(canonical("-9223372036854775808"), "-9223372036854775808");
        assert!(to_vec(&serde_json::json!(1.5)).is_err());
    }

    #[test]
    fn repeated_members_are_refused_however_they_are_escaped() {
        assert!(parse(br#"{"a":1,"a":1}"#, LIMIT).is_err());
        assert!(parse(br#"{"a":1,"\u0061":2}"#, LIMIT).is_err());
        assert!(parse(br#"[{"a":1},{"a":1}]"#, LIMIT).is_ok());
    }

    #[test]
    fn depth_length_and_count_are_bounded() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        let deepest = parse(deep(MAX_DEPTH).as_bytes(), LIMIT).unwrap();
        assert!(to_vec(&deepest).is_ok());
        assert_eq!(to_vec(&Value::Array(vec![deepest])), Err(WriteError::TooDeep));
        assert!(parse(deep(MAX_DEPTH + 1).as_bytes(), LIMIT).is_err());
        assert!(parse(deep(100_000).as_bytes(), LIMIT).is_err());
        assert!(matches!(parse(b"[1,2]", 4), Err(ReadError::TooLong { found: 5, limit: 4 })));
        let many = format!("[{}0]", "0,".repeat(MAX_VALUES));
        assert!(parse(many.as_bytes(), 4 << 20).is_err());
    }

    #[test]
    fn a_document_stands_alone() {
        for bad in ["", "{", "{}{}", "{}x", "\u{feff}{}", "nul", r#""\ud800""#, "{1:2}"] {
            assert!(parse(bad.as_bytes(), LIMIT).is_err(), "{bad}");
        }
        assert!(parse(b"\"\xff\"", LIMIT).is_err());
    }

    #[test]
    fn a_file_is_json_and_means_the_same() {
        let value = parse(br#"{"b":"\u0000\u001f\"\\\u007f","a":["\n"]}"#, LIMIT).unwrap();
        let file = to_file(&value).unwrap();
        assert_eq!(parse(&file, LIMIT).unwrap(), value);
        assert!(file.starts_with(br#"{"a":["\u000a"],"#));
    }
}
