//! The official archives, read in place, and fetched by a stand-in for curl.

mod files;

use files::*;
use std::fs;
use std::path::Path;
use wavemix::Error;
use wavemix::data::{Part, Place, Source, Split, idx};

const BALANCED: Source = Source::Emnist(Split::Balanced);

fn message<T>(result: Result<T, Error>) -> String {
    result.err().map_or("no error".into(), |e| e.to_string())
}

/// EMNIST's archive made small: 3 images of 2 x 2, the members gzipped as in the real one.
fn emnist_zip() -> Vec<u8> {
    zip(&emnist_members()
        .each_ref()
        .map(|(name, bytes)| (*name, bytes.clone())))
}

fn emnist_members() -> [(&'static str, Vec<u8>); 5] {
    let images = gzip(&idx_images(3, 2, 2, &(0..12).collect::<Vec<_>>()));
    let labels = gzip(&idx_labels(&[0, 10, 46]));
    let mapping: String = Split::Balanced
        .classes()
        .iter()
        .enumerate()
        .map(|(i, c)| format!("{i} {}\n", c.as_bytes()[0]))
        .collect();
    [
        (
            "gzip/emnist-balanced-train-images-idx3-ubyte.gz",
            images.clone(),
        ),
        (
            "gzip/emnist-balanced-train-labels-idx1-ubyte.gz",
            labels.clone(),
        ),
        ("gzip/emnist-balanced-test-images-idx3-ubyte.gz", images),
        ("gzip/emnist-balanced-test-labels-idx1-ubyte.gz", labels),
        ("gzip/emnist-balanced-mapping.txt", mapping.into_bytes()),
    ]
}

fn cifar_tar() -> Vec<u8> {
    let mut members = vec![("cifar-10-batches-bin/readme.html", b"<p>".to_vec())];
    let names: Vec<String> = (1..=5)
        .map(|i| format!("cifar-10-batches-bin/data_batch_{i}.bin"))
        .collect();
    members.extend(
        names
            .iter()
            .map(|name| (name.as_str(), cifar(&[&[1], &[2]]))),
    );
    members.push(("cifar-10-batches-bin/test_batch.bin", cifar(&[&[9]])));
    members.push((
        "cifar-10-batches-bin/batches.meta.txt",
        b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n".to_vec(),
    ));
    tar(&members)
}

#[test]
fn emnist_is_read_out_of_its_zip() {
    let folder = Folder::new("zip");
    let path = folder.write("EMNIST/raw/gzip.zip", &emnist_zip());
    assert_eq!(
        BALANCED.locate(folder.path(), Part::Both).unwrap(),
        Some(Place::Archive(path.clone()))
    );
    for dir in [folder.path(), path.parent().unwrap(), &path] {
        let pair = BALANCED.load(dir).unwrap();
        assert_eq!((pair.train.len(), pair.test.labels), (3, vec![0, 10, 46]));
        assert_eq!(
            (pair.train.image(0), pair.train.classes[46].as_str()),
            (&[0, 2, 1, 3][..], "t")
        );
    }
    let said = message(Source::Emnist(Split::Digits).load(folder.path()));
    assert_eq!(
        said,
        format!(
            "{}: holds no emnist-digits-train-images-idx3-ubyte",
            path.display()
        )
    );
}

#[test]
fn damaged_zips_are_told_apart() {
    let folder = Folder::new("bad-zip");
    let path = folder.path().join("gzip.zip");
    let inside = path
        .join("gzip/emnist-balanced-train-images-idx3-ubyte.gz")
        .display()
        .to_string();
    let archive = path.display().to_string();
    let good = emnist_zip();
    let load = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        folder.write("gzip.zip", &bytes);
        message(BALANCED.load(folder.path()))
    };
    // The directory starts at the first PK\1\2, and its first entry is the deflated training
    // images.
    let entry = good.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let end = good.len() - 22;
    assert_eq!(load(&|_| ()), "no error");
    assert_eq!(
        load(&|b| b.truncate(b.len() - 1)),
        format!("{archive}: broken zip: no end record")
    );
    assert_eq!(
        load(&|b| b.truncate(5)),
        format!("{archive}: broken zip: no end record")
    );
    assert_eq!(
        load(&|b| b[end + 15] = 1),
        format!("{archive}: broken zip: its directory lies outside the file")
    );
    assert_eq!(
        load(&|b| b[end + 10] = 6),
        format!("{archive}: broken zip: its directory ends early")
    );
    assert_eq!(
        load(&|b| b[end + 10..end + 12].fill(0xFF)),
        format!("{archive}: broken zip: its directory ends early")
    );
    assert_eq!(
        load(&|b| b[entry + 8] = 1),
        format!("{inside}: broken zip member: it is encrypted")
    );
    let method = format!(
        "{inside}: broken zip member: compression method 9; only stored and deflate are read"
    );
    assert_eq!(load(&|b| b[entry + 10] = 9), method);
    assert_eq!(
        load(&|b| b[entry + 16] ^= 1),
        format!("{inside}: broken zip member: its checksum is wrong")
    );
    assert_eq!(
        load(&|b| b[entry + 42] = 1),
        format!("{inside}: broken zip member: no header where the directory says")
    );
    let size = u32::from_le_bytes(good[entry + 24..entry + 28].try_into().unwrap());
    let other = format!(
        "{inside}: broken zip member: it unpacks to another size than the {} bytes it promises",
        size - 1
    );
    assert_eq!(load(&|b| b[entry + 24] -= 1), other);
    let stored = u32::from_le_bytes(good[entry + 20..entry + 24].try_into().unwrap());
    let bomb = format!(
        "{inside}: broken zip member: {stored} bytes cannot unpack to the {} it promises",
        size | 0x7F00_0000
    );
    assert_eq!(load(&|b| b[entry + 27] = 0x7F), bomb);
    let outside = load(&|b| b[entry + 23] = 0x7F);
    assert!(
        outside.starts_with(&format!("{archive}: broken zip: bytes ")),
        "{outside}"
    );
}

