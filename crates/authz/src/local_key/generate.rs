//! Making an RSA key fast: the two primes on two threads, candidates sieved before the costly test.

use num_bigint_dig::BigUint;
use num_bigint_dig::prime::{probably_prime, probably_prime_miller_rabin};
use ring::rand::{SecureRandom, SystemRandom};
use rsa::RsaPrivateKey;

const PRIME_BYTES: usize = 128;
const EXPONENT: u32 = 65_537;
/// How far from a random start to look, in odd numbers. About one in 355 of this size is prime.
const WINDOW: usize = 2048;
/// The sieve's last prime: about where another one costs more than the tests it saves.
const SIEVE_MAX: u32 = 8192;
/// Miller-Rabin rounds of the last test; a Lucas test (Baillie-PSW) comes with it (FIPS 186-5, appendix B.3).
const ROUNDS: usize = 8;

/// A key of 2048 bits; `None` where the system has no randomness.
pub(super) fn rsa_2048() -> Option<RsaPrivateKey> {
    let small = small_primes();
    loop {
        let (p, q) = std::thread::scope(|scope| {
            let other = scope.spawn(|| prime(&small));
            let own = prime(&small);
            (own, other.join().ok().flatten())
        });
        let (p, q) = (p?, q?);
        // Primes too near each other make a modulus that Fermat's method factors (FIPS 186-5, appendix A.1.3).
        let distance = if p > q { &p - &q } else { &q - &p };
        if distance.bits() <= 924 {
            continue;
        }
        if let Ok(key) = RsaPrivateKey::from_p_q(p, q, EXPONENT.into()) {
            return Some(key);
        }
    }
}

fn small_primes() -> Vec<u32> {
    let mut composite = vec![false; SIEVE_MAX as usize];
    let mut primes = Vec::new();
    for number in 3..SIEVE_MAX {
        if number % 2 == 0 || composite[number as usize] {
            continue;
        }
        primes.push(number);
        (number * number..SIEVE_MAX).step_by(number as usize).for_each(|multiple| composite[multiple as usize] = true);
    }
    primes
}

/// A random prime of 1024 bits, the upper two of which are set, and one less than which does not share a factor with the
/// exponent.
fn prime(small: &[u32]) -> Option<BigUint> {
    let random = SystemRandom::new();
    loop {
        let mut bytes = [0; PRIME_BYTES];
        random.fill(&mut bytes).ok()?;
        bytes[0] |= 0xC0;
        bytes[PRIME_BYTES - 1] |= 1;
        let start = BigUint::from_bytes_be(&bytes);
        let mut composite = [false; WINDOW];
        for divisor in small {
            let remainder = bytes.iter().fold(0, |remainder, byte| (remainder * 256 + u32::from(*byte)) % divisor);
            // The first place where start + 2 * place is a multiple of the divisor.
            let missing = (divisor - remainder) % divisor;
            let first = if missing % 2 == 0 { missing / 2 } else { (missing + divisor) / 2 };
            (first as usize..WINDOW).step_by(*divisor as usize).for_each(|place| composite[place] = true);
        }
        for place in (0..WINDOW).filter(|place| !composite[*place]) {
            let candidate = &start + BigUint::from(2 * place as u64);
            let fits = candidate.bits() == PRIME_BYTES * 8 && (&candidate - 1_u32) % EXPONENT != BigUint::from(0_u32);
            if fits && probably_prime_miller_rabin(&candidate, 1, true) && probably_prime(&candidate, ROUNDS) {
                return Some(candidate);
            }
        }
    }
}
