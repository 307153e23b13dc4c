//! Each way in which a document can differ from another is seen, and nothing else is.

use std::path::PathBuf;

use gupsync_bench::spec::{MmName, Status};
use gupsync_bench::{Row, Spec};
use serde_json::{Value, json};

use super::*;
use crate::document::{Document, SCHEMA};

/// A row of which every count is 100.
fn row(words: &str, status: Status) -> Row {
    let spec: Spec = words.parse().expect("a spec");
    let row = Row::new(&spec, spec.policy[0], MmName::Total, 8, status);
    let mut fields = serde_json::to_value(row).expect("plain data");
    for counter in gupsync_bench::counts::COUNTERS {
        fields[counter.key] = json!(100);
    }
    serde_json::from_value(fields).expect("a row")
}

fn document(rows: Vec<Row>) -> Value {
    let document = Document {
        schema: SCHEMA,
        revision: "unknown".to_owned(),
        dirty: true,
        qemu: None,
        accel: "tcg-single".to_owned(),
        loader: None,
        linux: None,
        command: String::new(),
        date: String::new(),
        rows,
    };
    serde_json::to_value(document).expect("plain data")
}

fn plain() -> Value {
    document(["policy=broadcast", "policy=pending"].map(|words| row(words, Status::Ok)).into())
}

/// What the command says and how it ends, of the second document that `change` makes of `base`.
fn compared(base: &Value, change: impl FnOnce(&mut Value)) -> (String, Vec<String>) {
    let mut new = base.clone();
    change(&mut new);
    let side = |value, name: &str| {
        Written::of(value, name.to_owned()).and_then(Written::side).expect("it can be read")
    };
    let [base, new] = [side(base.clone(), "base"), side(new, "new")];
    let diff = Diff::of(&base, &new, 25);
    (shown::text(&base, &new, &diff), diff.faults())
}

