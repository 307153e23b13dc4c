//! The lines of a serial port on which programs draw: one ends where the next one is written, and some write it by moving
//! the cursor there and never send the end of a line. UEFI firmware shows a bootloader's text so.

/// Bytes as they come, and the lines that they make.
#[derive(Debug, Default)]
pub struct Lines(Vec<u8>);

impl Lines {
    /// Adds a byte; returns the line that it ends.
    pub fn add(&mut self, byte: u8) -> Option<String> {
        self.0.push(byte);
        (byte == b'\n' || self.ends_in_a_move_to_the_margin()).then(|| self.take())
    }

    /// What has no end yet.
    pub fn rest(mut self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        let line = String::from_utf8_lossy(&self.0).trim_end().to_owned();
        self.0.clear();
        line
    }

    /// Escape, a bracket, a row, and column 1.
    fn ends_in_a_move_to_the_margin(&self) -> bool {
        let row = self.0.strip_suffix(b";01H").or_else(|| self.0.strip_suffix(b";1H"));
        let digits = |row: &[u8]| row.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        row.is_some_and(|row| row[..row.len() - digits(row)].ends_with(b"\x1b["))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let mut lines = Lines::default();
        let mut all: Vec<_> = text.bytes().filter_map(|byte| lines.add(byte)).collect();
        all.extend(lines.rest());
        all
    }

    #[test]
    fn item_13_a_line_that_is_drawn_ends_where_the_next_begins() {
        assert_eq!(lines("a\r\n\nb H;01H [1;01H"), ["a", "", "b H;01H [1;01H"]);
        let drawn = "\u{1b}[02;01HP\u{1b}[02;02HA\u{1b}[03;01Ht\u{1b}[3;1H";
        let expected = ["\u{1b}[02;01H", "P\u{1b}[02;02HA\u{1b}[03;01H", "t\u{1b}[3;1H"];
        assert_eq!(lines(drawn), expected);
    }
}
