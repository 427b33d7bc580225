//! A coordinator in the test's own hands, over real gRPC, and the shortest way to a fleet of SQLite
//! files.
#![expect(clippy::unwrap_used, reason = "test helpers")]
#![expect(dead_code, reason = "each test file uses its own part")]

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::Stream;
use sha2::{Digest, Sha256};
use skein_agent::config::{AgentId, Config, Target, TargetId, Url};
use skein_agent::db::{Engine, Location, Observation, Timeouts, observe};
use skein_agent::{Coordinators, Running, start, wire};
use skein_bundle::{Bundle, Format, Migration, Order, Script, Transaction};
use skein_proto::agent::v1::from_agent::Message as Word;
use skein_proto::agent::v1::from_coordinator::Message as Say;
use skein_proto::agent::v1::report::Outcome;
use skein_proto::agent::v1::session_server::{Session, SessionServer};
use skein_proto::agent::v1::{
    Acknowledged, Cancel, FetchBundleReply, FetchBundleRequest, FromAgent, FromCoordinator, Hello,
    Leg, LegKind, LegStep, Observe, Observed, RefusedReport, Report, Welcome,
};
use skein_proto::v1::{BackupScope, Direction, LedgerEntry};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// Far beyond what anything here takes: a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(50);

pub(crate) async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "waited too long for {what}");
    waited.unwrap()
}

type Outgoing = mpsc::Sender<Result<FromCoordinator, Status>>;

/// One agent's stream, as the server got it.
struct Arrived {
    words: Streaming<FromAgent>,
    out: Outgoing,
}

#[derive(Default)]
struct Shelf {
    bundles: BTreeMap<Vec<u8>, Vec<u8>>,
    fetched: usize,
    /// Attach is answered by this instead.
    turned_away: VecDeque<Status>,
}

struct Server {
    arrived: mpsc::Sender<Arrived>,
    shelf: Arc<Mutex<Shelf>>,
}

type Chunks = Pin<Box<dyn Stream<Item = Result<FetchBundleReply, Status>> + Send>>;

#[tonic::async_trait]
impl Session for Server {
    type AttachStream = ReceiverStream<Result<FromCoordinator, Status>>;
    type FetchBundleStream = Chunks;

    async fn attach(
        &self,
        request: Request<Streaming<FromAgent>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        if let Some(status) = self.shelf.lock().unwrap().turned_away.pop_front() {
            return Err(status);
        }
        let (out, stream) = mpsc::channel(64);
        let arrived = Arrived { words: request.into_inner(), out };
        self.arrived
            .send(arrived)
            .await
            .map_err(|_gone| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn fetch_bundle(
        &self,
        request: Request<FetchBundleRequest>,
    ) -> Result<Response<Chunks>, Status> {
        let mut shelf = self.shelf.lock().unwrap();
        shelf.fetched += 1;
        let bytes = shelf.bundles.get(request.get_ref().digest.as_ref()).cloned();
        let bytes = bytes.ok_or_else(|| Status::not_found("no such bundle"))?;
        let chunks: Vec<_> = bytes
            .chunks(100)
            .map(|chunk| Ok(FetchBundleReply { data: chunk.to_vec().into() }))
            .collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }
}

/// A coordinator that does what the test says.
pub(crate) struct Fake {
    pub(crate) address: String,
    pub(crate) lease_ms: u32,
    arrived: mpsc::Receiver<Arrived>,
    shelf: Arc<Mutex<Shelf>>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (send, arrived) = mpsc::channel(8);
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let server = SessionServer::new(Server { arrived: send, shelf: shelf.clone() });
        let served = tonic::transport::Server::builder()
            .add_service(server)
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(served);
        Self { address, lease_ms: 30_000, arrived, shelf }
    }

    pub(crate) fn put(&self, bundle: &Bundle) -> Vec<u8> {
        let bytes = wire::encode(bundle);
        let digest = wire::digest(&bytes).to_vec();
        self.shelf.lock().unwrap().bundles.insert(digest.clone(), bytes);
        digest
    }

    pub(crate) fn fetched(&self) -> usize {
        self.shelf.lock().unwrap().fetched
    }

    pub(crate) fn turn_away(&self, status: Status) {
        self.shelf.lock().unwrap().turned_away.push_back(status);
    }

    /// How many are still to be turned away.
    pub(crate) fn turned_away(&self) -> usize {
        self.shelf.lock().unwrap().turned_away.len()
    }

    /// Nobody is turned away any more.
    pub(crate) fn let_in(&self) {
        self.shelf.lock().unwrap().turned_away.clear();
    }

    /// The next stream, greeted and welcomed.
    pub(crate) async fn greet(&mut self) -> Talk {
        let mut arrived = in_time("an agent", self.arrived.recv()).await.unwrap();
        let word = in_time("a greeting", arrived.words.next()).await.unwrap().unwrap();
        let Some(Word::Hello(hello)) = word.message else { panic!("no greeting: {word:?}") };
        let talk =
            Talk { words: arrived.words, out: arrived.out, hello, observed: Vec::new(), seq: 7 };
        talk.say(Say::Welcome(Welcome {
            node: 1,
            lease_ms: self.lease_ms,
            heartbeat_ms: self.lease_ms / 5,
            seq: 7,
            ..Welcome::default()
        }))
        .await;
        talk
    }
}

/// One stream, seen from the coordinator.
pub(crate) struct Talk {
    words: Streaming<FromAgent>,
    out: Outgoing,
    pub(crate) hello: Hello,
    pub(crate) observed: Vec<Observed>,
    /// How far the log is, as the agent is told.
    pub(crate) seq: u64,
}

impl Talk {
    pub(crate) async fn say(&self, message: Say) {
        let word = FromCoordinator { message: Some(message) };
        self.out.send(Ok(word)).await.unwrap();
    }

