//! openmesh-evm
