//! PyTorch files as PyTorch itself writes them, and pickles that try something.
//!
//! `fixtures/*.pt` and `state.safetensors` were recorded by `benchmarks/oracles/torch_files.py`.

use crate::common::recorded;
use flyroom_network::format::pt::{PtFile, Value};
use flyroom_network::format::{Source, read_safetensors};
use std::path::Path;

fn open(bytes: Vec<u8>) -> Result<PtFile, String> {
    PtFile::from_source(Source::from_bytes(Path::new("x.pt"), bytes)).map_err(|e| e.to_string())
}

/// An archive of stored members, as `torch.save` lays it out; checksums are zero, as PyTorch
/// allows.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in members {
        let offset = out.len() as u32;
        let mut common = [0; 22];
        common[14..18].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        common[10..14].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        common[18..20].copy_from_slice(&(name.len() as u16).to_le_bytes());
        // Version, flags, method, time and date take ten bytes, the checksum four.
        let sizes = [&[0; 14][..], &common[10..18], &common[18..22]].concat();
        out.extend([b"PK\x03\x04", &sizes[..], name.as_bytes(), bytes].concat());
        directory.extend([b"PK\x01\x02\0\0", &sizes[..], &[0; 10]].concat());
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (at, size) = (out.len() as u32, directory.len() as u32);
    let count = (members.len() as u16).to_le_bytes();
    out.extend(directory);
    out.extend([b"PK\x05\x06\0\0\0\0", &count[..], &count].concat());
    out.extend([&size.to_le_bytes()[..], &at.to_le_bytes(), &[0, 0]].concat());
    out
}

fn pickled(pickle: &[u8]) -> Result<PtFile, String> {
    open(archive(&[("x/data.pkl", pickle), ("x/data/0", &[0; 16])]))
}

#[test]
fn tensors_that_are_views_come_out_as_pytorch_writes_them_out() {
    let file = PtFile::open(&recorded("state.pt")).unwrap();
    let (wanted, _) = read_safetensors(&recorded("state.safetensors")).unwrap();
    assert_eq!(wanted.len(), 20);
    let got = file.tensors().unwrap();
    for (name, wanted) in &wanted {
        assert_eq!(&got[name], wanted, "{name}");
    }
    assert_eq!(got.len(), wanted.len());
}

#[test]
fn plain_values_are_read_from_both_protocols() {
    use Value::{Bool, Bytes, Float, Int, List, Long, Named, None, Set, Text, Tuple};
    for name in ["plain.pt", "plain-4.pt"] {
        let file = PtFile::open(&recorded(name)).unwrap();
        let value = file.value();
        let nested = List(vec![Int(1), List(vec![Int(2), List(vec![])])]);
        // -(2^70) in two's complement takes nine bytes.
        let very_long = [0, 0, 0, 0, 0, 0, 0, 0, 0xc0];
        let wanted = [
            ("none", None),
            ("yes", Bool(true)),
            ("no", Bool(false)),
            ("small", Int(7)),
            ("negative", Int(-70_000)),
            ("long", Int(1 << 40)),
            ("very_long", Long(very_long.as_slice().into())),
            ("float", Float(1.5)),
            ("text", Text("é 世".into())),
            ("bytes", Bytes([0, 0xff].as_slice().into())),
            ("bytearray", Bytes(b"ab".as_slice().into())),
            ("list", nested.clone()),
            ("same", nested),
            ("tuple", Tuple(vec![Int(1), Int(2), Int(3), Int(4)])),
            ("pair", Tuple(vec![Int(1), Int(2)])),
            ("size", Tuple(vec![Int(2), Int(3)])),
            ("set", Set(vec![Int(3)])),
            ("dtype", Named("torch.bfloat16".into())),
            ("device", Named("cpu".into())),
            ("numpy_float", Float(0.5)),
            ("numpy_int", Int(-3)),
            ("numpy_bool", Bool(true)),
        ];
        for (key, value_wanted) in &wanted {
            assert_eq!(value.get(key), Some(value_wanted), "{name}: {key}");
        }
        let Some(Value::Dict(pairs)) = value.get("dict") else { panic!("{name}: no dict") };
        assert_eq!(pairs[0].0, Int(1));
        assert_eq!(pairs[0].1.get("deep").and_then(Value::text), Some("yes"));
        let names: Vec<_> = file.tensors().unwrap().into_keys().collect();
        assert_eq!(names, ["nested.encoder.weight", "nested.layers.0", "nested.layers.1"]);
    }
}