    pub(crate) async fn hand_out(&self, leg: &Leg) {
        self.say(Say::Leg(leg.clone())).await;
    }

    pub(crate) async fn cancel(&self, fence: u64) {
        let why = "cancelled by the test".to_owned();
        self.say(Say::Cancel(Cancel { fence, why, ..Cancel::default() })).await;
    }

    pub(crate) async fn ask_to_look(&self, targets: &[&str]) {
        let targets = targets.iter().map(|id| (*id).to_owned()).collect();
        self.say(Say::Observe(Observe { targets, seq: self.seq, ..Default::default() })).await;
    }

    pub(crate) async fn acknowledge(&self, ids: &[u64]) {
        self.say(Say::Acknowledged(Acknowledged {
            ids: ids.to_vec(),
            seq: self.seq,
            ..Acknowledged::default()
        }))
        .await;
    }

    pub(crate) async fn refuse(&self, id: u64, lease_lost: bool) {
        let why = "refused by the test".to_owned();
        let refused = vec![RefusedReport { id, why, lease_lost }];
        self.say(Say::Acknowledged(Acknowledged { refused, ..Acknowledged::default() })).await;
    }

    /// Ends the stream as a dying node does.
    pub(crate) async fn cut(self, status: Status) {
        self.out.send(Err(status)).await.unwrap();
    }

    pub(crate) async fn word(&mut self) -> Option<Word> {
        let word = in_time("a word of the agent", self.words.next()).await?;
        word.ok()?.message
    }

    /// The next reports, past heartbeats and observations (which are kept).
    pub(crate) async fn reports(&mut self) -> Vec<Report> {
        loop {
            match self.word().await.expect("the agent stays") {
                Word::Reports(reports) => return reports.reports,
                Word::Observed(observed) => self.observed.push(observed),
                Word::Heartbeat(_) | Word::Roster(_) | Word::SchemaRead(_) => {}
                Word::Hello(hello) => panic!("greeted twice: {hello:?}"),
            }
        }
    }

    /// Reads reports and acknowledges each, until one fits.
    pub(crate) async fn reports_until(&mut self, last: impl Fn(&Outcome) -> bool) -> Vec<Report> {
        let mut all = Vec::new();
        loop {
            let reports = self.reports().await;
            self.acknowledge(&reports.iter().map(|report| report.id).collect::<Vec<_>>()).await;
            let done = reports.iter().any(|report| last(outcome(report)));
            all.extend(reports);
            if done {
                return all;
            }
        }
    }

