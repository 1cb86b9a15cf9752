//! openmesh-storage
