//! Public keys as other tools write them: PEM around DER (RFC 7468, RFC 5280).
//!
//! Reads just enough to find the bits that verify, so that one key has one
//! identity however its text is wrapped. Whether the bits are a point of the
//! curve, or a modulus long enough, shows when a signature is verified.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::trust::limits::KEY_TEXT_BYTES;

/// An uncompressed point of P-256: 04, then both coordinates.
pub(super) const POINT_BYTES: usize = 65;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_ID: u8 = 0x06;
const NULL: u8 = 0x05;

/// id-ecPublicKey, 1.2.840.10045.2.1.
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// prime256v1, 1.2.840.10045.3.1.7.
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// rsaEncryption, 1.2.840.113549.1.1.1.
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// An RSA key's two numbers, big-endian without leading zeros.
pub(super) type RsaNumbers = (Vec<u8>, Vec<u8>);

/// The point of a P-256 key in `BEGIN PUBLIC KEY`.
pub(super) fn p256(pem: &str) -> Option<[u8; POINT_BYTES]> {
    let der = unwrapped(pem, "PUBLIC KEY")?;
    let (algorithm, key) = subject_public_key(&der)?;
    let mut algorithm = Der(algorithm);
    let known = algorithm.element(OBJECT_ID)? == EC_PUBLIC_KEY
        && algorithm.element(OBJECT_ID)? == P256
        && algorithm.0.is_empty();
    if known { point(key) } else { None }
}

/// These bytes as a point, if they have its form.
pub(super) fn point(bytes: &[u8]) -> Option<[u8; POINT_BYTES]> {
    bytes.try_into().ok().filter(|point: &[u8; POINT_BYTES]| point[0] == 4)
}

/// The numbers of an RSA key in `BEGIN PUBLIC KEY` or `BEGIN RSA PUBLIC KEY`.
pub(super) fn rsa(pem: &str) -> Option<RsaNumbers> {
    if let Some(der) = unwrapped(pem, "RSA PUBLIC KEY") {
        return rsa_numbers(&der);
    }
    let der = unwrapped(pem, "PUBLIC KEY")?;
    let (algorithm, key) = subject_public_key(&der)?;
    let mut algorithm = Der(algorithm);
    let known = algorithm.element(OBJECT_ID)? == RSA_ENCRYPTION;
    // RFC 3279 2.3.1: the parameters are NULL; some writers leave them out.
    let no_parameters = algorithm.0.is_empty() || algorithm.element(NULL)?.is_empty();
    if known && no_parameters && algorithm.0.is_empty() { rsa_numbers(key) } else { None }
}

/// RFC 8017 A.1.1: the modulus and the public exponent.
fn rsa_numbers(der: &[u8]) -> Option<RsaNumbers> {
    let mut numbers = Der(Der::only(der, SEQUENCE)?);
    let modulus = positive(numbers.element(INTEGER)?)?;
    let exponent = positive(numbers.element(INTEGER)?)?;
    numbers.0.is_empty().then(|| (modulus.to_vec(), exponent.to_vec()))
}

/// The magnitude of a DER integer greater than 0.
fn positive(integer: &[u8]) -> Option<&[u8]> {
    match integer {
        // DER: a leading zero stands only where the sign needs it.
        [0, rest @ ..] if rest.first().is_some_and(|byte| *byte >= 0x80) => Some(rest),
        [first, ..] if (1..0x80).contains(first) => Some(integer),
        _ => None,
    }
}

/// RFC 5280 4.1: the inside of `algorithm`, and the key's bytes.
fn subject_public_key(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut info = Der(Der::only(der, SEQUENCE)?);
    let algorithm = info.element(SEQUENCE)?;
    let key = info.element(BIT_STRING)?;
    // Whole bytes only: no unused bits.
    let key = key.strip_prefix(&[0])?;
    info.0.is_empty().then_some((algorithm, key))
}

/// The bytes between `-----BEGIN LABEL-----` and its end; text around is let be.
fn unwrapped(pem: &str, label: &str) -> Option<Vec<u8>> {
    if pem.len() > KEY_TEXT_BYTES {
        return None;
    }
    let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
    let (inside, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let digits: String = inside.split_ascii_whitespace().collect();
    STANDARD.decode(digits).ok()
}

/// DER that is still to be read.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The inside of the one element that `der` is.
    fn only(der: &'a [u8], tag: u8) -> Option<&'a [u8]> {
        let mut rest = Self(der);
        let inside = rest.element(tag)?;
        rest.0.is_empty().then_some(inside)
    }

    /// The inside of the next element, if it bears `tag`.
    fn element(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, rest) = self.0.split_first()?;
        if *found != tag {
            return None;
        }
        let (len, rest) = match rest {
            [len @ ..=0x7f, rest @ ..] => (usize::from(*len), rest),
            // Longer forms only where the shorter do not reach.
            [0x81, len @ 0x80..=0xff, rest @ ..] => (usize::from(*len), rest),
            [0x82, high @ 1..=0xff, low, rest @ ..] => {
                (usize::from(u16::from_be_bytes([*high, *low])), rest)
            }
            _ => return None,
        };
        let (inside, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some(inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::testing::foreign;

    #[test]
    fn a_key_is_the_same_however_its_text_is_wrapped() {
        let plain = p256(foreign::ECDSA.public).unwrap();
        let spaced = foreign::ECDSA.public.replace('\n', "\r\n  ");
        assert_eq!(p256(&format!("a comment\n{spaced}\n\n")), Some(plain));
        let one_line: String = foreign::ECDSA.public.split('\n').collect();
        assert_eq!(p256(&one_line), Some(plain));
    }

    #[test]
    fn both_forms_of_an_rsa_key_are_one_key() {
        let (modulus, exponent) = rsa(foreign::RSA.public).unwrap();
        assert_eq!((modulus.len(), &exponent[..]), (256, &[1, 0, 1][..]));
        assert_eq!(rsa(foreign::RSA_PKCS1), Some((modulus, exponent)));
    }

    #[test]
    fn other_keys_and_broken_ones_are_none() {
        assert!(p256(foreign::RSA.public).is_none());
        assert!(rsa(foreign::ECDSA.public).is_none());
        assert!(p256(foreign::P384).is_none());
        for text in [
            "",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
        ] {
            assert!(p256(text).is_none() && rsa(text).is_none(), "{text:?}");
        }
        assert!(p256(&" ".repeat(KEY_TEXT_BYTES + 1)).is_none());
    }

    #[test]
    fn der_cut_or_longer_by_one_byte_is_refused() {
        for pem in [foreign::ECDSA.public, foreign::RSA.public] {
            let der = unwrapped(pem, "PUBLIC KEY").unwrap();
            let wrap = |der: &[u8]| {
                let digits = STANDARD.encode(der);
                format!("-----BEGIN PUBLIC KEY-----\n{digits}\n-----END PUBLIC KEY-----\n")
            };
            let reads = |pem: &str| p256(pem).is_some() || rsa(pem).is_some();
            assert!(reads(&wrap(&der)));
            for len in 0..der.len() {
                assert!(!reads(&wrap(&der[..len])), "{len}");
            }
            assert!(!reads(&wrap(&[&der[..], &[0]].concat())));
        }
    }

    #[test]
    fn numbers_are_positive_and_shortest() {
        assert_eq!(positive(&[0, 0x80]), Some(&[0x80][..]));
        assert_eq!(positive(&[1, 0]), Some(&[1, 0][..]));
        for bad in [&[][..], &[0], &[0, 1], &[0x80], &[0, 0, 0x80]] {
            assert_eq!(positive(bad), None, "{bad:?}");
        }
    }
}
