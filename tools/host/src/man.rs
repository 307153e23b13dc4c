//! `man`: the manual page of a command, from what its help is made of.

use anyhow::Result;
use clap::CommandFactory;
use clap_mangen::Man;

use crate::args::Cli;
use crate::completions::NAME;
use crate::ending::Usage;
use crate::say;

/// Prints the page of the command that `words` name, or that of all.
///
/// # Errors
///
/// [`Usage`] if there is no such command.
pub fn print(words: &[String]) -> Result<()> {
    say::out(page(words)?.trim_end());
    Ok(())
}

fn page(words: &[String]) -> Result<String> {
    let mut all = Cli::command().name(NAME);
    all.build();
    let mut command = &all;
    for word in words {
        let names = || command.get_subcommands().map(clap::Command::get_name).collect::<Vec<_>>().join(", ");
        let none = || match names().as_str() {
            "" => Usage(format!("{word}: this has no commands of its own; leave it out")),
            names => Usage(format!("{word}: there is no such command; use one of {names}")),
        };
        command = command.find_subcommand(word).ok_or_else(none)?;
    }
    let mut text = Vec::new();
    Man::new(command.clone()).render(&mut text)?;
    Ok(String::from_utf8(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each command, by the words that name it, with its flags.
    fn commands(command: &clap::Command, words: &[String]) -> Vec<(Vec<String>, Vec<String>)> {
        let flags = command.get_arguments().filter(|arg| !arg.is_hide_set());
        let flags = flags.filter_map(|arg| Some(arg.get_long()?.to_owned())).collect();
        let inner = command
            .get_subcommands()
            .flat_map(|inner| commands(inner, &[words, &[inner.get_name().to_owned()]].concat()));
        [(words.to_vec(), flags)].into_iter().chain(inner).collect()
    }

    #[test]
    fn every_command_has_a_page_with_all_its_flags_and_the_statuses() {
        let commands = commands(&Cli::command(), &[]);
        assert!(commands.len() > 12 && commands.iter().any(|(words, _)| words.join(" ") == "linux check"));
        for (words, flags) in commands {
            let page = page(&words).expect("a command");
            let name = [&[NAME.to_owned()], &words[..]].concat().join("\\-");
            assert!(page.contains(&format!(".TH {}", name.replace("\\-", "-"))), "{page}");
            for flag in flags {
                let flag = format!("\\-\\-{}", flag.replace('-', "\\-"));
                assert!(page.contains(&flag), "{words:?}: {flag}");
            }
        }
    }

    #[test]
    fn a_page_of_no_command_is_refused_with_those_that_there_are() {
        let refused = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            page(&words).expect_err("there is none").to_string()
        };
        assert!(
            refused(&["linux", "counts"])
                .starts_with("counts: there is no such command; use one of count, check")
        );
        assert_eq!(refused(&["diff", "all"]), "all: this has no commands of its own; leave it out");
    }
}