#[test]
fn zip64_and_backslashes_are_read() {
    let folder = Folder::new("zip64");
    let members = emnist_members();
    let good = zip64(&members);
    let load = |bytes: &[u8]| {
        folder.write("gzip.zip", bytes);
        BALANCED.load(folder.path()).map(|pair| {
            (
                pair.train.len(),
                pair.test.labels,
                pair.train.classes[46].clone(),
            )
        })
    };
    let want = (3, vec![0, 10, 46], "t".to_owned());
    assert_eq!(load(&good).unwrap(), want);
    let windows = members.each_ref().map(|(name, _)| name.replace('/', "\\"));
    let windows: Vec<(&str, Vec<u8>)> = windows
        .iter()
        .zip(&members)
        .map(|(name, (_, bytes))| (&**name, bytes.clone()))
        .collect();
    assert_eq!(load(&zip(&windows)).unwrap(), want);
    assert_eq!(load(&zip64(&windows)).unwrap(), want);

    let archive = folder.path().join("gzip.zip").display().to_string();
    let said = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        message(load(&bytes))
    };
    let (record, locator) = (good.len() - 22 - 20 - 56, good.len() - 22 - 20);
    let nowhere = format!("{archive}: broken zip: no zip64 end record where its locator says");
    assert_eq!(said(&|b| b[locator + 8] ^= 1), nowhere);
    let outside = said(&|b| b[locator + 15] = 0xFF);
    assert!(
        outside.starts_with(&format!("{archive}: broken zip: bytes ")),
        "{outside}"
    );
    for start in [0x7F, 0xFF] {
        let outside = format!("{archive}: broken zip: its directory lies outside the file");
        assert_eq!(said(&|b| b[record + 55] = start), outside);
    }
    assert_eq!(
        said(&|b| b[record + 39] = 0xFF),
        format!("{archive}: broken zip: its directory ends early")
    );
    // The kind of the extra field of the first entry: 46 bytes of it, its name, nine of another
    // field.
    let entry = good.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let kind = entry + 46 + members[0].0.len() + 9;
    assert_eq!(good[kind..kind + 4], [1, 0, 24, 0]);
    assert_eq!(
        said(&|b| b[kind] = 2),
        format!("{archive}: broken zip: an entry lacks its zip64 sizes")
    );
    let far = said(&|b| b[kind + 4 + 23] = 0xFF);
    assert!(
        far.starts_with(&format!("{archive}: broken zip: bytes ")),
        "{far}"
    );
}

