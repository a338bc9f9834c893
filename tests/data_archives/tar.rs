//! The archives in tar format.

use super::*;

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
