//! The part of UCUM that comparing and converting quantities needs: SI units with prefixes, the usual others, products,
//! quotients and powers. A code it does not know is comparable with itself only.
//!
//! Deliberately absent: special units with an offset or logarithm (`Cel`, `[degF]`, `[pH]`) and arbitrary units (`[iU]`) other
//! than with themselves.

use crate::Decimal;

/// Exponents of meter, second, gram, kelvin, coulomb, candela, radian, and of named counts that are their own dimension.
pub(crate) type Dimensions = [i8; 7];

/// What a code means: `factor_numerator / factor_denominator` of the base units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meaning {
    pub dimensions: Dimensions,
    numerator: Decimal,
    denominator: Decimal,
}

/// Nested parentheses and terms beyond these are not read: codes come from clients.
const DEPTH_MAX: u8 = 8;
const LENGTH_MAX: usize = 64;

const PREFIXES: [(&str, i8); 20] = [
    ("da", 1),
    ("Y", 24),
    ("Z", 21),
    ("E", 18),
    ("P", 15),
    ("T", 12),
    ("G", 9),
    ("M", 6),
    ("k", 3),
    ("h", 2),
    ("d", -1),
    ("c", -2),
    ("m", -3),
    ("u", -6),
    ("n", -9),
    ("p", -12),
    ("f", -15),
    ("a", -18),
    ("z", -21),
    ("y", -24),
];

const NONE: Dimensions = [0; 7];
const LENGTH: Dimensions = [1, 0, 0, 0, 0, 0, 0];
const TIME: Dimensions = [0, 1, 0, 0, 0, 0, 0];
const MASS: Dimensions = [0, 0, 1, 0, 0, 0, 0];
const KELVIN: Dimensions = [0, 0, 0, 1, 0, 0, 0];
const CHARGE: Dimensions = [0, 0, 0, 0, 1, 0, 0];
const CANDELA: Dimensions = [0, 0, 0, 0, 0, 1, 0];
const RADIAN: Dimensions = [0, 0, 0, 0, 0, 0, 1];
const FORCE: Dimensions = [1, -2, 1, 0, 0, 0, 0];
const PRESSURE: Dimensions = [-1, -2, 1, 0, 0, 0, 0];
const ENERGY: Dimensions = [2, -2, 1, 0, 0, 0, 0];

/// Code, whether prefixes apply, the factor, its power of ten, dimensions (UCUM tables 1 to 8, the part in clinical use).
const UNITS: [(&str, bool, &str, i8, Dimensions); 54] = [
    ("m", true, "1", 0, LENGTH),
    ("s", true, "1", 0, TIME),
    ("g", true, "1", 0, MASS),
    ("K", true, "1", 0, KELVIN),
    ("C", true, "1", 0, CHARGE),
    ("cd", true, "1", 0, CANDELA),
    ("rad", true, "1", 0, RADIAN),
    ("mol", true, "6.02214076", 23, NONE),
    ("L", true, "1", -3, [3, 0, 0, 0, 0, 0, 0]),
    ("l", true, "1", -3, [3, 0, 0, 0, 0, 0, 0]),
    ("Hz", true, "1", 0, [0, -1, 0, 0, 0, 0, 0]),
    ("N", true, "1", 3, FORCE),
    ("Pa", true, "1", 3, PRESSURE),
    ("bar", true, "1", 8, PRESSURE),
    ("J", true, "1", 3, ENERGY),
    ("W", true, "1", 3, [2, -3, 1, 0, 0, 0, 0]),
    ("A", true, "1", 0, [0, -1, 0, 0, 1, 0, 0]),
    ("V", true, "1", 3, [2, -2, 1, 0, -1, 0, 0]),
    ("eq", true, "6.02214076", 23, NONE),
    ("osm", true, "6.02214076", 23, NONE),
    ("kat", true, "6.02214076", 23, [0, -1, 0, 0, 0, 0, 0]),
    ("U", true, "1.003690126666667", 16, [0, -1, 0, 0, 0, 0, 0]),
    ("t", true, "1", 6, MASS),
    ("cal", true, "4184", 0, ENERGY),
    ("m[H2O]", true, "9806650", 0, PRESSURE),
    ("m[Hg]", true, "133322000", 0, PRESSURE),
    ("min", false, "60", 0, TIME),
    ("h", false, "3600", 0, TIME),
    ("d", false, "86400", 0, TIME),
    ("wk", false, "604800", 0, TIME),
    ("mo", false, "2629800", 0, TIME),
    ("a", false, "31557600", 0, TIME),
    ("10*", false, "10", 0, NONE),
    ("10^", false, "10", 0, NONE),
    ("%", false, "1", -2, NONE),
    ("[ppth]", false, "1", -3, NONE),
    ("[ppm]", false, "1", -6, NONE),
    ("[ppb]", false, "1", -9, NONE),
    ("deg", false, "0.01745329251994329577", 0, RADIAN),
    ("[in_i]", false, "0.0254", 0, LENGTH),
    ("[ft_i]", false, "0.3048", 0, LENGTH),
    ("[yd_i]", false, "0.9144", 0, LENGTH),
    ("[mi_i]", false, "1609.344", 0, LENGTH),
    ("[in_us]", false, "0.02540005080010160020", 0, LENGTH),
    ("[lb_av]", false, "453.59237", 0, MASS),
    ("[oz_av]", false, "28.349523125", 0, MASS),
    ("[stone_av]", false, "6350.29318", 0, MASS),
    ("[gr]", false, "0.06479891", 0, MASS),
    ("[gal_us]", false, "0.003785411784", 0, [3, 0, 0, 0, 0, 0, 0]),
    ("[qt_us]", false, "0.000946352946", 0, [3, 0, 0, 0, 0, 0, 0]),
    ("[pt_us]", false, "0.000473176473", 0, [3, 0, 0, 0, 0, 0, 0]),
    ("[foz_us]", false, "0.0000295735295625", 0, [3, 0, 0, 0, 0, 0, 0]),
    ("[tbs_us]", false, "0.00001478676478125", 0, [3, 0, 0, 0, 0, 0, 0]),
    ("[tsp_us]", false, "0.00000492892159375", 0, [3, 0, 0, 0, 0, 0, 0]),
];

