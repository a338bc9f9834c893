//! Damaged files, failed writes and training states: old or new, never half.

use super::*;

#[test]
fn damaged_files_are_errors() {
    let mut bytes = Vec::new();
    let file = TensorFile {
        tensors: weights::to_file(&model(DType::F32, 1)).unwrap(),
        ..Default::default()
    };
    file.write_to(&mut bytes).unwrap();
    let of = |bytes: &[u8]| message(TensorFile::from_bytes("x", bytes), Path::new("x"));
    for length in 0..bytes.len() {
        assert!(
            of(&bytes[..length]).starts_with("not a whole safetensors file: "),
            "cut at {length}"
        );
    }
    assert_eq!(of(b""), "not a whole safetensors file: header too small");
    assert_eq!(
        of(&bytes[..100]),
        "not a whole safetensors file: invalid header length"
    );
    let cut = &bytes[..bytes.len() - 1];
    assert_eq!(
        of(cut),
        "not a whole safetensors file: incomplete metadata, file not fully covered"
    );
    assert_eq!(
        of(&[0xff; 64]),
        "not a whole safetensors file: header too large"
    );
    let header = |json: &str| [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat();
    assert!(
        of(&header("{]")).starts_with("not a whole safetensors file: invalid JSON in header: ")
    );
    let huge =
        header(r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]}}"#);
    assert_eq!(
        of(&huge),
        "not a whole safetensors file: overflow computing buffer size from shape and/or element type"
    );
    let hole = [
        header(r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#),
        vec![0; 2],
    ]
    .concat();
    assert_eq!(
        of(&hole),
        "not a whole safetensors file: invalid offset for tensor `a`"
    );
    let integer = [
        header(r#"{"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}"#),
        vec![0; 4],
    ]
    .concat();
    assert_eq!(
        of(&integer),
        "tensor `a`: elements of type I32; this crate has f32, f64, bf16, f16, u8, i64"
    );
    let deep = [
        header(r#"{"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1],"data_offsets":[0,1]}}"#),
        vec![0],
    ]
    .concat();
    assert_eq!(
        of(&deep),
        "tensor `a`: a shape has at most 6 dimensions, got 7"
    );
    let absent = Path::new("no/such/file.safetensors");
    assert_starts(
        &weights::load(absent, &mut model(DType::F32, 1))
            .unwrap_err()
            .to_string(),
        "cannot read no/such/file.safetensors: ",
    );
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let folder = Folder::new("atomic");
    let path = folder.file("config.json");
    write_atomic(&path, |out| out.write_all(b"old")).unwrap();
    let fails = |out: &mut dyn Write| {
        out.write_all(&vec![b'n'; 3 << 20])?;
        Err(io::Error::new(io::ErrorKind::StorageFull, "no space left"))
    };
    let error = write_atomic(&path, fails).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("cannot write {}: no space left", path.display())
    );
    assert_eq!(
        (fs::read(&path).unwrap(), folder.names()),
        (b"old".to_vec(), vec!["config.json".to_owned()])
    );
    write_atomic(&path, |out| out.write_all(b"new")).unwrap();
    assert_eq!(
        (fs::read(&path).unwrap(), folder.names()),
        (b"new".to_vec(), vec!["config.json".to_owned()])
    );
    let error = write_atomic(folder.file("absent/x"), |_| Ok(()))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot write ") && error.contains("absent/x: "),
        "{error}"
    );
    let folder_in_the_way = folder.file("taken");
    fs::create_dir(&folder_in_the_way).unwrap();
    fs::write(folder_in_the_way.join("x"), "").unwrap();
    assert!(write_atomic(&folder_in_the_way, |out| out.write_all(b"new")).is_err());
    assert_eq!(folder.names(), ["config.json", "taken"]);
}

