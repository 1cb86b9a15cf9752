//! openmesh-gateway