#[test]
fn zeros_behind_the_last_gzip_member_are_passed_over() {
    let folder = Folder::new("zeros");
    let images = idx_images(2, 3, 2, &(0..12).collect::<Vec<_>>());
    // One member, or two that share the content.
    for packed in [
        gzip(&images),
        [gzip(&images[..20]), gzip(&images[20..])].concat(),
    ] {
        for zeros in [0, 1, 7, 511, 100_000] {
            let padded = [&packed[..], &vec![0; zeros]].concat();
            let read = idx::images(Path::new("x"), padded.clone()).unwrap();
            assert_eq!(
                (read.count, read.pixels),
                (2, images[16..].to_vec()),
                "{zeros} zeros"
            );
            let said = message(idx::images(Path::new("x"), [&padded[..], b"?"].concat()));
            assert!(
                said.starts_with("x: broken gzip: "),
                "{zeros} zeros, then another byte: {said}"
            );
        }
    }
    let tar = cifar_tar();
    for packed in [
        gzip(&tar),
        [gzip(&tar[..3000]), gzip(&tar[3000..])].concat(),
    ] {
        folder.write(
            "cifar-10-binary.tar.gz",
            &[packed, vec![0; 100_000]].concat(),
        );
        assert_eq!(Source::Cifar10.load(folder.path()).unwrap().train.len(), 10);
    }
}

