//! Exact numbers from JSON's decimal text. No binary fraction is ever made on the way.

/// Why a JSON number is no integer of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntegerError {
    /// It has a part after the point that is not zero.
    Fraction,
    /// It does not fit in 64 bits.
    OutOfRange,
}

/// Reads a valid JSON number as an integer. `1200.0` and `12e2` are integers too: JSON knows no
/// other kind of number, and some producers write every number that way.
pub(super) fn integer(number: &str) -> Result<i64, IntegerError> {
    if let Some(value) = few_digits(number) {
        return Ok(value);
    }
    let scaled = scale(number, 0).ok_or(IntegerError::OutOfRange)?;
    if scaled.first_dropped != 0 || scaled.rest_dropped {
        return Err(IntegerError::Fraction);
    }
    scaled.signed(scaled.magnitude).ok_or(IntegerError::OutOfRange)
}

/// Reads a valid JSON number in thousandths, rounded half up: a tie goes towards plus infinity.
/// `None` where the thousandths do not fit in 64 bits.
pub(super) fn thousandths(number: &str) -> Option<i64> {
    if let Some(value) = few_digits(number) {
        return value.checked_mul(1_000);
    }
    let scaled = scale(number, 3)?;
    let tie = scaled.first_dropped == 5 && !scaled.rest_dropped;
    let away_from_zero = if tie { !scaled.negative } else { scaled.first_dropped >= 5 };
    scaled.signed(scaled.magnitude + u64::from(away_from_zero))
}

/// The usual case: an integer of so few digits that it fits whatever they are.
fn few_digits(number: &str) -> Option<i64> {
    let (negative, digits) = match number.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, number),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0i64;
    for byte in digits.bytes() {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(byte - b'0');
    }
    Some(if negative { -value } else { value })
}

/// A number times a power of ten, cut towards zero.
struct Scaled {
    negative: bool,
    magnitude: u64,
    /// The first digit that was cut off; 0 to 9.
    first_dropped: u8,
    /// Whether any digit after it was not zero.
    rest_dropped: bool,
}

impl Scaled {
    fn signed(&self, magnitude: u64) -> Option<i64> {
        let magnitude = i128::from(magnitude);
        i64::try_from(if self.negative { -magnitude } else { magnitude }).ok()
    }
}

/// `number` x 10^`decimals`; `None` where that has more than 19 digits, hence no place in an `i64`.
fn scale(number: &str, decimals: i64) -> Option<Scaled> {
    let (negative, unsigned) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));

    let all_digits = whole.bytes().chain(fraction.bytes());
    let leading_zeros = all_digits.clone().take_while(|byte| *byte == b'0').count();
    // How many digits stand before the point once it has been moved; no record is long enough for
    // the lengths to matter beside the bounds of the exponent.
    let kept = whole.len() as i64 - leading_zeros as i64 + exponent + decimals;

    let mut scaled = Scaled { negative, magnitude: 0, first_dropped: 0, rest_dropped: false };
    let mut position = 0i64;
    for byte in all_digits.skip(leading_zeros) {
        let digit = byte - b'0';
        if position < kept {
            if kept > 19 {
                return None;
            }
            scaled.magnitude = scaled.magnitude * 10 + u64::from(digit);
        } else if position == kept {
            scaled.first_dropped = digit;
        } else {
            scaled.rest_dropped |= digit != 0;
        }
        position += 1;
    }
    if position > 0 && position < kept {
        scaled.magnitude *= 10u64.pow((kept - position) as u32);
    }
    Some(scaled)
}