/// The system itself refuses: a child process may write files of some kilobytes only. Told so, it
/// ends with an error; killed by the signal in the middle of writing, it ends at once. Both times
/// the old state is whole.
#[cfg(unix)]
#[test]
fn a_full_disk_and_a_kill_leave_the_old_state_whole() {
    let (key, name) = (
        "WAVEMIX_TEST_LIMITED_FILE",
        "damage::a_full_disk_and_a_kill_leave_the_old_state_whole",
    );
    let state = |epoch: u64| {
        let mut state = State::new();
        state.put("epoch", epoch);
        state.put_section(
            "weights",
            [(
                "w".to_owned(),
                Tensor::full([100_000], epoch as f64, DType::F32),
            )],
        );
        state
    };
    if let Ok(path) = std::env::var(key) {
        assert_starts(
            &state(2).write(&path).unwrap_err().to_string(),
            &format!("cannot write {path}: "),
        );
        assert!(!Path::new(&format!("{path}.tmp")).exists());
        return;
    }
    let folder = Folder::new("limited");
    let path = folder.file("state.safetensors");
    state(1).write(&path).unwrap();
    for (told, prelude) in [(true, "trap '' XFSZ"), (false, "ulimit -c 0")] {
        let script = format!("{prelude}; ulimit -f 16; exec \"$0\" --exact {name}");
        let mut child = Command::new("sh");
        child
            .args(["-c", &script])
            .arg(std::env::current_exe().unwrap())
            .env(key, &path);
        assert_eq!(
            child.output().unwrap().status.success(),
            told,
            "told: {told}"
        );
        let old = State::read(&path).unwrap();
        assert_eq!(
            (
                old.get::<u64>("epoch").unwrap(),
                old.section("weights").unwrap()["w"].elements()
            ),
            (1, 100_000)
        );
        assert_eq!(
            folder.file("state.safetensors.tmp").exists(),
            !told,
            "a killed process cannot clear up"
        );
    }
    state(3).write(&path).unwrap();
    assert_eq!(
        (
            State::read(&path).unwrap().get::<u64>("epoch").unwrap(),
            folder.names().len()
        ),
        (3, 1)
    );
}

#[test]
fn a_training_state_comes_back_exactly() {
    let folder = Folder::new("state");
    let path = folder.file("state.safetensors");
    let mut state = State::new();
    let best = 0.1f64 + 0.2;
    state.put("epoch", 7);
    state.put("seed", u64::MAX);
    state.put("best", best);
    state.put("phase", "adamw");
    let params = model(DType::F32, 1);
    state.put_section("weights", weights::to_file(&params).unwrap());
    state.put_section("weights_best", [("a".to_owned(), Tensor::scalar(1i64))]);
    state.write(&path).unwrap();
    let copy = State::read(&path).unwrap();
    assert_eq!(
        (
            copy.get::<u32>("epoch").unwrap(),
            copy.get::<u64>("seed").unwrap()
        ),
        (7, u64::MAX)
    );
    assert_eq!(copy.get::<f64>("best").unwrap().to_bits(), best.to_bits());
    assert_eq!(copy.get::<String>("phase").unwrap(), "adamw");
    let mut loaded = model(DType::F32, 2);
    assert!(
        weights::from_file(&mut loaded, &copy.section("weights").unwrap())
            .unwrap()
            .is_exact()
    );
    assert_eq!(values(&loaded), values(&params));
    assert_eq!(copy.section("weights_best").unwrap().len(), 1);
    assert!(
        copy.has("best")
            && !copy.has("worst")
            && copy.has_section("weights")
            && !copy.has_section("weight")
    );
    assert!(copy.to_bytes().unwrap() == fs::read(&path).unwrap());

    assert_eq!(
        message(copy.get::<u64>("step"), &path),
        "the training state lacks `step`"
    );
    assert_eq!(
        message(copy.get::<u64>("phase"), &path),
        "the training state's `phase` is `adamw`, not of type u64"
    );
    assert_eq!(
        message(copy.section("ema"), &path),
        "the training state has no tensors in section `ema`"
    );
}

#[test]
fn states_of_other_formats_are_refused() {
    let with = |format: Option<&str>| {
        let mut file = TensorFile::default();
        file.metadata
            .extend(format.map(|format| ("format".to_owned(), format.to_owned())));
        let mut bytes = Vec::new();
        file.write_to(&mut bytes).unwrap();
        message(State::from_bytes("s", &bytes), Path::new("s"))
    };
    assert_eq!(
        with(Some("2")),
        "a training state of format `2`; this version reads `1`"
    );
    assert_eq!(
        with(Some("pt")),
        "a training state of format `pt`; this version reads `1`"
    );
    assert_eq!(with(None), "not a training state: it names no format");
    assert_eq!(
        message(State::from_bytes("s", b"{}"), Path::new("s")),
        "not a whole safetensors file: header too small"
    );
}
