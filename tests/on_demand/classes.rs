//! Sets with a folder for each class: Caltech-256, iNaturalist, Places365.

use super::*;

fn file(name: &str, tone: u8) -> (String, Vec<u8>) {
    (name.to_owned(), dot(tone))
}

/// Three classes of ten pictures each, and what is not read.
fn caltech() -> Files {
    let mut files: Files = vec![
        ("001.ak47/RENAME2".into(), b"#!/bin/sh".to_vec()),
        ("002.american-flag/more/002_0099.jpg".into(), dot(99)),
        ("003.backpack/notes.txt".into(), b"text".to_vec()),
    ];
    for (class, name) in ["001.ak47", "002.american-flag", "003.backpack"]
        .iter()
        .enumerate()
    {
        for i in 0..10 {
            let path = format!("{name}/{:03}_{:04}.jpg", class + 1, i + 1);
            files.push((path, dot((10 * class + i) as u8)));
        }
    }
    files
}

#[test]
fn caltech256_is_split_by_class() {
    let (packed, unpacked) = (Folder::new("caltech-tar"), Folder::new("caltech-folder"));
    let archived = within("256_ObjectCategories/", &caltech());
    packed.write("256_ObjectCategories.tar", &tar(&members(&archived)));
    write(&unpacked, "256_ObjectCategories/", &caltech());
    let mut both = Vec::new();
    for folder in [&packed, &unpacked] {
        let set = Source::Caltech256
            .open(folder.path(), Some([2, 2]))
            .unwrap();
        assert_eq!((set.train.len(), set.test.len()), (24, 6));
        assert_eq!(set.train.classes(), ["ak47", "american-flag", "backpack"]);
        let parts = samples(&set);
        for class in 0..3 {
            assert_eq!(
                parts[1].iter().filter(|(label, _)| *label == class).count(),
                2
            );
        }
        let mut tones: Vec<u8> = parts.iter().flatten().map(|(_, pixel)| pixel[0]).collect();
        assert!(
            parts
                .iter()
                .flatten()
                .all(|(label, pixel)| i64::from(pixel[0]) / 10 == *label)
        );
        tones.sort_unstable();
        assert_eq!(tones, (0..30).collect::<Vec<u8>>());
        both.push((parts, set.train.fingerprint()));
    }
    assert!(both[0] == both[1], "{:?}", both);
    // As many pictures, of which one has another name.
    let (name, _) = &caltech()[3];
    let old = unpacked.path().join("256_ObjectCategories").join(name);
    std::fs::rename(&old, old.with_file_name("another.jpg")).unwrap();
    let renamed = Source::Caltech256.open(unpacked.path(), Some([2, 2]));
    let prints = |set: wavemix::data::Datasets| [set.train, set.test].map(|set| set.fingerprint());
    let whole = Source::Caltech256.open(packed.path(), Some([2, 2]));
    let renamed = prints(renamed.unwrap());
    assert_ne!(renamed, prints(whole.unwrap()));
    // The same names with other pixels.
    for class in ["001.ak47", "002.american-flag", "003.backpack"] {
        let class = unpacked.path().join("256_ObjectCategories").join(class);
        let files = std::fs::read_dir(class)
            .unwrap()
            .map(|file| file.unwrap().path());
        for jpeg in files.filter(|file| file.extension().is_some_and(|ending| ending == "jpg")) {
            std::fs::write(jpeg, dot(200)).unwrap();
        }
    }
    let repainted = Source::Caltech256.open(unpacked.path(), Some([2, 2]));
    let repainted = prints(repainted.unwrap());
    assert!(repainted.iter().zip(&renamed).all(|(new, old)| new != old));
}

#[test]
fn caltech256_that_is_not_whole_is_named() {
    let folder = Folder::new("caltech-wrong");
    let mut files = caltech();
    files.retain(|(name, _)| !name.starts_with("002"));
    write(&folder, "", &files);
    let said = message(Source::Caltech256.open(folder.path(), None));
    assert!(
        said.ends_with("class 2 is missing: `003.backpack` stands there"),
        "{said}"
    );
    let folder = Folder::new("caltech-torn");
    let whole = tar(&members(&caltech()));
    for (end, what) in [
        (
            whole.len() - 1024,
            "broken tar: it ends without an end record",
        ),
        (
            whole.len() - 1024 - 500,
            "broken tar: the archive ends inside this member",
        ),
        (700, "broken tar: it ends without an end record"),
    ] {
        folder.write("256_ObjectCategories.tar", &whole[..end]);
        let said = message(Source::Caltech256.open(folder.path(), None));
        assert!(said.ends_with(what), "{end}: {said}");
    }
    folder.write("256_ObjectCategories.tar", &gzip(&whole));
    let said = message(Source::Caltech256.open(folder.path(), None));
    assert!(
        said.contains("256_ObjectCategories.tar: is compressed, so that nothing "),
        "{said}"
    );
    // What was there when the archive was opened is gone when a sample is asked for.
    folder.write("256_ObjectCategories.tar", &whole);
    let set = Source::Caltech256.open(folder.path(), None).unwrap();
    folder.write("256_ObjectCategories.tar", &whole[..700]);
    let said = message(set.train.sample(23));
    assert!(said.starts_with("cannot read "), "{said}");
}

const SPECIES: [&str; 2] = [
    "00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris",
    "00001_Animalia_Annelida_Polychaeta_Sabellida_Sabellidae_Sabella_spallanzanii",
];

