//! The findings as JUnit XML, which CI systems show as tests.

use std::fmt::Write;

use super::{Findings, Gate};

/// One suite: a case for the comparison with `report` as its output, and one per gate; the measures are properties.
///
/// The elements and attributes are those that GitHub's, GitLab's and Jenkins' readers have in common. There are no times in
/// it, so that equal results are equal bytes.
pub fn junit(findings: &Findings, gates: &[Gate], report: &str) -> String {
    let failures = gates.iter().filter(|gate| !gate.passed).count();
    let counts = format!("tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\"", gates.len() + 1);
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites name=\"cardinal parity\" {counts}>\n  <testsuite name=\"cardinal parity\" {counts}>\n    \
         <properties>\n"
    );
    // Writing to a string cannot fail.
    for (name, value) in properties(findings) {
        let _ = writeln!(xml, "      <property name=\"{name}\" value=\"{}\"/>", escape(&value));
    }
    xml += "    </properties>\n";
    let _ = writeln!(
        xml,
        "    <testcase classname=\"cardinal.parity\" name=\"compare\">\n      <system-out>{}</system-out>\n    \
         </testcase>",
        escape(report)
    );
    for gate in gates {
        let sentence = escape(&gate.sentence());
        let _ = write!(xml, "    <testcase classname=\"cardinal.parity\" name=\"{}\">", gate.name);
        let _ = match gate.passed {
            true => writeln!(xml, "\n      <system-out>{sentence}</system-out>"),
            false => writeln!(
                xml,
                "\n      <failure type=\"gate\" message=\"{sentence}\">{sentence}; {} images changed class</failure>",
                findings.changed.len()
            ),
        };
        xml += "    </testcase>\n";
    }
    xml + "  </testsuite>\n</testsuites>\n"
}

/// Measures, named as in the JSON document.
fn properties(findings: &Findings) -> Vec<(&'static str, String)> {
    let top1 = &findings.top1;
    let worst = findings.layers.compared.iter().min_by(|a, b| a.sqnr_db.total_cmp(&b.sqnr_db));
    let mut properties = vec![
        ("images", findings.images.to_string()),
        ("top1.float", top1.float.to_string()),
        ("top1.int8", top1.int8.to_string()),
        ("top1.drop_points", top1.drop_points.to_string()),
        ("top1.interval_points.low", top1.interval_points[0].to_string()),
        ("top1.interval_points.high", top1.interval_points[1].to_string()),
        ("top1.interval_method", top1.interval_method.to_owned()),
        ("top1.mcnemar_p", top1.mcnemar_p.to_string()),
        ("agreement", findings.agreement.to_string()),
        ("logit_sqnr_db", findings.logit_sqnr_db.to_string()),
        ("largest_probability_change", findings.largest_probability_change.change.to_string()),
        ("changed", findings.changed.len().to_string()),
    ];
    if let Some(worst) = worst {
        properties.push(("layers.least", worst.name.clone()));
        properties.push(("layers.least_sqnr_db", worst.sqnr_db.to_string()));
    }
    properties
}

/// Text for elements and attributes. Control characters, which XML 1.0 cannot hold even escaped, become U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&apos;",
            '\n' | '\t' => escaped.push(c),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("a<b> & \"c\" 'd'\n"), "a&lt;b&gt; &amp; &quot;c&quot; &apos;d&apos;\n");
        assert_eq!(escape("]]>"), "]]&gt;");
        assert_eq!(escape("é\u{1b}[31m\u{0}\u{ffff}"), "é\u{fffd}[31m\u{fffd}\u{fffd}");
    }
}
