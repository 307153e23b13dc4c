//! `limine.conf`, as Limine 8.x reads it.
//!
//! A configuration is accepted whole or refused with the line number and the remedy: a line that
//! is neither comment, entry nor option is never skipped. What the loader would have to act on but
//! cannot (macros, file hashes, volumes other than `boot()`) is refused too, so a configuration
//! that boots here means the same to Limine. Entry options are checked when the entry is chosen,
//! so that an entry for another protocol does not spoil the rest.
//!
//! Directories only group entries in Limine's menu. Here their leaves form one flat list, and
//! `default_entry` counts those leaves.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// Where the configuration is looked for, the first found counts: Limine's order.
pub const LOCATIONS: [&str; 5] = [
    "/limine.conf",
    "/limine/limine.conf",
    "/boot/limine.conf",
    "/boot/limine/limine.conf",
    "/EFI/BOOT/limine.conf",
];

/// Seconds before the default entry is booted, if the file does not say.
const DEFAULT_TIMEOUT: u32 = 5;

/// A parsed configuration; it has at least one entry.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    /// Seconds before the default entry is booted; `None` waits for ever.
    pub timeout: Option<u32>,
    /// Index into `entries`.
    pub default_entry: usize,
    /// The bootable entries, in file order.
    pub entries: Vec<Entry>,
}

/// One bootable entry, its options not yet checked.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// What the menu shows.
    pub title: String,
    protocol: Option<String>,
    path: Option<String>,
    cmdline: Option<String>,
}

/// What an entry asks to be booted.
#[derive(Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The kernel's path as the configuration has it, `boot():/...`.
    pub uri: &'a str,
    /// The kernel's path on the volume, with its leading slash.
    pub path: &'a str,
    /// The kernel's command line, empty if none is given.
    pub cmdline: &'a str,
}

/// Why a configuration, or the chosen entry, cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// The file is not UTF-8 text.
    NotText,
    /// A line has no meaning.
    Line(usize, String),
    /// A line uses a macro.
    Macro(usize),
    /// A sub-entry skips a level of the tree.
    Orphan(usize),
    /// The value of a numeric option is out of range.
    Value(usize, &'static str, String),
    /// No entry can be booted.
    NoEntries,
    /// `default_entry` exceeds the number of entries.
    DefaultEntry(usize, usize),
    /// The entry lacks an option.
    Missing(String, &'static str),
    /// The entry wants another boot protocol.
    Protocol(String, String),
    /// The entry's kernel path is not `boot():/...`.
    Path(String, String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotText => write!(f, "not UTF-8 text; save it as UTF-8 without NUL bytes"),
            Self::Line(line, text) => {
                write!(f, "line {line}: `{text}` is no option; write `name: value`, `/Title` or `# comment`")
            }
            Self::Macro(line) => {
                write!(f, "line {line}: macros are not supported; write the text in place of `${{...}}`")
            }
            Self::Orphan(line) => {
                write!(f, "line {line}: sub-entry without a parent; put an entry with one `/` fewer before it")
            }
            Self::Value(line, name, value) => {
                write!(
                    f,
                    "line {line}: `{name}: {value}` is out of range; {}",
                    match *name {
                        "timeout" => "give a number of seconds, or `no`",
                        _ => "give the number of an entry, from 1",
                    }
                )
            }
            Self::NoEntries => write!(f, "no entry; add `/Title` and its options"),
            Self::DefaultEntry(wanted, count) => {
                write!(f, "default_entry is {wanted} but the highest entry is {count}; lower it")
            }
            Self::Missing(title, option) => {
                write!(f, "entry `{title}` lacks `{option}:`; add it")
            }
            Self::Protocol(title, protocol) => {
                write!(f, "entry `{title}` wants protocol `{protocol}`; only `limine` is supported")
            }
            Self::Path(title, path) => {
                write!(f, "entry `{title}` has path `{path}`; write it as `boot():/file`, without a hash")
            }
        }
    }
}

