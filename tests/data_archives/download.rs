//! Downloads, with a stand-in for curl.

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
fn a_set_that_is_not_fetched_says_where_it_is_published() {
    let folder = Folder::new("not-fetched");
    let nobody = Downloader::new(Some(folder.path().as_os_str().to_owned()));
    let said = message(Source::TinyImageNet.download(folder.path(), &nobody));
    let ending = "it is published at http://cs231n.stanford.edu/tiny-imagenet-200.zip";
    assert!(said.ends_with(ending), "{said}");
}

#[test]
fn every_remote_lands_where_it_is_looked_for() {
    let fetched = |source: &Source| !source.remotes().is_empty();
    assert_eq!(Source::all().into_iter().filter(fetched).count(), 14);
    for source in Source::all().into_iter().filter(fetched) {
        let folder = Folder::new(&format!("lands-{source}"));
        for remote in source.remotes() {
            folder.write(remote.file, b"");
            assert_eq!(remote.sha256.len(), 64);
        }
        let place = source.locate(folder.path(), Part::Both).unwrap();
        assert!(place.is_some(), "{source}");
    }
}
