//! Text from the host and to it.

#[link(wasm_import_module = "host")]
unsafe extern "C" {
    /// Writes the request to `to`, which has room for `most` bytes, if it fits; gives its length.
    fn read(to: *mut u8, most: usize) -> usize;
    /// Takes the `length` bytes at `from` as the answer.
    fn write(from: *const u8, length: usize);
    /// Takes them as what the program has died with.
    fn died(from: *const u8, length: usize);
    /// Takes the number of what is done.
    #[link_name = "progress"]
    safe fn tell_progress(done: f64);
}

/// What the host asks.
///
/// # Panics
///
/// If that is no UTF-8.
pub fn request() -> String {
    // SAFETY: nothing is written where there is room for nothing.
    let length = unsafe { read(core::ptr::null_mut(), 0) };
    let mut text = vec![0; length];
    // SAFETY: `text` has room for so many bytes.
    let again = unsafe { read(text.as_mut_ptr(), length) };
    assert_eq!(again, length, "the request is the same one");
    String::from_utf8(text).expect("a request is text")
}

/// Answers.
pub fn answer(text: &str) {
    // SAFETY: `text` is so long.
    unsafe { write(text.as_ptr(), text.len()) };
}

/// Says how much is done.
pub fn progress(done: u64) {
    tell_progress(done as f64);
}

/// From here on a panic says its reason to the host, and then ends the program.
pub fn say_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.to_string();
        // SAFETY: `text` is so long.
        unsafe { died(text.as_ptr(), text.len()) };
    }));
}
