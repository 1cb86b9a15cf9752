//! openmesh-pythia
