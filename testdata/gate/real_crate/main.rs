//! Reads a document of records and writes it again, so often: what a service does that stands between two others.

fn main() {
    let rounds: u32 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(60);
    let mut document = String::from("[");
    for row in 0..4_000u32 {
        let comma = if row > 0 { "," } else { "" };
        document += &format!(
            r#"{comma}{{"id":{row},"name":"record number {row} of the list","tags":["a tag","another one \"quoted\""],"value":{}.25,"note":"{}"}}"#,
            row.wrapping_mul(2_654_435_761) >> 12,
            "words that go on and on ".repeat(1 + row as usize % 7),
        );
    }
    document.push(']');
    let mut bytes = 0;
    for _ in 0..rounds {
        let read: serde_json::Value = serde_json::from_str(&document).expect("it is JSON");
        bytes += serde_json::to_string(&read).expect("it can be written").len();
    }
    println!("{bytes} bytes written");
}
