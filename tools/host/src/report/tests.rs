//! The page of made-up documents.

use gupsync_bench::counts::Counts;
use gupsync_bench::row::{MmName, Status};
use gupsync_bench::{Row, Spec};

use gupsync_checker::report::{Buffer, Step};
use gupsync_sim::{Band, Costs};

use super::page;
use super::proof::buffers;
use super::source::{Source, Sources};
use super::wins::Wins;
use crate::document::{self, SCHEMA};
use crate::prove::document::Document;

/// A finished row of so many sync IPIs.
fn row(words: &str, cpus: usize, sync_ipis: u64) -> Row {
    let spec: Spec = words.parse().expect("a spec");
    let counts = Counts {
        ops: Some(1000),
        sync_ipis: Some(sync_ipis),
        flush_ipis: Some(3000),
        other_ipis: Some(0),
        ..Counts::default()
    };
    Row { counts, ..Row::new(&spec, spec.policy[0], MmName::Total, cpus, Status::Ok) }
}

fn source(command: &str, rows: Vec<Row>) -> Source {
    let document = document::Document {
        schema: SCHEMA,
        revision: "0123456789ab".to_owned(),
        dirty: true,
        qemu: Some("10.0".to_owned()),
        accel: "tcg-single".to_owned(),
        loader: None,
        linux: None,
        command: command.to_owned(),
        date: "2026-01-02T03:04:05Z".to_owned(),
        rows,
    };
    Source { name: "rows.json".to_owned(), document }
}

/// One mutant that was caught in four steps, of two CPUs.
fn proved() -> Document {
    let step = |number, cpu, what: &str, buffer| Step {
        number: Some(number),
        cpu,
        what: what.to_owned(),
        place: "src/a.rs:1".to_owned(),
        buffer,
    };
    let trace = vec![
        step(1, 0, "writes a = 1, into its store buffer", Some(Buffer::Takes("a = 1".to_owned()))),
        step(2, 0, "writes b = 2, into its store buffer", Some(Buffer::Takes("b = 2".to_owned()))),
        step(3, 1, "reads b: 0", None),
        step(4, 0, "its write of a = 1 reaches memory", Some(Buffer::Drains)),
    ];
    let line = serde_json::json!({
        "kind": "mutant", "name": "f7-missing", "checker": "tso", "note": "targeted::a_tracked_walker", "step": "F7",
        "models": 1, "cpus": 2, "explored": 62, "seconds": 0.5, "verdict": "caught",
        "mistake": { "what": "A <mistake>.", "stands_for": "a remark", "fault": "it is reused", "trace": trace },
    });
    let lines = vec![serde_json::from_value(line).expect("a line")];
    Document::new(("fedcba".to_owned(), false), std::time::Duration::from_secs(7), lines)
}

#[test]
fn steps_have_the_buffer_of_their_cpu_and_read_without_javascript() {
    let proof = proved();
    let steps = &proof.lines[0].mistake.as_ref().expect("it has one").trace;
    assert_eq!(buffers(steps), [vec!["a = 1"], vec!["a = 1", "b = 2"], vec![], vec!["b = 2"]]);
    let page = rendered(vec![compared()]);
    for step in
        ["reads b: 0", "buffer: a = 1; b = 2", "In the end: it is reused", "A &lt;mistake&gt;.", "4 steps"]
    {
        assert!(page.contains(step), "{step}: {page}");
    }
}

const FOUR: [(&str, u64); 4] = [("broadcast", 7123), ("mask", 3456), ("gather+mask", 1234), ("pending", 1001)];

fn compared() -> Source {
    let rows = FOUR.map(|(policy, sync_ipis)| row(&format!("policy={policy}"), 8, sync_ipis));
    source("tools/gupsync compare", rows.into())
}

/// The page of these documents, with nothing of isolated CPUs.
fn rendered(shown: Vec<Source>) -> String {
    let [outside, member, tried] = ["outside", "member", "tried"].map(|command| source(command, Vec::new()));
    let module = Err("no optimiser".to_owned());
    page::render(&Sources { shown, outside, member, tried, module, proofs: vec![proved()] })
}

#[test]
fn figures_of_the_page_are_those_of_the_rows() {
    let page = rendered(vec![compared()]);
    for figure in ["7,123", "3,456", "1,234", "1,001"] {
        assert!(page.contains(&format!(">{figure}</td>")), "{figure}: {page}");
    }
    for word in ["tools/gupsync compare", "0123456789ab", "not committed", "2026-01-02T03:04:05Z", "QEMU 10.0"]
    {
        assert!(page.contains(word), "{word}: {page}");
    }
}

