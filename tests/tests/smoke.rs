//! The shortest way through everything: three coordinators, an agent, four SQLite files, up and down.

mod support;

use std::sync::Arc;

use support::{Agent, AgentSpec, Cli, Cluster, Project, Server};

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_goes_up_and_down_by_the_command_line() {
    let project = Arc::new(Project::new("smoke"));
    project.write("m/0001_a.up.sql", "CREATE TABLE a (id integer primary key);\n");
    project.write("m/0001_a.down.sql", "DROP TABLE a;\n");
    project.write("m/0002_b.up.sql", "CREATE TABLE b (id integer primary key);\n");
    project.write("m/0002_b.down.sql", "DROP TABLE b;\n");
    let cluster = Cluster::start(&project).await;
    let server = Server::sqlite(&project.join("db"));
    let mut databases = Vec::new();
    for number in 1..=4 {
        databases.push(server.database(&format!("t/{number}")).await);
    }
    let spec = AgentSpec::new("a1").serve(&databases);
    let _agent = Agent::start(&project, &cluster, &spec);
    let ids: Vec<&str> = databases.iter().map(|database| database.id.as_str()).collect();
    Agent::until_observed(&cluster.client(cluster.leader().await), &ids).await;

    let cli = Cli::new(&project, &cluster, "");
    let up = cli.run("migrate m --latest -o json").await.exits(0).json();
    assert_eq!(up["state"], "completed", "{up}");
    for database in &databases {
        assert_eq!(database.in_force().await, ["1", "2"], "{}", database.id);
    }
    let down = cli.run("migrate m --direction down --step 1 -o json").await.exits(0).json();
    assert_eq!(down["state"], "completed", "{down}");
    for database in &databases {
        assert_eq!(database.in_force().await, ["1"], "{}", database.id);
    }
    cli.run("history verify -o json").await.exits(0);
}
