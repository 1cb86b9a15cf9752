//! The lines of JSON in the specification, read by the types that they describe.

use openmesh_door::protocol::{Ask, Tell};
use openmesh_door::start::Start;

const SPEC: &str = include_str!("../../../../docs/spec/door.md");

#[test]
fn the_specification_shows_what_is_read_and_written() {
    let mut inside = false;
    let mut counts = [0; 3];
    for line in SPEC.lines() {
        if line.starts_with("```") {
            inside = line == "```json";
            continue;
        }
        if !inside {
            continue;
        }
        let value: serde_json::Value = serde_json::from_str(line).expect(line);
        if let Ok(start) = serde_json::from_str::<Start>(line) {
            assert_eq!(serde_json::to_value(start).expect("a value"), value);
            counts[0] += 1;
        } else if let Ok(tell) = serde_json::from_str::<Tell>(line) {
            assert_eq!(serde_json::to_value(tell).expect("a value"), value);
            counts[1] += 1;
        } else {
            serde_json::from_str::<Ask>(line).expect(line);
            counts[2] += 1;
        }
    }
    assert_eq!(counts, [1, 5, 4]);
}
