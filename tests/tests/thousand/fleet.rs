//! The fleet: databases with customers in them, a table that names them, three coordinators, and an agent in
//! each region that finds its own targets in the table.

use std::sync::Arc;

use skein_agent::db::Engine;
use tokio::sync::Semaphore;

use crate::support::{Agent, AgentSpec, Cli, Client, Cluster, Database, Project, Server};

const REGIONS: [&str; 3] = ["ap", "eu", "us"];
/// Customers in each database.
const CUSTOMERS: u32 = 20;
/// Databases that are made at one time.
const AT_ONCE: usize = 8;

const STRATEGY: &str = r#"
order = { label = "region", values = ["ap", "eu", "us"] }
parallelism = 24
per.region = 12
backup = "schema"
on_breach = "rollback_wave"
retries = 0

[budget]
failed = 2
scope = "rollout"

[[wave]]
name = "canary"
one_per_class = true
soak = "500ms"

[[wave]]
name = "few"
percent = 5
soak = "200ms"

[[wave]]
name = "quarter"
percent = 25

[[gate]]
name = "every customer is there"
when = "after_wave"
sql = "SELECT count(*) FROM customers"
expect = 20

[[gate]]
name = "addresses are collected"
when = "soak"
sql = "SELECT count(*) FROM emails WHERE customer = 1"
expect = 1
interval = "100ms"
"#;

/// Version and name, up, down.
type Migration = (&'static str, &'static str, &'static str);

const MIGRATIONS: [Migration; 3] = [
    (
        "0010_emails",
        "CREATE TABLE emails (email varchar(80) NOT NULL PRIMARY KEY, customer int NOT NULL);",
        "DROP TABLE emails;",
    ),
    (
        "0020_visits",
        "UPDATE customers SET visits = visits + 1;",
        "UPDATE customers SET visits = visits - 1;",
    ),
    (
        "0030_fill_emails",
        "INSERT INTO emails (email, customer) SELECT email, id FROM customers WHERE email IS NOT NULL;",
        "DELETE FROM emails;",
    ),
];

/// All of it.
pub(crate) struct Fleet {
    cluster: Cluster,
    pub(crate) cli: Cli,
    pub(crate) client: Client,
    /// The node that leads.
    pub(crate) lead: u64,
    pub(crate) databases: Vec<Database>,
    agents: Vec<Agent>,
}

/// How many of each engine: SQLite, PostgreSQL, MariaDB.
fn scale() -> [usize; 3] {
    let Ok(text) = std::env::var("SKEIN_FLEET") else { return [90, 9, 9] };
    let counts: Vec<usize> = text.split(',').filter_map(|one| one.trim().parse().ok()).collect();
    counts.try_into().expect("SKEIN_FLEET is three numbers: SQLite,PostgreSQL,MariaDB")
}

impl Fleet {
    /// `None`: a server is missing, which was said.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        let postgres = Server::shared(Engine::Postgres, test)?;
        let mariadb = Server::shared(Engine::Mysql, test)?;
        let project = Arc::new(Project::new(test));
        let sqlite = Server::sqlite(&project.join("db"));
        let servers = [sqlite, postgres, mariadb];
        let databases = databases(&servers).await;
        let registry = Database::at(
            Engine::Sqlite,
            "registry",
            &format!("sqlite:{}?mode=rwc", project.join("registry.db").display()),
        );
        register(&registry, &databases).await;
        for migration in &MIGRATIONS {
            write(&project, migration);
        }
        project.write("strategy.toml", STRATEGY);
        let cluster = Cluster::start(&project).await;
        let lead = cluster.leader().await;
        let client = cluster.client(lead);
        let agents = REGIONS.map(|region| agent(&project, &cluster, region, &registry)).into();
        let ids: Vec<&str> = databases.iter().map(|database| database.id.as_str()).collect();
        Agent::until_observed(&client, &ids).await;
        let cli = Cli::new(&project, &cluster, "");
        Some(Self { cluster, cli, client, lead, databases, agents })
    }

    /// A customer has the address of another one.
    pub(crate) async fn spoil(&self, id: &str) {
        let database = self.databases.iter().find(|database| database.id == id);
        let database = database.unwrap_or_else(|| panic!("no target {id}"));
        let twin = "UPDATE customers SET email = 'c1@example.com' WHERE id = 2";
        database.raw(twin).await.expect("a row can be changed");
    }

    /// Each customer has an address of its own again.
    pub(crate) async fn mend(&self, id: &str) {
        let database = self.databases.iter().find(|database| database.id == id);
        let database = database.unwrap_or_else(|| panic!("no target {id}"));
        let own = "UPDATE customers SET email = 'c2@example.com' WHERE id = 2";
        database.raw(own).await.expect("a row can be changed");
    }

    /// The leader dies, and comes back when another one leads. Which it was.
    pub(crate) async fn behead(&mut self) -> u64 {
        let killed = self.cluster.leader().await;
        self.cluster.kill9(killed);
        self.lead = self.cluster.leader().await;
        self.client = self.cluster.client(self.lead);
        self.cluster.start_node(killed);
        killed
    }

    pub(crate) async fn end(self) {
        self.cluster.settled().await;
        drop(self.agents);
        for database in self.databases {
            database.remove().await;
        }
    }
}

