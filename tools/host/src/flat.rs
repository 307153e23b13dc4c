//! Rows as CSV: a line for each, its fields named and written as in JSON, nothing where JSON has `null`.

use anyhow::{Context, Result};
use gupsync_bench::Row;
use gupsync_bench::counts::COUNTERS;
use serde_json::Value;

/// All fields of `rows`: settings, counters, how each ended.
///
/// # Errors
///
/// None: a row is plain data.
pub fn render(rows: &[Row]) -> Result<String> {
    let Some(first) = rows.first() else { return Ok(String::new()) };
    let settings = first.settings().into_iter().map(|(key, _)| key);
    let counters = COUNTERS.iter().map(|counter| counter.key);
    let keys: Vec<_> =
        settings.chain(["mm", "cpus", "machine"]).chain(counters).chain(["status", "detail"]).collect();
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(&keys)?;
    for row in rows {
        let row = serde_json::to_value(row)?;
        csv.write_record(keys.iter().map(|key| text(&row[*key])))?;
    }
    let bytes = csv.into_inner().context("it is written to memory")?;
    Ok(String::from_utf8(bytes)?.trim_end().to_owned())
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use gupsync_bench::Spec;
    use gupsync_bench::counts::Counts;
    use gupsync_bench::spec::{MmName, Status};

    use super::*;

    #[test]
    fn item_17_every_field_of_json_is_under_its_name() {
        let spec = Spec::default();
        let counts =
            Counts { ops: Some(1000), sync_ipis: Some(7), held_at_unlink: Some(u64::MAX), ..Counts::default() };
        let row = |detail| Row {
            counts: counts.clone(),
            detail,
            ..Row::new(&spec, spec.policy[0], MmName::Total, 8, Status::Ok)
        };
        let rows = [row(None), row(Some("a comma, \"quotes\"\nand a line".to_owned()))];
        let rendered = render(&rows).expect("plain data");
        let mut csv = csv::Reader::from_reader(rendered.as_bytes());
        let read: Vec<BTreeMap<String, String>> = csv.deserialize().collect::<Result<_, _>>().expect("CSV");
        assert_eq!(read.len(), rows.len());
        for (row, read) in rows.iter().zip(read) {
            let Value::Object(json) = serde_json::to_value(row).expect("plain data") else {
                panic!("no object")
            };
            let json: BTreeMap<_, _> = json.into_iter().map(|(key, value)| (key, text(&value))).collect();
            assert_eq!(read, json);
        }
    }
}
