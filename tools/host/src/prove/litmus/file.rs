//! A litmus test as it lies in `tests/litmus`: its head, its code, and its twins.
//!
//! The file is a test in Linux's C, as herd7 and klitmus7 read it. It says what it is about, and lists its twins, each of
//! which is the same test with one mistake: a line dropped, replaced or moved (or two, if it takes as much). A line is named
//! by the comment at its end; lines of one name go together.
//!
//! ```text
//! (*
//!  * What it is about: as much as it takes.
//!  *
//!  * src:   src/switch_mm.rs switch_mm, leave; src/pending_gup_sync.rs unlink
//!  * Linux: switch_mm_irqs_off
//!  * holds under all
//!  *)
//!
//! {
//!     pmd=1;
//! }
//!
//! /*
//!  * twin f3-gone: F3 dropped; fails under all
//!  * twin f3-weak: F3 is `smp_rmb();`; fails under x86 LKMM
//!  * twin f1-late: F1 after ticket; fails under none: why it makes no difference
//!  */
//! ```

use anyhow::{Context, Result, bail, ensure};

use super::code::{self, Program};
use super::model::Model;

/// A file.
#[derive(Clone, Debug)]
pub struct File {
    pub name: String,
    /// What it stands for: files of `src/` and functions in them.
    pub places: Vec<(String, String)>,
    /// The test itself, then its twins.
    pub variants: Vec<Variant>,
}

/// A test, or a twin of it.
#[derive(Clone, Debug)]
pub struct Variant {
    /// `test`, or `test/twin`.
    pub name: String,
    /// The models under which what must not come out does, or under which there is a data race.
    pub fails_under: Vec<Model>,
    /// Whether it is a twin that is to fail somewhere.
    pub is_negative: bool,
    /// As Linux's memory model reads it.
    pub text: String,
    pub program: Program,
}

