//! Arrays for numpy: an `.npz` is a zip archive without compression that holds one `.npy` an array
//! (numpy.lib.format, version 1.0). Written only, and from what is in memory already.

use super::RawTensor;
use crate::Error;
use ::safetensors::tensor::Dtype;
use std::collections::BTreeMap;

/// The bytes of an `.npz` with these arrays, each under its name; equal arrays give equal bytes.
///
/// # Errors
/// If an element type has no name in numpy (bf16), or the archive exceeds the 4 GiB of plain zip.
pub fn npz(arrays: &BTreeMap<String, RawTensor>) -> Result<Vec<u8>, Error> {
    let mut out: Vec<u8> = vec![];
    let mut directory: Vec<u8> = vec![];
    for (name, array) in arrays {
        let file = npy(name, array)?;
        let too_large =
            || Error::Input(format!("array '{name}' does not fit into an npz of 4 GiB"));
        let size = u32::try_from(file.len()).map_err(|_| too_large())?;
        let offset = u32::try_from(out.len()).map_err(|_| too_large())?;
        let entry = format!("{name}.npy");
        let length = u16::try_from(entry.len()).map_err(|_| too_large())?;
        // Common to both headers: version 2.0, no flags, stored, 1980-01-01, crc, sizes, name.
        let mut common: Vec<u8> = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        common.extend(crc32(&file).to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend(length.to_le_bytes());
        common.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(entry.as_bytes());
        out.extend(file);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(entry.as_bytes());
    }
    let too_large = |_| Error::Input("the arrays do not fit into an npz of 4 GiB".into());
    let count = u16::try_from(arrays.len())
        .map_err(|_| Error::Input(format!("{} arrays in one npz", arrays.len())))?;
    let at = u32::try_from(out.len()).map_err(too_large)?;
    let length = u32::try_from(directory.len()).map_err(too_large)?;
    out.extend(directory);
    out.extend(b"PK\x05\x06\x00\x00\x00\x00");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0, 0]);
    Ok(out)
}

fn npy(name: &str, array: &RawTensor) -> Result<Vec<u8>, Error> {
    let dtype = match array.dtype {
        Dtype::F64 => "<f8",
        Dtype::F32 => "<f4",
        Dtype::F16 => "<f2",
        Dtype::I64 => "<i8",
        Dtype::I32 => "<i4",
        Dtype::U8 => "|u1",
        Dtype::BOOL => "|b1",
        other => {
            return Err(Error::Input(format!("array '{name}' holds {other:?}, which numpy lacks")));
        }
    };
    let shape: String = array.shape.iter().map(|n| format!("{n}, ")).collect();
    let mut header = format!(
        "{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({}), }}",
        shape.trim_end()
    );
    // The values start at a multiple of 64 bytes; a newline ends the header.
    let padding = 63 - (10 + header.len()) % 64;
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let length = u16::try_from(header.len())
        .map_err(|_| Error::Input(format!("array '{name}' has {} axes", array.shape.len())))?;
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend(length.to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(&array.bytes);
    Ok(out)
}

/// CRC-32 of ISO 3309, as zip wants it.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let (mut c, mut bit) = (i as u32, 0);
            while bit < 8 {
                c = if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 };
                bit += 1;
            }
            table[i] = c;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |c, &b| TABLE[((c ^ u32::from(b)) & 0xff) as usize] ^ (c >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn values_start_at_a_multiple_of_64_and_the_header_says_their_form() {
        let array = RawTensor { dtype: Dtype::F32, shape: vec![1, 2], bytes: vec![7; 8] };
        let file = npy("x", &array).unwrap();
        let values = file.len() - 8;
        assert_eq!((values % 64, file[values - 1]), (0, b'\n'));
        let header = String::from_utf8_lossy(&file[10..values]).into_owned();
        assert!(header.contains("'<f4'") && header.contains("(1, 2,)"), "{header}");
        let none = RawTensor { dtype: Dtype::BF16, shape: vec![1], bytes: vec![0; 2] };
        assert!(npy("x", &none).is_err());
    }

    #[test]
    fn the_archive_is_what_numpy_reads() {
        // numpy.load of these bytes gives x == [[1., 2.]] and y == [3], as numpy 2 said when the
        // hash was recorded; the bytes decide.
        let f = |x: f32| x.to_le_bytes().to_vec();
        let arrays = BTreeMap::from([
            (
                "x".to_owned(),
                RawTensor {
                    dtype: Dtype::F32,
                    shape: vec![1, 2],
                    bytes: [f(1.0), f(2.0)].concat(),
                },
            ),
            (
                "y".to_owned(),
                RawTensor { dtype: Dtype::I64, shape: vec![1], bytes: 3i64.to_le_bytes().to_vec() },
            ),
        ]);
        let bytes = npz(&arrays).unwrap();
        assert_eq!(&bytes[..4], b"PK\x03\x04");
        assert_eq!(
            flyroom_tensor::hash::bytes(&bytes).to_string(),
            "96ac9a76a39b76c5ae935d59a1d0d22745b38773d4dcf65e3f3b84bdb49e5ace"
        );
    }
}
