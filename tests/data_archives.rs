//! The official archives, read in place, and fetched by a stand-in for curl.

mod files;

use files::*;
use std::fs;
use std::path::Path;
use wavemix::Error;
use wavemix::data::{Part, Place, Source, Split};

const BALANCED: Source = Source::Emnist(Split::Balanced);

fn message<T>(result: Result<T, Error>) -> String {
    result.err().map_or("no error".into(), |e| e.to_string())
}

/// EMNIST's archive made small: 3 images of 2 x 2, the members gzipped as in the real one.
fn emnist_zip() -> Vec<u8> {
    let images = gzip(&idx_images(3, 2, 2, &(0..12).collect::<Vec<_>>()));
    let labels = gzip(&idx_labels(&[0, 10, 46]));
    let mapping: String =
        Split::Balanced.classes().iter().enumerate().map(|(i, c)| format!("{i} {}\n", c.as_bytes()[0])).collect();
    zip(&[
        ("gzip/emnist-balanced-train-images-idx3-ubyte.gz", images.clone()),
        ("gzip/emnist-balanced-train-labels-idx1-ubyte.gz", labels.clone()),
        ("gzip/emnist-balanced-test-images-idx3-ubyte.gz", images),
        ("gzip/emnist-balanced-test-labels-idx1-ubyte.gz", labels),
        ("gzip/emnist-balanced-mapping.txt", mapping.into_bytes()),
    ])
}

fn cifar_tar() -> Vec<u8> {
    let mut members = vec![("cifar-10-batches-bin/readme.html", b"<p>".to_vec())];
    let names: Vec<String> = (1..=5).map(|i| format!("cifar-10-batches-bin/data_batch_{i}.bin")).collect();
    members.extend(names.iter().map(|name| (name.as_str(), cifar(&[&[1], &[2]]))));
    members.push(("cifar-10-batches-bin/test_batch.bin", cifar(&[&[9]])));
    members.push(("cifar-10-batches-bin/batches.meta.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n".to_vec()));
    tar(&members)
}

#[test]
fn emnist_is_read_out_of_its_zip() {
    let folder = Folder::new("zip");
    let path = folder.write("EMNIST/raw/gzip.zip", &emnist_zip());
    assert_eq!(BALANCED.locate(folder.path(), Part::Both).unwrap(), Some(Place::Archive(path.clone())));
    for dir in [folder.path(), path.parent().unwrap(), &path] {
        let pair = BALANCED.load(dir).unwrap();
        assert_eq!((pair.train.len(), pair.test.labels), (3, vec![0, 10, 46]));
        assert_eq!((pair.train.image(0), pair.train.classes[46].as_str()), (&[0, 2, 1, 3][..], "t"));
    }
    let said = message(Source::Emnist(Split::Digits).load(folder.path()));
    assert_eq!(said, format!("{}: holds no emnist-digits-train-images-idx3-ubyte", path.display()));
}

