//! openmesh-lake