#[test]
fn long_names_in_a_tar_are_read() {
    let folder = Folder::new("long-names");
    let deep = format!(
        "{}/cifar-10-batches-bin",
        "a-folder-with-quite-a-name/".repeat(12)
    );
    let pax = |key: &str, value: &str| {
        // A line's length counts its own digits.
        let rest = key.len() + value.len() + 3;
        let length = (rest..).find(|n| n.to_string().len() + rest == *n).unwrap();
        format!("{length} {key}={value}\n")
    };
    // GNU: the name, then a header with what fits of it. An @LongLink of a link's target changes
    // nothing.
    let gnu = |name: &str, bytes: &[u8]| {
        let long = [name.as_bytes(), &[0]].concat();
        let link = tar_member("././@LongLink", b'K', b"a/target\0");
        [
            tar_member("././@LongLink", b'L', &long),
            link,
            tar_member(&name[..99], b'0', bytes),
        ]
        .concat()
    };
    // POSIX: lines, the path among them; lines about all files stand first.
    let posix = |name: &str, bytes: &[u8]| {
        let lines = pax("mtime", "1700000000.5") + &pax("path", name) + &pax("comment", "a = b");
        let all = tar_member(
            "pax_global_header",
            b'g',
            pax("comment", "of all").as_bytes(),
        );
        [
            all,
            tar_member("PaxHeaders/x", b'x', lines.as_bytes()),
            tar_member("cut-off", b'0', bytes),
        ]
        .concat()
    };
    // The size too may stand there, or as a number of 256 bits.
    let sized = |name: &str, bytes: &[u8]| {
        let lines = pax("path", name) + &pax("size", &bytes.len().to_string());
        let mut member = tar_member("cut-off", b'0', bytes);
        member[124..136].copy_from_slice(b"00000000000\0");
        seal(&mut member[..512]);
        [tar_member("PaxHeaders/x", b'x', lines.as_bytes()), member].concat()
    };
    let binary = |name: &str, bytes: &[u8]| {
        let mut member = gnu(name, bytes);
        let header = member.len() - bytes.len().next_multiple_of(512) - 512;
        member[header + 124..header + 136].fill(0);
        member[header + 124] = 0x80;
        member[header + 128..header + 136].copy_from_slice(&(bytes.len() as u64).to_be_bytes());
        seal(&mut member[header..header + 512]);
        member
    };
    let kinds: [(&str, &dyn Fn(&str, &[u8]) -> Vec<u8>); 4] = [
        ("gnu", &gnu),
        ("pax", &posix),
        ("size", &sized),
        ("binary", &binary),
    ];
    for (kind, member) in kinds {
        let mut archive = Vec::new();
        for i in 1..=5 {
            archive.extend(member(
                &format!("{deep}/data_batch_{i}.bin"),
                &cifar(&[&[i], &[2]]),
            ));
        }
        archive.extend(member(&format!("{deep}/test_batch.bin"), &cifar(&[&[9]])));
        archive.extend([0; 1024]);
        folder.write("cifar-10-binary.tar.gz", &gzip(&archive));
        let pair = Source::Cifar10
            .load(folder.path())
            .unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert_eq!(
            (pair.train.labels, pair.test.labels),
            (vec![1, 2, 2, 2, 3, 2, 4, 2, 5, 2], vec![9]),
            "{kind}"
        );
    }
    // In GNU's own format the place of POSIX's prefix holds times.
    let mut archive = cifar_tar();
    let header = archive
        .windows(20)
        .position(|w| w == b"cifar-10-batches-bin")
        .unwrap();
    archive[header + 257..header + 265].copy_from_slice(b"ustar  \0");
    archive[header + 345..header + 357].copy_from_slice(b"14000000000\0");
    seal(&mut archive[header..header + 512]);
    folder.write("cifar-10-binary.tar.gz", &gzip(&archive));
    assert_eq!(Source::Cifar10.load(folder.path()).unwrap().train.len(), 10);

    let path = folder
        .path()
        .join("cifar-10-binary.tar.gz")
        .display()
        .to_string();
    let load = |bytes: &[u8]| {
        folder.write("cifar-10-binary.tar.gz", &gzip(bytes));
        message(Source::Cifar10.load(folder.path()))
    };
    assert_eq!(
        load(&tar_member("x", b'L', &[b'a'; 600])[..1024]),
        format!("{path}: broken tar: it ends inside a long name")
    );
    let huge = load(&tar_member("x", b'x', &vec![b'a'; (1 << 20) + 1]));
    assert_eq!(
        huge,
        format!("{path}: broken tar: 1048577 bytes of a name; 1048576 are read")
    );
    for broken in [
        "5 ",
        "0 path=x\n",
        "99 path=x\n",
        "18446744073709551616 path=x\n",
        "path",
        "\u{e9} \u{e9}",
    ] {
        let archive = [
            tar_member("x", b'x', broken.as_bytes()),
            tar_member("y", b'0', b""),
            vec![0; 1024],
        ]
        .concat();
        assert_eq!(
            load(&archive),
            format!("{path}: holds no data_batch_1.bin"),
            "{broken}"
        );
    }
}

#[test]
fn a_tar_without_its_gzip_is_read() {
    // Safari unpacks the gzip of what it fetches, and takes `.gz` off the name; other programs
    // leave it there.
    for name in ["cifar-10-binary.tar", "cifar-10-binary.tar.gz"] {
        let folder = Folder::new("plain-tar");
        let path = folder.write(name, &cifar_tar());
        for dir in [folder.path(), &path] {
            assert_eq!(
                Source::Cifar10.load(dir).unwrap().test.labels,
                [9],
                "{}",
                dir.display()
            );
        }
    }
}

/// Kaggle's archive of MNIST holds each file twice: under a name with a dot, and in a folder of its
/// own name.
#[test]
fn an_archive_of_any_name_can_be_given() {
    let (images, labels) = (idx_images(3, 2, 2, &[7; 12]), idx_labels(&[0, 1, 2]));
    let names = ["train-images", "train-labels", "t10k-images", "t10k-labels"];
    let bytes = |name: &str| {
        if name.ends_with("images") {
            images.clone()
        } else {
            labels.clone()
        }
    };
    let kind = |name: &str| {
        if name.ends_with("images") {
            "idx3-ubyte"
        } else {
            "idx1-ubyte"
        }
    };
    let dotted = names.map(|name| (format!("{name}.{}", kind(name)), bytes(name)));
    let nested = names.map(|name| (format!("{name}-{0}/{name}-{0}", kind(name)), bytes(name)));
    for members in [dotted.to_vec(), nested.to_vec(), [dotted, nested].concat()] {
        let members: Vec<(&str, Vec<u8>)> = members
            .iter()
            .map(|(name, bytes)| (&**name, bytes.clone()))
            .collect();
        let folder = Folder::new("kaggle");
        for path in [
            folder.write("archive.zip", &zip(&members)),
            folder.write("archive.tgz", &gzip(&tar(&members))),
        ] {
            assert_eq!(
                Source::Mnist.load(&path).unwrap().test.labels,
                [0, 1, 2],
                "{}",
                path.display()
            );
            assert_eq!(Source::FashionMnist.load(&path).unwrap().train.len(), 3);
        }
    }
}

