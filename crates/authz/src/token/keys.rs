//! Keys of issuers, and which are good enough.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fhirpool_fhir::json::{Document, Value};
use jsonwebtoken::DecodingKey;
use rsa::RsaPublicKey;
use rsa::pkcs8::DecodePublicKey;
use rsa::traits::PublicKeyParts;

use super::{Signed, TokenError};

macro_rules! algorithms {
    ($($name:ident = $code:literal => $library:ident,)*) => {
        /// A signature algorithm (RFC 7518, section 3.1): the asymmetric ones.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Algorithm {
            $(#[doc = $code] $name,)*
        }

        impl Algorithm {
            /// The algorithm of this name.
            pub fn parse(name: &str) -> Option<Self> {
                match name {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            fn library(self) -> jsonwebtoken::Algorithm {
                match self {
                    $(Self::$name => jsonwebtoken::Algorithm::$library,)*
                }
            }
        }
    };
}

algorithms! {
    Rs256 = "RS256" => RS256,
    Rs384 = "RS384" => RS384,
    Rs512 = "RS512" => RS512,
    Ps256 = "PS256" => PS256,
    Ps384 = "PS384" => PS384,
    Ps512 = "PS512" => PS512,
    Es256 = "ES256" => ES256,
    Es384 = "ES384" => ES384,
}

impl Algorithm {
    /// The curve and the bytes of one of its coordinates; `None` for RSA.
    fn curve(self) -> Option<(&'static str, usize)> {
        match self {
            Self::Es256 => Some(("P-256", 32)),
            Self::Es384 => Some(("P-384", 48)),
            _ => None,
        }
    }
}

/// Why keys were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a JWK Set or a PEM public key.
    #[error("malformed key")]
    Malformed,
    /// Two keys of the same id.
    #[error("two keys of the same id")]
    DuplicateId,
    /// A secret key where only public ones belong.
    #[error("a secret key among public ones")]
    Secret,
    /// An RSA key that is too small or too large, has an unsafe exponent, or is known to be factored easily.
    #[error("unsafe RSA key")]
    Unsafe,
}

/// An issuer's keys by id (`kid`), each with its one algorithm.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Arc<[Key]>,
}

#[derive(Debug, Clone)]
struct Key {
    id: String,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl KeySet {
    /// Reads a JWK Set or a single JWK (RFC 7517), whose keys all have this algorithm. Keys that are not for verifying
    /// signatures, of another kind or without an id are left out; an unusable one among the rest refuses the set.
    pub fn from_jwks(text: &[u8], algorithm: Algorithm) -> Result<Self, KeyError> {
        let document = Document::parse(text).map_err(|_| KeyError::Malformed)?;
        let root = document.root();
        if !root.is_object() {
            return Err(KeyError::Malformed);
        }
        let mut keys: Vec<Key> = Vec::new();
        let jwks = match root.get("keys") {
            Some(keys) if keys.is_array() => keys,
            None if root.get("kty").is_some() => root,
            _ => return Err(KeyError::Malformed),
        };
        for jwk in jwks.each() {
            if jwk.get_str("kty").is_some_and(|kind| kind == "oct") || jwk.get("d").is_some() {
                return Err(KeyError::Secret);
            }
            let Some(id) = jwk.get_str("kid").filter(|_| serves(jwk, algorithm)) else { continue };
            if keys.iter().any(|key| key.id == id) {
                return Err(KeyError::DuplicateId);
            }
            keys.push(Key { id: id.into_owned(), algorithm, key: from_jwk(jwk, algorithm)? });
        }
        Ok(Self { keys: keys.into() })
    }

    /// Whether these are the other ones, from the same reading.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.keys, &other.keys)
    }

    /// A single public key as PEM (SubjectPublicKeyInfo).
    pub fn from_pem(id: impl Into<String>, pem: &str, algorithm: Algorithm) -> Result<Self, KeyError> {
        let key = if algorithm.curve().is_some() {
            DecodingKey::from_ec_pem(pem.as_bytes()).map_err(|_| KeyError::Malformed)?
        } else {
            let key = RsaPublicKey::from_public_key_pem(pem).map_err(|_| KeyError::Malformed)?;
            rsa_key(&key.n().to_bytes_be(), &key.e().to_bytes_be())?
        };
        Ok(Self { keys: [Key { id: id.into(), algorithm, key }].into() })
    }

