//! The lines for people on the serial port: the last of them, and what among them is a bootloader's refusal.

use std::collections::VecDeque;

use anstream::adapter::strip_str;

/// So many lines are kept, and so much of each.
const LINES: usize = 3;
const LENGTH: usize = 160;

/// How bootloaders and firmware say that they will not boot. After it they wait, for a key or for ever.
const REFUSALS: [&str; 6] = [
    // Limine, and this project's loader where it has panicked.
    "PANIC",
    // This project's loader, before it returns to the firmware.
    "gupsync-loader: ",
    "gupsync-loader-direct: ",
    // OVMF.
    "BdsDxe: failed to ",
    "BdsDxe: No bootable option",
    // SeaBIOS.
    "No bootable device",
];

/// The last lines.
#[derive(Debug, Default)]
pub struct Console(VecDeque<String>);

impl Console {
    /// Adds a line.
    pub fn add(&mut self, line: &str) {
        let line = plain(line);
        if !line.is_empty() {
            self.0.push_back(line);
        }
        if self.0.len() > LINES {
            self.0.pop_front();
        }
    }

    /// The last lines, in one.
    pub fn last(&self) -> String {
        self.0.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
    }
}

/// The text of a line, without what only a terminal understands.
pub fn printable(line: &str) -> String {
    strip_str(line).to_string().chars().filter(|c| !c.is_control()).collect()
}

/// The same, no longer than what is kept of a line.
pub fn plain(line: &str) -> String {
    let text: String = printable(line).chars().take(LENGTH).collect();
    text.trim().to_owned()
}

/// What refuses to boot, if this line says so.
pub fn refusal(line: &str) -> Option<String> {
    let line = plain(line);
    REFUSALS.iter().any(|refusal| line.contains(refusal)).then_some(line)
}

/// The last lines of a text, in one.
pub fn last_lines(text: &str) -> String {
    let mut console = Console::default();
    text.lines().for_each(|line| console.add(line));
    console.last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_13_a_refusal_is_told_from_what_else_a_bootloader_says() {
        for line in [
            "\u{1b}[31mPANIC\u{1b}[37;1m\u{1b}[0m: limine: Failed to open kernel",
            "gupsync-loader: limine.conf: no entries",
            "gupsync-loader-direct: panicked at tools/loader/src/room.rs:1:1:",
            "[PANIC]: panicked at tools/loader/src/main.rs:1:1:",
            "\u{1b}[2J\u{1b}[01;01H\u{1b}[=3hBdsDxe: failed to start Boot0001 \"UEFI QEMU DVD-ROM\": Load Error",
        ] {
            assert!(refusal(line).is_some_and(|said| !said.contains('\u{1b}')), "{line:?}");
        }
        for line in ["gupsync-loader 0.1.0: booting gupsync", "BdsDxe: starting Boot0001", "Limine 8.2.0"] {
            assert_eq!(refusal(line), None);
        }
    }

    #[test]
    fn item_13_the_last_lines_are_kept_as_one() {
        let long = "x".repeat(1000);
        assert_eq!(last_lines("a\nb\n\n\u{1b}[0m\nc\r\nd\n"), "b | c | d");
        assert_eq!(last_lines(&long).len(), LENGTH);
    }
}