fn power_of_ten(exponent: u8) -> Option<Decimal> {
    Decimal::new(10_i128.checked_pow(u32::from(exponent))?, 0)
}

impl Meaning {
    const ONE: Self = Self { dimensions: NONE, numerator: ONE, denominator: ONE };

    /// The value in base units.
    pub fn to_base(self, value: Decimal) -> Option<Decimal> {
        value.checked_mul(self.numerator)?.checked_div(self.denominator)
    }

    /// The value whose base value this is.
    pub fn of_base(self, value: Decimal) -> Option<Decimal> {
        value.checked_mul(self.denominator)?.checked_div(self.numerator)
    }

    fn times(self, other: Self) -> Option<Self> {
        let mut dimensions = self.dimensions;
        for (mine, theirs) in dimensions.iter_mut().zip(other.dimensions) {
            *mine = mine.checked_add(theirs)?;
        }
        let numerator = self.numerator.checked_mul(other.numerator)?;
        Some(Self { dimensions, numerator, denominator: self.denominator.checked_mul(other.denominator)? }.reduced())
    }

    fn inverse(self) -> Option<Self> {
        let mut dimensions = self.dimensions;
        for dimension in &mut dimensions {
            *dimension = dimension.checked_neg()?;
        }
        Some(Self { dimensions, numerator: self.denominator, denominator: self.numerator })
    }

    fn power(self, exponent: i8) -> Option<Self> {
        let base = if exponent < 0 { self.inverse()? } else { self };
        (0..exponent.unsigned_abs()).try_fold(Self::ONE, |product, _| product.times(base))
    }

    fn scaled(self, power: i8) -> Option<Self> {
        let factor = power_of_ten(power.unsigned_abs())?;
        let scale = Self { numerator: factor, ..Self::ONE };
        self.times(if power < 0 { scale.inverse()? } else { scale })
    }

    /// Takes common tens out of the fraction, so that long products do not overflow.
    fn reduced(self) -> Self {
        let (mut numerator, mut denominator) = (self.numerator.normalized(), self.denominator.normalized());
        while let (Some(shorter), Some(other)) = (tenth(numerator), tenth(denominator)) {
            (numerator, denominator) = (shorter, other);
        }
        Self { numerator, denominator, ..self }
    }
}

const ONE: Decimal = Decimal::ONE;

fn tenth(value: Decimal) -> Option<Decimal> {
    (value.scale() == 0 && value.mantissa() % 10 == 0 && !value.is_zero()).then(|| Decimal::new(value.mantissa() / 10, 0)).flatten()
}

/// Reads a code; `None` where this table does not know it.
pub(crate) fn parse(code: &str) -> Option<Meaning> {
    if code.len() > LENGTH_MAX || !code.is_ascii() {
        return None;
    }
    let mut rest = code;
    let meaning = product(&mut rest, 0)?;
    rest.is_empty().then_some(meaning)
}

