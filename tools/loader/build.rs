//! Links the direct loader by its own script.

fn main() {
    let dir = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        println!("cargo:rustc-link-arg-bin=gupsync-loader-direct=-T{dir}/direct.ld");
        println!("cargo:rustc-link-arg-bin=gupsync-loader-direct=--no-pie");
    }
    println!("cargo:rerun-if-changed=direct.ld");
}
