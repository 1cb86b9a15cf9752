//! openmesh-engine
