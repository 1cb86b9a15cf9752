//! The end of an agent on a machine.

use openmesh_agent::views::Node;
use openmesh_agent::{AgentError, Settings, holdings, uninstall};

use crate::pantry::server;
use crate::world::{World, answer, free_port, plain};

/// Everything of an agent that a machine shows: mounts, control groups, links, namespaces, processes, tables, loop devices.
pub fn traces(world: &World) -> Vec<String> {
    let (name, folder) =
        (world.settings.name.to_string(), world.settings.state.parent().unwrap().display().to_string());
    let said = |program: &str, arguments: &[&str]| {
        let output = std::process::Command::new(program).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let texts = [
        read("/proc/self/mountinfo"),
        read("/proc/self/cgroup"),
        said("ip", &["-o", "link"]),
        said("nft", &["list", "tables"]),
        said("losetup", &["-a"]),
        said("ps", &["-eo", "args"]),
        said("find", &["/sys/fs/cgroup", "-maxdepth", "4", "-type", "d", "-name", "*openmesh*"]),
    ];
    let own = |line: &&str| {
        line.contains(&folder) || line.contains(&format!("openmesh-{name}")) || line.contains(&format!("om{name}"))
    };
    texts.iter().flat_map(|text| text.lines().filter(own)).map(str::to_string).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_goes_and_its_data_stay_until_they_are_wiped() {
    let Some(mut world) = World::new() else { return };
    assert_eq!(traces(&world), Vec::<String>::new());
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    world.deploy(world.document(&plain(&image, port))).await;
    assert_eq!(answer("POST", port, "/kept").await.as_deref(), Some("one\nkept\n"));
    assert!(!traces(&world).is_empty());
    // The agent tells what it has, and goes on.
    let shown = holdings(&world.settings).await.unwrap();
    assert_eq!((shown.applications["web"], shown.volumes.contains_key("web/data")), (1, true), "{shown:?}");
    assert_eq!(world.get::<Node>("").await.unwrap().current, 1);
    world.stop().await;
    let mut said = Vec::new();
    uninstall(&world.settings, false, &mut |text| said.push(text.to_string())).await.unwrap();
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(answer("GET", port, "/").await, None);
    assert_eq!(traces(&world), Vec::<String>::new());
    assert!(world.settings.state.join("volumes").exists() && !world.settings.run.exists());
    // The next agent brings everything back from what stayed.
    let again = world.image(&server("one"));
    assert_eq!(again, image);
    world.start().await;
    world.deploy(world.document(&plain(&image, port))).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\n"));
    world.stop().await;
    uninstall(&world.settings, true, &mut |_| {}).await.unwrap();
    assert_eq!(traces(&world), Vec::<String>::new());
    assert!(!world.settings.state.exists() && !world.settings.run.exists());
}

/// Everything that lies in a run folder, but what is just being replaced.
fn tree(folder: &std::path::Path) -> Vec<String> {
    let output = std::process::Command::new("find").arg(folder).args(["-xdev", "-not", "-name", "*.new"]).output();
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.unwrap().stdout).lines().map(str::to_string).collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_folder_of_another_state_is_refused_and_its_applications_go_on() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    world.deploy(world.document(&plain(&image, port))).await;
    // Whether the agent runs or not: somebody says the name and forgets the folder.
    let wrong = Settings { state: world.settings.state.with_file_name("usual"), ..world.settings.clone() };
    let right = world.settings.state.canonicalize().unwrap();
    for runs in [true, false] {
        if !runs {
            world.stop().await;
        }
        let before = tree(&world.settings.run);
        let refused = [
            holdings(&wrong).await.map(drop).unwrap_err(),
            uninstall(&wrong, true, &mut |text| panic!("{text}")).await.unwrap_err(),
        ];
        for error in refused {
            let text = error.to_string();
            let AgentError::AnotherState { state, removes, .. } = error else { panic!("{text}") };
            assert_eq!(state, right);
            assert!(removes.contains(&format!("--agent-state {}", right.display())), "{removes}");
        }
        assert_eq!(tree(&world.settings.run), before, "runs: {runs}");
        assert!(!wrong.state.exists());
        assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\n"));
    }
    // Nor does an agent begin there that knows nothing of them.
    std::fs::create_dir(&wrong.state).unwrap();
    let begun = openmesh_agent::run(wrong.clone(), async {}).await;
    assert!(matches!(begun, Err(AgentError::AnotherState { .. })), "{begun:?}");
    uninstall(&world.settings, false, &mut |_| {}).await.unwrap();
    assert_eq!(answer("GET", port, "/").await, None);
    assert!(!world.settings.run.exists());
    // Nothing is left of it, and of the wrong one there was never anything.
    let none = uninstall(&wrong, true, &mut |text| panic!("{text}")).await;
    assert!(matches!(none, Err(AgentError::NoAgent { .. })), "{none:?}");
    assert!(wrong.state.exists() && !wrong.run.exists());
}
