//! Puts the pages of `docs/` into the binary, so that `flyroom show NAME` needs no file.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    // Asked for when it runs: a kept target folder may belong to a checkout that has moved.
    let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let root = Path::new(&manifest).join("../..").canonicalize()?;
    println!("cargo::rerun-if-changed={}", root.join("docs").display());
    println!("cargo::rerun-if-changed={}", root.join("GLOSSARY.md").display());
    let mut pages: Vec<PathBuf> = vec![];
    for folder in ["docs", "docs/organisms", "docs/methods", "docs/metrics"] {
        let listing = fs::read_dir(root.join(folder))?;
        for entry in listing {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "md") && !path.ends_with("README.md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    let mut code = String::from("&[\n");
    for page in pages {
        let name = page.strip_prefix(&root).unwrap_or(&page).display().to_string();
        code.push_str(&format!(
            "    ({name:?}, include_str!({:?})),\n",
            page.display().to_string()
        ));
    }
    code.push_str("]\n");
    let out = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    fs::write(out.join("pages.rs"), code)
}
