//! JPEG pictures of every kind, written by Pillow 12 and compared with what Pillow reads.

use super::*;

/// Baseline, no chroma subsampling.
pub const BASELINE: &str = "ffd8ffe000104a46494600010100000100010000ffdb00430003020203020203030303040303040508050504\
     04050a070706080c0a0c0c0b0a0b0b0d0e12100d0e110e0b0b1016101113141515150c0f1718161418121415\
     14ffdb00430103040405040509050509140d0b0d141414141414141414141414141414141414141414141414\
     1414141414141414141414141414141414141414141414141414ffc00011080009000c030111000211010311\
     01ffc40014000100000000000000000000000000000007ffc4001e1000010401050000000000000000000000\
     000204062408313234a1a2ffc400160101010100000000000000000000000000080609ffc4001c1100020202\
     030000000000000000000000000602052224323442ffda000c03010002110311003f00238ee3cedade4453eb\
     373c8924a70e19084cb1e6ba6b7403ae19b72590d2aa70d58e4374774408d7df66582579109971d203ae3b92\
     1a355d589fffd9";
/// Baseline, chroma of half the size in both directions.
pub const SUBSAMPLED: &str = "ffd8ffe000104a46494600010100000100010000ffdb00430003020203020203030303040303040508050504\
     04050a070706080c0a0c0c0b0a0b0b0d0e12100d0e110e0b0b1016101113141515150c0f1718161418121415\
     14ffdb00430103040405040509050509140d0b0d141414141414141414141414141414141414141414141414\
     1414141414141414141414141414141414141414141414141414ffc00011080009000c030122000211010311\
     01ffc40014000100000000000000000000000000000007ffc4001e1000010401050000000000000000000000\
     000204062408313234a1a2ffc4001501010100000000000000000000000000000206ffc4001d110000050500\
     000000000000000000000000060714410405313251ffda000c03010002110311003f00238ee3cedade442658\
     f35d35ba1ba3ba204265c7493eb21aabdf66404a0e97365b4747ffd9";
/// Progressive, chroma of half the size.
pub const PROGRESSIVE: &str = "ffd8ffe000104a46494600010100000100010000ffdb00430003020203020203030303040303040508050504\
     04050a070706080c0a0c0c0b0a0b0b0d0e12100d0e110e0b0b1016101113141515150c0f1718161418121415\
     14ffdb00430103040405040509050509140d0b0d141414141414141414141414141414141414141414141414\
     1414141414141414141414141414141414141414141414141414ffc20011080009000c030122000211010311\
     01ffc40014000100000000000000000000000000000006ffc400150101010000000000000000000000000000\
     0205ffda000c030100021003100000012285ba19e7ffc4001910000203010000000000000000000000000002\
     04062232ffda00080101000105028f5e12bd98e273ffc4001911000105000000000000000000000000000004\
     05061331ffda0008010301013f018a3d29a74fffc40018110002030000000000000000000000000000030506\
     13ffda0008010201013f01b94abf73ffc400161001010100000000000000000000000000320010ffda000801\
     0100063f0231dfffc40018100101000300000000000000000000000000312141c1ffda0008010100013f219f\
     0c23541fffda000c0301000200030000001007ffc400161100030000000000000000000000000000005181ff\
     da0008010301013f109667ffc4001511010100000000000000000000000000004100ffda0008010201013f10\
     49bfffc400171001000300000000000000000000000000001031e1ffda0008010100013f100b22a467ffd9";
/// Baseline, one component.
pub const GREY: &str = "ffd8ffe000104a46494600010100000100010000ffdb00430003020203020203030303040303040508050504\
     04050a070706080c0a0c0c0b0a0b0b0d0e12100d0e110e0b0b1016101113141515150c0f1718161418121415\
     14ffc0000b080009000c01011100ffc40014000100000000000000000000000000000007ffc4001e10000104\
     01050000000000000000000000000204062408313234a1a2ffda0008010100003f00238ee3cedade442658f3\
     5d35ba1ba3ba204265c749ffd9";