#[test]
fn what_only_running_python_could_build_is_refused_by_name() {
    let error = PtFile::open(&recorded("module.pt")).unwrap_err().to_string();
    assert!(error.contains("'torch.nn.modules.linear.Linear'"), "{error}");
    assert!(error.contains("module.pt") && error.contains("hint: save plain data"), "{error}");
    // What a hostile pickle does: os.system("true").
    let error = pickled(b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R.").unwrap_err();
    assert!(error.contains("refers to 'posix.system'"), "{error}");
    let error = pickled(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.").unwrap_err();
    assert!(error.contains("refers to 'builtins.eval'"), "{error}");
    for (pickle, says) in [
        (&b"\x80\x02ccollections\nOrderedDict\n)\x81."[..], "opcode NEWOBJ"),
        (b"\x80\x02(icollections\nOrderedDict\n.", "opcode INST"),
        (b"\x80\x02\x82\x01.", "opcode EXT"),
        (b"\x80\x02P0\n.", "opcode PERSID"),
        (b"I1\n.", "opcode 0x49"),
        (b"\x80\x06N.", "protocol 6"),
    ] {
        let error = pickled(pickle).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn files_that_are_no_pytorch_archives_say_what_they_are() {
    let error = PtFile::open(&recorded("old.pt")).unwrap_err().to_string();
    assert!(error.contains("version 1.6 or later; hint:"), "{error}");
    let error = open(vec![]).unwrap_err();
    assert!(error.contains("x.pt: not a PyTorch file"), "{error}");
    let error = open(archive(&[("x/other", b"")])).unwrap_err();
    assert!(error.contains("no member 'data.pkl'"), "{error}");
    let error = open(archive(&[("x/data.pkl", b"N."), ("x/byteorder", b"big")])).unwrap_err();
    assert!(error.contains("big-endian"), "{error}");
}

#[test]
fn broken_pickles_are_errors() {
    for pickle in [
        &b""[..],
        b".",
        b"\x80",
        b"N",
        b"(.",
        b"t.",
        b"(N11.",
        b"N(0.",
        b"h\0.",
        b"Nq\0h\x01.",
        b"X\xff\xff\xff\xffab.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"}(Nu.",
        b"(Nd.",
        b"N]s.",
        b"NNa.",
        b"ccollections\nOrderedDict",
        b"ccollections\nOrderedDict\n.",
        b"ccollections\nOrderedDict\nNR.",
        b"NNR.",
        b"NQ.",
        b"NNb.",
        b"ctorch._utils\n_rebuild_tensor_v2\n)R.",
    ] {
        assert!(pickled(pickle).is_err(), "{pickle:?}");
    }
}

/// The pickle of one tensor of storage 0, which has 16 bytes: (offset, shape, strides).
fn view(offset: i32, shape: &[i32], strides: &[i32]) -> Vec<u8> {
    let int = |n: i32| [b"J", &n.to_le_bytes()[..]].concat();
    let tuple = |axes: &[i32]| {
        let items: Vec<u8> = axes.iter().flat_map(|&n| int(n)).collect();
        [b"(", &items[..], b"t"].concat()
    };
    [
        &b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n("[..],
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ",
        &int(offset),
        &tuple(shape),
        &tuple(strides),
        b"\x89ccollections\nOrderedDict\n)RtR.",
    ]
    .concat()
}

#[test]
fn views_that_leave_their_storage_are_refused() {
    let read = |offset, shape: &[i32], strides: &[i32]| {
        let file = pickled(&view(offset, shape, strides))?;
        let view = file.value().tensor().expect("a tensor").clone();
        file.read(&view).map_err(|e| e.to_string())
    };
    assert_eq!(read(0, &[2, 2], &[2, 1]).unwrap().shape, [2, 2]);
    assert_eq!(read(3, &[1], &[100]).unwrap().bytes.len(), 4);
    assert_eq!(read(100, &[0, 7], &[1, 1]).unwrap().bytes.len(), 0);
    for (offset, shape, strides) in [
        (0, &[5][..], &[1][..]),
        (1, &[4], &[1]),
        (-1, &[1], &[1]),
        (0, &[-1], &[1]),
        (0, &[2], &[-1]),
        (0, &[2, 2], &[1]),
        (0, &[i32::MAX, i32::MAX, i32::MAX], &[i32::MAX, 1, 1]),
        (0, &[i32::MAX, i32::MAX, i32::MAX], &[0, 0, 0]),
    ] {
        assert!(read(offset, shape, strides).is_err(), "{offset} {shape:?} {strides:?}");
    }
    // It lies in its storage, but written out it would fill memory.
    let error = read(0, &[1 << 20], &[0]).unwrap_err();
    assert!(error.contains("tensor.contiguous()"), "{error}");
    let missing = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x009X\x03\0\0\0cpuK\x04tQ.";
    assert!(pickled(missing).unwrap_err().contains("no storage '9'"));
}

#[test]
fn pickles_that_would_fill_memory_or_never_end_are_refused() {
    // Thirty lists, each twice the one before.
    let mut doubling = b"\x80\x02]q\0".to_vec();
    for k in 0..30u8 {
        doubling.extend([b']', b'q', k + 1, b'(', b'h', k, b'h', k, b'e']);
    }
    doubling.push(b'.');
    assert!(pickled(&doubling).unwrap_err().contains("shares its parts"));
    // A list that contains itself.
    let error = pickled(b"\x80\x02]q\0h\0a.").unwrap_err();
    assert!(error.contains("contains itself or nests deeper"), "{error}");
    let deep = [&b"]".repeat(100_000)[..], &b"a".repeat(99_999), b"."].concat();
    assert!(pickled(&deep).unwrap_err().contains("nests deeper"));
    // A long list, copied into a set again and again.
    let mut copies = b"\x80\x02]q\0(".to_vec();
    copies.extend(b"N".repeat(10_000));
    copies.extend(b"ec__builtin__\nset\nq\x01");
    copies.extend(b"h\x01h\0\x85R".repeat(10_000));
    copies.push(b'.');
    assert!(pickled(&copies).unwrap_err().contains("more than"));
}

#[test]
fn members_that_overlap_are_refused() {
    let mut bytes = archive(&[("x/data.pkl", b"N."), ("x/data/0", b"ab")]);
    // The second entry of the directory is made to point at the first member.
    let at = bytes.len() - 22 - "x/data/0".len() - 4;
    bytes[at..at + 4].fill(0);
    assert!(open(bytes).unwrap_err().contains("overlap"));
}
