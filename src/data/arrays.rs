//! Labelled images as arrays: NumPy's `.npz` and `.npy`, and tables as CSV.
//!
//! ```text
//! FILE.npz    train_images, train_labels, val_.., test_..     MedMNIST
//!             x_train, y_train, x_test, y_test                Keras's mnist.npz
//! FOLDER      *-train-imgs.npz, *-train-labels.npz, *-test-.. KMNIST, Kuzushiji-49
//!             CLASS.npy, ..                                   QuickDraw's numpy_bitmap
//!             *train*.csv, *test*.csv                         Kaggle's MNIST, Fashion-MNIST, ..
//! FILE.csv    a label and the pixels, an image a line
//! ```

use std::io::{Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use super::archive::Entry;
use super::csv::{self, Labelled};
use super::on_demand::npz::{Header, header};
use super::place::is_folder;
use super::{ImageSet, archive};
use crate::{Error, Result};

/// The most classes that labels may name.
const MOST_CLASSES: i64 = 1 << 16;

/// Labelled images in the parts that their files have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageArrays {
    /// Images to learn from.
    pub train: ImageSet,
    /// Images to choose the best weights by.
    pub validation: Option<ImageSet>,
    /// Images to be judged by.
    pub test: Option<ImageSet>,
}

/// A part, and whether of images or of labels.
type Role = (usize, bool);

const PARTS: [&str; 3] = ["training", "validation", "test"];

/// An array, with the bytes of its file.
struct Array {
    path: PathBuf,
    header: Header,
    bytes: Vec<u8>,
}

/// Reads labelled images from an `.npz` or CSV file, or from a folder of those or of `.npy`; `None`
/// where the path is a folder of other things. Bytes are read as they are; classes are the numbers
/// of the labels, or QuickDraw's names.
///
/// # Errors
/// Files that cannot be read, or are malformed; images without labels, or of other sizes.
pub fn read_arrays(path: impl AsRef<Path>) -> Result<Option<ImageArrays>> {
    let path = path.as_ref();
    if !is_folder(path)? {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        return match bytes.starts_with(b"PK") {
            true => npz(path, Cursor::new(bytes)),
            false => parts(path, [csv::read(path, &bytes)?, None, None], None),
        }
        .map(Some);
    }
    let entries = std::fs::read_dir(path).map_err(Error::io("read", path))?;
    let entries = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut files: Vec<PathBuf> = entries
        .collect::<std::io::Result<_>>()
        .map_err(Error::io("read", path))?;
    files.sort();
    if files.iter().any(|file| file.is_dir()) {
        return Ok(None);
    }
    let ending = |file: &PathBuf| file.extension().unwrap_or_default().to_ascii_lowercase();
    let of = |endings: &[&str]| -> Vec<&PathBuf> {
        let known = |file: &&PathBuf| endings.iter().any(|own| ending(file) == *own);
        files.iter().filter(known).collect()
    };
    let (arrays, tables) = (of(&["npz", "npy"]), of(&["csv"]));
    match (&arrays[..], &tables[..]) {
        ([], []) => Ok(None),
        ([one], _) if ending(one) == "npz" => {
            let file = std::fs::File::open(one).map_err(Error::io("open", one))?;
            npz(one, file).map(Some)
        }
        ([], tables) => {
            let mut found: [Option<(PathBuf, Labelled)>; 3] = Default::default();
            for table in tables {
                let Some(part) = part(&stem(table)) else {
                    continue;
                };
                let bytes = std::fs::read(table).map_err(Error::io("read", table))?;
                let Some(labelled) = csv::read(table, &bytes)? else {
                    continue;
                };
                if let Some((first, _)) = &found[part] {
                    return Err(two_for_one(path, PARTS[part], first, table));
                }
                found[part] = Some((table.to_path_buf(), labelled));
            }
            let found = found.map(|table| table.map(|(_, labelled)| labelled));
            parts(path, found, None).map(Some)
        }
        (arrays, _) => folder(path, arrays).map(Some),
    }
}

