//! The reader of safetensors files against the format's own crate: both accept the same bytes, and
//! read the same from them.

use proptest::prelude::*;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};
use wavemix::io::safetensors::TensorFile;

/// A file of this header and so many bytes of elements.
fn file(header: &str, data: usize) -> Vec<u8> {
    let elements = (0..data).map(|i| i as u8);
    let length = (header.len() as u64).to_le_bytes();
    length
        .into_iter()
        .chain(header.bytes())
        .chain(elements)
        .collect()
}

/// Whether the crate reads the bytes, and if it does, that this one reads the same.
fn agree(bytes: &[u8]) -> bool {
    let own = TensorFile::from_bytes("x", bytes);
    let (_, header) = match SafeTensors::read_metadata(bytes) {
        Ok(metadata) => metadata,
        Err(why) => {
            let own = own.err().map(|e| e.to_string());
            let text = String::from_utf8_lossy(bytes);
            assert!(
                own.as_deref().is_some_and(|e| e.starts_with("x: not a ")),
                "the crate says {why} of {text}, here it is {own:?}"
            );
            return false;
        }
    };
    let file = match own {
        Ok(file) => file,
        // What this crate has no type or no shape for.
        Err(why) => {
            let why = why.to_string();
            let known = [
                ": elements of type ",
                ": a shape has at most ",
                ": a tensor of shape ",
            ];
            assert!(known.iter().any(|known| why.contains(known)), "{why}");
            return true;
        }
    };
    let metadata = header.metadata().clone().unwrap_or_default();
    assert_eq!(file.metadata, metadata.into_iter().collect());
    let views = SafeTensors::deserialize(bytes).unwrap();
    assert_eq!(views.len(), file.tensors.len());
    for (name, view) in views.iter() {
        let alone = TensorFile {
            tensors: [("x".to_owned(), file.tensors[name].clone())].into(),
            ..TensorFile::default()
        };
        let mut written = Vec::new();
        alone.write_to(&mut written).unwrap();
        let copy = SafeTensors::deserialize(&written).unwrap();
        let copy = copy.tensor("x").unwrap();
        // Truth values are read as bytes.
        let dtype = match view.dtype() {
            Dtype::BOOL => Dtype::U8,
            dtype => dtype,
        };
        assert_eq!(
            (copy.dtype(), copy.shape(), copy.data()),
            (dtype, view.shape(), view.data())
        );
    }
    true
}

/// Every dtype of the format, one of no format, and what is no text.
fn dtype() -> impl Strategy<Value = Value> {
    const NAMES: [&str; 24] = [
        "F4",
        "F6_E2M3",
        "F6_E3M2",
        "BOOL",
        "U8",
        "I8",
        "F8_E5M2",
        "F8_E4M3",
        "F8_E8M0",
        "F8_E4M3FNUZ",
        "F8_E5M2FNUZ",
        "I16",
        "U16",
        "F16",
        "BF16",
        "I32",
        "U32",
        "F32",
        "C64",
        "F64",
        "I64",
        "U64",
        "F65",
        "f32",
    ];
    prop_oneof![
        30 => prop::sample::select(&NAMES[..]).prop_map(Value::from),
        1 => Just(json!(32)),
        1 => Just(Value::Null),
    ]
}

/// Lengths and offsets, most of them small.
fn count() -> impl Strategy<Value = Value> {
    prop_oneof![
        40 => (0u64..5).prop_map(Value::from),
        1 => Just(json!(1u64 << 62)),
        1 => Just(json!(u64::MAX)),
        1 => Just(json!(-1)),
        1 => Just(json!(2.0)),
        1 => Just(json!("2")),
    ]
}

/// A tensor's entry, without its place.
fn tensor() -> impl Strategy<Value = Map<String, Value>> {
    let entry = (dtype(), prop::collection::vec(count(), 0..4), any::<u8>());
    entry.prop_map(|(dtype, shape, odd)| {
        let mut entry = Map::from_iter([
            ("dtype".to_owned(), dtype),
            ("shape".to_owned(), shape.into()),
        ]);
        match odd {
            0..8 => drop(entry.insert("more".into(), json!([{}, 1.5]))),
            8..12 => drop(entry.remove("dtype")),
            12..16 => drop(entry.remove("shape")),
            16..18 => drop(entry.insert("shape".into(), json!({ "0": 1 }))),
            _ => {}
        }
        entry
    })
}