/// What a twin does to the lines of one name.
enum Edit<'t> {
    Drop,
    Replace(&'t str),
    Move { behind: bool, other: &'t str },
}

impl File {
    /// Reads the file called `name`.
    ///
    /// # Errors
    ///
    /// What it lacks.
    pub fn read(name: &str, text: &str) -> Result<Self> {
        Self::parse(name, text).with_context(|| format!("tests/litmus/{name}.litmus"))
    }

    fn parse(name: &str, text: &str) -> Result<Self> {
        ensure!(text.starts_with(&format!("C {name}\n")), "does not begin with `C {name}`");
        let (head, code) = text.split_once("*)").context("has no head")?;
        let lines: Vec<_> = text.lines().map(|line| line.trim_start_matches([' ', '*'])).collect();
        let field = |key: &str| lines.iter().find_map(|line| line.strip_prefix(key));
        let places = field("src:").context("says not what of src/ it stands for: `src:`")?;
        let places = places.split(';').map(|place| {
            let (file, functions) =
                place.trim().split_once(' ').context("`src:` is not `FILE FUNCTION, ...; ...`")?;
            Ok(functions.split(", ").map(|function| (file.to_owned(), function.to_owned())))
        });
        let places = places.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        ensure!(
            field("Linux:").is_some_and(|functions| !functions.trim().is_empty()),
            "says not what of Linux it stands for: `Linux:`"
        );
        let held = models(field("holds under").context("says not where it holds: `holds under`")?)?;
        let fails_under = Model::ALL.into_iter().filter(|model| !held.contains(model)).collect();
        let mut variants = vec![variant(name, fails_under, false, head, code)?];
        for line in lines.iter().filter_map(|line| line.strip_prefix("twin ")) {
            variants.push(twin(name, line, head, code).with_context(|| format!("twin {line}"))?);
        }
        Ok(File { name: name.to_owned(), places, variants })
    }
}

fn variant(name: &str, fails_under: Vec<Model>, is_negative: bool, head: &str, code: &str) -> Result<Variant> {
    let head = head.split_once('\n').map_or("", |(_, rest)| rest);
    let text = format!("C {}\n{head}*){code}", name.replace('/', "+"));
    Ok(Variant { name: name.to_owned(), fails_under, is_negative, text, program: code::parse(code)? })
}

fn twin(name: &str, line: &str, head: &str, code: &str) -> Result<Variant> {
    const FAILS: &str = "; fails under ";
    let (twin, rest) = line.split_once(": ").context("is not `NAME: EDIT; fails under ...`")?;
    let (edit, fails_under) = rest.split_once(FAILS).context("says not where it fails: `; fails under`")?;
    let fails_under = match fails_under.split_once(": ") {
        Some(("none", why)) if !why.is_empty() => Vec::new(),
        _ => models(fails_under)?,
    };
    let mut code = code.to_owned();
    for edit in edit.split(" and ") {
        code = edited(&code, edit)?;
    }
    let is_negative = !fails_under.is_empty();
    variant(&format!("{name}/{twin}"), fails_under, is_negative, head, &code)
}

/// The models in a list: `all`, or names.
fn models(text: &str) -> Result<Vec<Model>> {
    if text.trim() == "all" {
        return Ok(Model::ALL.to_vec());
    }
    text.split_whitespace().map(Model::named).collect()
}

/// The name of a line: the comment at its end.
fn label(line: &str) -> Option<&str> {
    line.split_once("// ").map(|(_, label)| label.trim())
}

/// `LINE dropped`, `LINE is` other code, or `LINE after` or `before` another line.
fn edited(code: &str, edit: &str) -> Result<String> {
    let (name, edit) = if let Some(name) = edit.strip_suffix(" dropped") {
        (name, Edit::Drop)
    } else if let Some((name, text)) = edit.split_once(" is `") {
        (name, Edit::Replace(text.trim_end_matches('`')))
    } else if let Some((name, other)) = edit.split_once(" after ") {
        (name, Edit::Move { behind: true, other })
    } else if let Some((name, other)) = edit.split_once(" before ") {
        (name, Edit::Move { behind: false, other })
    } else {
        bail!("`{edit}` is not `LINE dropped`, `LINE is` code, `LINE after` or `before` another")
    };
    let is_meant = |line: &&str| label(line) == Some(name);
    let (meant, others): (Vec<_>, Vec<_>) = code.lines().partition(is_meant);
    ensure!(!meant.is_empty(), "no line is called `{name}`");
    let joined = |lines: Vec<&str>| lines.join("\n") + "\n";
    match edit {
        Edit::Drop => Ok(joined(others)),
        Edit::Replace(text) => {
            ensure!(meant.len() == 1, "more lines than one are called `{name}`");
            let indent = meant[0].len() - meant[0].trim_start().len();
            let new = format!("{}{text} // {name}", &meant[0][..indent]);
            let old = meant[0];
            Ok(joined(code.lines().map(|line| if line == old { new.as_str() } else { line }).collect()))
        }
        Edit::Move { behind, other } => {
            let is_other = |line: &&str| label(line) == Some(other);
            let at = if behind { others.iter().rposition(is_other) } else { others.iter().position(is_other) };
            let at = at.with_context(|| format!("no line is called `{other}`"))? + usize::from(behind);
            Ok(joined([&others[..at], &meant, &others[at..]].concat()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_with(twins: &str) -> String {
        format!(
            "\
C a

(*
 * Something.
 *
 * src:   src/a.rs one; src/b.rs two
 * Linux: three
 * holds under all
 *)

{{}}

/*
{twins} */

P0(int *x, int *y)
{{
	int r0;

	WRITE_ONCE(*x, 1); // first
	smp_mb(); // F1
	r0 = READ_ONCE(*y); // look
}}

exists (0:r0=1)
"
        )
    }

    /// The statements of each variant, without their indent and names.
    fn bodies(twins: &str) -> Vec<(String, Vec<Model>, String)> {
        let file = File::read("a", &text_with(twins)).unwrap_or_else(|error| panic!("{error:#}"));
        let statements = |text: &str| {
            let body = text.rsplit_once("int r0;").map_or("", |(_, body)| body);
            let lines = body.lines().filter_map(|line| line.strip_prefix('\t'));
            lines.map(|line| line.split(" //").next().unwrap_or_default()).collect::<Vec<_>>().join(" ")
        };
        let variants = file.variants.into_iter();
        variants.map(|one| (one.name, one.fails_under, statements(&one.text))).collect()
    }

    #[test]
    fn a_twin_differs_from_its_test_by_its_mistake() {
        let twins = "\
 * twin gone: F1 dropped; fails under all
 * twin weak: F1 is `smp_rmb();`; fails under x86 RISC-V
 * twin late: F1 after look; fails under none: as a test
 * twin early: look before first and F1 dropped; fails under LKMM
";
        let all = Model::ALL.to_vec();
        let (first, look) = ("WRITE_ONCE(*x, 1);", "r0 = READ_ONCE(*y);");
        assert_eq!(
            bodies(twins),
            [
                ("a", vec![], format!("{first} smp_mb(); {look}")),
                ("a/gone", all, format!("{first} {look}")),
                ("a/weak", vec![Model::X86, Model::RiscV], format!("{first} smp_rmb(); {look}")),
                ("a/late", vec![], format!("{first} {look} smp_mb();")),
                ("a/early", vec![Model::Lkmm], format!("{look} {first}")),
            ]
            .map(|(name, models, text)| (name.to_owned(), models, text))
        );
        let file = File::read("a", &text_with(twins)).expect("it is right");
        let negative: Vec<_> = file.variants.iter().map(|variant| variant.is_negative).collect();
        assert_eq!(negative, [false, true, true, false, true]);
        assert!(file.variants[1].text.starts_with("C a+gone\n"), "{}", file.variants[1].text);
    }

    #[test]
    fn what_is_wrong_with_a_test_is_said() {
        let said = |text: &str| format!("{:#}", File::read("a", text).expect_err("it is wrong"));
        let twin = |twin: &str| said(&text_with(&format!(" * twin {twin}\n")));
        let head = |from: &str, to: &str| said(&text_with("").replace(from, to));
        let of = |text: &str, wanted: &str| assert!(text.ends_with(wanted), "{text}");
        of(&head("C a", "C b"), "tests/litmus/a.litmus: does not begin with `C a`");
        of(&head("src:   src/a.rs one; src/b.rs two", "-"), "says not what of src/ it stands for: `src:`");
        of(&head("Linux: three", "-"), "says not what of Linux it stands for: `Linux:`");
        of(&head("holds under all", "holds under ARM"), "`ARM` is no memory model");
        of(&head("smp_mb();", "smp_nothing();"), "`smp_nothing` is no primitive that is known here");
        of(&twin("gone: F1 dropped"), "says not where it fails: `; fails under`");
        of(&twin("gone: F2 dropped; fails under all"), "no line is called `F2`");
        of(&twin("gone: F1 after F2; fails under all"), "no line is called `F2`");
        of(&twin("gone: F1 dropped; fails under none: "), "`none:` is no memory model");
        of(
            &twin("gone: F1 is gone; fails under all"),
            "`F1 is gone` is not `LINE dropped`, `LINE is` code, `LINE after` or `before` another",
        );
    }
}