/// The part that a name says: `train`, `val`, `test`.
fn part(name: &str) -> Option<usize> {
    let words = ["train", "val", "test"];
    words.iter().position(|word| name.contains(word))
}

/// The role that a name says: `train_images`, `kmnist-test-labels`, `x_train`.
fn role(name: &str) -> Option<Role> {
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let images = has(&["img", "image"]) || name.starts_with("x_");
    let labels = has(&["label"]) || name.starts_with("y_");
    Some((part(name)?, images)).filter(|_| images != labels)
}

/// A file's name without its ending, in small letters.
fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().to_lowercase()
}

/// The names of the arrays in an `.npz`, in small letters, and where they are.
fn directory<R: Read + Seek>(path: &Path, reader: &mut R) -> Result<Vec<(String, Entry)>> {
    let entries = archive::directory(path, reader)?.into_iter();
    let named = entries.filter_map(|entry| {
        let name = entry.name.strip_suffix(".npy")?.to_lowercase();
        Some((name, entry))
    });
    Ok(named.collect())
}

/// An array of an `.npz`.
fn member<R: Read + Seek>(path: &Path, reader: &mut R, entry: &Entry) -> Result<Array> {
    let file = archive::member(path, reader, entry)?;
    Array::new(file.path, file.bytes)
}

/// The images of an `.npz` that holds all of them. Arrays whose names say of no part are not read.
pub(crate) fn npz<R: Read + Seek>(path: &Path, mut reader: R) -> Result<ImageArrays> {
    let mut arrays = Vec::new();
    let mut names: Vec<(Role, String)> = Vec::new();
    for (name, entry) in directory(path, &mut reader)? {
        let Some(role) = role(&name) else {
            continue;
        };
        // Before it is unpacked: so six arrays at most are, however often a file lists its bytes.
        if let Some((_, first)) = names.iter().find(|(taken, _)| *taken == role) {
            return Err(two_for_one(
                path,
                PARTS[role.0],
                first.as_ref(),
                name.as_ref(),
            ));
        }
        arrays.push((name.clone(), member(path, &mut reader, &entry)?));
        names.push((role, name));
    }
    labelled(path, arrays)
}

/// The error that two files or arrays are for one part, of which one would be left out.
fn two_for_one(path: &Path, part: &str, first: &Path, second: &Path) -> Error {
    let (first, second) = (first.display(), second.display());
    Error::data(
        path,
        format!(
            "has two for the {part} part, {first} and {second}: give one set, in a file or folder of its own"
        ),
    )
}

/// The images of a folder: an array for each role, or an array of images for each class.
fn folder(path: &Path, files: &[&PathBuf]) -> Result<ImageArrays> {
    let mut arrays = Vec::new();
    for file in files {
        if stem(file).is_empty() || role(&stem(file)).is_none() {
            continue;
        }
        let bytes = std::fs::read(file).map_err(Error::io("read", file))?;
        let array = match bytes.starts_with(b"PK") {
            true => {
                let mut reader = Cursor::new(bytes);
                let inside = directory(file, &mut reader)?;
                let [(_, one)] = &inside[..] else {
                    let what = format!("holds {} arrays, expected one", inside.len());
                    return Err(Error::data(file, what));
                };
                member(file, &mut reader, one)?
            }
            false => Array::new(file.to_path_buf(), bytes)?,
        };
        arrays.push((stem(file), array));
    }
    if !arrays.is_empty() {
        return labelled(path, arrays);
    }
    let (mut all, mut classes) = (None::<Labelled>, Vec::new());
    for file in files {
        let bytes = std::fs::read(file).map_err(Error::io("read", file))?;
        let array = Array::new(file.to_path_buf(), bytes)?;
        let ([n, h, w, c], pixels) = array.header.images(&array.path, &array.bytes)?;
        let all = all.get_or_insert_with(|| Labelled {
            size: [h, w, c],
            pixels: Vec::new(),
            labels: Vec::new(),
        });
        if all.size != [h, w, c] {
            let what = format!("its images are {h}x{w}x{c}, those before {:?}", all.size);
            return Err(Error::data(file, what));
        }
        all.pixels.extend_from_slice(pixels);
        all.labels
            .extend(std::iter::repeat_n(classes.len() as i64, n));
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let name = name.strip_prefix("full_numpy_bitmap_").unwrap_or(&name);
        classes.push(name.to_owned());
    }
    parts(path, [all, None, None], Some(classes))
}

