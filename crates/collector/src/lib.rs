//! openmesh-collector
