//! openmesh-content