impl Array {
    fn new(path: PathBuf, bytes: Vec<u8>) -> Result<Array> {
        let header = header(&path, &bytes)?;
        Ok(Array {
            path,
            header,
            bytes,
        })
    }
}

/// The parts that arrays make up, by what their names say of them.
fn labelled(path: &Path, arrays: Vec<(String, Array)>) -> Result<ImageArrays> {
    let mut found: [[Option<Array>; 2]; 3] = Default::default();
    for (name, array) in arrays {
        if let Some((part, images)) = role(&name) {
            let place = &mut found[part][usize::from(images)];
            if let Some(first) = place {
                return Err(two_for_one(path, PARTS[part], &first.path, &array.path));
            }
            *place = Some(array);
        }
    }
    let mut sets = [None, None, None];
    for (i, part) in found.into_iter().enumerate() {
        let (labels, images) = match part {
            [None, None] => continue,
            [Some(labels), Some(images)] => (labels, images),
            [labels, _] => {
                let (has, lacks) = match labels {
                    Some(_) => ("labels", "images"),
                    None => ("images", "labels"),
                };
                let what = format!("holds {has} for the {} part, but no {lacks}", PARTS[i]);
                return Err(Error::data(path, what));
            }
        };
        let ([n, h, w, c], pixels) = images.header.images(&images.path, &images.bytes)?;
        let labels = labels.header.integers(&labels.path, &labels.bytes)?;
        if labels.len() != n {
            let what = format!("holds {n} images, but {} labels", labels.len());
            return Err(Error::data(&images.path, what));
        }
        sets[i] = Some(Labelled {
            size: [h, w, c],
            pixels: pixels.to_vec(),
            labels,
        });
    }
    parts(path, sets, None)
}

/// The parts of one set, whose classes have these names, or numbers.
fn parts(
    path: &Path,
    sets: [Option<Labelled>; 3],
    classes: Option<Vec<String>>,
) -> Result<ImageArrays> {
    let labels = sets.iter().flatten().flat_map(|set| &set.labels);
    if let Some(label) = labels
        .clone()
        .find(|label| !(0..MOST_CLASSES).contains(*label))
    {
        let what = format!("holds the label {label}, which is not within 0..{MOST_CLASSES}");
        return Err(Error::data(path, what));
    }
    let most = labels.max().map_or(0, |&label| label + 1);
    let classes = classes.unwrap_or_else(|| (0..most).map(|class| class.to_string()).collect());
    let mut sizes = sets.iter().flatten().map(|set| set.size);
    if let Some(first) = sizes.next()
        && let Some(other) = sizes.find(|size| *size != first)
    {
        let what = format!("holds images of {first:?} and of {other:?}");
        return Err(Error::data(path, what));
    }
    let [train, validation, test] = sets.map(|set| set.map(|set| (set, classes.clone())));
    let set = |(set, classes): (Labelled, Vec<String>), part: usize| {
        let name = format!("{}, {}", path.display(), PARTS[part]);
        ImageSet::new(name, set.size, set.pixels, set.labels, classes)
    };
    let Some(train) = train else {
        return Err(Error::data(path, "holds no labelled images to train on"));
    };
    Ok(ImageArrays {
        train: set(train, 0)?,
        validation: validation.map(|part| set(part, 1)).transpose()?,
        test: test.map(|part| set(part, 2)).transpose()?,
    })
}