/// Baseline, a restart marker behind each block.
pub const RESTARTS: &str = "ffd8ffe000104a46494600010100000100010000ffdb00430006040506050406060506070706080a100a0a09\
     090a140e0f0c1017141818171416161a1d251f1a1b231c1616202c20232627292a29191f2d302d2830252829\
     28ffdb0043010707070a080a130a0a13281a161a282828282828282828282828282828282828282828282828\
     2828282828282828282828282828282828282828282828282828ffc00011080009000c030111000211010311\
     01ffc400160001010100000000000000000000000000060407ffc4001d100001040203000000000000000000\
     0000000103052306a1313341ffc400160101010100000000000000000000000000050706ffc4001d11000104\
     0203000000000000000000000000010405210623313341ffdd00040001ffda000c03010002110311003f0023\
     1d84f1568dde472dcd8640cdf167ffd0898c2ab4ab464df4b6e5b28ece6f5259ffd1551de08647e93681f0ff\
     d2d2d8eb4250fbb94459f521ffd9";
/// Four inks, inverted, as Adobe's marker says.
pub const CMYK: &str = "ffd8ffee000e41646f626500640000000000ffdb004300030202030202030303030403030405080505040405\
     0a070706080c0a0c0c0b0a0b0b0d0e12100d0e110e0b0b1016101113141515150c0f171816141812141514ff\
     c00014080009000c044311004d11005911004b1100ffc4001700010101010000000000000000000000000900\
     0807ffc400231000010009050100000000000000000000000104070836414481f017186365a1a2ffda000e04\
     43004d0059004b00003f00cc8e93456389ec6faff834c3db56dcdebab7cde8b4336849532482d8df5ff012ed\
     262d5bc9a4b56f9bd097749a2b0960b43db56dce0e2d0cda1254c920825da4c5ab793491ffd9";
/// Baseline, with Exif data that say it lies on its side (orientation 6).
pub const TURNED: &str = "ffd8ffe000104a46494600010100000100010000ffe100224578696600004d4d002a00000008000101120003\
     000000010006000000000000ffdb0043000302020302020303030304030304050805050404050a070706080c\
     0a0c0c0b0a0b0b0d0e12100d0e110e0b0b1016101113141515150c0f171816141812141514ffdb0043010304\
     0405040509050509140d0b0d1414141414141414141414141414141414141414141414141414141414141414\
     141414141414141414141414141414141414ffc00011080009000c03011100021101031101ffc40014000100\
     000000000000000000000000000007ffc4001e10000104010500000000000000000000000002040624083132\
     34a1a2ffc400160101010100000000000000000000000000080609ffc4001c11000202020300000000000000\
     00000000000602052224323442ffda000c03010002110311003f00238ee3cedade4453eb373c8924a70e1908\
     4cb1e6ba6b7403ae19b72590d2aa70d58e4374774408d7df66582579109971d203ae3b921a355d589fffd9";