impl Config {
    /// Parses the bytes of a configuration file.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let file = core::str::from_utf8(bytes).map_err(|_| Error::NotText)?;
        if file.contains('\0') {
            return Err(Error::NotText);
        }
        let mut timeout = Some(DEFAULT_TIMEOUT);
        let mut default_entry = 1;
        let mut tree: Vec<(usize, Entry)> = Vec::new();
        for (text, line) in file.lines().map(str::trim).zip(1..) {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            if text.contains("${") {
                return Err(Error::Macro(line));
            }
            if text.starts_with('/') {
                let title = text.trim_start_matches('/');
                let depth = text.len() - title.len();
                if depth > tree.last().map_or(0, |(depth, _)| *depth) + 1 {
                    return Err(Error::Orphan(line));
                }
                let title = title.strip_prefix('+').unwrap_or(title).trim_start();
                tree.push((depth, Entry { title: title.to_string(), ..Entry::default() }));
                continue;
            }
            let Some((name, value)) = text.split_once(':') else {
                return Err(Error::Line(line, text.to_string()));
            };
            let (name, value) = (name.trim_end().to_ascii_lowercase(), value.trim_start());
            match name.as_str() {
                "timeout" if value == "no" => timeout = None,
                "timeout" => timeout = Some(number(line, "timeout", value, 0)?),
                "default_entry" => default_entry = number(line, "default_entry", value, 1)?,
                _ => {
                    if let Some((_, entry)) = tree.last_mut() {
                        entry.set(&name, value);
                    }
                }
            }
        }
        let entries = leaves(tree);
        let default_entry = default_entry as usize;
        if entries.is_empty() {
            return Err(Error::NoEntries);
        }
        if default_entry > entries.len() {
            return Err(Error::DefaultEntry(default_entry, entries.len()));
        }
        Ok(Self { timeout, default_entry: default_entry - 1, entries })
    }
}

impl Entry {
    /// Keeps the first value of an option, as Limine does.
    fn set(&mut self, name: &str, value: &str) {
        let slot = match name {
            "protocol" => &mut self.protocol,
            "kernel_path" | "path" => &mut self.path,
            "cmdline" | "kernel_cmdline" => &mut self.cmdline,
            _ => return,
        };
        slot.get_or_insert_with(|| value.to_string());
    }

    /// Checks the options and says what to boot.
    pub fn target(&self) -> Result<Target<'_>, Error> {
        let missing = |option| Error::Missing(self.title.clone(), option);
        let protocol = self.protocol.as_deref().ok_or_else(|| missing("protocol"))?;
        if protocol != "limine" {
            return Err(Error::Protocol(self.title.clone(), protocol.to_string()));
        }
        let uri = self.path.as_deref().ok_or_else(|| missing("kernel_path"))?;
        let path = uri
            .strip_prefix("boot():")
            .filter(|path| path.starts_with('/') && path.len() > 1 && !path.contains('#'))
            .ok_or_else(|| Error::Path(self.title.clone(), uri.to_string()))?;
        Ok(Target { uri, path, cmdline: self.cmdline.as_deref().unwrap_or_default() })
    }
}

/// A number of at least `least`.
fn number(line: usize, name: &'static str, value: &str, least: u32) -> Result<u32, Error> {
    let parsed = value.parse().ok().filter(|parsed| *parsed >= least);
    parsed.ok_or_else(|| Error::Value(line, name, value.to_string()))
}

/// The entries that no deeper entry follows: the others are directories.
fn leaves(tree: Vec<(usize, Entry)>) -> Vec<Entry> {
    let depths: Vec<usize> = tree.iter().map(|(depth, _)| *depth).skip(1).chain([0]).collect();
    tree.into_iter().zip(depths).filter_map(|((depth, entry), next)| (next <= depth).then_some(entry)).collect()
}
