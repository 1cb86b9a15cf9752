//! openmesh-tests
