//! Weights on disk: what is written comes back, and no file panics.

use crate::common::{network, plain};
use flyroom_network::*;
use flyroom_tensor::Tensor;
use proptest::prelude::*;
use safetensors::Dtype;
use std::collections::BTreeMap;
use std::path::Path;

fn raw(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> RawTensor {
    RawTensor { dtype, shape: shape.to_vec(), bytes: bytes.to_vec() }
}

fn sample() -> BTreeMap<String, RawTensor> {
    BTreeMap::from([
        ("a".into(), RawTensor::from_tensor(&Tensor::from_fn(&[2, 3], |i| i as f32 - 0.5))),
        ("mask".into(), raw(Dtype::BOOL, &[2, 2], &[0, 1, 1, 0])),
        ("half".into(), raw(Dtype::F16, &[1], &[0, 0x3c])),
        ("nan".into(), raw(Dtype::F32, &[1], &[1, 0, 0xc0, 0x7f])),
        ("empty".into(), raw(Dtype::F32, &[0, 3], &[])),
        ("scalar".into(), raw(Dtype::I64, &[], &[7, 0, 0, 0, 0, 0, 0, 0])),
    ])
}

#[test]
fn every_tensor_and_the_metadata_come_back_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.safetensors");
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    write_safetensors(&path, &sample(), &metadata).unwrap();
    assert_eq!(read_safetensors(&path).unwrap(), (sample(), metadata));
    write_safetensors(&path, &sample(), &BTreeMap::new()).unwrap();
    assert_eq!(read_safetensors(&path).unwrap(), (sample(), BTreeMap::new()));
    // The same content is the same file.
    let once = std::fs::read(&path).unwrap();
    write_safetensors(&path, &sample(), &BTreeMap::new()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), once);
}

#[test]
fn a_network_comes_back_with_its_hash_and_with_what_it_does_not_use() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let mut net = network(Architecture::Transformer(plain()));
    net.extra.insert("blocks.0.attn.mask".into(), raw(Dtype::BOOL, &[2, 2], &[1, 0, 1, 1]));
    net.extra.insert("blocks.0.attn.IGNORE".into(), raw(Dtype::F32, &[], &[0, 0x50, 0xc3, 0xc7]));
    net.write(&path, &BTreeMap::new()).unwrap();
    let back = Network::read(net.architecture().clone(), &path).unwrap();
    assert_eq!(back.hash(), net.hash());
    assert_eq!(back.weights(), net.weights());
    assert_eq!(back.extra, net.extra);
    // A replaced weight keeps them, and changes the hash.
    let b = back.weight("blocks.0.mlp.b_in").unwrap().clone();
    let mut moved = b.clone();
    moved.data_mut()[0] += 1.0;
    let edited = back.with_weight("blocks.0.mlp.b_in", moved).unwrap();
    assert_eq!(edited.extra, net.extra);
    assert_ne!(edited.hash(), net.hash());
    assert_eq!(edited.with_weight("blocks.0.mlp.b_in", b).unwrap().hash(), net.hash());
    let error = back.with_weight("nowhere", Tensor::zeros(&[1])).unwrap_err().to_string();
    assert!(error.contains("'nowhere'"), "{error}");
}

fn tampered(change: impl Fn(&mut BTreeMap<String, RawTensor>)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let net = network(Architecture::Transformer(plain()));
    net.write(&path, &BTreeMap::new()).unwrap();
    let (mut tensors, _) = read_safetensors(&path).unwrap();
    change(&mut tensors);
    write_safetensors(&path, &tensors, &BTreeMap::new()).unwrap();
    let error = Network::read(net.architecture().clone(), &path).unwrap_err().to_string();
    assert!(error.contains("model.safetensors"), "{error}");
    error
}

