//! openmesh-benches