#[test]
fn inaturalist_is_read_from_plain_tars_and_folders() {
    let train: Files = vec![
        file(&format!("{}/a.jpg", SPECIES[0]), 1),
        file(&format!("{}/b.jpg", SPECIES[0]), 2),
        file(&format!("{}/c.jpg", SPECIES[1]), 3),
    ];
    let val: Files = vec![
        file(&format!("{}/d.jpg", SPECIES[1]), 4),
        file(&format!("{}/e.jpg", SPECIES[0]), 5),
    ];
    let folder = Folder::new("inaturalist");
    write(&folder, "train_mini/", &train);
    let source = Source::INaturalist2021Mini;
    let said = message(source.open(folder.path(), None));
    let ending = "iNaturalist 2021 mini is not whole: val/ or val.tar or val.tar.gz missing";
    assert!(said.ends_with(ending), "{said}");
    let archived = tar(&members(&within("val/", &val)));
    folder.write("val.tar.gz", &gzip(&archived));
    let said = message(source.open(folder.path(), None));
    assert!(
        said.contains("val.tar.gz: is compressed, so that nothing "),
        "{said}"
    );
    folder.write("val.tar", &archived);
    let set = source.open(folder.path(), Some([1, 1])).unwrap();
    let [train, test] = samples(&set);
    assert_eq!(train, [(0, [1; 3]), (0, [2; 3]), (1, [3; 3])]);
    assert_eq!(test, [(0, [5; 3]), (1, [4; 3])]);
    assert_eq!(set.test.classes(), SPECIES);
    folder.write(
        "val.tar",
        &tar(&members(&within("val/", &val[..1].to_vec()))),
    );
    let said = message(source.open(folder.path(), None));
    assert!(
        said.contains("iNaturalist 2021 mini, test: holds no picture of class `00000_"),
        "{said}"
    );
}

#[test]
fn places365_is_read_as_its_authors_pack_it() {
    let train: Files = vec![
        file("a/apartment_building/outdoor/00000001.jpg", 10),
        file("a/airfield/00000001.jpg", 20),
        file("a/airfield/00000002.jpg", 21),
    ];
    let val: Files = vec![
        file("Places365_val_00000001.jpg", 30),
        file("Places365_val_00000002.jpg", 31),
    ];
    let categories = "/a/airfield 0\n/a/apartment_building/outdoor 1\n";
    let lists: Files = vec![
        ("categories_places365.txt".into(), categories.into()),
        (
            "places365_val.txt".into(),
            b"Places365_val_00000001.jpg 1\nPlaces365_val_00000002.jpg 0\n".to_vec(),
        ),
    ];
    let (packed, unpacked) = (Folder::new("places-tar"), Folder::new("places-folder"));
    for (name, top, files) in [
        ("train_256_places365standard.tar", "data_256/", &train),
        ("val_256.tar", "val_256/", &val),
        ("filelist_places365-standard.tar", "", &lists),
    ] {
        packed.write(name, &tar(&members(&within(top, files))));
        write(&unpacked, top, files);
    }
    for folder in [&packed, &unpacked] {
        let set = Source::Places365.open(folder.path(), Some([1, 1])).unwrap();
        assert_eq!(
            set.train.classes(),
            ["a/airfield", "a/apartment_building/outdoor"]
        );
        let [train, test] = samples(&set);
        assert_eq!(train, [(0, [20; 3]), (0, [21; 3]), (1, [10; 3])]);
        assert_eq!(test, [(1, [30; 3]), (0, [31; 3])]);
    }
    let said = |list: &str, text: &str| {
        unpacked.write(list, text.as_bytes());
        message(Source::Places365.open(unpacked.path(), None))
    };
    let wrong = said("places365_val.txt", "Places365_val_00000001.jpg one\n");
    assert!(
        wrong.ends_with("line 1: expected `name number`, got `Places365_val_00000001.jpg one`")
    );
    let twice = said("categories_places365.txt", "/a/airfield 0\n/b/beach 0\n");
    assert!(
        twice.contains("categories_places365.txt: class 0 of /"),
        "{twice}"
    );
    let far = said("categories_places365.txt", "/a/airfield 7\n");
    assert!(
        far.ends_with("class 7 of /a/airfield is out of place"),
        "{far}"
    );
    std::fs::remove_file(packed.path().join("filelist_places365-standard.tar")).unwrap();
    let said = message(Source::Places365.open(packed.path(), None));
    let ending = "Places365 is not whole: filelist_places365-standard.tar missing";
    assert!(said.ends_with(ending), "{said}");
}

#[test]
fn places365_made_easy_has_a_folder_for_each_class() {
    let folder = Folder::new("places-easy");
    write(
        &folder,
        "places365_standard/",
        &vec![
            file("train/airfield/1.jpg", 1),
            file("train/zen_garden/2.jpg", 2),
            file("val/airfield/3.jpg", 3),
            file("val/zen_garden/4.jpg", 4),
        ],
    );
    for dir in [folder.path(), &folder.path().join("places365_standard")] {
        let set = Source::Places365.open(dir, Some([1, 1])).unwrap();
        let [train, test] = samples(&set);
        assert_eq!(
            (train, test),
            (
                vec![(0, [1; 3]), (1, [2; 3])],
                vec![(0, [3; 3]), (1, [4; 3])]
            )
        );
        assert_eq!(set.test.classes(), ["airfield", "zen_garden"]);
    }
}