/// An exponent, clamped: what is beyond the clamp is far out of range or far below a thousandth for
/// any mantissa that a record can hold.
fn read_exponent(text: &str) -> i64 {
    const CLAMP: i64 = 1 << 40;
    let negative = text.starts_with('-');
    let mut value = 0i64;
    for byte in text.trim_start_matches(['+', '-']).bytes() {
        value = (value * 10 + i64::from(byte - b'0')).min(CLAMP);
    }
    if negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn thousandths_round_half_up_and_refuse_what_does_not_fit() {
        let table = [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("-0.0", Some(0)),
            ("1", Some(1_000)),
            ("1.5", Some(1_500)),
            ("0.0004", Some(0)),
            ("0.0005", Some(1)),
            ("-0.0005", Some(0)),
            ("-0.00050000000000000000000001", Some(-1)),
            ("-0.0015", Some(-1)),
            ("0.00049999999999999999999999", Some(0)),
            ("1.0005", Some(1_001)),
            ("0.9995", Some(1_000)),
            ("0.1e1", Some(1_000)),
            ("25E-1", Some(2_500)),
            ("1e+3", Some(1_000_000)),
            ("5e-4", Some(1)),
            ("5e-5", Some(0)),
            ("9e-999999999999999999999", Some(0)),
            ("0e999999999999999999999", Some(0)),
            ("0.000000000000000000000000012e27", Some(12_000)),
            ("9223372036854775.807", Some(i64::MAX)),
            ("9223372036854775.8075", None),
            ("9223372036854775.8074", Some(i64::MAX)),
            ("-9223372036854775.808", Some(i64::MIN)),
            ("-9223372036854775.8085", Some(i64::MIN)),
            ("-9223372036854775.80851", None),
            ("9223372036854775808", None),
            ("9223372036854776", None),
            ("1e16", None),
            ("1e999999999999999999999", None),
        ];
        for (number, expected) in table {
            assert_eq!(thousandths(number), expected, "{number}");
        }
    }

    #[test]
    fn integers_may_be_written_with_a_point_or_an_exponent_but_have_no_fraction() {
        let table = [
            ("0", Ok(0)),
            ("-12", Ok(-12)),
            ("1200.0", Ok(1_200)),
            ("12e2", Ok(1_200)),
            ("1200e-2", Ok(12)),
            ("9223372036854775807", Ok(i64::MAX)),
            ("-9223372036854775808", Ok(i64::MIN)),
            ("9223372036854775808", Err(IntegerError::OutOfRange)),
            ("99999999999999999999", Err(IntegerError::OutOfRange)),
            ("1e400", Err(IntegerError::OutOfRange)),
            ("0.5", Err(IntegerError::Fraction)),
            ("1e-400", Err(IntegerError::Fraction)),
        ];
        for (number, expected) in table {
            assert_eq!(integer(number), expected, "{number}");
        }
    }

    proptest! {
        /// Floor of (2m + 10^k) / (2 x 10^k) in 128 bits: the same rounding by another road.
        #[test]
        fn thousandths_agree_with_exact_integer_arithmetic(
            mantissa in -999_999_999_999_999_999i64..=999_999_999_999_999_999,
            point in 0usize..=20,
            exponent in -24i64..=18,
        ) {
            let digits = format!("{:0>width$}", mantissa.unsigned_abs(), width = point + 1);
            let (whole, fraction) = digits.split_at(digits.len() - point);
            let sign = if mantissa < 0 { "-" } else { "" };
            let dot = if fraction.is_empty() { "" } else { "." };
            let number = format!("{sign}{whole}{dot}{fraction}e{exponent}");

            let power = exponent - point as i64 + 3;
            let expected = if power >= 0 {
                i128::from(mantissa).checked_mul(10i128.pow(power as u32))
            } else if power < -36 {
                Some(0) // 18 digits over 10^36 are nowhere near a half
            } else {
                let divisor = 10i128.pow(-power as u32);
                Some((2 * i128::from(mantissa) + divisor).div_euclid(2 * divisor))
            };
            let expected = expected.and_then(|milli| i64::try_from(milli).ok());
            prop_assert_eq!(thousandths(&number), expected, "{}", number);
        }

        #[test]
        fn short_numbers_read_the_same_with_and_without_the_short_cut(value in -999_999i64..=999_999) {
            prop_assert_eq!(thousandths(&format!("{value}.0")), thousandths(&value.to_string()));
            prop_assert_eq!(integer(&format!("{value}e0")), Ok(value));
        }
    }
}