pub fn bytes(hex: &str) -> Vec<u8> {
    let byte = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// Of a picture: its corners, row by row, and its middle.
fn points(picture: &Picture) -> Vec<&[u8]> {
    let [h, w, c] = picture.size;
    let points = [
        (0, 0),
        (0, w - 1),
        (h - 1, 0),
        (h - 1, w - 1),
        (h / 2, w / 2),
    ];
    let pixel = |(y, x): (usize, usize)| &picture.pixels[(y * w + x) * c..][..c];
    points.into_iter().map(pixel).collect()
}

/// Decoders may round each plane one off, and red, green and blue are at most 1 + 1.772 planes. How
/// chroma of half the size is enlarged at the right edge is left to the decoder: an empty pixel is
/// not compared.
const NEAR: u8 = 3;

fn assert_near(jpeg: &[u8], size: [usize; 3], want: &[&[u8]], what: &str) {
    let picture = read(jpeg);
    assert_eq!(picture.size, size, "{what}");
    let got = points(&picture);
    let near = |(got, want): (&&[u8], &&[u8])| {
        want.is_empty() || got.iter().zip(*want).all(|(g, w)| g.abs_diff(*w) <= NEAR)
    };
    let all = got.iter().zip(want).all(near);
    assert!(all, "{what}: {got:?} for {want:?}");
}

#[test]
fn every_kind_of_jpeg_has_the_pixels_that_pillow_reads() {
    let plain = [
        [0, 1, 254],
        [217, 1, 38],
        [2, 199, 254],
        [218, 200, 38],
        [124, 100, 134],
    ];
    let halved = [
        [4, 3, 231],
        [205, 7, 42],
        [14, 194, 247],
        [215, 198, 56],
        [119, 102, 138],
    ];
    let restarts = [
        [1, 0, 252],
        [216, 0, 39],
        [3, 200, 252],
        [217, 199, 37],
        [124, 100, 134],
    ];
    let inks = [
        [0, 0, 255],
        [221, 0, 34],
        [0, 137, 175],
        [152, 137, 23],
        [102, 85, 113],
    ];
    let kinds: [(&str, &str, [[u8; 3]; 5]); 5] = [
        ("baseline", BASELINE, plain),
        ("subsampled", SUBSAMPLED, halved),
        ("progressive", PROGRESSIVE, halved),
        ("restarts", RESTARTS, restarts),
        ("four inks", CMYK, inks),
    ];
    for (what, jpeg, want) in kinds {
        let mut want = want.each_ref().map(|v| &v[..]);
        if want[0] == halved[0] {
            (want[1], want[3]) = (&[], &[]);
        }
        assert_near(&bytes(jpeg), [9, 12, 3], &want, what);
    }
    let grey = [[29], [70], [146], [187], [111]];
    let grey = grey.each_ref().map(|v: &[u8; 1]| &v[..]);
    assert_near(&bytes(GREY), [9, 12, 1], &grey, "grey");
    // The same planes, read as luminance, two of chroma and black: Adobe's marker says 2.
    let mut ycck = bytes(CMYK);
    let transform = ycck.windows(5).position(|w| w == b"Adobe").unwrap() + 11;
    ycck[transform] = 2;
    let want = [
        [77, 255, 255],
        [166, 0, 255],
        [53, 175, 87],
        [114, 0, 0],
        [106, 109, 153],
    ];
    let want = want.each_ref().map(|v: &[u8; 3]| &v[..]);
    assert_near(&ycck, [9, 12, 3], &want, "YCCK");
}

#[test]
fn a_jpeg_is_turned_as_its_exif_data_say() {
    let want = [
        [2, 199, 254],
        [0, 1, 254],
        [218, 200, 38],
        [217, 1, 38],
        [124, 100, 134],
    ];
    let want = want.each_ref().map(|v: &[u8; 3]| &v[..]);
    assert_near(&bytes(TURNED), [12, 9, 3], &want, "orientation 6");
}

#[test]
fn torn_and_hostile_jpegs_are_errors() {
    let folder = Folder::new("jpeg-errors");
    let said = |bytes: &[u8]| {
        let path = folder.write("picture.jpg", bytes);
        let said = read_pictures(&path, 1, false);
        said.err()
            .map(|e| e.to_string().replace(&path.display().to_string(), "F"))
    };
    for jpeg in [BASELINE, PROGRESSIVE, GREY, CMYK, RESTARTS, TURNED] {
        let whole = bytes(jpeg);
        for end in 3..whole.len() {
            let cut = said(&whole[..end]).unwrap_or_else(|| panic!("{end} bytes were read"));
            assert_eq!(cut, "F: is a JPEG that ends early");
        }
    }
    // A header of 65,535 x 65,535 pixels, as the frame's says behind its length and precision.
    let mut huge = bytes(BASELINE);
    let frame = huge.windows(2).position(|w| w == b"\xFF\xC0").unwrap();
    huge[frame + 5..frame + 9].fill(0xFF);
    assert_eq!(
        said(&huge).unwrap(),
        "F: 65535x65535 pixels are more than a picture should have"
    );
    // No pixels; codes of no Huffman table; a frame of a kind that is not read (lossless).
    huge[frame + 5..frame + 9].fill(0);
    assert!(said(&huge).is_some());
    let mut lossless = bytes(BASELINE);
    lossless[frame + 1] = 0xC3;
    assert!(said(&lossless).is_some());
}
