//! Packets of gdb's remote protocol: `$`, the payload, `#` and a checksum; each is acknowledged by `+`.

use anyhow::{Result, bail, ensure};

/// Escapes the byte after it, which is sent with this bit turned.
const ESCAPE: (u8, u8) = (b'}', 0x20);
/// Repeats the byte before it, as often as the byte after it says, beyond this.
const REPEAT: (u8, u8) = (b'*', 29);

/// A payload that needs no escapes, as it is sent.
pub fn frame(payload: &str) -> Vec<u8> {
    format!("${payload}#{:02x}", sum(payload.as_bytes())).into_bytes()
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// Bytes as they come, and the payloads in them.
#[derive(Debug, Default)]
pub struct Inbox(Vec<u8>);

impl Inbox {
    /// Adds bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next payload, if it is there as a whole. What stands before it is acknowledgements.
    ///
    /// # Errors
    ///
    /// If it is not what was sent.
    pub fn take(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(start) = self.0.iter().position(|byte| *byte == b'$') else {
            self.0.clear();
            return Ok(None);
        };
        let Some(end) = self.0[start..].iter().position(|byte| *byte == b'#').map(|at| start + at) else {
            return Ok(None);
        };
        let Some(sent) = self.0.get(end + 1..end + 3) else { return Ok(None) };
        let body = &self.0[start + 1..end];
        let is_right =
            std::str::from_utf8(sent).is_ok_and(|sent| u8::from_str_radix(sent, 16) == Ok(sum(body)));
        ensure!(is_right, "a packet of the gdb stub has a wrong checksum");
        let payload = plain(body)?;
        self.0.drain(..end + 3);
        Ok(Some(payload))
    }
}

/// A payload without escapes and repetitions.
fn plain(body: &[u8]) -> Result<Vec<u8>> {
    let (mut plain, mut bytes) = (Vec::with_capacity(body.len()), body.iter().copied());
    while let Some(byte) = bytes.next() {
        if byte != ESCAPE.0 && byte != REPEAT.0 {
            plain.push(byte);
            continue;
        }
        match (bytes.next(), plain.last().copied()) {
            (Some(escaped), _) if byte == ESCAPE.0 => plain.push(escaped ^ ESCAPE.1),
            (Some(count @ 32..), Some(last)) => {
                plain.extend(std::iter::repeat_n(last, usize::from(count - REPEAT.1)));
            }
            _ => bail!("a packet of the gdb stub ends too early"),
        }
    }
    Ok(plain)
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that hexadecimal digits stand for.
///
/// # Errors
///
/// If they are none.
pub fn bytes(digits: &[u8]) -> Result<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let all: Option<Vec<_>> =
        digits.chunks(2).map(|digits| pair(digits).filter(|_| digits.len() == 2)).collect();
    match all {
        Some(bytes) => Ok(bytes),
        None => bail!("the gdb stub answered {:?}, no bytes", String::from_utf8_lossy(digits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_taken_once_it_is_whole_and_what_is_escaped_comes_back() {
        assert_eq!(frame("m1,8"), b"$m1,8#02");
        let mut inbox = Inbox::default();
        let sent = b"++$T05thread:01;#07+$0* }\x03#";
        inbox.add(sent);
        assert_eq!(inbox.take().expect("right"), Some(b"T05thread:01;".to_vec()));
        assert_eq!(inbox.take().expect("not whole"), None);
        inbox.add(b"fa");
        // A repetition of three, and an escaped `#`.
        assert_eq!(inbox.take().expect("right"), Some(b"0000#".to_vec()));
        assert_eq!(inbox.take().expect("empty"), None);
    }

    #[test]
    fn a_packet_that_was_changed_is_an_error() {
        let mut inbox = Inbox::default();
        inbox.add(b"$OK#9b");
        assert!(inbox.take().expect_err("9a is right").to_string().contains("checksum"));
        for body in [&b"a}"[..], b"*!", b"a*"] {
            assert!(plain(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn bytes_are_pairs_of_digits() {
        assert_eq!(bytes(b"00ff7f").expect("digits"), [0, 0xff, 0x7f]);
        assert_eq!(hex(&[0, 0xff, 0x7f]), "00ff7f");
        for digits in [&b"0"[..], b"E14", b"zz"] {
            assert!(bytes(digits).is_err(), "{digits:?}");
        }
    }
}
