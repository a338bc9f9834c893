//! Pickles as Python and NumPy write them, and programs that are no such thing.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Pickles by NumPy 1.26 and 2: 32 bytes from 200 on in two rows, labels 7 and 1000.
const SEEDS: [(&str, &[u8]); 6] = [
    ("protocol2", include_bytes!("../seeds/pickle/protocol2")),
    (
        "protocol2_python2",
        include_bytes!("../seeds/pickle/protocol2_python2"),
    ),
    ("protocol3", include_bytes!("../seeds/pickle/protocol3")),
    ("protocol4", include_bytes!("../seeds/pickle/protocol4")),
    (
        "protocol4_numpy2",
        include_bytes!("../seeds/pickle/protocol4_numpy2"),
    ),
    (
        "labels_array",
        include_bytes!("../seeds/pickle/labels_array"),
    ),
];

/// What Python's pickler writes in protocol 3.
#[derive(Default)]
struct Pickler {
    out: Vec<u8>,
    memo: u8,
    /// Where `_reconstruct`, `ndarray`, `b'b'` and `dtype` are kept.
    kept: Option<[u8; 4]>,
}

impl Pickler {
    fn raw(&mut self, bytes: &[u8]) {
        self.out.extend(bytes);
    }

    /// Keeps what was written last; gives its number.
    fn put(&mut self) -> u8 {
        self.raw(&[b'q', self.memo]);
        self.memo += 1;
        self.memo - 1
    }

    fn text(&mut self, text: &str) {
        self.raw(b"X");
        self.raw(&(text.len() as u32).to_le_bytes());
        self.raw(text.as_bytes());
        self.put();
    }

    fn bytes(&mut self, bytes: &[u8]) -> u8 {
        match bytes.len() {
            size @ ..256 => self.raw(&[b'C', size as u8]),
            size => {
                self.raw(b"B");
                self.raw(&(size as u32).to_le_bytes());
            }
        }
        self.raw(bytes);
        self.put()
    }

    fn int(&mut self, n: usize) {
        match n {
            ..256 => self.raw(&[b'K', n as u8]),
            _ => self.raw(&[b'M', n as u8, (n >> 8) as u8]),
        }
    }

    /// A name that was kept before, or a new one.
    fn global(&mut self, kept: Option<u8>, name: &[u8]) -> u8 {
        match kept {
            Some(number) => {
                self.raw(&[b'h', number]);
                number
            }
            None => {
                self.raw(name);
                self.put()
            }
        }
    }

