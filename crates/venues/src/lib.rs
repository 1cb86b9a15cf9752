//! openmesh-venues