/// Bytes that an entry takes, where it is an honest one.
fn bytes(entry: &Map<String, Value>) -> u64 {
    let bits = match entry.get("dtype").and_then(Value::as_str) {
        Some("F4") => 4,
        Some(name) if name.starts_with("F6") => 6,
        Some(name) if name.ends_with("64") => 64,
        Some(name) if name.ends_with("32") => 32,
        Some(name) if name.ends_with("16") => 16,
        _ => 8,
    };
    let shape = entry.get("shape").and_then(Value::as_array);
    let lengths = shape.into_iter().flatten().filter_map(Value::as_u64);
    let elements = lengths.fold(1u64, |n, length| n.saturating_mul(length));
    elements.saturating_mul(bits) / 8
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn headers_are_accepted_and_read_alike(
        tensors in prop::collection::vec(tensor(), 0..4),
        metadata in prop_oneof![
            4 => Just(None),
            4 => Just(Some(json!({"made": "here", "": "é\u{0}"}))),
            1 => Just(Some(json!({}))),
            1 => Just(Some(Value::Null)),
            1 => Just(Some(json!([]))),
            1 => Just(Some(json!({"epoch": 3}))),
        ],
        // Moves one offset, or the end of the file, in one case of four.
        shift in prop_oneof![3 => Just(None), 1 => (0usize..9, -2i64..3).prop_map(Some)],
        padding in 0usize..9,
    ) {
        let (mut header, mut offsets) = (Map::new(), Vec::new());
        let mut end = 0u64;
        for entry in &tensors {
            offsets.push(end);
            end = end.saturating_add(bytes(entry)).min(1 << 20);
            offsets.push(end);
        }
        offsets.push(end);
        if let Some((at, by)) = shift {
            let at = at % offsets.len();
            offsets[at] = offsets[at].saturating_add_signed(by);
        }
        for (i, mut entry) in tensors.into_iter().enumerate() {
            entry.insert("data_offsets".into(), json!(offsets[2 * i..][..2]));
            header.insert(format!("tensor {i}"), entry.into());
        }
        if let Some(metadata) = metadata {
            header.insert("__metadata__".into(), metadata);
        }
        let text = Value::from(header).to_string() + &" ".repeat(padding);
        agree(&file(&text, offsets[offsets.len() - 1] as usize));
    }

    #[test]
    fn damaged_files_are_accepted_and_read_alike(
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = file(WHOLE, 30);
        let at = place.index(bytes.len());
        bytes[at] = byte;
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        agree(&bytes);
    }
}

const WHOLE: &str = r#"{"__metadata__":{"made":"here"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"I16","shape":[3],"data_offsets":[24,30]}}"#;

#[test]
fn files_by_hand_are_accepted_and_read_alike() {
    assert!(agree(&file(WHOLE, 30)));
    let entry = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    // Tensors of no elements, and six bits three times.
    assert!(agree(&file(&entry("F64", "[0]", "[0,0]"), 0)));
    assert!(agree(&file(
        &entry("F64", "[4611686018427387904,0]", "[0,0]"),
        0
    )));
    assert!(agree(&file(&entry("F6_E2M3", "[4]", "[0,3]"), 3)));
    assert!(!agree(&file(&entry("F6_E2M3", "[3]", "[0,2]"), 2)));
    assert!(agree(&file("{}", 0)));
    assert!(!agree(&file("{}", 1)));
    assert!(!agree(&file("[]", 0)));
    assert!(!agree(&file("{} {}", 0)));
    assert!(!agree(&file("", 0)));
    assert!(!agree(&file(&"[".repeat(4096), 0)));
    assert!(!agree(&file(&entry("U8", "[1]", "[0,1,2]"), 1)));
    assert!(!agree(&file(&entry("U8", "[1]", "[0]"), 1)));
    assert!(!agree(&file(r#"{"a":1}"#, 0)));
    // Two tensors of one name: the last one counts.
    let twice = r#"{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    assert!(agree(&file(twice, 1)));
    // The length of a header of invalid UTF-8, and one beyond the file.
    assert!(!agree(b"\x02\0\0\0\0\0\0\0{\xFF"));
    assert!(!agree(&100_000_001u64.to_le_bytes()));
}