fn last_line(text: &str) -> String {
    text.rsplit("\n\n").next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_document_is_equal_to_itself_and_says_how_much_was_compared() {
    let (text, faults) = compared(&plain(), |_| ());
    let (exact, timing) =
        gupsync_bench::counts::COUNTERS.iter().fold((0, 0), |(exact, timing), counter| match counter.class {
            gupsync_bench::counts::Class::Exact => (exact + 2, timing),
            gupsync_bench::counts::Class::Timing => (exact, timing + 2),
        });
    let expected =
        format!("2 rows: {exact} exact fields equal, 0 not; {timing} others within the tolerance, 0 not");
    assert_eq!((last_line(&text), faults), (expected, vec![]), "{text}");
}

#[test]
fn one_interrupt_more_is_named_by_row_and_field() {
    let (text, faults) = compared(&plain(), |new| new["rows"][1]["sync_ipis"] = json!(101));
    assert_eq!(faults, ["collapse pending invlpgb=off: sync_ipis was 100, is 101"]);
    let line = text.lines().find(|line| line.contains("sync_ipis")).expect("it is in the table");
    let cells: Vec<_> = line.split_whitespace().collect();
    assert_eq!(cells, ["100", "+1.0%", "101", "sync_ipis", "exact"], "{text}");
    assert!(text.contains("\npending: collapse, 8 CPUs") && !text.contains("\nbroadcast: "), "{text}");
}

#[test]
fn what_is_not_exact_fails_nothing_and_is_shown_beyond_the_tolerance() {
    for (walks, is_shown) in [(125, false), (126, true), (75, false), (74, true)] {
        let (text, faults) = compared(&plain(), |new| new["rows"][0]["walks"] = json!(walks));
        assert_eq!((text.contains(" walks "), faults.len()), (is_shown, 0), "{text}");
    }
    // Exact counts are timing where they depend on when things happen, or more than one thread serves the CPUs.
    let racing = ["eager=on", "switchers=1", "workload=unshare naps=on", "workload=unshare hotplug=1"];
    for words in racing.map(|words| format!("policy=pending {words}")) {
        let racing = document(vec![row(&words, Status::Ok)]);
        let (text, faults) = compared(&racing, |new| new["rows"][0]["sync_ipis"] = json!(1000));
        assert!(faults.is_empty() && text.contains("+900.0%"), "{text}{faults:?}");
    }
    let mut threads = plain();
    threads["accel"] = json!("tcg-multi");
    let (_, faults) = compared(&threads, |new| new["rows"][1]["sync_ipis"] = json!(101));
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn a_row_on_one_side_only_is_a_fault_whichever_side_it_is() {
    let drop_first = |value: &mut Value| drop(value["rows"].as_array_mut().expect("rows").remove(0));
    let (_, faults) = compared(&plain(), drop_first);
    assert_eq!(faults, ["collapse broadcast invlpgb=off: is not in new"]);
    let mut short = plain();
    drop_first(&mut short);
    let (text, faults) = compared(&short, |new| *new = plain());
    assert_eq!(faults, ["collapse broadcast invlpgb=off: is not in base"]);
    assert!(last_line(&text).contains("1 row on one side only"), "{text}");
    // Another setting, or another machine, is another row.
    for (key, value) in [("lazy", json!(1)), ("seed", json!(2)), ("cpus", json!(9)), ("mm", json!("ipi"))] {
        let (_, faults) = compared(&plain(), |new| new["rows"][0][key] = value);
        assert_eq!(faults.len(), 2, "{key}: {faults:?}");
    }
    assert_eq!(compared(&plain(), |new| new["accel"] = json!("kvm")).1.len(), 4);
}

#[test]
fn rows_of_the_same_settings_are_compared_in_order() {
    let twice = document(vec![row("policy=pending", Status::Ok), row("policy=pending", Status::Ok)]);
    let (text, faults) = compared(&twice, |new| new["rows"][1]["set"] = json!(7));
    assert_eq!((faults.len(), text.matches(" set ").count()), (1, 1), "{text}");
}

#[test]
fn how_a_row_ended_is_compared_first() {
    let ended = |before, after| {
        let words = "policy=pending";
        compared(&document(vec![row(words, before)]), |new| *new = document(vec![row(words, after)]))
    };
    let (text, faults) = ended(Status::Ok, Status::Timeout);
    assert_eq!(faults, ["collapse pending invlpgb=off: was ok, is timeout: timeout: no reason was given"]);
    assert!(last_line(&text).starts_with("1 row: 0 exact fields equal"), "{text}");
    // Nothing was counted in either: that is not equal.
    let (_, faults) = ended(Status::Died, Status::Died);
    assert_eq!(faults, ["collapse pending invlpgb=off: died: no reason was given, as before"]);
    // An unsafe policy that is caught, at last, and no more.
    let words = "policy=never invlpgb=on";
    let caught = document(vec![row(words, Status::Violation)]);
    assert!(compared(&caught, |_| ()).1.is_empty());
    let died = document(vec![row(words, Status::Panic)]);
    let (text, faults) = compared(&died, |new| *new = caught.clone());
    assert!(faults.is_empty() && text.contains("was panic, is violation, as promised"), "{text}{faults:?}");
    let (_, faults) = compared(&caught, |new| *new = document(vec![row(words, Status::Ok)]));
    assert!(faults[0].contains("was violation, is ok: an unsafe policy was to be caught"), "{faults:?}");
}

/// Two files, and how the command ends with them.
fn ending(base: &str, new: &str) -> Result<Ending> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str, text: &str| -> Result<PathBuf> {
        let path = folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    };
    let (base, new) = (file("base.json", base)?, file("new.json", new)?);
    run(&DiffArgs { base, new, tolerance: 25, fail_on_timing: false })
}

#[test]
fn a_document_that_lacks_newer_fields_is_compared_by_what_it_has() {
    let mut old = plain();
    for key in ["lazy", "exit", "walks_huge", "moves"] {
        let rows = old["rows"].as_array_mut().expect("rows").iter_mut();
        rows.for_each(|row| drop(row.as_object_mut().expect("a row").remove(key)));
    }
    let (old, new) = (old.to_string(), plain().to_string());
    assert_eq!(ending(&old, &new).expect("both can be read"), Ending::AsPromised);
    assert_eq!(ending(&new, &old).expect("both can be read"), Ending::AsPromised);
    assert_eq!(
        ending(&old, &new.replacen("\"cleared\":100", "\"cleared\":99", 1)).expect("read"),
        Ending::Broken
    );
}

#[test]
fn what_is_no_document_is_refused_by_name() {
    let of_schema = |schema: u32| plain().to_string().replace("\"schema\":1", &format!("\"schema\":{schema}"));
    assert_eq!(ending(&of_schema(1), &of_schema(2)).expect("both can be read"), Ending::Broken);
    let mut unknown = plain();
    unknown["rows"][1]["telepathy"] = json!(1);
    let mut nameless = plain();
    nameless["rows"][0].as_object_mut().expect("a row").remove("policy");
    for (text, said) in [
        ("{".to_owned(), "base.json: is no JSON: EOF"),
        ("[1]".to_owned(), "base.json: names no schema; name a file that `compare --json` has written"),
        (of_schema(2), "base.json: is of schema 2, not 1"),
        (document(vec![]).to_string(), "base.json: has no rows"),
        (unknown.to_string(), "base.json: row 2: `telepathy` is no field"),
        (nameless.to_string(), "base.json: row 1: says nothing of `policy`"),
        (
            plain().to_string().replace("\"pending\"", "\"hope\""),
            "base.json: row 2: cannot be read: `hope` is no policy",
        ),
    ] {
        let new = if text.contains("\"schema\":2") { text.clone() } else { plain().to_string() };
        let error = ending(&text, &new).expect_err(&text);
        assert!(error.is::<crate::ending::Usage>() && format!("{error:#}").contains(said), "{error:#}");
    }
}
