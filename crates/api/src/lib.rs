//! openmesh-api
