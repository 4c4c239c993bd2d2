//! NumPy files as NumPy itself writes them, and back.
//!
//! `fixtures/*.npz` and `arrays.safetensors` were recorded by `benchmarks/oracles/torch_files.py`.

use crate::common::recorded;
use flyroom_network::format::npz::{read_npy, read_npz, write_npy, write_npz};
use flyroom_network::format::{RawTensor, RawTensors, read_safetensors};
use safetensors::Dtype;

#[test]
fn arrays_are_read_stored_or_deflated_in_either_order() {
    let (wanted, _) = read_safetensors(&recorded("arrays.safetensors")).unwrap();
    assert_eq!(wanted.len(), 13);
    for name in ["arrays.npz", "packed.npz"] {
        assert_eq!(read_npz(&recorded(name)).unwrap(), wanted, "{name}");
    }
}

#[test]
fn what_is_written_is_numpys_own_bytes_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npz");
    let arrays = read_npz(&recorded("arrays.npz")).unwrap();
    write_npz(&path, &arrays).unwrap();
    assert_eq!(read_npz(&path).unwrap(), arrays);
    // numpy.save(path, numpy.float32([[1, 2]])), byte by byte.
    let path = dir.path().join("x.npy");
    let bytes = [1f32, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let array = RawTensor { dtype: Dtype::F32, shape: vec![1, 2], bytes };
    write_npy(&path, &array).unwrap();
    let mut wanted =
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }"
            .to_vec();
    wanted.resize(127, b' ');
    wanted.extend(b"\n\0\0\x80?\0\0\0@");
    assert_eq!(std::fs::read(&path).unwrap(), wanted);
    assert_eq!(read_npy(&path).unwrap(), array);
}

#[test]
fn what_numpy_cannot_name_or_would_have_to_run_is_refused() {
    for (name, says) in [
        ("objects.npz", "pickled Python objects"),
        ("records.npz", "records"),
        ("big-endian.npz", "big-endian"),
    ] {
        let error = read_npz(&recorded(name)).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(says), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let bf16 = RawTensor { dtype: Dtype::BF16, shape: vec![1], bytes: vec![0, 0] };
    let path = dir.path().join("x.npz");
    let error = write_npz(&path, &RawTensors::from([("w".into(), bf16)])).unwrap_err().to_string();
    assert!(error.contains("'w'") && error.contains("BF16"), "{error}");
}

#[test]
fn damaged_arrays_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    let whole = |header: &str, data: &[u8]| {
        let len = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &len[..], header.as_bytes(), data].concat()
    };
    for bytes in [
        b"".to_vec(),
        b"\x93NUMPY".to_vec(),
        b"\x93NUMPY\x04\0\0\0\0\0\0".to_vec(),
        b"\x93NUMPY\x02\0\xff\xff\xff\xff".to_vec(),
        whole("", b""),
        whole("{}", b""),
        whole("{'descr': '<f4', 'fortran_order': False}", b""),
        whole("{'descr': '<f4', 'fortran_order': 1, 'shape': ()}", &[0; 4]),
        whole("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", &[0; 4]),
        whole("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", &[0; 4]),
        whole("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9)}", &[]),
        whole("{'descr': '<c8', 'fortran_order': False, 'shape': ()}", &[0; 8]),
    ] {
        std::fs::write(&path, &bytes).unwrap();
        let error = read_npy(&path).unwrap_err().to_string();
        assert!(error.contains("x.npy"), "{error}");
    }
}
