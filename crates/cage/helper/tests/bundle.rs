//! The bundle that `openmesh-cage` writes, read by the types of the OCI specification that libcontainer uses.

use libcontainer::oci_spec::runtime::{Capability, LinuxSeccompAction, Spec};

#[test]
fn the_golden_bundle_is_a_specification() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/root.config.json");
    let spec = Spec::load(path).unwrap();
    assert_eq!(spec.version(), "1.0.2");
    let process = spec.process().as_ref().unwrap();
    assert_eq!(process.no_new_privileges(), Some(true));
    let bounding = process.capabilities().as_ref().unwrap().bounding().clone().unwrap();
    assert_eq!(bounding, [Capability::Chown, Capability::Setuid, Capability::Setgid].into());
    let linux = spec.linux().as_ref().unwrap();
    assert_eq!(linux.namespaces().as_ref().unwrap().len(), 7);
    let seccomp = linux.seccomp().as_ref().unwrap();
    assert_eq!(seccomp.default_action(), LinuxSeccompAction::ScmpActErrno);
    assert_eq!(seccomp.default_errno_ret(), Some(38));
    let resources = linux.resources().as_ref().unwrap();
    assert_eq!(resources.pids().unwrap().limit(), 512);
    assert_eq!(resources.memory().unwrap().limit(), Some(512 << 20));
}
