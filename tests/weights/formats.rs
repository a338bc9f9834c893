//! Other types, and files of other programs: what fits is read, what does not is named.

use super::*;

#[test]
fn weights_that_do_not_fit_are_listed_and_nothing_is_written() {
    let folder = Folder::new("misfit");
    let path = folder.file("model.safetensors");
    let mut tensors = weights::to_file(&model(DType::F32, 1)).unwrap();
    tensors.remove("norm.running_mean");
    tensors.insert(
        "conv.weight".into(),
        Tensor::zeros([2, 1, 2, 3], DType::F32),
    );
    tensors.insert("norm.num_batches_tracked".into(), Tensor::scalar(1.0f32));
    tensors.insert("head.weight".into(), Tensor::zeros([4, 3], DType::U8));
    tensors.insert("head.bias".into(), Tensor::zeros([4], DType::F32));
    TensorFile {
        tensors: tensors.clone(),
        ..Default::default()
    }
    .write(&path)
    .unwrap();
    let mut params = model(DType::F32, 2);
    let expected = "the weights do not fit the model: 1 missing (norm.running_mean); 1 unknown (head.bias); \
        1 of another shape (conv.weight should be [2, 3, 1, 2], is [2, 1, 2, 3]); \
        2 of another type (head.weight should be f32, is u8, norm.num_batches_tracked should be i64, is f32)";
    assert_eq!(message(weights::load(&path, &mut params), &path), expected);
    assert_eq!(values(&params), values(&model(DType::F32, 2)));

    for i in 0..12 {
        tensors.insert(format!("x{i:02}"), Tensor::scalar(0.0));
    }
    let fit = weights::from_file(&mut params, &tensors).unwrap();
    let expected = "13 unknown (head.bias, x00, x01, x02, x03, x04, x05, x06, x07, x08, ...); ";
    assert!(fit.to_string().contains(expected), "{fit}");
    assert_eq!(
        weights::Fit::default().to_string(),
        "the weights fit the model"
    );
}

#[test]
fn what_matches_can_be_loaded_alone() {
    let folder = Folder::new("matching");
    let path = folder.file("model.safetensors");
    let trained = model(DType::F32, 1);
    let mut tensors = weights::to_file(&trained).unwrap();
    tensors.insert("head.weight".into(), Tensor::zeros([9, 3], DType::F32));
    TensorFile {
        tensors,
        ..Default::default()
    }
    .write(&path)
    .unwrap();
    let mut params = model(DType::F32, 2);
    let fit = weights::load_matching(&path, &mut params).unwrap();
    assert_eq!(
        fit.to_string(),
        "loaded 3 of 4; left as they were: head.weight ([4, 3] here, [9, 3] in the file)"
    );
    assert_eq!(
        fit.loaded,
        [
            "conv.weight",
            "norm.running_mean",
            "norm.num_batches_tracked"
        ]
    );
    let of = |params: &Params, name| params.get(name).unwrap().to_vec::<f32>().unwrap();
    assert_eq!(of(&params, "conv.weight"), of(&trained, "conv.weight"));
    assert_eq!(
        of(&params, "head.weight"),
        of(&model(DType::F32, 2), "head.weight")
    );
    assert_eq!(values(&params).2, values(&trained).2);
}

