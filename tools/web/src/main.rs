//! The module that a page runs, once for each request.

#![forbid(unsafe_code)]

#[cfg(target_family = "wasm")]
fn main() {
    use gupsync_wasm::text;

    text::say_panics();
    text::answer(&gupsync_web::answer(&text::request(), text::progress));
}

/// Elsewhere the request comes by the standard input: what the module has to answer, too.
#[cfg(not(target_family = "wasm"))]
fn main() -> std::io::Result<()> {
    let request = std::io::read_to_string(std::io::stdin())?;
    println!("{}", gupsync_web::answer(request.trim_end(), |_| ()));
    Ok(())
}