#[test]
fn weights_that_do_not_fit_are_refused_with_file_and_tensor() {
    let name = "blocks.0.mlp.W_in";
    let error = tampered(|t| drop(t.remove(name)));
    assert!(error.contains("no tensor 'blocks.0.mlp.W_in'"), "{error}");
    let error = tampered(|t| t.get_mut(name).unwrap().shape.reverse());
    assert!(
        error.contains("'blocks.0.mlp.W_in' has shape [10, 8], the architecture wants [8, 10]"),
        "{error}"
    );
    let error = tampered(|t| {
        t.get_mut(name).unwrap().bytes[4 * 7..4 * 8].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    assert!(error.contains("'blocks.0.mlp.W_in' holds NaN at flat index 7"), "{error}");
    let error = tampered(|t| {
        t.get_mut(name).unwrap().bytes[..4].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    });
    assert!(error.contains("holds -inf at flat index 0"), "{error}");
    let error = tampered(|t| t.get_mut(name).unwrap().dtype = Dtype::I32);
    assert!(error.contains("'blocks.0.mlp.W_in' is I32"), "{error}");
}

#[test]
fn halves_become_the_floats_that_they_are() {
    // IEEE 754 binary16: 1, -2, the largest, the smallest normal and subnormal, both zeros.
    let halves: [(u16, f32); 7] = [
        (0x3c00, 1.0),
        (0xc000, -2.0),
        (0x7bff, 65504.0),
        (0x0400, 6.103_515_6e-5),
        (0x0001, 5.960_464_5e-8),
        (0x0000, 0.0),
        (0x8000, -0.0),
    ];
    let bytes: Vec<u8> = halves.iter().flat_map(|h| h.0.to_le_bytes()).collect();
    let t = raw(Dtype::F16, &[7], &bytes).to_tensor().unwrap();
    for (x, (_, wanted)) in t.data().iter().zip(halves) {
        assert_eq!(x.to_bits(), wanted.to_bits());
    }
    let t = raw(Dtype::F16, &[2], &[0, 0x7c, 1, 0x7e]).to_tensor().unwrap();
    assert!(t.data()[0] == f32::INFINITY && t.data()[1].is_nan());
    let t = raw(Dtype::BF16, &[2], &[0x80, 0x3f, 0x20, 0xc1]).to_tensor().unwrap();
    assert_eq!(t.data(), [1.0, -10.0]);
    assert!(raw(Dtype::BOOL, &[1], &[1]).to_tensor().is_none());
}

#[test]
fn files_that_are_no_safetensors_are_errors_that_name_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.safetensors");
    let long = |n: u64, rest: &[u8]| [&n.to_le_bytes(), rest].concat();
    let overlapping = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let huge = br#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#;
    let cases: Vec<Vec<u8>> = vec![
        vec![],
        vec![1, 2, 3],
        long(u64::MAX, b"{}"),
        long(1 << 40, b"{}"),
        long(99_999_999, b"{}"),
        long(2, b"[]"),
        long(2, b"{"),
        long(4, b"\xff\xfe\xfd\xfc"),
        long(overlapping.len() as u64, &[&overlapping[..], &[0; 12]].concat()),
        long(huge.len() as u64, huge),
        b"PK\x03\x04 not weights at all".to_vec(),
    ];
    for bytes in cases {
        std::fs::write(&path, &bytes).unwrap();
        let error = read_safetensors(&path).unwrap_err().to_string();
        assert!(error.contains("broken.safetensors") && error.contains("not a whole"), "{error}");
    }
    let error = read_safetensors(&dir.path().join("absent")).unwrap_err().to_string();
    assert!(error.contains("absent"), "{error}");
    assert!(read_safetensors(dir.path()).is_err());
}

fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.safetensors");
    write_safetensors(&path, &sample(), &BTreeMap::new()).unwrap();
    let mut bad = sample();
    bad.insert("short".into(), raw(Dtype::F32, &[3], &[0; 8]));
    let error = write_safetensors(&path, &bad, &BTreeMap::new()).unwrap_err().to_string();
    assert!(error.contains("x.safetensors") && error.contains("'short'"), "{error}");
    assert_eq!(read_safetensors(&path).unwrap().0, sample());
    // The rename fails: the target is a folder with something in it.
    let folder = dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("kept"), "kept").unwrap();
    let error = write_safetensors(&folder, &sample(), &BTreeMap::new()).unwrap_err().to_string();
    assert!(error.contains("folder"), "{error}");
    assert_eq!(entries(dir.path()), ["folder", "x.safetensors"]);
    assert_eq!(entries(&folder), ["kept"]);
    // The folder does not exist; the path has no file name.
    assert!(write_whole(&dir.path().join("none/x"), b"x").is_err());
    assert!(write_whole(Path::new("/"), b"x").is_err());
}

#[test]
fn writers_of_one_file_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    std::thread::scope(|s| {
        for k in 0..8u8 {
            let path = &path;
            s.spawn(move || (0..20).for_each(|_| write_whole(path, &vec![k; 10_000]).unwrap()));
        }
    });
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 10_000);
    assert!(bytes.iter().all(|&b| b == bytes[0]));
    assert_eq!(entries(dir.path()), ["x"]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_damage_panics(flips in prop::collection::vec((0usize..4000, any::<u8>()), 0..6), cut in 0usize..5000) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let c = TransformerConfig { d_mlp: 0, ..TransformerConfig::plain(1, 4, 1, 3, 2) };
        let net = network(Architecture::Transformer(c));
        net.write(&path, &BTreeMap::new()).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let n = bytes.len();
        for (at, x) in flips {
            bytes[at % n] ^= x;
        }
        let whole = cut >= n;
        bytes.truncate(cut);
        std::fs::write(&path, &bytes).unwrap();
        match Network::read(net.architecture().clone(), &path) {
            Ok(read) => prop_assert!(whole && read.weights().values().all(|t| t.data().iter().all(|x| x.is_finite()))),
            Err(e) => prop_assert!(e.to_string().contains("model.safetensors"), "{e}"),
        }
    }
}
