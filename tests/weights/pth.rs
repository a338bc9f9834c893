//! Files of `torch.save`: what PyTorch wrote is read to the bits of a safetensors file of the same
//! tensors, and what it did not write is refused.

use super::*;
use wavemix::models::Config;

/// Files that tests/files/pth.py made, and their twins.
const FILES: [(&str, &str); 3] = [
    ("zip.pth", "tensors.safetensors"),
    ("stream.pth", "tensors.safetensors"),
    ("checkpoint.pth", "checkpoint.safetensors"),
];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/files")
        .join(name)
}

/// All that a file holds, as this crate writes it.
fn written(path: &Path) -> Vec<u8> {
    let mut file = TensorFile::read(path).unwrap();
    file.metadata.clear();
    let mut bytes = Vec::new();
    file.write_to(&mut bytes).unwrap();
    bytes
}

#[test]
fn every_form_is_read_to_the_bits_of_its_twin() {
    for (name, twin) in FILES {
        assert!(written(&path(name)) == written(&path(twin)), "{name}");
    }
    let tensors = TensorFile::read(path("zip.pth")).unwrap().tensors;
    assert_eq!(tensors.len(), 16);
    assert_eq!(tensors["scalar"].shape(), &Shape::from([]));
    assert_eq!(tensors["empty"].shape(), &Shape::from([0, 4]));
    let values = |name: &str| tensors[name].to_vec::<f32>().unwrap();
    assert_eq!(values("offset"), [8.0, 9.0, 10.0, 14.0, 15.0, 16.0]);
    assert_eq!(values("transposed")[..5], [0.0, 6.0, 12.0, 18.0, 1.0]);
    assert_eq!(values("expanded"), [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
    assert_eq!(tensors["bool"].to_vec::<u8>().unwrap(), [1, 0, 1]);
    let dtypes = ["f16", "bf16", "f32", "f64", "i64", "u8"];
    assert!(
        dtypes
            .iter()
            .all(|name| tensors[*name].dtype().to_string() == **name)
    );
}

/// The same with the PyTorch of this machine, where there is one.
#[test]
fn what_pytorch_writes_today_is_read_likewise() {
    let folder = Folder::new("pth");
    let python = std::env::var("WAVEMIX_PYTHON").unwrap_or_else(|_| "python3".into());
    let made = Command::new(&python)
        .arg(path("pth.py"))
        .arg(&folder.0)
        .output();
    match made {
        Ok(made) if made.status.success() => {}
        why => {
            let why = why.map_or_else(
                |e| e.to_string(),
                |made| String::from_utf8_lossy(&made.stderr).trim_end().to_owned(),
            );
            eprintln!("skipped: {python} has no torch, safetensors and wavemix: {why}");
            return;
        }
    }
    for (name, twin) in FILES {
        assert!(
            written(&folder.file(name)) == written(&folder.file(twin)),
            "{name}"
        );
    }
}

/// A checkpoint of the authors' package, its names behind `module.` and its optimizer beside it.
#[test]
fn the_authors_names_load_as_they_are() {
    let config = Config::parse("WaveMixLite-4/1").unwrap().with_outputs(2);
    let settings = [("ff", "2"), ("mult", "1"), ("stem", "patchify:4")];
    let with =
        |config: Config, (setting, value): (&str, &str)| config.with(setting, value).unwrap();
    let config = settings.into_iter().fold(config, with);
    let loaded = |name: &str| {
        let mut params = config.build(DType::F32, &Rng::new(0)).unwrap().1;
        weights::load(path(name), &mut params).unwrap();
        let tensors = weights::to_file(&params).unwrap();
        let mut bytes = Vec::new();
        let metadata = BTreeMap::new();
        TensorFile { tensors, metadata }
            .write_to(&mut bytes)
            .unwrap();
        bytes
    };
    assert!(loaded("checkpoint.pth") == loaded("checkpoint.safetensors"));
    let error = message(
        weights::load(path("zip.pth"), &mut model(DType::F32, 1)),
        &path("zip.pth"),
    );
    assert!(
        error.starts_with("the weights do not fit the model: 4 missing"),
        "{error}"
    );
    let error = wavemix::models::Saved::load(path("checkpoint.pth"), None).map(|_| ());
    assert_eq!(
        message(error, &path("checkpoint.pth")),
        "does not say which model its weights are of; the example `convert` writes a file that does"
    );
}

fn text(text: &str) -> Vec<u8> {
    [
        b"X",
        &(text.len() as u32).to_le_bytes()[..],
        text.as_bytes(),
    ]
    .concat()
}

fn int(number: i32) -> Vec<u8> {
    [b"J", &number.to_le_bytes()[..]].concat()
}

fn ints(numbers: &[i32]) -> Vec<u8> {
    let numbers: Vec<u8> = numbers.iter().flat_map(|&number| int(number)).collect();
    [b"(", &numbers[..], b"t"].concat()
}

/// A view of the storage `0` of six f32.
fn view(offset: i32, shape: &[i32], strides: &[i32]) -> Vec<u8> {
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((",
        &text("storage")[..],
        b"ctorch\nFloatStorage\n",
        &text("0"),
        &text("cpu"),
        &int(6),
        b"tQ",
        &int(offset),
        &ints(shape),
        &ints(strides),
        b"\x89ccollections\nOrderedDict\n)RtR",
    ]
    .concat()
}

/// A stream of this object, and of a storage `0` of six f32.
fn stream(object: &[u8]) -> Vec<u8> {
    let key = text("0");
    let parts: [&[u8]; 7] = [
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02",
        object,
        b".\x80\x02](",
        &key,
        b"e.",
        &6i64.to_le_bytes(),
        &[0; 24],
    ];
    parts.concat()
}

fn said(bytes: &[u8]) -> String {
    TensorFile::from_bytes("x", bytes).map_or_else(
        |error| error.to_string(),
        |file| format!("{:?}", file.tensors.keys().collect::<Vec<_>>()),
    )
}

/// What is said of a stream of `{"a": object}`.
fn said_of(object: &[u8]) -> String {
    said(&stream(&[b"}", &text("a")[..], object, b"s"].concat()))
}

#[test]
fn views_lie_within_their_storage() {
    assert_eq!(said_of(&view(0, &[2, 3], &[3, 1])), r#"["a"]"#);
    assert_eq!(said_of(&view(5, &[], &[])), r#"["a"]"#);
    assert_eq!(said_of(&view(1, &[5, 1], &[1, i32::MAX])), r#"["a"]"#);
    // Of nothing, anywhere.
    assert_eq!(said_of(&view(900, &[0, 7], &[7, 1])), r#"["a"]"#);
    let beyond = "x: tensor `a`: it reaches beyond its storage";
    assert_eq!(said_of(&view(6, &[], &[])), beyond);
    assert_eq!(said_of(&view(1, &[2, 3], &[3, 1])), beyond);
    assert_eq!(said_of(&view(0, &[2, 2], &[i32::MAX, 1])), beyond);
    let counts = "x: tensor `a`: sizes or strides that are no counts, or too many";
    assert_eq!(said_of(&view(-1, &[2], &[1])), counts);
    assert_eq!(said_of(&view(0, &[-2], &[1])), counts);
    assert_eq!(said_of(&view(5, &[2], &[-1])), counts);
    assert_eq!(said_of(&view(5, &[1; 65], &[1; 65])), counts);
    let shape = "x: tensor `a`: a shape that no memory holds, or with other strides";
    assert_eq!(said_of(&view(0, &[2, 3], &[1])), shape);
    assert_eq!(said_of(&view(0, &[i32::MAX; 3], &[0; 3])), shape);
    // A storage of one element that a view repeats, until no memory is left.
    let huge = view(0, &[i32::MAX, 64], &[0, 0]);
    let most = "x: tensor `a`: tensors take more than 16 times the file's bytes";
    assert_eq!(said_of(&huge), most);
    // The same tensor under a thousand names.
    let whole = [&view(0, &[6, 8], &[1, 0])[..], b"q\0"].concat();
    let mut object = [b"}", &text("a")[..], &whole, b"s"].concat();
    for name in 0..1000 {
        object.extend([&text(&name.to_string())[..], b"h\0s"].concat());
    }
    let error = said(&stream(&object));
    assert_starts(&error, "x: tensor `");
    assert!(
        error.ends_with("tensors take more than 16 times the file's bytes"),
        "{error}"
    );
}

#[test]
fn what_is_no_state_dict_is_told() {
    let nested = |names: &[&str]| {
        let open: Vec<u8> = names
            .iter()
            .flat_map(|name| [b"}", &text(name)[..]].concat())
            .collect();
        let tensor = [b"}", &text("a")[..], &view(0, &[6], &[1]), b"s"].concat();
        said(&stream(
            &[&open[..], &tensor, &b"s".repeat(names.len())].concat(),
        ))
    };
    assert_eq!(nested(&["state_dict"]), r#"["a"]"#);
    assert_eq!(
        nested(&["model", "net", "model_state_dict", "state_dict"]),
        r#"["a"]"#
    );
    assert_eq!(
        nested(&["ema"]),
        "x: holds no state dict under state_dict, model_state_dict, model, net, but ema"
    );
    assert_starts(&nested(&["model"; 5]), "x: holds no state dict under ");
    let list = [b"]", &view(0, &[6], &[1])[..], b"a"].concat();
    assert_eq!(said(&stream(&list)), "x: holds no state dict");
    assert_eq!(
        said(&stream(&view(0, &[6], &[1]))),
        "x: holds no state dict"
    );
    let none = [&view(0, &[6], &[1])[..], b"s", &text("b"), b"N"].concat();
    assert_eq!(said_of(&none), "x: tensor `b`: is no tensor");
    let keys = "x: a name in its state dict is no text, or a very long one";
    assert_eq!(
        said(&stream(
            &[b"}K\x01", &view(0, &[6], &[1])[..], b"s"].concat()
        )),
        keys
    );
    // Wrapped twice; wrapped in part.
    let two = |names: [&str; 2]| {
        let item = |name| [&text(name)[..], &view(0, &[6], &[1]), b"s"].concat();
        said(&stream(
            &[b"}", &item(names[0])[..], &item(names[1])].concat(),
        ))
    };
    assert_eq!(
        two(["module._orig_mod.a", "module._orig_mod.b"]),
        r#"["a", "b"]"#
    );
    assert_eq!(two(["module.a", "b"]), r#"["b", "module.a"]"#);
}

#[test]
fn hostile_objects_are_refused_and_nothing_is_called() {
    let hint = "torch.save(model.state_dict(), PATH) writes tensors alone";
    for (object, name, at) in [
        (
            &b"cposix\nsystem\nX\x04\0\0\0echo\x85R"[..],
            "posix.system",
            2,
        ),
        (b"c__main__\nNet\n)\x81", "__main__.Net", 2),
        (b"}X\x01\0\0\0acbuiltins\neval\n", "builtins.eval", 9),
    ] {
        let want = format!(
            "x: broken or foreign pickle: it names `{name}`, which is not allowed; nothing was called, at byte {at}; {hint}"
        );
        assert_eq!(said(&stream(object)), want);
    }
    let cyclic = said(&stream(b"}q\0X\x05\0\0\0modelh\0s"));
    assert_starts(
        &cyclic,
        "x: broken or foreign pickle: a value holds itself, or ",
    );
    let long = said(&stream(&b"(".repeat(1 << 20)));
    assert_starts(
        &long,
        "x: broken or foreign pickle: it takes more than 1048576 steps",
    );
    let promised = said(&stream(b"}X\xff\xff\xff\x7f"));
    assert_starts(
        &promised,
        "x: broken or foreign pickle: 2147483647 bytes are promised where ",
    );
    // Storages that are not those of the file.
    let whole = view(0, &[6], &[1]);
    let with = |old: &[u8], new: &[u8]| {
        let at = whole.windows(old.len()).position(|w| w == old).unwrap();
        said_of(&[&whole[..at], new, &whole[at + old.len()..]].concat())
    };
    assert_eq!(
        with(&int(6), &int(7)),
        "x: tensor `a`: 24 bytes of a storage of 7 elements"
    );
    assert_eq!(
        with(&text("0"), &text("1")),
        "x: it ends within its storage `0`"
    );
    assert_eq!(
        with(b"FloatStorage", b"LongStorage"),
        "x: it ends within its storage `0`"
    );
    let foreign = "x: has a storage that torch.save does not write";
    assert_eq!(with(&text("storage"), &text("module")), foreign);
    assert_eq!(with(b"ctorch\nFloatStorage\n", b"N"), foreign);
    assert_eq!(with(b"tQ", b"K\x01tQ"), foreign);
}

/// Each file, cut anywhere, and with a byte of it changed.
#[test]
fn damaged_files_of_torch_are_errors() {
    for (name, _) in FILES {
        let whole = fs::read(path(name)).unwrap();
        for length in (0..whole.len()).step_by(if name == "checkpoint.pth" { 17 } else { 1 }) {
            assert!(
                TensorFile::from_bytes("x", &whole[..length]).is_err(),
                "{name} cut at {length}"
            );
        }
    }
    let zip = fs::read(path("zip.pth")).unwrap();
    let find = |what: &[u8]| zip.windows(what.len()).position(|w| w == what).unwrap();
    let changed = |at: usize, bytes: &[u8]| {
        let mut zip = zip.clone();
        zip[at..at + bytes.len()].copy_from_slice(bytes);
        said(&zip)
    };
    let entry = |name: &str| {
        let name = [b"zip/", name.as_bytes()].concat();
        let mut places = (46..zip.len()).filter(|&at| zip[at..].starts_with(&name));
        let at = places.find(|at| zip[at - 46..].starts_with(b"PK\x01\x02"));
        at.unwrap() - 46
    };
    // The bits of 2.5, in the storage of `scalar`.
    assert_starts(
        &changed(find(&2.5f32.to_le_bytes()), &[1]),
        "x/zip/data/7: broken zip member: its checksum is wrong",
    );
    assert_eq!(
        changed(entry("data.pkl") + 10, &[8]),
        "x/zip/data.pkl: is compressed or encrypted; only stored members are read here"
    );
    assert_eq!(
        changed(entry("data.pkl") + 46, b"pip/data.pk2"),
        "x: a zip archive that torch.save did not write"
    );
    assert_eq!(
        changed(entry("data/7") + 46, b"zip/data/x"),
        "x: tensor `scalar`: its storage `7` is not in the file"
    );
    let mut big = zip.clone();
    let (order, place) = (find(b"little"), entry("byteorder"));
    big[order..order + 6].copy_from_slice(b"BIGBIG");
    let mut crc = flate2::Crc::new();
    crc.update(b"BIGBIG");
    big[place + 16..place + 20].copy_from_slice(&crc.sum().to_le_bytes());
    assert_eq!(said(&big), "x: its elements are not in little-endian order");
}