    /// The next heartbeat's fences.
    pub(crate) async fn heartbeat(&mut self) -> Vec<u64> {
        loop {
            match self.word().await.expect("the agent stays") {
                Word::Heartbeat(beat) => return beat.fences,
                Word::Observed(observed) => self.observed.push(observed),
                other => panic!("a heartbeat was due: {other:?}"),
            }
        }
    }

    /// What was seen of so many targets, past reports and heartbeats.
    pub(crate) async fn observations(&mut self, count: usize) -> Vec<Observed> {
        while self.observed.len() < count {
            match self.word().await.expect("the agent stays") {
                Word::Observed(observed) => self.observed.push(observed),
                Word::Heartbeat(_) | Word::Reports(_) | Word::Roster(_) | Word::SchemaRead(_) => {}
                other @ Word::Hello(_) => panic!("an observation was due: {other:?}"),
            }
        }
        std::mem::take(&mut self.observed)
    }
}

pub(crate) fn outcome(report: &Report) -> &Outcome {
    report.outcome.as_ref().expect("a report says what happened")
}

/// A word for each report: `backup`, `applied 0`, `already 1`, `verified 1+` (with a fingerprint)…
pub(crate) fn words(reports: &[Report]) -> Vec<String> {
    let plus = |fingerprint: &[u8]| if fingerprint.is_empty() { "" } else { "+" };
    let word = |report: &Report| match outcome(report) {
        Outcome::BackedUp(backup) if backup.exemption.is_empty() => "backup".to_owned(),
        Outcome::BackedUp(_) => "exempt".to_owned(),
        Outcome::Applied(done) if done.already => format!("already {}", done.step),
        Outcome::Applied(done) => format!("applied {}", done.step),
        Outcome::Verified(done) => format!("verified {}{}", done.step, plus(&done.fingerprint)),
        Outcome::Failed(failed) => format!("failed {}", failed.step),
        Outcome::RolledBack(done) => format!("undone {}{}", done.step, plus(&done.fingerprint)),
        Outcome::Stuck(stuck) => format!("stuck {}", stuck.step),
        Outcome::Tried(tried) if tried.passed => format!("passed {}", tried.step),
        Outcome::Tried(tried) if tried.impossible => format!("impossible {}", tried.step),
        Outcome::Tried(tried) => format!("not passed {}", tried.step),
        Outcome::Released(_) => "released".to_owned(),
        Outcome::Mended(_) => "mended".to_owned(),
        Outcome::Judged(judged) if judged.passed => format!("gate {}", judged.step),
        Outcome::Judged(judged) => format!("no gate {}", judged.step),
        Outcome::Baseline(baseline) => format!("baseline {}", baseline.gate),
    };
    reports.iter().map(word).collect()
}

/// SQLite files in a directory of their own.
pub(crate) struct Fleet {
    pub(crate) folder: tempfile::TempDir,
}

impl Fleet {
    pub(crate) async fn new(targets: &[&str]) -> Self {
        let fleet = Self { folder: tempfile::tempdir().unwrap() };
        for target in targets {
            fleet.run(target, "CREATE TABLE before (a)").await;
        }
        fleet
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("sqlite:{}", self.path(target).display())
    }

    pub(crate) fn path(&self, target: &str) -> PathBuf {
        self.folder.path().join(format!("{target}.db"))
    }

    pub(crate) async fn run(&self, target: &str, sql: &str) {
        use sqlx::{AssertSqlSafe, Connection, Executor};
        let url = format!("{}?mode=rwc", self.url(target));
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap();
        connection.close().await.unwrap();
    }

    pub(crate) async fn observe(&self, target: &str) -> Observation {
        observe(&Location::parse(&self.url(target), None).unwrap()).await.unwrap()
    }

    /// The versions in force.
    pub(crate) async fn in_force(&self, target: &str) -> Vec<String> {
        self.observe(target).await.applied().iter().map(|row| row.step.clone()).collect()
    }

