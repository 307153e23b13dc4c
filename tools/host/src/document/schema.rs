//! The JSON Schema of a document: what each field of the tables of `tools/bench` is in JSON.
//!
//! # Guarantee
//!
//! Every field that a document has is described here, and every setting and counter by the sentence that its table has for
//! it. A document of another revision may have more fields, or fewer.

use std::collections::BTreeSet;

use anyhow::Result;
use clap::ValueEnum;
use gupsync_bench::counts::COUNTERS;
use gupsync_bench::spec::{MachineName, MmName, SETTINGS, Setting, Status, Toggle, Workload};
use gupsync_bench::{Row, Spec};
use serde_json::{Map, Value, json};

use super::SCHEMA;
use crate::qemu::Accel;
use crate::say;

/// The schema.
pub fn schema() -> Value {
    let accels: Vec<_> = Accel::value_variants().iter().map(Accel::to_string).collect();
    let fields = json!({
        "schema": { "const": SCHEMA, "description": "The number of this schema." },
        "revision": { "type": "string", "description": "The commit of the checkout, or `unknown`." },
        "dirty": { "type": "boolean", "description": "Whether the checkout differs from it." },
        "qemu": { "type": ["string", "null"], "description": "QEMU's version, if it has booted a kernel." },
        "accel": { "enum": accels, "description": "What has executed the CPUs." },
        "loader": { "type": ["string", "null"], "description": "The bootloader, if it has booted a kernel." },
        "linux": { "type": "string", "description": "The Linux that was booted; absent if none was." },
        "command": { "type": "string", "description": "The command that produced it." },
        "date": { "type": "string", "description": "When it had done so, in UTC." },
        "rows": { "type": "array", "items": row(), "description": "The results; with --repeat, every run's." }
    });
    let always = keys(&fields).into_iter().filter(|key| key != "linux").collect::<Vec<_>>();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What tools/gupsync compare --json writes",
        "type": "object",
        "properties": fields,
        "required": always
    })
}

/// Prints it.
///
/// # Errors
///
/// None: it is plain data.
pub fn print() -> Result<()> {
    say::out(serde_json::to_string_pretty(&schema())?);
    Ok(())
}

fn keys(object: &Value) -> Vec<String> {
    object.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default()
}

fn row() -> Value {
    let samples = samples();
    let mut fields = Map::new();
    for setting in SETTINGS.iter().filter(|setting| samples[0].contains_key(setting.key)) {
        let mut field = of_setting(setting, &samples);
        field["description"] = json!(setting.doc.trim());
        fields.insert(setting.key.to_owned(), field);
    }
    for counter in COUNTERS {
        let field = json!({ "type": ["integer", "null"], "minimum": 0, "description": counter.doc.trim() });
        fields.insert(counter.key.to_owned(), field);
    }
    let others = json!({
        "mm": { "enum": MmName::NAMES, "description": "The mm that was counted: one of the mms of `mixed`, or all." },
        "cpus": { "type": "integer", "minimum": 1, "description": "How many CPUs the machine has." },
        "machine": { "enum": MachineName::NAMES, "description": "What it was counted on." },
        "status": { "enum": Status::NAMES, "description": "How it ended." },
        "detail": { "type": ["string", "null"], "description": "What a detector saw, or why there is no result." }
    });
    fields.extend(others.as_object().cloned().unwrap_or_default());
    let always: Vec<_> = fields.keys().cloned().collect();
    json!({ "type": "object", "properties": fields, "required": always })
}

/// Rows that between them have every word that stands in rows alone: `none`, `mixed`.
fn samples() -> Vec<Map<String, Value>> {
    let each =
        Workload::ALL.iter().flat_map(|workload| Toggle::ALL.iter().map(move |toggle| (*workload, *toggle)));
    let row = |(workload, invlpgb)| {
        let spec = Spec { workload, invlpgb, ..Spec::default() };
        let row = Row::without_counts(&spec, spec.policy[0], 1, Status::Ok);
        serde_json::to_value(row).ok()?.as_object().cloned()
    };
    each.filter_map(row).collect()
}