fn write(project: &Project, (name, up, down): &Migration) {
    project.write(&format!("migrations/{name}.up.sql"), up);
    project.write(&format!("migrations/{name}.down.sql"), down);
}

/// Empty but for their customers.
async fn databases(servers: &[Server; 3]) -> Vec<Database> {
    let free = Semaphore::new(AT_ONCE);
    let wanted = servers.iter().zip(scale()).flat_map(|(server, count)| {
        let kind = match server.engine {
            Engine::Sqlite => "lite",
            Engine::Postgres => "pg",
            Engine::Mysql => "maria",
        };
        (0..count).map(move |number| {
            (server, format!("{}-{kind}-{number:04}", REGIONS[number % REGIONS.len()]))
        })
    });
    let made = wanted.map(async |(server, id)| {
        let _turn = free.acquire().await.expect("it is not closed");
        let database = server.database(&id).await;
        let mut sql = "CREATE TABLE customers (id int PRIMARY KEY, email varchar(80), visits int \
                       NOT NULL); INSERT INTO customers VALUES "
            .to_owned();
        let rows: Vec<String> = (1..=CUSTOMERS)
            .map(|row| format!("({row}, 'c{row}@example.com', {})", row % 7))
            .collect();
        sql.push_str(&rows.join(", "));
        database.raw(&sql).await.expect("customers can be put in");
        database
    });
    futures::future::join_all(made).await
}

/// Every other SQLite target is of the cohort that was migrated once.
async fn register(registry: &Database, databases: &[Database]) {
    let table =
        "CREATE TABLE tenants (id text PRIMARY KEY, url text, region text, cohort text, rack text)";
    registry.raw(table).await.expect("a table can be made");
    let row = |(number, database): (usize, &Database)| {
        let (region, _) = database.id.split_once('-').expect("a region stands first");
        let early = database.engine == Engine::Sqlite && number % 2 == 0;
        let cohort = if early { "early" } else { "late" };
        format!(
            "('{}', '{}', '{region}', '{cohort}', 'rack-{}')",
            database.id,
            database.url,
            number % 10
        )
    };
    let rows: Vec<String> = databases.iter().enumerate().map(row).collect();
    let filled = format!("INSERT INTO tenants VALUES {}", rows.join(", "));
    registry.raw(&filled).await.expect("rows can be put in");
}

/// It serves what the table has for its region.
fn agent(project: &Arc<Project>, cluster: &Cluster, region: &str, registry: &Database) -> Agent {
    let mut spec = AgentSpec::new(&format!("agent-{region}"));
    spec.slots = 12;
    spec.more = format!(
        "[[discovery]]\nname = \"tenants\"\ndatabase = \"{}\"\nquery = \"\"\"\nSELECT id, url, region, \
         cohort, rack AS \\\"group\\\" FROM tenants WHERE region = '{region}'\"\"\"\nevery = \"1h\"\n",
        registry.url
    );
    Agent::start(project, cluster, &spec)
}
