//! The table: medians over the alternations.

/// What one alternation took, for one payment.
pub struct Sample {
    pub floor_s: f64,
    pub floor_cpu_s: f64,
    pub ours_s: f64,
    pub ours_cpu_s: f64,
    pub flushes: f64,
    pub bytes: f64,
}

/// One way to pay.
pub struct Row {
    pub name: &'static str,
    pub samples: Vec<Sample>,
}

impl Row {
    fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        let mut values: Vec<_> = self.samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }
}

/// The rows as a table in Markdown.
pub fn render(rows: &[Row]) -> String {
    let mut table = String::from(
        "| payments | floor, a second | clients, a second | of the floor | CPU µs, floor | CPU µs, \
         clients | flushes | bytes |\n|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for row in rows {
        table += &format!(
            "| {} | {} | {} | {:.0} % | {} | {} | {} | {:.1} |\n",
            row.name,
            thousands(1.0 / row.median(|sample| sample.floor_s)),
            thousands(1.0 / row.median(|sample| sample.ours_s)),
            100.0 * row.median(|sample| sample.floor_s / sample.ours_s),
            micros(row.median(|sample| sample.floor_cpu_s)),
            micros(row.median(|sample| sample.ours_cpu_s)),
            small(row.median(|sample| sample.flushes)),
            row.median(|sample| sample.bytes),
        );
    }
    table
}

fn micros(seconds: f64) -> String {
    let micros = seconds * 1e6;
    match micros {
        ..10.0 => format!("{micros:.3}"),
        _ => format!("{micros:.0}"),
    }
}

fn small(number: f64) -> String {
    match number {
        0.01.. | 0.0 => format!("{number:.2}"),
        _ => format!("{number:.5}"),
    }
}

fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