fn of_setting(setting: &Setting, samples: &[Map<String, Value>]) -> Value {
    let (form, names) = ((setting.form)(), (setting.names)());
    let in_rows = samples.iter().filter_map(|row| row[setting.key].as_str());
    let any_of = |names: &[&str]| names.join("|").replace('+', "\\+");
    if samples[0][setting.key].is_u64() {
        json!({ "type": "integer", "minimum": 0 })
    } else if setting.key == "policy" {
        // A row is of one, or of a Linux.
        json!({ "type": "string", "pattern": format!("^({}|linux-.*)$", any_of(&names)) })
    } else if form.ends_with(",...") {
        let one = any_of(&names);
        json!({ "type": "string", "pattern": format!("^({one})(,({one}))*$") })
    } else if names.is_empty() {
        json!({ "type": "string", "pattern": format!("^({})$", form.replace('N', "[1-9][0-9]*")) })
    } else {
        json!({ "enum": names.into_iter().chain(in_rows).collect::<BTreeSet<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn document(words: &str) -> Value {
        let spec: Spec = words.parse().expect("a spec");
        let row = Row::without_counts(&spec, spec.policy[0], 8, Status::Ok);
        let document = Document {
            schema: SCHEMA,
            revision: "unknown".to_owned(),
            dirty: true,
            qemu: None,
            accel: Accel::TcgMulti.to_string(),
            loader: None,
            linux: Some("Linux 7.3".to_owned()),
            command: String::new(),
            date: String::new(),
            rows: vec![row],
        };
        serde_json::to_value(document).expect("plain data")
    }

    fn is_valid(document: &Value) -> bool {
        jsonschema::is_valid(&schema(), document)
    }

    #[test]
    fn every_field_is_described_and_none_that_there_is_not() {
        let document = document("policy=pending");
        let schema = schema();
        let of_rows = &schema["properties"]["rows"]["items"]["properties"];
        assert_eq!(keys(&document), keys(&schema["properties"]));
        assert_eq!(keys(&document["rows"][0]), keys(of_rows));
        let described = |field: &Value| field["description"].as_str().is_some_and(|text| text.len() > 8);
        assert!(of_rows.as_object().expect("fields").values().all(described));
        assert!(jsonschema::meta::is_valid(&schema));
    }

    #[test]
    fn a_row_of_every_workload_is_valid_with_its_words() {
        for workload in Workload::ALL {
            for words in [
                "policy=pending+targeted invlpgb=on backend=emulated trim=every:8 sample=walk between=protect",
                "policy=never invlpgb=off flush=hypercall-all operations=unmap,protect",
            ] {
                let document = document(&format!("workload={workload} {words}"));
                let errors: Vec<_> = jsonschema::validator_for(&schema())
                    .expect("a schema")
                    .iter_errors(&document)
                    .map(|error| error.to_string())
                    .collect();
                assert!(errors.is_empty(), "{errors:?}");
            }
        }
        let mut linux = document("policy=broadcast");
        linux["rows"][0]["policy"] = json!("linux-7.3.4");
        assert!(is_valid(&linux));
    }

    #[test]
    fn what_no_row_says_is_refused() {
        let fields = [
            ("workload", json!("expand")),
            ("policy", json!("hope")),
            ("policy", json!("pending,mask")),
            ("operations", json!("unmap,")),
            ("backend", json!("auto+")),
            ("trim", json!("every:0")),
            ("trim", json!("sometimes")),
            ("lazy", json!(-1)),
            ("lazy", json!("1")),
            ("cpus", json!(0)),
            ("mm", json!("all")),
            ("sync_ipis", json!(1.5)),
            ("sync_ipis", json!("7,000")),
            ("status", json!("fine")),
            ("detail", json!(1)),
        ];
        for (key, value) in fields {
            let mut odd = document("policy=pending");
            odd["rows"][0][key] = value;
            assert!(!is_valid(&odd), "{key}: {}", odd["rows"][0][key]);
        }
        for key in ["workload", "lazy", "sync_ipis", "status"] {
            let mut short = document("policy=pending");
            short["rows"][0].as_object_mut().expect("a row").remove(key);
            assert!(!is_valid(&short), "{key}");
        }
        let mut other = document("policy=pending");
        other["schema"] = json!(SCHEMA + 1);
        assert!(!is_valid(&other));
    }
}