/// The bytes of a file with more tensors than the model asks for, in dtypes and of a rank that this
/// crate has not; each of one element. `weight` is the dtype and shape of `head.weight`.
fn file_of_other_types(
    tensors: &BTreeMap<String, Tensor>,
    weight: Option<(&str, [usize; 2])>,
) -> Vec<u8> {
    let mut header = serde_json::Map::from_iter([(
        "__metadata__".to_owned(),
        serde_json::json!({ "made": "elsewhere" }),
    )]);
    let mut data = Vec::new();
    let mut put = |name: &str, dtype: &str, shape: &[usize], bytes: &[u8]| {
        let offsets = [data.len(), data.len() + bytes.len()];
        header.insert(
            name.to_owned(),
            serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets }),
        );
        data.extend_from_slice(bytes);
    };
    for (name, tensor) in tensors {
        let bytes = match tensor.dtype() {
            DType::I64 => tensor
                .to_vec::<i64>()
                .unwrap()
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect::<Vec<u8>>(),
            _ => tensor
                .to_vec::<f32>()
                .unwrap()
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect(),
        };
        put(
            name,
            if tensor.dtype() == DType::I64 {
                "I64"
            } else {
                "F32"
            },
            tensor.shape(),
            &bytes,
        );
    }
    if let Some((dtype, shape)) = weight {
        put(
            "head.weight",
            dtype,
            &shape,
            &vec![0; 4 * shape[0] * shape[1]],
        );
    }
    for (name, dtype, bytes) in [
        ("a.mask", "BOOL", 1),
        ("a.index", "I32", 4),
        ("a.scale", "F8_E8M0", 1),
        ("a.eighth", "F8_E4M3", 1),
    ] {
        put(name, dtype, &[1], &[1; 4][..bytes]);
    }
    put("a.deep", "F32", &[1; 7], &[0; 4]);
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

#[test]
fn tensors_that_nobody_asks_for_may_be_of_any_dtype_and_rank() {
    let folder = Folder::new("others");
    let path = folder.file("model.safetensors");
    let unused = "a.deep, a.eighth, a.index, a.mask, a.scale";
    for dtype in [DType::F32, DType::F64] {
        let trained = model(DType::F32, 1);
        let all = weights::to_file(&trained).unwrap();
        fs::write(&path, file_of_other_types(&all, None)).unwrap();
        let mut params = model(dtype, 2);
        assert_eq!(
            weights::load_matching(&path, &mut params)
                .unwrap()
                .to_string(),
            format!("loaded 4 of 4; not used: {unused}")
        );
        assert_eq!(values(&params), values(&trained));
        assert_eq!(weights::read_metadata(&path).unwrap()["made"], "elsewhere");
        // Where all must fit, they are unknown names like others.
        let error = message(weights::load(&path, &mut params), &path);
        assert_eq!(
            error,
            format!("the weights do not fit the model: 5 unknown ({unused})")
        );

        // A name of the model in a form that cannot be read stays as it was.
        let mut rest = all.clone();
        rest.remove("head.weight");
        for (weight, why) in [
            (
                Some(("I32", [4, 3])),
                format!("head.weight ({dtype} here, i32 in the file)"),
            ),
            (
                Some(("U32", [9, 3])),
                "head.weight ([4, 3] here, [9, 3] in the file)".to_owned(),
            ),
            (None, "head.weight (not in the file)".to_owned()),
        ] {
            fs::write(&path, file_of_other_types(&rest, weight)).unwrap();
            let mut params = model(dtype, 2);
            let matching = weights::load_matching(&path, &mut params).unwrap();
            assert_eq!(
                matching.to_string(),
                format!("loaded 3 of 4; left as they were: {why}; not used: {unused}")
            );
            let of = |params: &Params| {
                params
                    .get("head.weight")
                    .unwrap()
                    .cast(DType::F64)
                    .unwrap()
                    .to_vec::<f64>()
                    .unwrap()
            };
            assert_eq!(of(&params), of(&model(dtype, 2)));
        }
    }
}

#[test]
fn files_of_other_formats_are_named() {
    let of = |bytes: &[u8]| message(TensorFile::from_bytes("x", bytes), Path::new("x"));
    // Protocol 4, with a frame.
    assert_eq!(
        of(b"\x80\x04\x95\x8b\x01\0\0\0\0\0\0}"),
        "not a safetensors file but a Python pickle that torch.save did not write: \
         write the state dict with torch.save"
    );
    let pointer = of(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n");
    assert_eq!(
        pointer,
        "not a safetensors file but a pointer of Git LFS: fetch the file itself with git lfs pull"
    );
    // A header of 640 bytes that is cut short begins as a pickle does.
    assert_eq!(
        of(b"\x80\x02\0\0\0\0\0\0{\"a\""),
        "not a whole safetensors file: invalid header length"
    );
}
