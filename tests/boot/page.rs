//! The page of `report` in a browser: what it shows, what it loads, and what its simulator counts.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gupsync_bench::{Row, Spec};
use gupsync_host::artifacts::Tree;
use gupsync_host::module;
use gupsync_host::table::number;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::chromium::{self, Chromium};
use crate::cli::{gupsync, said};
use crate::linux::Test;
use crate::needed::{Needed, trial_that_needs};
use crate::sim::native;
use crate::spec;

fn needed() -> Needed {
    chromium::find()?;
    module::can_be_built().map_err(|lack| format!("{lack:#}"))
}

pub fn trials(is_list: bool) -> Vec<Trial> {
    let needed = if is_list { Ok(()) } else { needed() };
    let all: [(&str, Test); 5] = [
        ("page::shows_all_loads_nothing_and_has_no_error", shows),
        ("page::what_is_moved_is_counted_as_natively", counts),
        ("page::what_cannot_be_run_is_said_as_on_the_command_line", refuses),
        ("page::can_be_read_without_javascript", is_read_without_scripts),
        ("page::fits_every_width_in_light_and_dark", fits),
    ];
    all.into_iter().map(|(name, test)| trial_that_needs(&needed, name, test)).collect()
}

/// The folder that the page and its pictures are kept in, for people.
fn folder() -> Result<PathBuf> {
    let folder = Tree::own().target_of("page");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The page, made once.
fn page() -> Result<PathBuf> {
    static PAGE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let make = || -> Result<PathBuf> {
        let page = folder()?.join("report.html");
        let output = gupsync().args(["report", "--out"]).arg(&page).output()?;
        ensure!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
        Ok(page)
    };
    PAGE.get_or_init(|| make().map_err(|error| format!("{error:#}"))).clone().map_err(anyhow::Error::msg)
}

fn opened() -> Result<Chromium> {
    let page = page()?;
    let mut browser = Chromium::start()?;
    browser.open(&page)?;
    Ok(browser)
}

/// What the browser has complained of, and what it has loaded from elsewhere.
fn complaints(browser: &Chromium) -> Vec<&Value> {
    let is_one = |said: &&Value| match said["method"].as_str() {
        Some("Runtime.exceptionThrown") => true,
        Some("Runtime.consoleAPICalled") => {
            ["error", "warning", "assert"].iter().any(|kind| said["params"]["type"] == *kind)
        }
        Some("Log.entryAdded") => {
            ["error", "warning"].iter().any(|level| said["params"]["entry"]["level"] == *level)
        }
        Some("Network.requestWillBeSent") => {
            let url = said["params"]["request"]["url"].as_str().unwrap_or_default();
            !url.starts_with("file:") && !url.starts_with("blob:")
        }
        _ => false,
    };
    browser.heard.iter().filter(is_one).collect()
}

fn fine(browser: &Chromium) -> Result<()> {
    let complaints = complaints(browser);
    ensure!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}

fn shows() -> Result<()> {
    let mut browser = opened()?;
    let parts = browser.evaluate(
        "[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.hash)?.offsetHeight > 0)",
    )?;
    ensure!(parts == true, "a part is not shown");
    ensure!(
        browser.evaluate("document.getElementById('tried').offsetHeight > 0")? == true,
        "nothing can be moved"
    );
    let rows = browser.evaluate(ROWS)?;
    ensure!(rows == json!(expected(&spec("invlpgb=on ops=200"), 8)?), "{rows}");
    fine(&browser)?;
    // What would be an error is heard.
    browser.evaluate("console.error('a test'); fetch('http://127.0.0.1:9/').catch(() => 0)")?;
    ensure!(complaints(&browser).len() >= 2, "{:#?}", browser.heard);
    Ok(())
}

/// The cells of the table that are counts, and the status.
const ROWS: &str = "[...document.querySelectorAll('#tried-table tbody tr')].map(tr => [0, 1, 3, 4, 6].map(at => tr.cells[at].textContent))";
/// Waits until nothing is counted any more, and gives what is said then.
const SAID: &str = "new Promise(done => { const look = () => { \
    const said = document.querySelector('#tried [role=status]'); \
    const is_over = said.className === 'bad' || said.textContent === 'counted in this page'; \
    is_over ? done(said.textContent) : setTimeout(look, 20); }; setTimeout(look, 200); })";

/// The same of the native simulator.
fn expected(spec: &Spec, cpus: usize) -> Result<Vec<[String; 5]>> {
    let cells = |row: &Row| {
        let c = &row.counts;
        [
            row.policy.to_string(),
            number(c.sync_ipis),
            number(c.flush_ipis),
            number(c.syncs_skipped),
            row.status.to_string(),
        ]
    };
    Ok(native(spec, cpus)?.iter().map(cells).collect())
}

/// Moves everything that `words` names to where it says, as a reader would see it, and the machine to so many CPUs.
fn moved(cpus: usize, words: &str) -> String {
    let mut script = String::from("{ const form = document.getElementById('tried'); form.reset(); ");
    for (key, value) in
        words.split(' ').chain([format!("cpus={cpus}").as_str()]).filter_map(|word| word.split_once('='))
    {
        let set = match key {
            "policy" => format!(
                "for (const box of form.elements.policy) box.checked = '{value}'.split(',').includes(box.value);"
            ),
            "invlpgb" => format!("form.elements.invlpgb.checked = '{value}' === 'on';"),
            "workload" => format!("form.elements.workload.value = '{value}';"),
            _ => format!(
                "{{ const line = form.elements.{key}; const at = line.dataset.values.split(' ').indexOf('{value}'); \
                 if (at < 0) throw new Error('{key}={value}'); line.value = at; }}"
            ),
        };
        script += &set;
    }
    // After the reset has been heard of.
    script + " setTimeout(() => form.dispatchEvent(new Event('input')), 20); }"
}

fn counts() -> Result<()> {
    let mut browser = opened()?;
    for (cpus, words) in [
        (64, "mm_cpus=3 invlpgb=on policy=broadcast,mask,pending ops=100"),
        (1024, "mm_cpus=8 invlpgb=off policy=broadcast,gather,pending+targeted ops=20"),
        (16, "mm_cpus=12 invlpgb=on threshold=16 order=4 policy=broadcast,targeted,pending ops=10"),
        (8, "workload=unshare invlpgb=on policy=gather-posted,gather,pending ops=50"),
        (8, "invlpgb=on policy=never ops=50"),
        (12, "workload=unmap invlpgb=off policy=broadcast,pending ops=200"),
    ] {
        browser.evaluate(&moved(cpus, words))?;
        ensure!(browser.evaluate(SAID)? == "counted in this page", "{words}");
        let rows = browser.evaluate(ROWS)?;
        let expected = json!(expected(&spec(words), cpus)?);
        ensure!(rows == expected, "{words}: {rows}, natively {expected}");
    }
    // By the keyboard: one CPU size further, and on to the next control.
    browser.evaluate(&moved(8, "invlpgb=on policy=broadcast ops=20"))?;
    browser.evaluate(SAID)?;
    browser.evaluate("document.querySelector('#tried [name=cpus]').focus()")?;
    browser.press("ArrowRight", 39)?;
    browser.evaluate(SAID)?;
    let rows = browser.evaluate(ROWS)?;
    ensure!(rows == json!(expected(&spec("invlpgb=on policy=broadcast ops=20"), 12)?), "{rows}");
    browser.press("Tab", 9)?;
    ensure!(browser.evaluate("document.activeElement.name")? == "mm_cpus", "Tab leads elsewhere");
    fine(&browser)
}

fn refuses() -> Result<()> {
    let mut browser = opened()?;
    browser.evaluate(&moved(4, "mm_cpus=8 invlpgb=on"))?;
    let line = browser.evaluate(SAID)?;
    let line = line.as_str().context("a text")?;
    let output = gupsync().args(["compare", "--accel", "sim", "--cpus", "4", "--mm-cpus", "8"]).output()?;
    ensure!(said(&output) == format!("error: {line}"), "{line}, and on the command line {}", said(&output));
    browser.evaluate(&moved(8, "policy=none"))?;
    let line = browser.evaluate(SAID)?;
    ensure!(line == "--policy: name at least one", "{line}");
    fine(&browser)
}

fn is_read_without_scripts() -> Result<()> {
    let page = page()?;
    let mut browser = Chromium::start()?;
    browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }))?;
    browser.open(&page)?;
    let rows = browser.evaluate(ROWS)?;
    ensure!(rows == json!(expected(&spec("invlpgb=on ops=200"), 8)?), "{rows}");
    ensure!(
        browser.evaluate("document.getElementById('tried').offsetHeight")? == 0,
        "what does nothing is shown"
    );
    ensure!(browser.evaluate("document.getElementById('tried-without').offsetHeight > 0")? == true);
    Ok(())
}

