//! The menu and messages on the firmware's text console, which firmware for servers and virtual
//! machines mirrors to the serial port.

use crate::machine::failure::{NAME, VERSION};
use alloc::format;
use alloc::string::String;
use core::fmt::Write;
use core::time::Duration;
use gupsync_loader::config::Config;
use gupsync_loader::menu::{Key, Menu};
use uefi::proto::console::text::{Key as Input, ScanCode};
use uefi::{boot, system};

const POLLS_PER_SECOND: u32 = 20;
const PAUSE_SECONDS: u32 = 10;

/// Leaves room in a line of 80 columns, so that the line never wraps.
const STATUS_WIDTH: usize = 76;

/// Prints `text`; what is no ASCII text, which not every console can show, as question marks.
pub fn print(text: &str) {
    let is_text = |c: &char| matches!(c, ' '..='~' | '\r' | '\n');
    let shown: String = text.chars().map(|c| if is_text(&c) { c } else { '?' }).collect();
    // A console that fails leaves no one to tell.
    let _ = system::with_stdout(|console| console.write_str(&shown));
}

/// The index of the entry to boot: the default at once if there is no choice or no time to choose,
/// else what the menu says.
pub fn choose(config: &Config) -> usize {
    if config.entries.len() == 1 || config.timeout == Some(0) {
        return config.default_entry;
    }
    print(&format!("{NAME} {VERSION}\n"));
    for (entry, number) in config.entries.iter().zip(1..) {
        print(&format!("  {number}: {}\n", entry.title));
    }
    print("Press the number of an entry, or choose with the arrow keys and Enter.\n");
    let mut menu = Menu::new(config.entries.len(), config.default_entry, config.timeout);
    let mut shown = String::new();
    loop {
        let line = status_line(&menu, &config.entries[menu.selected].title);
        if line != shown {
            print(&format!("\r{line:<STATUS_WIDTH$.STATUS_WIDTH$}"));
            shown = line;
        }
        let decision = match wait_key() {
            Some(key) => menu.press(key),
            None => menu.tick(),
        };
        if let Some(choice) = decision {
            print("\n");
            return choice;
        }
    }
}

/// Gives a message time to be read: until a key is pressed, but not for ever.
pub fn pause() {
    print("Press a key to return to the firmware.\n");
    for _ in 0..PAUSE_SECONDS {
        if wait_key().is_some() {
            return;
        }
    }
}

/// What is selected, and until when.
fn status_line(menu: &Menu, title: &str) -> String {
    let number = menu.selected + 1;
    match menu.seconds_left {
        Some(seconds) => format!("> {number}: {title} (in {seconds} s)"),
        None => format!("> {number}: {title}"),
    }
}

/// Waits up to a second for a key.
fn wait_key() -> Option<Key> {
    for _ in 0..POLLS_PER_SECOND {
        let input = system::with_stdin(|stdin| stdin.read_key());
        match input.ok().flatten() {
            Some(Input::Special(ScanCode::UP)) => return Some(Key::Up),
            Some(Input::Special(ScanCode::DOWN)) => return Some(Key::Down),
            Some(Input::Special(_)) => return Some(Key::Other),
            Some(Input::Printable(character)) => {
                return Some(match char::from(character) {
                    '\r' => Key::Enter,
                    digit @ '1'..='9' => Key::Digit(digit as usize - '0' as usize),
                    _ => Key::Other,
                });
            }
            None => boot::stall(Duration::from_secs(1) / POLLS_PER_SECOND),
        }
    }
    None
}
