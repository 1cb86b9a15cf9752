//! openmesh-network