    fn array(&mut self, [order, kind]: [&str; 2], shape: &[usize], values: &[u8]) {
        let kept = self.kept;
        let of = |i: usize| kept.map(|kept| kept[i]);
        let made = self.global(of(0), b"cnumpy.core.multiarray\n_reconstruct\n");
        let class = self.global(of(1), b"cnumpy\nndarray\n");
        self.raw(b"K\0\x85");
        self.put();
        let letter = match of(2) {
            Some(number) => self.global(Some(number), b""),
            None => self.bytes(b"b"),
        };
        self.raw(b"\x87");
        self.put();
        self.raw(b"R");
        self.put();
        self.raw(b"(K\x01");
        shape.iter().for_each(|&size| self.int(size));
        self.raw(&[0x84 + shape.len() as u8]);
        self.put();
        let dtype = self.global(of(3), b"cnumpy\ndtype\n");
        self.kept = Some([made, class, letter, dtype]);
        self.text(kind);
        self.raw(b"\x89\x88\x87");
        self.put();
        self.raw(b"R");
        self.put();
        self.raw(b"(K\x03");
        self.text(order);
        self.raw(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0t");
        self.put();
        self.raw(b"b\x89");
        self.bytes(values);
        self.raw(b"t");
        self.put();
        self.raw(b"b");
    }

    fn list(&mut self, values: &[i64]) {
        self.raw(b"]");
        self.put();
        for part in values.chunks(1000) {
            let one = part.len() == 1;
            self.raw(if one { b"" } else { b"(" });
            part.iter().for_each(|&value| self.int(value as usize));
            self.raw(if one { b"a" } else { b"e" });
        }
    }
}

/// A file of images: rows of so many bytes, and labels, and where there is one, the mean.
pub fn pickled(data: &[u8], columns: usize, labels: &[i64], mean: Option<&[f64]>) -> Vec<u8> {
    let mut pickler = Pickler::default();
    pickler.raw(b"\x80\x03}");
    pickler.put();
    pickler.raw(b"(");
    pickler.text("data");
    pickler.array(["|", "u1"], &[data.len() / columns, columns], data);
    pickler.text("labels");
    pickler.list(labels);
    if let Some(mean) = mean {
        let values: Vec<u8> = mean.iter().flat_map(|x| x.to_le_bytes()).collect();
        pickler.text("mean");
        pickler.array(["<", "f8"], &[mean.len()], &values);
    }
    pickler.raw(b"u.");
    pickler.out
}

/// The tests' writer writes what Python does, byte for byte.
#[test]
fn pickles_of_the_tests_are_pythons() {
    let data: Vec<u8> = (200..232).collect();
    let own = pickled(&data, 16, &[7, 1000], Some(&[0.5, 1.5]));
    assert_eq!(own, SEEDS[2].1);
}

/// What is said of a test set that is this pickle.
fn said(bytes: &[u8]) -> String {
    // Tests run beside one another.
    static FOLDERS: AtomicUsize = AtomicUsize::new(0);
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let folder = Folder::new(&format!("imagenet64-pickles-{number}"));
    imagenet64::write_set(&folder, ["", ""], "", "");
    folder.write("val_data", bytes);
    let dir = folder.path().display().to_string();
    message(Source::ImageNet64.open(folder.path(), None)).replace(&dir, "DIR")
}

/// Read as far as to find that the arrays are none of the set's.
#[test]
fn every_protocol_is_read() {
    for (name, bytes) in SEEDS {
        assert_eq!(
            said(bytes),
            "DIR/val_data/data: is [2, 16] of `|u1`, expected [n, 12288] of bytes",
            "{name}"
        );
    }
}

#[test]
fn arrays_and_lists_of_other_kinds_are_told_apart() {
    let good = pickled(&[0; 12_288], 12_288, &[1], None);
    assert_eq!(said(&good), "no error");
    let replaced = |old: &[u8], new: &[u8]| {
        let at = good.windows(old.len()).position(|w| w == old).unwrap();
        said(&[&good[..at], new, &good[at + old.len()..]].concat())
    };
    assert_eq!(
        replaced(b"data", b"date"),
        "DIR/val_data: holds no item `data`"
    );
    assert_eq!(
        replaced(b"u1", b"i1"),
        "DIR/val_data/data: is [1, 12288] of `|i1`, expected [n, 12288] of bytes"
    );
    assert_eq!(
        replaced(b"K\x01M\x00\x30", b"K\x02M\x00\x30"),
        "DIR/val_data/data: has 12288 bytes, which are not [2, 12288] values"
    );
    assert_eq!(
        said(&pickled(&[0; 12_288], 12_288, &[1, 2], None)),
        "DIR/val_data: holds 2 labels, but 1 images"
    );
    assert_eq!(
        said(&pickled(&[0; 12_288], 12_288, &[0], None)),
        "DIR/val_data: label 0 of image 0 is not within 1..=1000"
    );
    // Columns first, as Fortran has them.
    assert_eq!(
        replaced(b"b\x89", b"b\x88"),
        "DIR/val_data: its item `data` is no array that is stored rows first"
    );
    // A list of something else.
    assert_eq!(
        replaced(b"K\x01a", b"Na"),
        "DIR/val_data: its item `labels` is a list of other things than integers"
    );
}

/// Programs that Python would run, or that would never end, or fill the memory.
#[test]
fn hostile_pickles_are_refused() {
    let broken = |program: &[u8], what: &str, at: usize| {
        let want = format!("DIR/val_data: broken or foreign pickle: {what}, at byte {at}");
        let got = said(program);
        assert_eq!(got, want, "{}", program.escape_ascii());
    };
    // os.system("echo"), by name, in the two ways that names are written.
    let asks = "it names `posix.system`, which is not allowed; nothing was called";
    broken(b"\x80\x02cposix\nsystem\nX\x04\0\0\0echo\x85R.", asks, 2);
    broken(
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04echo\x85R.",
        asks,
        17,
    );
    let asks = "it names `builtins.eval`, which is not allowed; nothing was called";
    broken(b"\x80\x03}X\x04\0\0\0datacbuiltins\neval\n", asks, 12);
    // Classes of its own, objects outside of the file, extensions, instances of old.
    for (program, opcode) in [
        (&b"\x80\x03}\x81."[..], 0x81),
        (b"\x80\x03P1\n.", 0x50),
        (b"\x80\x03\x82\x01.", 0x82),
        (b"\x80\x03(ios\nsystem\n.", 0x69),
        (b"\x80\x03(o.", 0x6f),
        (b"\x80\x03F1.5\n.", 0x46),
    ] {
        let at = 2 + usize::from(matches!(program[2], b'}' | b'('));
        let what = format!("opcode {opcode:#04x}, which is none of those that are read");
        broken(program, &what, at);
    }
    broken(b"\x80\x05}.", "protocol 5; 2, 3 and 4 are read", 0);
    broken(
        b"not a pickle",
        "opcode 0x6e, which is none of those that are read",
        0,
    );
    // Values that hold themselves: a list, a dictionary, a dictionary through a tuple.
    let cyclic = "a value holds itself, or changes once another holds it";
    broken(b"\x80\x02]q\0h\0a.", cyclic, 7);
    broken(b"\x80\x02}q\0X\x01\0\0\0ah\0s.", cyclic, 13);
    broken(b"\x80\x02}q\0X\x01\0\0\0ah\0\x85s.", cyclic, 14);
    // Two lists that hold each other.
    broken(b"\x80\x02]q\0]q\x01h\0ah\0h\x01a.", cyclic, 15);
    // More bytes than there are.
    broken(
        b"\x80\x03B\xff\xff\xff\xff.",
        "4294967295 bytes are promised where 1 are left",
        2,
    );
    let huge = b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.";
    broken(
        huge,
        "9223372036854775807 bytes are promised where 1 are left",
        2,
    );
    broken(b"\x80\x03}(K", "the file ends", 4);
    broken(b"", "the file ends", 0);
    broken(b"\x80\x02\x8a\x09123456789.", "a number of 9 bytes", 2);
    // A stack that is empty, or whose values lie under a mark.
    broken(b"\x80\x02q\0.", "the stack is empty", 2);
    broken(b"\x80\x02}(a.", "the stack is empty", 4);
    broken(b"\x80\x02e.", "no mark is on the stack", 2);
    broken(b"\x80\x02h\x07.", "nothing is kept as number 7", 2);
    broken(b"\x80\x02}(K\x01u.", "a key without a value", 6);
    broken(b"\x80\x02}K\x01b.", "a state of something that has none", 5);
    broken(
        b"\x80\x02K\x01K\x02R.",
        "something is called that is no function",
        6,
    );
    let endless = [&b"\x80\x02}"[..], &vec![b'('; 1 << 20]].concat();
    broken(
        &endless,
        "it takes more than 1048576 steps",
        3 + (1 << 20) - 3,
    );
    let long = [&b"\x80\x02c"[..], &[b'x'; 600]].concat();
    let what = format!("it names `{}..`, which is not allowed", "x".repeat(24));
    broken(&long, &what, 2);
    for other in [&b"\x80\x02]."[..], b"\x80\x02cnumpy\ndtype\n)R."] {
        assert_eq!(
            said(other),
            "DIR/val_data: broken or foreign pickle: it holds something other than a dictionary"
        );
    }
}

/// A pickle that is cut anywhere is an error, and none is a panic.
#[test]
fn truncated_pickles_are_refused() {
    let whole = pickled(&[3; 12_288], 12_288, &[1], Some(&[0.5]));
    let folder = Folder::new("imagenet64-cut");
    imagenet64::write_set(&folder, ["", ""], "", "");
    for size in (0..300).chain(whole.len() - 300..whole.len()) {
        folder.write("val_data", &whole[..size]);
        let said = message(Source::ImageNet64.open(folder.path(), None));
        assert!(said.contains("broken or foreign pickle"), "{size}: {said}");
    }
}
