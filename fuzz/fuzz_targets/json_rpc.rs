#![no_main]
//! libFuzzer's shell around the target of this name; `FUZZ_SEEDS` names the folder that its seeds are written to.

libfuzzer_sys::fuzz_target!(
    init: fuzz_targets::begin("json_rpc"),
    |data: &[u8]| fuzz_targets::run("json_rpc", data)
);