#[test]
fn damaged_zips_are_told_apart() {
    let folder = Folder::new("bad-zip");
    let path = folder.path().join("gzip.zip");
    let inside = path.join("gzip/emnist-balanced-train-images-idx3-ubyte.gz").display().to_string();
    let archive = path.display().to_string();
    let good = emnist_zip();
    let load = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        folder.write("gzip.zip", &bytes);
        message(BALANCED.load(folder.path()))
    };
    // The directory starts at the first PK\1\2, and its first entry is the deflated training images.
    let entry = good.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let end = good.len() - 22;
    assert_eq!(load(&|_| ()), "no error");
    assert_eq!(load(&|b| b.truncate(b.len() - 1)), format!("{archive}: broken zip: no end record"));
    assert_eq!(load(&|b| b.truncate(5)), format!("{archive}: broken zip: no end record"));
    assert_eq!(load(&|b| b[end + 15] = 1), format!("{archive}: broken zip: its directory lies outside the file"));
    assert_eq!(load(&|b| b[end + 10] = 6), format!("{archive}: broken zip: its directory ends early"));
    assert_eq!(load(&|b| b[end + 10..end + 12].fill(0xFF)), format!("{archive}: broken zip: zip64 is not read"));
    assert_eq!(load(&|b| b[entry + 8] = 1), format!("{inside}: broken zip member: it is encrypted"));
    let method = format!("{inside}: broken zip member: compression method 9; only stored and deflate are read");
    assert_eq!(load(&|b| b[entry + 10] = 9), method);
    assert_eq!(load(&|b| b[entry + 16] ^= 1), format!("{inside}: broken zip member: its checksum is wrong"));
    assert_eq!(load(&|b| b[entry + 42] = 1), format!("{inside}: broken zip member: no header where the directory says"));
    let size = u32::from_le_bytes(good[entry + 24..entry + 28].try_into().unwrap());
    let other = format!("{inside}: broken zip member: it unpacks to another size than the {} bytes it promises", size - 1);
    assert_eq!(load(&|b| b[entry + 24] -= 1), other);
    let stored = u32::from_le_bytes(good[entry + 20..entry + 24].try_into().unwrap());
    let bomb = format!("{inside}: broken zip member: {stored} bytes cannot unpack to the {} it promises", size | 0x7F00_0000);
    assert_eq!(load(&|b| b[entry + 27] = 0x7F), bomb);
    let outside = load(&|b| b[entry + 23] = 0x7F);
    assert!(outside.starts_with(&format!("{archive}: broken zip: bytes ")), "{outside}");
}

#[test]
fn cifar_is_read_out_of_its_tar() {
    let folder = Folder::new("tar");
    folder.write("cifar-10-binary.tar.gz", &gzip(&cifar_tar()));
    let pair = Source::Cifar10.load(folder.path()).unwrap();
    assert_eq!((pair.train.len(), pair.test.labels), (10, vec![9]));
    assert_eq!(pair.train.classes.concat(), "abcdefghij");
    let hundred =
        [("cifar-100-binary/train.bin", cifar(&[&[0, 7], &[19, 99]])), ("cifar-100-binary/test.bin", cifar(&[&[1, 2]]))];
    folder.write("cifar-100-binary.tar.gz", &gzip(&tar(&hundred)));
    let pair = Source::Cifar100.load(folder.path()).unwrap();
    assert_eq!((pair.train.labels, pair.test.labels), (vec![7, 99], vec![2]));
    assert_eq!(pair.train.classes[99], "worm");
}

#[test]
fn damaged_tars_are_told_apart() {
    let folder = Folder::new("bad-tar");
    let path = folder.path().join("cifar-10-binary.tar.gz").display().to_string();
    let good = cifar_tar();
    let load = |bytes: &[u8]| {
        folder.write("cifar-10-binary.tar.gz", bytes);
        message(Source::Cifar10.load(folder.path()))
    };
    assert!(load(&good).starts_with(&format!("{path}: broken gzip: ")));
    let packed = gzip(&good);
    assert!(load(&packed[..packed.len() / 2]).starts_with(&format!("{path}: broken gzip: ")));
    assert_eq!(load(&gzip(&good[..good.len() - 1024])), format!("{path}: broken tar: it ends without an end record"));
    let member = "cifar-10-batches-bin/data_batch_1.bin";
    let cut = format!("{path}/{member}: broken tar: the archive ends inside this member");
    assert_eq!(load(&gzip(&good[..2048])), cut);
    let mut wrong = good.clone();
    wrong[0] ^= 1;
    assert_eq!(load(&gzip(&wrong)), format!("{path}: broken tar: the checksum of a header is wrong"));
    let sized = |digits: &[u8]| {
        let mut bytes = good.clone();
        // The second header, that of the first batch, at 1024.
        let header = &mut bytes[1024..1536];
        header[124..124 + digits.len()].copy_from_slice(digits);
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&b| u32::from(b)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        load(&gzip(&bytes))
    };
    assert_eq!(sized(b"x"), format!("{path}: broken tar: a size is not an octal number"));
    let huge = sized(b"77777777777");
    let most = 1032 * fs::metadata(&path).unwrap().len();
    let promise = format!("{path}/{member}: broken tar: promises 8589934591 bytes, the archive can hold at most {most}");
    assert_eq!(huge, promise);
    let without: Vec<(&str, Vec<u8>)> = vec![("cifar-10-batches-bin/test_batch.bin", cifar(&[&[1]]))];
    assert_eq!(load(&gzip(&tar(&without))), format!("{path}: holds no data_batch_1.bin"));
}