/// `term ("." term | "/" term)*`, also with a leading `/`.
fn product(rest: &mut &str, depth: u8) -> Option<Meaning> {
    if depth > DEPTH_MAX {
        return None;
    }
    let mut meaning = if rest.starts_with('/') { Meaning::ONE } else { component(rest, depth)? };
    loop {
        if let Some(behind) = rest.strip_prefix('.') {
            *rest = behind;
            meaning = meaning.times(component(rest, depth)?)?;
        } else if let Some(behind) = rest.strip_prefix('/') {
            *rest = behind;
            meaning = meaning.times(component(rest, depth)?.inverse()?)?;
        } else {
            return Some(meaning);
        }
    }
}

fn component(rest: &mut &str, depth: u8) -> Option<Meaning> {
    if let Some(inside) = rest.strip_prefix('(') {
        *rest = inside;
        let meaning = product(rest, depth + 1)?;
        *rest = rest.strip_prefix(')')?;
        return Some(meaning);
    }
    if rest.starts_with('{') {
        *rest = &rest[rest.find('}')? + 1..];
        return Some(Meaning::ONE);
    }
    let meaning = annotatable(rest)?;
    if rest.starts_with('{') {
        *rest = &rest[rest.find('}')? + 1..];
    }
    Some(meaning)
}

/// A number or a unit symbol with an exponent.
fn annotatable(rest: &mut &str) -> Option<Meaning> {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 && !rest[digits..].starts_with(['*', '^']) {
        let numerator = Decimal::parse(&rest[..digits]).filter(|number| !number.is_zero())?;
        *rest = &rest[digits..];
        return Some(Meaning { numerator, ..Meaning::ONE });
    }
    let symbol = symbol_length(rest);
    let meaning = symbol_meaning(&rest[..symbol])?;
    *rest = &rest[symbol..];
    let sign = usize::from(rest.starts_with(['+', '-']));
    let digits = rest[sign..].bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return (sign == 0).then_some(meaning);
    }
    let exponent = rest[..sign + digits].parse().ok()?;
    *rest = &rest[sign + digits..];
    meaning.power(exponent)
}

/// Up to an operator, exponent or annotation; what stands in brackets belongs to the symbol.
fn symbol_length(text: &str) -> usize {
    if text.starts_with("10*") || text.starts_with("10^") {
        return 3;
    }
    let mut bracket = false;
    let stop = |c: char| matches!(c, '.' | '/' | '(' | ')' | '{' | '+' | '-') || c.is_ascii_digit();
    for (at, c) in text.char_indices() {
        match c {
            '[' => bracket = true,
            ']' => bracket = false,
            _ if !bracket && stop(c) => return at,
            _ => {}
        }
    }
    text.len()
}

fn symbol_meaning(symbol: &str) -> Option<Meaning> {
    let plain = |symbol: &str, prefixed: bool| {
        let (_, _, factor, power, dimensions) = UNITS.iter().find(|unit| unit.0 == symbol && (unit.1 || !prefixed))?;
        Meaning { dimensions: *dimensions, numerator: Decimal::parse(factor)?, denominator: ONE }.scaled(*power)
    };
    plain(symbol, false).or_else(|| PREFIXES.iter().find_map(|(prefix, power)| plain(symbol.strip_prefix(prefix)?, true)?.scaled(*power)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn base(code: &str) -> (String, Dimensions) {
        let meaning = parse(code).unwrap();
        (meaning.to_base(Decimal::from(1)).unwrap().normalized().to_string(), meaning.dimensions)
    }

    #[test]
    fn codes_convert_to_base_units() {
        assert_eq!(base("mg"), ("0.001".into(), MASS));
        assert_eq!(base("cm.m"), ("0.01".into(), [2, 0, 0, 0, 0, 0, 0]));
        assert_eq!(base("m2"), ("1".into(), [2, 0, 0, 0, 0, 0, 0]));
        assert_eq!(base("mg/dL"), base("10*-2.g/L"));
        assert_eq!(base("g/(m)"), ("1".into(), [-1, 0, 1, 0, 0, 0, 0]));
        assert_eq!(base("10*3/uL"), base("10*9/L"));
        assert_eq!(base("mmol/L").1, base("umol/mL").1);
        assert_eq!(base("mm[Hg]"), ("133322".into(), PRESSURE));
        assert_eq!(base("{score}"), ("1".into(), NONE));
        assert_eq!(base("/min").1, base("Hz").1);
    }

    #[test]
    fn what_is_not_known_is_none() {
        for code in ["[s]", "Cel", "", "(", "((((((((((m))))))))))", "m/", "{", "0", "m+", "Ä"] {
            assert!(parse(code).is_none(), "{code}");
        }
    }
}
