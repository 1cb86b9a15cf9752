//! Makes sure that the folder of Studio's files exists, so that the crate compiles before Studio was built; a binary
//! built so says at `/` that it has no Studio.

fn main() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../studio/dist");
    if let Err(error) = std::fs::create_dir_all(&folder) {
        println!("cargo::warning=studio/dist cannot be made: {error}");
    }
    println!("cargo::rerun-if-changed={}", folder.display());
}
