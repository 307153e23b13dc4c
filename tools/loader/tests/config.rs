//! The configuration format: what is read, and what is refused with which line.

use gupsync_loader::config::{Config, Error};

const KERNEL: &str = "protocol: limine\nkernel_path: boot():/boot/gupsync\n";

fn parse(text: &str) -> Result<Config, Error> {
    Config::parse(text.as_bytes())
}

fn titles(config: &Config) -> Vec<&str> {
    config.entries.iter().map(|e| e.title.as_str()).collect()
}

/// The error of the only entry's target.
fn target_error(options: &str) -> Error {
    let config = parse(&format!("/a\n{options}")).unwrap();
    config.entries[0].target().unwrap_err()
}

#[test]
fn a_complete_entry_is_read() {
    let text = "# comment\n\ntimeout: 0\nverbose: yes\n/gupsync\n    protocol: limine\n    \
                kernel_path: boot():/boot/gupsync\n\tcmdline: a=b  c: d # e\n";
    let config = parse(text).unwrap();
    assert_eq!(config.timeout, Some(0));
    assert_eq!(config.default_entry, 0);
    assert_eq!(titles(&config), ["gupsync"]);
    let target = config.entries[0].target().unwrap();
    assert_eq!(target.uri, "boot():/boot/gupsync");
    assert_eq!(target.path, "/boot/gupsync");
    assert_eq!(target.cmdline, "a=b  c: d # e");
}

#[test]
fn carriage_returns_case_and_a_missing_last_newline_do_not_matter() {
    let text = "TimeOut: no\r\n/a\r\n  PROTOCOL: limine\r\n  Path: boot():/k\r\n  KERNEL_CMDLINE:x";
    let config = parse(text).unwrap();
    assert_eq!(config.timeout, None);
    let target = config.entries[0].target().unwrap();
    assert_eq!((target.path, target.cmdline), ("/k", "x"));
}

#[test]
fn timeout_and_default_entry_have_limines_defaults_and_may_stand_anywhere() {
    let config = parse(&format!("/a\n{KERNEL}/b\n{KERNEL}")).unwrap();
    assert_eq!((config.timeout, config.default_entry), (Some(5), 0));
    let config = parse(&format!("/a\n{KERNEL}default_entry: 2\ntimeout: 7\n/b\n{KERNEL}")).unwrap();
    assert_eq!((config.timeout, config.default_entry), (Some(7), 1));
}

#[test]
fn the_command_line_is_optional_and_the_first_value_of_an_option_counts() {
    let config = parse(&format!("/a\n{KERNEL}/b\n{KERNEL}cmdline: one\ncmdline: two\n")).unwrap();
    assert_eq!(config.entries[0].target().unwrap().cmdline, "");
    assert_eq!(config.entries[1].target().unwrap().cmdline, "one");
}

#[test]
fn directories_are_flattened_to_their_leaves() {
    let text = "/+Figures\ncomment: c\n//One\n//More\n///Two\n///Three\n/ Tests\n/+Alone\n";
    let config = parse(text).unwrap();
    assert_eq!(titles(&config), ["One", "Two", "Three", "Tests", "Alone"]);
}

#[test]
fn options_of_a_directory_do_not_reach_its_leaves() {
    let config = parse(&format!("/d\n{KERNEL}//leaf\n")).unwrap();
    let missing = Error::Missing("leaf".into(), "protocol");
    assert_eq!(config.entries[0].target(), Err(missing));
}

#[test]
fn meaningless_lines_are_refused_with_their_number() {
    let line = |number, text: &str| Err(Error::Line(number, text.into()));
    assert_eq!(parse("# c\n\nPROTOCOL=limine\n"), line(3, "PROTOCOL=limine"));
    assert_eq!(parse("/a\n  timeout 5\n"), line(2, "timeout 5"));
    assert_eq!(parse("/a\n${X}=y\n"), Err(Error::Macro(2)));
    assert_eq!(parse("/a\ncmdline: ${ARCH}\n"), Err(Error::Macro(2)));
    assert_eq!(parse("//a\n"), Err(Error::Orphan(1)));
    assert_eq!(parse("/a\n//b\n////c\n"), Err(Error::Orphan(3)));
    assert_eq!(Config::parse(b"/a\xff\n"), Err(Error::NotText));
    assert_eq!(Config::parse(b"/a\0\n"), Err(Error::NotText));
}

#[test]
fn numbers_out_of_range_are_refused() {
    for value in ["", "-1", "soon", "5 s", "4294967296"] {
        let error = Error::Value(1, "timeout", value.into());
        assert_eq!(parse(&format!("timeout: {value}\n/a\n")), Err(error));
    }
    let error = Error::Value(1, "default_entry", "0".into());
    assert_eq!(parse("default_entry: 0\n/a\n"), Err(error));
    let text = "default_entry: 3\n/a\n/b\n";
    assert_eq!(parse(text), Err(Error::DefaultEntry(3, 2)));
}

#[test]
fn a_configuration_without_entries_is_refused() {
    assert_eq!(parse(""), Err(Error::NoEntries));
    assert_eq!(parse(KERNEL), Err(Error::NoEntries));
}

#[test]
fn an_entry_that_cannot_be_booted_is_refused_when_chosen() {
    let missing = |option| Error::Missing("a".into(), option);
    assert_eq!(target_error(""), missing("protocol"));
    assert_eq!(target_error("protocol: limine"), missing("kernel_path"));
    let protocol = Error::Protocol("a".into(), "linux".into());
    assert_eq!(target_error("protocol: linux"), protocol);
}

#[test]
fn only_plain_paths_on_the_boot_volume_are_accepted() {
    let paths = ["", "/k", "boot():", "boot():k", "boot():/", "boot(1):/k", "hdd(1:1):/k", "boot():/k#00"];
    for path in paths {
        let error = Error::Path("a".into(), path.into());
        assert_eq!(target_error(&format!("protocol: limine\nkernel_path: {path}")), error);
    }
}

#[test]
fn an_error_is_one_line_that_names_line_and_remedy() {
    let text = parse("a\n").unwrap_err().to_string();
    assert_eq!(text, "line 1: `a` is no option; write `name: value`, `/Title` or `# comment`");
    let text = parse("timeout: x\n/a").unwrap_err().to_string();
    assert_eq!(text, "line 1: `timeout: x` is out of range; give a number of seconds, or `no`");
}
