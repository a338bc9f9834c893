//! What the server says of drawings.

use serde_json::{Value, json};

use crate::server::Server;
use crate::{CHARACTERS, drawn};

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap();
    list.iter().map(|x| x.as_f64().unwrap()).collect()
}

#[test]
fn a_reply_has_all_that_the_page_shows() {
    let server = Server::with_weights("replies");
    let status = server.status();
    assert_eq!(status["model"], "WaveMixLite-32/4");
    assert_eq!([&status["parameters"], &status["classes"]], [90095, 47]);
    assert_eq!(
        (&status["framing"], &status["room"]),
        (&json!("MNIST"), &json!(20))
    );
    assert_eq!(status["training"], Value::Null);
    for (name, strokes) in CHARACTERS {
        let drawing = drawn(strokes);
        let reply = server.post("/read", &drawing);
        let classes = reply["classes"].as_array().unwrap();
        assert_eq!(classes[0][0], name, "{}", reply["classes"]);
        let p: Vec<f64> = classes
            .iter()
            .map(|class| class[1].as_f64().unwrap())
            .collect();
        assert!(p.len() == 5 && p.is_sorted_by(|a, b| a >= b) && p.iter().sum::<f64>() < 1.0001);
        let image = numbers(&reply["image"]["pixels"]);
        assert_eq!(image.len(), 784);
        // Haar's transform of the image, by its definition, in the bytes that stand for it.
        let bands: Vec<Vec<f64>> = (0..4)
            .map(|k| numbers(&reply["haar"]["bands"][k]))
            .collect();
        for (row, column) in (0..14 * 14).map(|i| (i / 14, i % 14)) {
            let [a, b, c, d] = [(0, 0), (0, 1), (1, 0), (1, 1)]
                .map(|(y, x)| image[(2 * row + y) * 28 + 2 * column + x] / 255.0);
            let want = [
                (a + b + c + d) / 4.0 * 255.0,
                128.0 + 127.0 * (a + b - c - d) / 2.0,
                128.0 + 127.0 * (a - b + c - d) / 2.0,
                128.0 + 127.0 * (a - b - c + d) / 2.0,
            ];
            for (band, want) in bands.iter().zip(want) {
                // Rounded to a byte.
                assert!(
                    (band[row * 14 + column] - want).abs() <= 0.501,
                    "{name}: {want}"
                );
            }
        }
        let blocks = reply["blocks"].as_array().unwrap();
        assert_eq!(blocks.len(), 4);
        for (i, block) in blocks.iter().enumerate() {
            assert_eq!(block["name"], format!("layers.{i}"));
            assert_eq!(block["size"], json!([14, 14, 32]));
            for channel in block["channels"].as_array().unwrap() {
                let pixels = numbers(channel);
                // The largest value, whichever its sign, has the strongest colour.
                let far = pixels
                    .iter()
                    .map(|pixel| (pixel - 128.0).abs())
                    .fold(0.0, f64::max);
                assert!(pixels.len() == 196 && far == 127.0, "{channel}");
            }
        }
        let worth = server.post("/occlude", &drawing);
        assert_eq!(
            (&worth["class"], &worth["size"]),
            (&json!(name), &json!([28, 28]))
        );
        assert_eq!(numbers(&worth["pixels"]).len(), 784);
        assert!((worth["probability"].as_f64().unwrap() - p[0]).abs() < 1e-5);
        assert!(worth["largest"].as_f64().unwrap() > 0.0);
    }
    for path in ["/read", "/occlude"] {
        assert_eq!(server.post(path, &[0; 224 * 224]), Value::Null);
    }
}

/// Many at once get what each would get alone.
#[test]
fn several_tabs_are_served_at_once() {
    let server = Server::with_weights("tabs");
    let without_time = |mut reply: Value| {
        reply.as_object_mut().unwrap().remove("ms").unwrap();
        reply
    };
    let ask = |path: &str, drawing: &[u8]| without_time(server.post(path, drawing));
    let drawings = CHARACTERS.map(|(_, strokes)| drawn(strokes));
    let alone = drawings
        .each_ref()
        .map(|drawing| [ask("/read", drawing), ask("/occlude", drawing)]);
    std::thread::scope(|scope| {
        for tab in 0..12 {
            let (drawings, alone, ask) = (&drawings, &alone, &ask);
            scope.spawn(move || {
                for round in 0..8 {
                    let k = (tab + round) % 3;
                    assert!(
                        ask("/read", &drawings[k]) == alone[k][0],
                        "tab {tab}, {round}"
                    );
                }
                let k = tab % 3;
                assert!(ask("/occlude", &drawings[k]) == alone[k][1], "tab {tab}");
            });
        }
    });
}