    pub(crate) fn config(&self, agent: &str, targets: &[&str]) -> Config {
        let one = |id: &&str| Target {
            id: TargetId::parse(id).unwrap(),
            url: Url::Plain(skein_agent::config::Secret::new(self.url(id))),
            engine: Some(Engine::Sqlite),
            labels: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
            group: "host-1".to_owned(),
            schema: None,
            replicas: Vec::new(),
            directory: self.folder.path().to_owned(),
        };
        Config {
            id: AgentId::parse(agent).unwrap(),
            slots: NonZeroU32::new(2).unwrap(),
            backups: self.backups().display().to_string(),
            cache: self.folder.path().join(format!("cache-{agent}")),
            timeouts: Timeouts { session_lock_poll_ms: 5, ..Timeouts::default() },
            charter: None,
            targets: targets.iter().map(one).collect(),
            discoveries: Vec::new(),
            gates: BTreeMap::new(),
            directory: PathBuf::from("."),
        }
    }

    pub(crate) fn backups(&self) -> PathBuf {
        self.folder.path().join("backups")
    }

    pub(crate) async fn agent(&self, agent: &str, targets: &[&str], fake: &Fake) -> Running {
        let coordinators = Coordinators::Addresses(vec![fake.address.clone()]);
        start(self.config(agent, targets), coordinators).await.unwrap()
    }
}

fn script(file: String, text: &str) -> Script {
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    Script {
        format: Format::GolangMigrate,
        file,
        line: 1,
        text: text.to_owned(),
        transaction: Transaction::Wrapped,
        raw_digest: digest,
        normalised_digest: digest,
        marked: Vec::new(),
    }
}

/// Migrations "1", "2", … from up and down texts.
pub(crate) fn bundle(migrations: &[(&str, &str)]) -> Bundle {
    let one = |(at, (up, down)): (usize, &(&str, &str))| {
        let version = (at + 1).to_string();
        Migration {
            order: Order::Number(skein_bundle::Digits::parse(&version).unwrap()),
            name: format!("m{version}"),
            up: script(format!("{version}.up.sql"), up),
            down: (!down.is_empty()).then(|| script(format!("{version}.down.sql"), down)),
            verify: None,
            probe: None,
            version,
        }
    };
    Bundle {
        format: Format::GolangMigrate,
        migrations: migrations.iter().enumerate().map(one).collect(),
        warnings: Vec::new(),
    }
}

pub(crate) fn three_tables() -> Bundle {
    bundle(&[
        ("CREATE TABLE one (a)", "DROP TABLE one"),
        ("CREATE TABLE two (a); INSERT INTO two VALUES (1), (2)", "DROP TABLE two"),
        ("CREATE TABLE three (a)", "DROP TABLE three"),
    ])
}

pub(crate) fn entries(bundle: &Bundle, versions: std::ops::Range<usize>) -> Vec<LedgerEntry> {
    bundle.migrations[versions]
        .iter()
        .map(|migration| LedgerEntry {
            version: migration.version.clone(),
            digest: migration.up.raw_digest.to_vec().into(),
        })
        .collect()
}

/// A forward leg over these migrations of the bundle, after those before them.
pub(crate) fn forward(
    (fence, target): (u64, &str),
    digest: &[u8],
    bundle: &Bundle,
    steps: std::ops::Range<usize>,
) -> Leg {
    let step = |at: usize| LegStep {
        step: u32::try_from(at).unwrap(),
        migration: u32::try_from(at).unwrap(),
        version: bundle.migrations[at].version.clone(),
        script: Direction::Up.into(),
        digest: bundle.migrations[at].up.raw_digest.to_vec().into(),
        probe: false,
    };
    Leg {
        fence,
        target: target.to_owned(),
        rollout: "r-1".to_owned(),
        kind: LegKind::Forward.into(),
        bundle: digest.to_vec().into(),
        expected: entries(bundle, 0..steps.start),
        steps: steps.map(step).collect(),
        backup: BackupScope::BackupNone.into(),
        backup_recorded: false,
        expected_identity: String::new(),
        charter: Vec::new().into(),
        ..Leg::default()
    }
}

pub(crate) fn undo(mut leg: Leg, bundle: &Bundle) -> Leg {
    leg.kind = LegKind::Undo.into();
    leg.expected = entries(bundle, 0..leg.steps.len());
    leg.steps.reverse();
    for step in &mut leg.steps {
        step.script = Direction::Down.into();
    }
    leg
}
