//! The official files of each set: addresses, sizes and checksums, which are those of TensorFlow
//! Datasets' url_checksums.

/// A file to fetch: what it is called, where it is, and how to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Where it goes, relative to the data folder; its last part is also its name on the servers.
    pub file: &'static str,
    /// The folders that publish it; the later ones are mirrors.
    pub bases: &'static [&'static str],
    /// SHA-256 in hexadecimal digits.
    pub sha256: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
}

impl Remote {
    /// Its addresses, the preferred one first.
    pub fn urls(&self) -> Vec<String> {
        let name = self.file.rsplit('/').next().unwrap_or(self.file);
        self.bases
            .iter()
            .map(|base| format!("{base}{name}"))
            .collect()
    }
}

const fn remote(
    file: &'static str,
    bases: &'static [&'static str],
    bytes: u64,
    sha256: &'static str,
) -> Remote {
    Remote {
        file,
        bases,
        sha256,
        bytes,
    }
}

const NIST: &[&str] = &["https://biometrics.nist.gov/cs_links/EMNIST/"];
const TORONTO: &[&str] = &[
    "https://www.cs.toronto.edu/~kriz/",
    "https://cave.cs.toronto.edu/kriz/",
];
const ZALANDO: &[&str] = &["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"];
/// The original home, `http://yann.lecun.com/exdb/mnist/`, often refuses, hence last.
const LECUN: &[&str] = &[
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
];

const STANFORD: &[&str] = &["http://ai.stanford.edu/~acoates/stl10/"];
const HOUSE_NUMBERS: &[&str] = &["http://ufldl.stanford.edu/housenumbers/"];

const CSAIL: &[&str] = &["http://data.csail.mit.edu/places/places365/"];

pub(super) const EMNIST: &[Remote] = &[remote(
    "gzip.zip",
    NIST,
    561_753_746,
    "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
)];

pub(super) const CIFAR10: &[Remote] = &[remote(
    "cifar-10-binary.tar.gz",
    TORONTO,
    170_052_171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)];

pub(super) const CIFAR100: &[Remote] = &[remote(
    "cifar-100-binary.tar.gz",
    TORONTO,
    168_513_733,
    "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
)];

pub(super) const MNIST: &[Remote] = &[
    remote(
        "MNIST/raw/train-images-idx3-ubyte.gz",
        LECUN,
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    remote(
        "MNIST/raw/train-labels-idx1-ubyte.gz",
        LECUN,
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    remote(
        "MNIST/raw/t10k-images-idx3-ubyte.gz",
        LECUN,
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    remote(
        "MNIST/raw/t10k-labels-idx1-ubyte.gz",
        LECUN,
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
];

pub(super) const FASHION: &[Remote] = &[
    remote(
        "FashionMNIST/raw/train-images-idx3-ubyte.gz",
        ZALANDO,
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    remote(
        "FashionMNIST/raw/train-labels-idx1-ubyte.gz",
        ZALANDO,
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    remote(
        "FashionMNIST/raw/t10k-images-idx3-ubyte.gz",
        ZALANDO,
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    remote(
        "FashionMNIST/raw/t10k-labels-idx1-ubyte.gz",
        ZALANDO,
        5_148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
];

pub(super) const STL10: &[Remote] = &[remote(
    "stl10_binary.tar.gz",
    STANFORD,
    2_640_397_119,
    "f31fd99273a1acb8609c8db427cebb1de3f71de77758cdc0e22956e1289b9866",
)];

/// Training images, extra ones, test images.
pub(super) const SVHN: [Remote; 3] = [
    remote(
        "train_32x32.mat",
        HOUSE_NUMBERS,
        182_040_794,
        "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
    ),
    remote(
        "extra_32x32.mat",
        HOUSE_NUMBERS,
        1_329_278_602,
        "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3",
    ),
    remote(
        "test_32x32.mat",
        HOUSE_NUMBERS,
        64_275_384,
        "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
    ),
];

/// The lists, test images, training images.
pub(super) const PLACES365: &[Remote] = &[
    remote(
        "filelist_places365-standard.tar",
        CSAIL,
        67_498_496,
        "520699e00d69b63ddc29fac54645aa00ce1c10ca42e288960aa1cf791d6e9aa9",
    ),
    remote(
        "val_256.tar",
        CSAIL,
        525_158_400,
        "24b4e639ef12a0012af525bc4cb443e4ab4aaea8369a1fb009b70e4a4aad5d48",
    ),
    remote(
        "train_256_places365standard.tar",
        CSAIL,
        26_103_685_120,
        "0ade5d7d38c682aa0203014a2b99ad3bf608bf1de0f151dc0d80efba54660a0a",
    ),
];