#[test]
fn what_is_won_is_taken_apart_without_a_rest() {
    let Source { document, .. } = compared();
    let wins = Wins::of(&document.rows).expect("all four are there");
    assert_eq!(wins, Wins { broadcast: 7123, mask: 3667, flag: 2222, tracking: 233, left: 1001 });
    assert_eq!(wins.broadcast.cast_signed(), wins.mask + wins.flag + wins.tracking + wins.left.cast_signed());
    assert_eq!(Wins::of(&document.rows[1..]), None);
}

#[test]
fn a_curve_has_a_point_for_each_size_and_zero_is_shown() {
    let sizes = [(8, 7000, 0), (768, 767_000, 0), (8192, 8_191_000, 0)];
    let rows = sizes.iter().flat_map(|(cpus, all, none)| {
        [row("policy=broadcast", *cpus, *all), row("policy=pending", *cpus, *none)]
    });
    let page = rendered(vec![source("tools/gupsync scale", rows.collect())]);
    for point in ["A: 8,192 CPUs: 8,191 by operation", "B: 768 CPUs: 0 by operation", "2 sockets of 192 cores"]
    {
        assert!(page.contains(point), "{point}: {page}");
    }
}

#[test]
fn what_a_document_says_is_no_html() {
    let mut rows = vec![row("policy=pending", 8, 1)];
    rows[0].status = Status::Violation;
    rows[0].detail = Some("<b>& \"it\"</b>".to_owned());
    let page = rendered(vec![source("x <script>alert(1)</script>", rows)]);
    assert!(!page.contains("<script>alert") && !page.contains("<b>& "), "{page}");
    assert!(page.contains("x &lt;script&gt;alert(1)") && page.contains("&lt;b&gt;&amp; "), "{page}");
}

#[test]
fn the_page_loads_nothing_is_small_and_every_link_leads_somewhere() {
    let page = rendered(vec![compared()]);
    assert!(page.len() < 2_000_000, "{}", page.len());
    for load in ["http:", "https:", "src=", "<link", "@import", "url("] {
        assert!(!page.contains(load), "{load}");
    }
    for link in page.split("href=\"#").skip(1) {
        let part = link.split('"').next().expect("it ends");
        assert!(page.contains(&format!("id=\"{part}\"")), "{part}");
    }
}

#[test]
fn a_file_that_holds_no_results_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rows.json");
    for (text, fault) in [("{", "holds no results"), ("{\"schema\":1}", "holds no results")] {
        std::fs::write(&file, text).expect("a file");
        let error = Sources::of(std::slice::from_ref(&file)).err().expect("it is refused");
        let said = error.downcast_ref::<crate::ending::Usage>().expect("the argument is wrong").to_string();
        assert!(
            said.starts_with(&format!("--json {}: {fault}", file.display())) && said.lines().count() == 1,
            "{said}"
        );
    }
    std::fs::remove_file(&file).expect("it was there");
    assert!(Sources::of(&[file]).err().is_some_and(|error| error.to_string().contains("cannot be read")));
}

#[test]
fn rows_that_differ_in_nothing_are_one_line_unless_one_of_them_is_bad() {
    let protected = |status| {
        let spec: Spec = "workload=protect policy=broadcast,pending ops=8".parse().expect("a spec");
        let run = |policy| gupsync_sim::run(&spec, policy, 8, &Costs::of(Band::Mid), &mut |_| ());
        let mut rows: Vec<_> =
            spec.policy.iter().flat_map(|policy| run(*policy).expect("it runs").rows).collect();
        rows[1].status = status;
        rendered(vec![source("tools/gupsync compare --workload protect", rows)])
    };
    const ALIKE: &str = "All alike, and <b>ok</b>: <code>broadcast</code>, <code>pending</code>.";
    let good = protected(Status::Ok);
    assert!(good.contains(ALIKE), "{good}");
    let bad = protected(Status::Timeout);
    assert!(!bad.contains("All alike") && bad.contains(">timeout</td>"), "{bad}");
    // Rows that are told apart by nothing but their sync IPIs keep their table.
    assert!(!rendered(vec![compared()]).contains("All alike"));
}