#[cfg(unix)]
mod download {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::{Mutex, MutexGuard};
    use wavemix::data::Downloader;
    use wavemix::data::download::Remote;

    /// Held while a stand-in is written and run: a process that another test starts meanwhile would hold the script open
    /// for writing, and the system runs no file that is.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    /// A stand-in that "serves" the file `served` beside it: it resumes as curl does and logs its arguments.
    const CURL: &str = "#!/bin/sh\nhere=$(dirname \"$0\")\necho \"$*\" >> \"$here/log\"\n\
        case \"$6\" in http://down/*) exit 22;; esac\n\
        touch \"$5\"\nhave=$(wc -c < \"$5\")\ntail -c +$((have + 1)) \"$here/served\" >> \"$5\"\n";

    const REMOTE: Remote = Remote {
        file: "sub/hello.txt",
        bases: &["http://down/", "http://up/"],
        sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", // of "hello"
        bytes: 5,
    };

    fn stand_in(folder: &Folder, name: &str, script: &str, served: &str) -> (Downloader, MutexGuard<'static, ()>) {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
        let path = folder.write(&format!("bin/{name}"), script.as_bytes());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        folder.write("bin/served", served.as_bytes());
        (Downloader::new(Some(folder.path().join("bin").into_os_string())), alone)
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
        let calls = format!("-fL -C - -o {part} http://down/hello.txt\n-fL -C - -o {part} http://up/hello.txt\n");
        assert_eq!(log(&folder), calls);
        downloader.fetch(&REMOTE, &data).unwrap();
        assert_eq!(log(&folder), calls);
    }

    #[test]
    fn goes_on_where_it_stopped() {
        let folder = Folder::new("resume");
        // Served are other first bytes than those at hand: only resuming gives the right sum.
        let (downloader, alone) = stand_in(&folder, "curl", CURL, "XXXlo");
        folder.write("sub/hello.txt.part", b"hel");
        downloader.fetch(&REMOTE, folder.path()).unwrap();
        assert_eq!(fs::read(folder.path().join("sub/hello.txt")).unwrap(), b"hello");
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
        assert_eq!(log(&folder), format!("-c -O {} http://down/hello.txt\n", part.display()));
        assert!(folder.path().join("sub/hello.txt").is_file());
    }

    #[test]
    fn a_wrong_checksum_leaves_nothing() {
        let folder = Folder::new("sum");
        let said = message(stand_in(&folder, "curl", CURL, "jello").0.fetch(&REMOTE, folder.path()));
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
        let said = message(stand_in(&folder, "curl", script, "").0.fetch(&REMOTE, folder.path()));
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
        wavemix::data::default_folder_from(|name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into()))
    };
    let all = &[("WAVEMIX_DATA", "/a"), ("XDG_CACHE_HOME", "/b"), ("HOME", "/c")];
    assert_eq!(find(all).unwrap(), Path::new("/a"));
    assert_eq!(find(&all[1..]).unwrap(), Path::new("/b/wavemix/datasets"));
    assert_eq!(find(&[("XDG_CACHE_HOME", ""), ("HOME", "/c")]).unwrap(), Path::new("/c/.cache/wavemix/datasets"));
    let said = message(find(&[]));
    assert_eq!(said, "no place for data sets: none of WAVEMIX_DATA, XDG_CACHE_HOME and HOME is set");
}