#[test]
fn cifar_is_read_out_of_its_tar() {
    let folder = Folder::new("tar");
    folder.write("cifar-10-binary.tar.gz", &gzip(&cifar_tar()));
    let pair = Source::Cifar10.load(folder.path()).unwrap();
    assert_eq!((pair.train.len(), pair.test.labels), (10, vec![9]));
    assert_eq!(pair.train.classes.concat(), "abcdefghij");
    let hundred = [
        ("cifar-100-binary/train.bin", cifar(&[&[0, 7], &[19, 99]])),
        ("cifar-100-binary/test.bin", cifar(&[&[1, 2]])),
    ];
    folder.write("cifar-100-binary.tar.gz", &gzip(&tar(&hundred)));
    let pair = Source::Cifar100.load(folder.path()).unwrap();
    assert_eq!(
        (pair.train.labels, pair.test.labels),
        (vec![7, 99], vec![2])
    );
    assert_eq!(pair.train.classes[99], "worm");
}

#[test]
fn damaged_tars_are_told_apart() {
    let folder = Folder::new("bad-tar");
    let path = folder
        .path()
        .join("cifar-10-binary.tar.gz")
        .display()
        .to_string();
    let good = cifar_tar();
    let load = |bytes: &[u8]| {
        folder.write("cifar-10-binary.tar.gz", bytes);
        message(Source::Cifar10.load(folder.path()))
    };
    assert!(load(b"<html>").starts_with(&format!("{path}: broken gzip: ")));
    let packed = gzip(&good);
    assert!(load(&packed[..packed.len() / 2]).starts_with(&format!("{path}: broken gzip: ")));
    assert_eq!(
        load(&gzip(&good[..good.len() - 1024])),
        format!("{path}: broken tar: it ends without an end record")
    );
    let member = "cifar-10-batches-bin/data_batch_1.bin";
    let cut = format!("{path}/{member}: broken tar: the archive ends inside this member");
    assert_eq!(load(&gzip(&good[..2048])), cut);
    let mut wrong = good.clone();
    wrong[0] ^= 1;
    assert_eq!(
        load(&gzip(&wrong)),
        format!("{path}: broken tar: the checksum of a header is wrong")
    );
    let sized = |digits: &[u8]| {
        let mut bytes = good.clone();
        // The second header, that of the first batch, at 1024.
        let header = &mut bytes[1024..1536];
        header[124..124 + digits.len()].copy_from_slice(digits);
        seal(header);
        load(&gzip(&bytes))
    };
    assert_eq!(
        sized(b"x"),
        format!("{path}: broken tar: a size is not an octal number")
    );
    let huge = sized(b"77777777777");
    let most = 1032 * fs::metadata(&path).unwrap().len();
    let promise = format!(
        "{path}/{member}: broken tar: promises 8589934591 bytes, the archive can hold at most {most}"
    );
    assert_eq!(huge, promise);
    let without: Vec<(&str, Vec<u8>)> =
        vec![("cifar-10-batches-bin/test_batch.bin", cifar(&[&[1]]))];
    assert_eq!(
        load(&gzip(&tar(&without))),
        format!("{path}: holds no data_batch_1.bin")
    );
}

#[cfg(all(unix, feature = "download"))]
mod download {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::{Mutex, MutexGuard};
    use wavemix::data::{Downloader, Remote};

