//! What a file is that nobody wanted, in words for the one who gave it.

use std::io::Read as _;
use std::path::Path;

/// First bytes of files that are given by mistake, and their names.
const MAGIC: [(&[u8], &str); 12] = [
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"GIF8", "a picture (GIF)"),
    (b"%PDF", "a PDF"),
    (b"GGUF", "a language model (GGUF)"),
    (b"\x93NUMPY", "an array of numpy (.npy)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"PK", "a zip archive (.pt, .npz)"),
    (b"\x7fELF", "a program"),
    (b"\x80\x02", "a pickle"),
    (b"\x89HDF", "an HDF5 file"),
];

/// What lies at a path, by its first bytes: `a picture (PNG)`, `text that is no JSON`.
pub fn name(path: &Path) -> String {
    if path.is_dir() {
        return folder(path);
    }
    let mut head = vec![];
    let read = std::fs::File::open(path).and_then(|f| f.take(1 << 16).read_to_end(&mut head));
    if let Err(e) = read {
        return format!("nothing that can be read ({e})");
    }
    if head.is_empty() {
        return "an empty file".into();
    }
    if is_safetensors(&head) {
        return "tensors (safetensors)".into();
    }
    if let Some((_, name)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
        return (*name).into();
    }
    match std::str::from_utf8(&head) {
        Ok(text) if text.trim_start().starts_with(['{', '[']) => "JSON of another kind".into(),
        // A character may be cut where the look ends.
        Ok(_) => "text that is no JSON".into(),
        Err(e) if e.error_len().is_none() && head.len() == 1 << 16 => "text that is no JSON".into(),
        Err(_) => "bytes of no kind that is known here".into(),
    }
}

/// Whether these first bytes are a safetensors header: its length, then JSON.
pub fn is_safetensors(head: &[u8]) -> bool {
    head.get(4..8) == Some(&[0; 4]) && head.get(8) == Some(&b'{')
}

fn folder(path: &Path) -> String {
    let mut names: Vec<String> = std::fs::read_dir(path)
        .map(|all| all.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    names.sort();
    match names.len() {
        0 => "an empty folder".into(),
        n if n > 4 => format!("a folder with {} and {} more", names[..4].join(", "), n - 4),
        _ => format!("a folder with {}", names.join(", ")),
    }
}
