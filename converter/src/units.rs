//! Numbers as people read them.

/// 1234567 → "1.23 MB".
pub fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        _ => format!("{:.2} MB", n as f64 / 1e6),
    }
}

/// 0.9311 → "93.11 %".
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// 1234567 → "1,234,567".
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// 40.23 → "40.2 dB". Without noise a ratio is infinite: "no error".
pub fn decibels(db: f64) -> String {
    if db == f64::INFINITY { "no error".into() } else { format!("{} dB", signed(format!("{db:.1}"))) }
}

/// Three digits: 0.012345 → "0.0123", 1234.5 → "1234".
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        0.1.. => 3,
        0.01.. => 4,
        0.001.. => 5,
        0.0001.. => 6,
        _ => return signed(format!("{value:.2e}")),
    };
    signed(format!("{value:.digits$}"))
}

/// With real minus signs.
fn signed(number: String) -> String {
    number.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([999, 1_000, 1_234_567].map(bytes), ["999 B", "1.0 kB", "1.23 MB"]);
        assert_eq!([40.23, -3.0, f64::INFINITY].map(decibels), ["40.2 dB", "−3.0 dB", "no error"]);
        let numbers = [0.0, 1234.5, -12.345, 1.2345, 0.012345, 0.0000123].map(number);
        assert_eq!(numbers, ["0", "1234", "−12.3", "1.23", "0.0123", "1.23e−5"]);
    }
}