    /// Held while a stand-in is written and run: a process that another test starts meanwhile would
    /// hold the script open for writing, and the system runs no file that is.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    /// A stand-in that "serves" the file `served` beside it: it resumes as curl does and logs its
    /// arguments.
    const CURL: &str = "#!/bin/sh\nhere=$(dirname \"$0\")\necho \"$*\" >> \"$here/log\"\n\
        case \"$6\" in http://down/*) exit 22;; esac\n\
        touch \"$5\"\nhave=$(wc -c < \"$5\")\ntail -c +$((have + 1)) \"$here/served\" >> \"$5\"\n";

    const REMOTE: Remote = Remote {
        file: "sub/hello.txt",
        bases: &["http://down/", "http://up/"],
        sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", // of "hello"
        bytes: 5,
    };

    fn stand_in(
        folder: &Folder,
        name: &str,
        script: &str,
        served: &str,
    ) -> (Downloader, MutexGuard<'static, ()>) {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
        let path = folder.write(&format!("bin/{name}"), script.as_bytes());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        folder.write("bin/served", served.as_bytes());
        (
            Downloader::new(Some(folder.path().join("bin").into_os_string())),
            alone,
        )
    }

    fn log(folder: &Folder) -> String {
        fs::read_to_string(folder.path().join("bin/log")).unwrap_or_default()
    }

    #[test]
    fn fetches_from_the_mirror_that_answers_and_only_once() {
        let folder = Folder::new("fetch");
        let (downloader, _alone) = stand_in(&folder, "curl", CURL, "hello");
        let data = folder.path().join("data");
        downloader.fetch(&REMOTE, &data).unwrap();
        assert_eq!(fs::read(data.join("sub/hello.txt")).unwrap(), b"hello");
        let part = data.join("sub/hello.txt.part");
        assert!(!part.exists());
        let part = part.display();
        let calls = format!(
            "-fL -C - -o {part} http://down/hello.txt\n-fL -C - -o {part} http://up/hello.txt\n"
        );
        assert_eq!(log(&folder), calls);
        downloader.fetch(&REMOTE, &data).unwrap();
        assert_eq!(log(&folder), calls);
    }