    /// A single RSA key by its modulus and exponent, big endian.
    pub(crate) fn from_rsa(id: &str, modulus: &[u8], exponent: &[u8], algorithm: Algorithm) -> Result<Self, KeyError> {
        Ok(Self { keys: [Key { id: id.to_owned(), algorithm, key: rsa_key(modulus, exponent)? }].into() })
    }

    /// Whether the token is signed by the key it names, with that key's algorithm.
    pub(super) fn verify(&self, signed: &Signed<'_>) -> Result<(), TokenError> {
        let key = self.keys.iter().find(|key| key.id == signed.key_id).ok_or(TokenError::UnknownKey)?;
        if signed.algorithm != key.algorithm.name() {
            return Err(TokenError::Algorithm);
        }
        match jsonwebtoken::crypto::verify(signed.signature, signed.message.as_bytes(), &key.key, key.algorithm.library()) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(TokenError::Signature),
        }
    }
}

/// Whether a JWK is for verifying signatures with this algorithm (RFC 7517, sections 4.2 to 4.4).
fn serves(jwk: Value<'_>, algorithm: Algorithm) -> bool {
    let kind = if algorithm.curve().is_some() { "EC" } else { "RSA" };
    let is = |name: &str, wanted: &str| jwk.get(name).is_none_or(|value| value.as_str().is_some_and(|text| text == wanted));
    jwk.get("kty").is_some()
        && is("kty", kind)
        && is("use", "sig")
        && is("alg", algorithm.name())
        && jwk
            .get("key_ops")
            .is_none_or(|operations| operations.elements().any(|operation| operation.as_str().is_some_and(|text| text == "verify")))
}

fn from_jwk(jwk: Value<'_>, algorithm: Algorithm) -> Result<DecodingKey, KeyError> {
    let bytes = |name: &str| {
        let text = jwk.get_str(name).ok_or(KeyError::Malformed)?;
        URL_SAFE_NO_PAD.decode(&*text).map_err(|_| KeyError::Malformed)
    };
    let Some((curve, width)) = algorithm.curve() else { return rsa_key(&bytes("n")?, &bytes("e")?) };
    let (x, y) = (bytes("x")?, bytes("y")?);
    if jwk.get_str("crv").is_none_or(|name| name != curve) || x.len() != width || y.len() != width {
        return Err(KeyError::Malformed);
    }
    Ok(DecodingKey::from_ec_der(&[&[4], x.as_slice(), y.as_slice()].concat()))
}

/// An RSA key of 2048 to 8192 bits whose exponent is odd and neither small (FIPS 186-5, section 5.4: over 2^16) nor costly.
fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Result<DecodingKey, KeyError> {
    let modulus = trim(modulus);
    let bits = modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
    let exponent = trim(exponent);
    let exponent_value = exponent.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let exponent_safe = exponent.len() <= 4 && exponent_value > 1 << 16 && exponent_value % 2 == 1;
    if !(2048..=8192).contains(&bits) || !exponent_safe || has_roca_fingerprint(modulus) {
        return Err(KeyError::Unsafe);
    }
    Ok(DecodingKey::from_rsa_raw_components(modulus, exponent))
}

fn trim(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..]
}

/// Whether a modulus looks like those of the flawed generator of CVE-2017-15361: modulo each small prime it is a power of
/// 65537. About one good key in 2^27 looks so too.
fn has_roca_fingerprint(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131,
        137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.iter().all(|prime| {
        let remainder = modulus.iter().fold(0, |remainder, byte| (remainder * 256 + u32::from(*byte)) % prime);
        let powers = std::iter::successors(Some(1), |power| Some(power * (65_537 % prime) % prime));
        powers.take(*prime as usize).any(|power| power == remainder)
    })
}