/// How much wider than the window the page is, and how bright it is behind the text.
const LOOK: &str = "({ over: document.scrollingElement.scrollWidth - innerWidth, \
    paper: Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]), \
    height: document.scrollingElement.scrollHeight })";

fn fits() -> Result<()> {
    let mut browser = opened()?;
    for width in [360, 800, 1400] {
        for scheme in ["light", "dark"] {
            let size = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
            browser.call("Emulation.setDeviceMetricsOverride", size)?;
            let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            browser.call("Emulation.setEmulatedMedia", features)?;
            let look = browser.evaluate(LOOK)?;
            ensure!(look["over"].as_i64() <= Some(0), "{width} {scheme}: {look}");
            let is_dark = look["paper"].as_u64().context("a colour")? < 128;
            ensure!(is_dark == (scheme == "dark"), "{width} {scheme}: {look}");
            let clip = json!({ "x": 0, "y": 0, "width": width, "height": look["height"], "scale": 1 });
            let picture = json!({ "captureBeyondViewport": true, "clip": clip });
            let picture = browser.call("Page.captureScreenshot", picture)?;
            let picture = BASE64_STANDARD.decode(picture["data"].as_str().context("a picture")?)?;
            fs::write(folder()?.join(format!("report-{width}-{scheme}.png")), picture)?;
        }
    }
    fine(&browser)
}