    #[test]
    fn of_those_who_fetch_at_once_one_does_and_the_others_wait() {
        let folder = Folder::new("at-once");
        let slow = CURL.replace("touch", "sleep 0.2\ntouch");
        let (downloader, _alone) = stand_in(&folder, "curl", &slow, "hello");
        let data = folder.path().join("data");
        std::thread::scope(|scope| {
            let fetches: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| downloader.fetch(&REMOTE, &data)))
                .collect();
            fetches
                .into_iter()
                .for_each(|fetch| fetch.join().unwrap().unwrap());
        });
        assert_eq!(fs::read(data.join("sub/hello.txt")).unwrap(), b"hello");
        assert_eq!(
            log(&folder).lines().count(),
            2,
            "one asked both servers: {}",
            log(&folder)
        );
    }

    #[test]
    fn goes_on_where_it_stopped() {
        let folder = Folder::new("resume");
        // Served are other first bytes than those at hand: only resuming gives the right sum.
        let (downloader, alone) = stand_in(&folder, "curl", CURL, "XXXlo");
        folder.write("sub/hello.txt.part", b"hel");
        downloader.fetch(&REMOTE, folder.path()).unwrap();
        assert_eq!(
            fs::read(folder.path().join("sub/hello.txt")).unwrap(),
            b"hello"
        );
        drop(alone);
        // A part that is too long can only be wrong, and is begun anew.
        let folder = Folder::new("long");
        let (downloader, alone) = stand_in(&folder, "curl", CURL, "hello");
        folder.write("sub/hello.txt.part", b"hello, hello");
        downloader.fetch(&REMOTE, folder.path()).unwrap();
        drop(alone);
        // A part that is whole is checked and renamed, without a call.
        let folder = Folder::new("whole");
        let (downloader, _alone) = stand_in(&folder, "curl", CURL, "");
        folder.write("sub/hello.txt.part", b"hello");
        downloader.fetch(&REMOTE, folder.path()).unwrap();
        assert_eq!(log(&folder), "");
    }

    #[test]
    fn wget_serves_where_curl_is_missing() {
        let folder = Folder::new("wget");
        let script = "#!/bin/sh\nhere=$(dirname \"$0\")\necho \"$*\" >> \"$here/log\"\ncp \"$here/served\" \"$3\"\n";
        let (downloader, _alone) = stand_in(&folder, "wget", script, "hello");
        downloader.fetch(&REMOTE, folder.path()).unwrap();
        let part = folder.path().join("sub/hello.txt.part");
        assert_eq!(
            log(&folder),
            format!("-c -O {} http://down/hello.txt\n", part.display())
        );
        assert!(folder.path().join("sub/hello.txt").is_file());
    }

    #[test]
    fn a_wrong_checksum_leaves_nothing() {
        let folder = Folder::new("sum");
        let said = message(
            stand_in(&folder, "curl", CURL, "jello")
                .0
                .fetch(&REMOTE, folder.path()),
        );
        let file = folder.path().join("sub/hello.txt");
        let wrong = "187c9bceeb919e1b3e6d20fa50ecabf7d9d50b5343e8f9a3d912abb13929102e";
        let expected = format!(
            "{}: what http://down/hello.txt or http://up/hello.txt sent has SHA-256 {wrong}, expected {}; it was removed",
            file.display(),
            REMOTE.sha256
        );
        assert_eq!(said, expected);
        assert_eq!(fs::read_dir(folder.path().join("sub")).unwrap().count(), 0);
    }

    #[test]
    fn a_failure_keeps_what_came() {
        let folder = Folder::new("fail");
        let script = "#!/bin/sh\nprintf he > \"$5\"\nexit 18\n";
        let said = message(
            stand_in(&folder, "curl", script, "")
                .0
                .fetch(&REMOTE, folder.path()),
        );
        let file = folder.path().join("sub/hello.txt").display().to_string();
        let expected = format!(
            "{file}: was not fetched:\n  http://down/hello.txt: curl ended with exit status: 18\n  \
             http://up/hello.txt: curl ended with exit status: 18\n2 bytes are in {file}.part; try again to go on from there, or \
             remove it to begin anew"
        );
        assert_eq!(said, expected);
        assert!(!Path::new(&file).exists());
    }

    #[test]
    fn without_a_program_it_says_how_to_do_it_by_hand() {
        let folder = Folder::new("none");
        let nobody = Downloader::new(Some(folder.path().as_os_str().to_owned()));
        let said = message(BALANCED.download(folder.path(), &nobody));
        let expected = format!(
            "neither curl nor wget was found; fetch https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip by any means, as with\n  \
             curl -fL -o {}/gzip.zip https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip\nand compare its SHA-256 with\n  \
             fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
            folder.path().display()
        );
        assert_eq!(said, expected);
    }

    #[test]
    fn every_remote_lands_where_it_is_looked_for() {
        for source in Source::all() {
            let folder = Folder::new(&format!("lands-{source}"));
            for remote in source.remotes() {
                folder.write(remote.file, b"");
                assert_eq!(remote.sha256.len(), 64);
            }
            let place = source.locate(folder.path(), Part::Both).unwrap();
            assert!(place.is_some(), "{source}");
        }
    }
}

#[test]
fn the_default_folder_follows_the_environment() {
    let find = |set: &'static [(&str, &str)]| {
        wavemix::data::default_folder_from(|name| {
            set.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| value.into())
        })
    };
    let all = &[
        ("WAVEMIX_DATA", "/a"),
        ("XDG_CACHE_HOME", "/b"),
        ("HOME", "/c"),
    ];
    assert_eq!(find(all).unwrap(), Path::new("/a"));
    assert_eq!(find(&all[1..]).unwrap(), Path::new("/b/wavemix/datasets"));
    assert_eq!(
        find(&[("XDG_CACHE_HOME", ""), ("HOME", "/c")]).unwrap(),
        Path::new("/c/.cache/wavemix/datasets")
    );
    let said = message(find(&[]));
    assert_eq!(
        said,
        "no place for data sets: none of WAVEMIX_DATA, XDG_CACHE_HOME and HOME is set"
    );
}
