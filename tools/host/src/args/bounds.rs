//! Numbers on the command line: each has a least and a most, and what is neither is refused with both.

use gupsync_bench::Spec;
use gupsync_bench::check::{self, Refusal};
use gupsync_bench::spec::Setting;

use crate::ending::Usage;

/// A number from `LEAST` to `MOST`.
///
/// # Errors
///
/// One line with the bounds.
pub fn number<const LEAST: u64, const MOST: u64>(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(number) if (LEAST..=MOST).contains(&number) => Ok(number),
        _ => Err(format!("use a number from {LEAST} to {MOST}")),
    }
}

/// The bounds of `setting`, beside what its reader says of a text that is no number that fits.
///
/// # Errors
///
/// One line with the remedy.
pub fn read(setting: &'static Setting, text: &str) -> Result<String, String> {
    (setting.set)(&mut Spec::default(), text).map_err(|error| match check::bounds(setting) {
        Some(bounds) if (setting.form)() == "N" => {
            format!("use a number from {} to {}", bounds.start(), bounds.end())
        }
        _ => error,
    })?;
    Ok(text.to_owned())
}

/// A refusal in the words of the command line: settings are flags there.
pub fn in_flags(refusal: &Refusal) -> Usage {
    Usage(refusal.in_flags())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_11_a_refusal_names_flags_on_the_host_and_keys_in_the_kernel() {
        for (words, keys, flags) in [
            ("asids=5000", "asids=5000: use 0 to 4080", "--asids 5000: use 0 to 4080"),
            (
                "preempted=4 flush=hypercall",
                "preempted=4: one CPU that runs the mm is not preempted; use mm_cpus=5 or more",
                "--preempted 4: one CPU that runs the mm is not preempted; use --mm-cpus 5 or more",
            ),
            (
                "lazy=5",
                "mm_cpus=4: mm_cpus=4 mutator=inside lazy=5 need 9 CPUs, there are 8; give the machine cpus=9, or lower it",
                "--mm-cpus 4: --mm-cpus 4 --mutator inside --lazy 5 need 9 CPUs, there are 8; give the machine --cpus 9, or lower it",
            ),
        ] {
            let spec: Spec = words.parse().expect("a spec");
            let refusal = spec.check(8).expect_err(words);
            assert_eq!((refusal.to_string().as_str(), in_flags(&refusal).0.as_str()), (keys, flags));
        }
    }

    #[test]
    fn item_11_a_number_is_refused_with_its_bounds() {
        assert_eq!(number::<1, 255>("255"), Ok(255));
        for text in ["0", "256", "-1", "18446744073709551616", "many", ""] {
            assert_eq!(number::<1, 255>(text), Err("use a number from 1 to 255".to_owned()), "{text}");
        }
    }
}
