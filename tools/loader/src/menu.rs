//! The choice of an entry, apart from drawing it and reading keys.
//!
//! The default entry is chosen when the time runs out untouched; any key stops the clock, after
//! which only the user decides.

/// A key, as far as the menu cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Move to the previous entry.
    Up,
    /// Move to the next entry.
    Down,
    /// Boot the selected entry.
    Enter,
    /// Boot the entry of this number, counted from 1.
    Digit(usize),
    /// Any other key.
    Other,
}

/// The state of the menu.
#[derive(Debug)]
pub struct Menu {
    entries: usize,
    /// The index of the selected entry.
    pub selected: usize,
    /// Seconds until the selected entry is booted; `None` when the clock is stopped.
    pub seconds_left: Option<u32>,
}

impl Menu {
    /// A menu of `entries` entries, at least one.
    pub fn new(entries: usize, selected: usize, timeout: Option<u32>) -> Self {
        Self { entries, selected, seconds_left: timeout }
    }

    /// Takes a key; the result is the entry to boot, if that decides it.
    pub fn press(&mut self, key: Key) -> Option<usize> {
        self.seconds_left = None;
        match key {
            Key::Up => self.selected = self.selected.saturating_sub(1),
            Key::Down => self.selected = (self.selected + 1).min(self.entries - 1),
            Key::Enter => return Some(self.selected),
            Key::Digit(number) if (1..=self.entries).contains(&number) => {
                self.selected = number - 1;
                return Some(self.selected);
            }
            Key::Digit(_) | Key::Other => {}
        }
        None
    }

    /// Takes one second off the clock; the result is the entry to boot, if the time is up.
    pub fn tick(&mut self) -> Option<usize> {
        let left = self.seconds_left?.saturating_sub(1);
        self.seconds_left = Some(left);
        (left == 0).then_some(self.selected)
    }
}
