//! The settings of an experiment as flags: one for each line of [`SETTINGS`], with its help, form and default.

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};
use gupsync_bench::Spec;
use gupsync_bench::spec::{Mark, SETTINGS, Setting, Toggle, Workload};

use super::bounds;
use super::named::{Named, in_list};
use crate::qemu::Accel;

/// Settings of which `compare` takes several values, in flags of its own.
const SEVERAL: [&str; 2] = ["workload", "invlpgb"];

/// The settings that were given, or have the same default everywhere. Each text can be read.
#[derive(Clone, Debug, Default)]
pub struct Settings(Vec<(&'static Setting, String)>);

fn flags() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| !SEVERAL.contains(&setting.key))
}

fn flag(setting: &'static Setting) -> Arg {
    let form = (setting.form)();
    let is_list = form.ends_with(",...");
    let names = (setting.names)();
    let mut flag = Arg::new(setting.key)
        .long(setting.key.replace('_', "-"))
        // Else the form is the list of names.
        .hide_possible_values(!is_list)
        .value_name(form)
        .value_parser(Named { names: names.clone(), read: move |text: &str| bounds::read(setting, text) })
        .hide(setting.is(Mark::Hidden));
    if is_list {
        flag = flag.add(in_list(names));
    }
    let doc = setting.doc.trim().trim_end_matches('.');
    let default = (setting.get)(&Spec::default());
    let usual: Vec<_> = setting.usual().map(|(place, value)| format!(", for {place} {value}")).collect();
    if usual.is_empty() {
        flag.help(doc).default_value(default)
    } else {
        flag.help(format!("{doc} [default: {default}{}]", usual.concat()))
    }
}

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        command.args(flags().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given =
            |setting: &'static Setting| Some((setting, matches.get_one::<String>(setting.key)?.clone()));
        Ok(Settings(flags().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Settings {
    /// Takes out the setting `key`: what it was given as, if it was.
    pub fn take(&mut self, key: &str) -> Option<String> {
        let place = self.0.iter().position(|(setting, _)| setting.key == key)?;
        Some(self.0.remove(place).1)
    }

    /// The spec of `workload` with these settings, on a machine that `accel` executes.
    pub fn spec(&self, workload: Workload, invlpgb: Toggle, accel: Accel) -> Spec {
        let mut spec = Spec { workload, invlpgb, ..Spec::default() };
        let usual = flags().flat_map(|setting| setting.usual().map(move |usual| (setting, usual)));
        let usual = usual.filter(|(_, (place, _))| is_in(place, workload, accel));
        let given = self.0.iter().map(|(setting, text)| (*setting, text.as_str()));
        for (setting, text) in usual.map(|(setting, (_, value))| (setting, value)).chain(given) {
            (setting.set)(&mut spec, text).expect("it has been read before");
        }
        spec
    }
}

/// Whether `place` names the workload, a group that it belongs to, or the accelerator.
fn is_in(place: &str, workload: Workload, accel: Accel) -> bool {
    place == accel.to_string() || Workload::named(place).is_ok_and(|named| named.contains(&workload))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(words: &str, workload: Workload, accel: Accel) -> Result<Spec, Error> {
        let command = Settings::augment_args(Command::new("compare").no_binary_name(true));
        let matches = command.try_get_matches_from(words.split_whitespace())?;
        Ok(Settings::from_arg_matches(&matches)?.spec(workload, Toggle::On, accel))
    }

    #[test]
    fn every_setting_has_a_flag_that_sets_it() {
        for setting in flags() {
            let form = (setting.form)();
            let value = match form.as_str() {
                "N" => "7",
                "p,p,..." => "pending",
                "op,op,..." => "unmap,protect",
                "off|every:N" => "every:7",
                choices => choices.rsplit('|').next().expect("there is always one"),
            };
            let words = format!("--{} {value}", setting.key.replace('_', "-"));
            let spec = spec(&words, Workload::Collapse, Accel::TcgSingle).expect("it can be read");
            assert_eq!((setting.get)(&spec), value, "{words}");
        }
    }

    #[test]
    fn what_is_not_given_is_usual_for_the_workload_and_the_accelerator() {
        let text = |words, workload, accel| spec(words, workload, accel).expect("it can be read");
        let default = Spec { invlpgb: Toggle::On, ..Spec::default() };
        assert_eq!(text("", Workload::Collapse, Accel::TcgSingle), default);
        assert_eq!(text("", Workload::Mixed, Accel::TcgSingle).threshold, 3);
        assert_eq!(text("--threshold 5", Workload::Mixed, Accel::TcgSingle).threshold, 5);
        for workload in Workload::PIGGYBACK {
            let spec = text("", *workload, Accel::TcgSingle);
            assert_eq!((spec.flush.to_string(), spec.preempted), ("hypercall".to_owned(), 1));
            assert_eq!(text("--preempted 0", *workload, Accel::TcgSingle).preempted, 0);
        }
        for accel in [Accel::TcgMulti, Accel::Kvm] {
            assert_eq!(text("", Workload::Collapse, accel).eager, Toggle::On);
            assert_eq!(text("--eager off", Workload::Collapse, accel).eager, Toggle::Off);
        }
    }

    #[test]
    fn every_usual_value_is_for_a_place_that_there_is() {
        for (setting, (place, value)) in
            SETTINGS.iter().flat_map(|setting| setting.usual().map(move |usual| (setting, usual)))
        {
            let is_accel =
                [Accel::TcgSingle, Accel::TcgMulti, Accel::Kvm].iter().any(|a| a.to_string() == place);
            assert!(is_accel || Workload::named(place).is_ok(), "{}: {place}", setting.key);
            assert_eq!((setting.set)(&mut Spec::default(), value), Ok(()), "{}", setting.key);
        }
    }

    #[test]
    fn a_value_that_cannot_be_read_is_refused_with_its_reason() {
        let error =
            spec("--trim every:0", Workload::Collapse, Accel::TcgSingle).expect_err("it has no meaning");
        assert!(error.to_string().contains("`every:0` is neither `off` nor"), "{error}");
    }
}
