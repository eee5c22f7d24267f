//! A vendor on a disk: a repository with real releases, and tickets for it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use delta::encode::{Delta, Encoder, Source, Target};
use manifest::admission::credential::Role;
use manifest::admission::issuer::{IssuerStatement, SignedIssuer};
use manifest::admission::limits::{CREDENTIAL_LIFE, ISSUER_LIFE};
use manifest::admission::ticket::Ticket;
use manifest::admission::workgroup::{WorkgroupId, WorkgroupTrust};
use manifest::audit::event::ReleaseRef;
use manifest::content::ContentId;
use manifest::key::SigningKey;
use manifest::release::changes::Changes;
use manifest::release::layout::Shape;
use manifest::release::manifest::ReleaseManifest;
use manifest::release::patch::{
    DeltaRow, DeltaSource, OpenedFile, OpenedFiles, PatchManifest, PatchSource, patch_layout,
};
use manifest::trust::author::keyring::Keyring;
use manifest::trust::author::lifetimes::Lifetimes;
use manifest::trust::author::repository::{FileFacts, Repository as Author, TopLevelKeys};
use manifest::trust::author::role_keys::RoleKeys;
use manifest::trust::bundle::Bundle;
use manifest::trust::custom::{ManifestDelta, PatchTarget, ReleaseKind, ReleaseTarget};
use manifest::trust::exchange::{Announcement, MetadataRequest};
use manifest::trust::refresh::{Input, Output, Refresh};
use manifest::trust::trusted::TrustedSet;
use store::repository::{NewTarget, Repository};
use store::steps::Steps;
use store::testing::TestRelease;

use crate::applier::{Applier, ApplyError};
use crate::clock;
use crate::home::Home;
use crate::identity::Identity;
use crate::join::{Options, join};
use crate::update::decision::Subject;
use crate::update::state::Remembered;

/// A vendor of the product `hello`, with one key a role.
pub(crate) struct Vendor {
    dir: tempfile::TempDir,
    seed: u8,
    author: Author,
    keys: Keyring,
    pub(crate) repository: Repository,
    files: BTreeMap<String, Vec<u8>>,
    pub(crate) last: Option<TestRelease>,
    /// Whether the recipes of its patches are wrong, though it signs them.
    pub(crate) spoils_recipes: bool,
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

impl Vendor {
    /// A vendor with an empty stable channel.
    pub(crate) fn new() -> Self {
        Self::with_seed(1)
    }

    /// Another vendor for each seed from 1 on.
    pub(crate) fn with_seed(seed: u8) -> Self {
        let base = seed * 10;
        let one = |n| RoleKeys::one(key(base + n).public());
        let mut author = Author::create(&TopLevelKeys {
            root: one(1),
            targets: one(2),
            snapshot: one(3),
            timestamp: one(4),
            workgroup: vec![key(base + 6).public()],
        });
        let Subject { product, channel, .. } = Self::subject();
        author.delegate(&product, &channel, &one(5)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::create(dir.path(), Steps::free()).unwrap();
        let keys = Keyring::new((1..=9).map(|n| key(base + n)));
        let files = BTreeMap::new();
        let (last, spoils_recipes) = (None, false);
        let mut vendor = Self { dir, seed, author, keys, repository, files, last, spoils_recipes };
        vendor.publish(&[]);
        vendor
    }

    /// What its machines are installations of.
    pub(crate) fn subject() -> Subject {
        Subject {
            product: "hello".parse().unwrap(),
            channel: "stable".parse().unwrap(),
            platform: "linux-x86_64".parse().unwrap(),
        }
    }

    /// The repository as a mirror's address.
    pub(crate) fn mirror(&self) -> String {
        format!("file://{}", self.dir.path().display())
    }

    /// A ticket for members, which names the repository as a mirror.
    pub(crate) fn ticket(&self) -> Ticket {
        self.ticket_for(Role::Member, vec![self.mirror()])
    }

    /// A ticket for `role` that names these mirrors.
    pub(crate) fn ticket_for(&self, role: Role, mirrors: Vec<String>) -> Ticket {
        let root = self.files["1.root.json"].clone();
        let issuer_key = key(self.seed * 10 + if role == Role::Member { 7 } else { 8 });
        let statement = IssuerStatement {
            workgroup: WorkgroupId::of_first_root(&root),
            issuer: issuer_key.public(),
            organisation: "Test Organisation".to_owned(),
            products: vec![Self::subject().product],
            roles: vec![role],
            credential_seconds: CREDENTIAL_LIFE.as_secs(),
            expires: clock::wall().after(ISSUER_LIFE),
        };
        Ticket {
            root,
            product: Self::subject().product,
            addresses: Vec::new(),
            mirrors,
            issuer: SignedIssuer::sign(&statement, &key(self.seed * 10 + 6)).unwrap(),
            issuer_key,
        }
    }

    /// Publishes [`TestRelease::sample`] of this number.
    pub(crate) fn release(&mut self, number: u64) -> ReleaseRef {
        self.publish_release(TestRelease::sample(number))
    }

    /// Publishes a release, with a patch from the one before.
    pub(crate) fn publish_release(&mut self, release: TestRelease) -> ReleaseRef {
        let Subject { product, channel, platform } = Self::subject();
        for (piece, bytes) in release.manifest.pieces().iter().zip(&release.pieces) {
            self.repository.put_piece(piece.id, bytes, 3).unwrap();
        }
        let encoded = release.manifest.encode();
        let id = ContentId::of(&encoded);
        self.repository.put_piece(id, &encoded, 3).unwrap();
        let about = release.manifest.about().clone();
        let mut target = ReleaseTarget {
            blake3: id,
            version: about.version.clone(),
            number: about.number,
            kind: ReleaseKind::Feature,
            withdrawn: false,
            manifest_deltas: Vec::new(),
        };
        let mut targets = Vec::new();
        if let Some(last) = self.last.take() {
            let patch = self.patch(&last, &release);
            let base = last.manifest.encode();
            let delta = self.delta(&[&base], &encoded, &[encoded.len()]).remove(0).object;
            target.manifest_deltas.push(ManifestDelta {
                base: ContentId::of(&base),
                object: ContentId::of(&delta),
                length: delta.len() as u64,
            });
            let encoded = patch.encode();
            self.repository.put_object(patch.id(), &encoded).unwrap();
            let custom = PatchTarget {
                blake3: patch.id(),
                base: patch.base,
                release: patch.release,
                waypoint: None,
            };
            let numbers = (last.manifest.about().number, about.number);
            let facts = FileFacts::of(&encoded);
            let path = self
                .author
                .set_patch(&product, &channel, &platform, numbers, &custom, facts)
                .unwrap();
            targets.push((path, facts, encoded));
        }
        let facts = FileFacts::of(&encoded);
        let path = self.author.set_release(&product, &channel, &platform, &target, facts).unwrap();
        targets.push((path, facts, encoded));
        self.publish(&targets);
        self.last = Some(release);
        ReleaseRef { version: about.version, number: about.number, manifest: id }
    }

    /// Publishes a manifest whose pieces nobody has.
    pub(crate) fn publish_manifest(&mut self, manifest: &ReleaseManifest) {
        let Subject { product, channel, platform } = Self::subject();
        let (encoded, about) = (manifest.encode(), manifest.about());
        let blake3 = ContentId::of(&encoded);
        self.repository.put_piece(blake3, &encoded, 3).unwrap();
        let target = ReleaseTarget {
            blake3,
            version: about.version.clone(),
            number: about.number,
            kind: ReleaseKind::Feature,
            withdrawn: false,
            manifest_deltas: Vec::new(),
        };
        let facts = FileFacts::of(&encoded);
        let path = self.author.set_release(&product, &channel, &platform, &target, facts).unwrap();
        self.publish(&[(path, facts, encoded)]);
    }

    /// Takes a release out of the channel.
    pub(crate) fn withdraw(&mut self, release: &ReleaseRef) {
        let suffix = format!("/{}.release", release.version);
        let role = Self::subject().role();
        self.author.retain_targets(&role, |path, _| !path.ends_with(&suffix));
        self.publish(&[]);
    }

    fn publish(&mut self, targets: &[(String, FileFacts, Vec<u8>)]) {
        let lifetimes = Lifetimes::default();
        let files = self.author.publish(clock::wall(), &self.keys, &lifetimes).unwrap();
        self.files.extend(files.into_iter().map(|file| (file.name, file.bytes)));
        let named: Vec<String> =
            targets.iter().map(|(_, facts, _)| ContentId::from(facts.sha256).to_string()).collect();
        let targets: Vec<NewTarget<'_>> = targets
            .iter()
            .zip(&named)
            .map(|((path, _, bytes), sha256)| NewTarget { path, sha256, bytes })
            .collect();
        let metadata: Vec<_> =
            self.files.clone().into_iter().filter(|(name, _)| name != "timestamp.json").collect();
        self.repository.publish(&targets, &metadata, &self.files["timestamp.json"]).unwrap();
    }

    fn delta(&self, sources: &[&[u8]], target: &[u8], ends: &[usize]) -> Vec<Delta> {
        let encoder =
            Encoder::new(sources.to_vec(), &delta::options::Options { level: 3 }).unwrap();
        let target = Target { bytes: target, piece_ends: ends };
        let deltas = encoder.encode(&[target], &|_| {}).remove(0);
        for delta in &deltas {
            self.repository.put_object(ContentId::of(&delta.object), &delta.object).unwrap();
        }
        deltas
    }

    /// A patch whose every delta may read every file that is gone; whatever
    /// can be opened is.
    fn patch(&self, base: &TestRelease, release: &TestRelease) -> PatchManifest {
        let (old, new) = (&base.manifest, &release.manifest);
        let changes = Changes::between(old.tree(), new.tree());
        let bytes = |release: &TestRelease, row: u32| {
            release.file(release.manifest.tree().entries()[row as usize].path.as_str())
        };
        let mut views: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        let mut recipes = Vec::new();
        for &row in &changes.missing {
            let file = bytes(release, row);
            if let Some(mut opened) =
                container::open(&file, &container::streams(&file), &|_| true, &container::Here)
            {
                if self.spoils_recipes {
                    opened.recipe.runs[0].corrections.reverse();
                }
                views.insert(row, opened.view);
                recipes.push(opened.recipe);
            }
        }
        let read = changes.gone.iter().map(|row| {
            let file = bytes(base, *row);
            let view = container::view(&file);
            let views = view.as_ref().map(|view| vec![view.len() as u64]);
            (view.unwrap_or(file), PatchSource { rows: vec![*row], views })
        });
        let (old_files, sources): (Vec<Vec<u8>>, Vec<PatchSource>) = read.unzip();
        let piece = |shape: &Shape| -> Vec<u8> {
            let run = |part: &manifest::release::layout::Part| {
                let start = usize::try_from(part.offset).unwrap();
                let file = views.get(&part.row).cloned();
                let file = file.unwrap_or_else(|| bytes(release, part.row));
                file[start..start + part.len as usize].to_vec()
            };
            shape.parts.iter().flat_map(run).collect()
        };
        let old_refs: Vec<&[u8]> = old_files.iter().map(Vec::as_slice).collect();
        let files: Vec<OpenedFile> = views
            .iter()
            .map(|(row, view)| OpenedFile { row: *row, view_len: view.len() as u64 })
            .collect();
        let layout = patch_layout(new, &changes, &files);
        let mut targets: Vec<Vec<u8>> = layout.shapes.iter().map(piece).collect();
        let recipes = container::recipe::encode(&recipes);
        let opened = (!files.is_empty()).then(|| OpenedFiles {
            codec: container::CODEC,
            files,
            recipes: ContentId::of(&recipes),
            recipes_len: recipes.len() as u64,
        });
        targets.extend(opened.iter().map(|_| recipes.clone()));
        let source = |source: &Source| match *source {
            Source::Old(at) => DeltaSource::Old(u32::try_from(at).unwrap()),
            Source::Made(_) => unreachable!("each piece is made by itself"),
        };
        let deltas = targets.iter().map(|target| {
            let delta = self.delta(&old_refs, target, &[target.len()]).remove(0);
            DeltaRow {
                object: ContentId::of(&delta.object),
                len: u32::try_from(delta.object.len()).unwrap(),
                sources: delta.sources.iter().map(source).collect(),
            }
        });
        let deltas = deltas.collect();
        PatchManifest { base: old.id(), release: new.id(), sources, opened, deltas }
    }

    /// Everything that is published, as one bundle.
    pub(crate) fn bundle(&self) -> Bundle {
        let mut bundle = Bundle::new();
        for (name, bytes) in &self.files {
            bundle.put(name.clone(), bytes.clone()).unwrap();
        }
        bundle
    }

    /// What a machine trusts that has seen everything.
    pub(crate) fn trusted(&self) -> TrustedSet {
        let trusted = TrustedSet::from_root(&self.files["1.root.json"]).unwrap();
        let role = Self::subject().role();
        let mut refresh = Refresh::new(trusted, clock::wall(), vec![role]);
        while let Some(output) = refresh.poll() {
            if let Output::Want { name, .. } = output {
                let file = self.files.get(&name).cloned();
                refresh.handle(file.map_or(Input::NotFound, Input::File)).unwrap();
            }
        }
        refresh.finish()
    }

    /// The release that was published last, for comparisons.
    pub(crate) fn manifest(&self) -> Arc<ReleaseManifest> {
        Arc::clone(&self.last.as_ref().unwrap().manifest)
    }
}

/// A machine that has joined a vendor's workgroup.
pub(crate) struct Machine {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) home: Home,
}

impl Machine {
    /// A machine whose ticket knows the vendor's repository as a mirror.
    pub(crate) fn new(vendor: &Vendor) -> Self {
        Self::with_ticket(&vendor.ticket())
    }

    /// A machine that joined with this ticket.
    pub(crate) fn with_ticket(given: &Ticket) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(&dir.path().join("home"));
        let ticket = dir.path().join("ticket.json");
        std::fs::write(&ticket, given.encode().unwrap()).unwrap();
        let into = dir.path().join("into");
        let platform = Vendor::subject().platform;
        let (root_fingerprint, channel, allow_example_keys) = (None, None, false);
        let options =
            Options { ticket, into, root_fingerprint, channel, platform, allow_example_keys };
        join(&home, &options, clock::wall()).unwrap();
        Self { dir, home }
    }

    /// The directory of the installation.
    pub(crate) fn place(&self) -> PathBuf {
        self.dir.path().join("into")
    }

    /// The applier, and what is remembered.
    pub(crate) fn open_with(&self, steps: Steps) -> Result<(Applier, Remembered), ApplyError> {
        let identity = Identity::open(&self.home).unwrap();
        Applier::open(&self.home, &self.place(), Vendor::subject(), &identity, steps)
    }

    /// The applier.
    pub(crate) fn open(&self) -> Applier {
        self.open_with(Steps::free()).unwrap().0
    }

    /// Every kind of entry that the log tells of, in order; the log is intact.
    pub(crate) fn told(&self) -> Vec<String> {
        let key = Identity::open(&self.home).unwrap().log_key.public();
        let verified = crate::offline::verify_log(&self.home.log(), &key).unwrap();
        verified.sealed().iter().map(|entry| entry.event.kind().to_owned()).collect()
    }
}

/// A vendor's seeder: has every object, and tells of what is published.
pub(crate) struct Origin {
    pub(crate) handle: swarm::handle::Handle,
    task: tokio::task::JoinHandle<()>,
}

impl Origin {
    /// Seeds what `vendor` has published until now, on loopback.
    pub(crate) async fn start(vendor: &Vendor) -> Self {
        let ticket = vendor.ticket_for(Role::Seeder, Vec::new());
        let trusted = vendor.trusted();
        let workgroup = WorkgroupTrust::of(ticket.workgroup(), &trusted);
        let workgroup = workgroup.unwrap();
        let (log_key, peer_key) = (key(200), key(201));
        let now = clock::wall();
        let chain = ticket.admit(&workgroup, Role::Seeder, &log_key, &peer_key, now).unwrap();
        let options = swarm::options::Options {
            listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
            role: swarm::options::Role::Origin,
            ..swarm::options::Options::new(peer_key, chain.encode().unwrap(), workgroup)
        };
        let (handle, mut events) = swarm::start(options).unwrap();
        let repository = vendor.repository.clone();
        let answers = async move {
            while let Some(event) = events.next().await {
                match event {
                    swarm::event::Event::Serve { object, offset, len, reply } => {
                        let bytes = repository.object(object).unwrap().map(bytes::Bytes::from);
                        let start = usize::try_from(offset).unwrap();
                        reply.send(bytes.map(|bytes| bytes.slice(start..start + len as usize)));
                    }
                    swarm::event::Event::Asked { request, reply, .. } => {
                        let request = MetadataRequest::decode(&request).unwrap();
                        reply.send(request.answer(&trusted, |_| None).encode());
                    }
                    _ => {}
                }
            }
        };
        let origin = Self { handle, task: tokio::spawn(answers) };
        origin.seed(vendor).await;
        origin
    }

    /// Holds everything that `vendor` has, and tells of what is published.
    pub(crate) async fn seed(&self, vendor: &Vendor) {
        let stored = vendor.repository.objects().unwrap();
        self.handle.hold(stored.iter().map(|object| (object.id, object.len))).await.unwrap();
        let announcement = Announcement::of(&vendor.trusted()).unwrap();
        self.handle.publish(announcement.encode()).await.unwrap();
    }

    /// Where it can be met.
    pub(crate) async fn addresses(&self) -> Vec<String> {
        self.handle.listen_addresses().await.unwrap()
    }

    /// Ends, as if the power had failed.
    pub(crate) fn kill(self) {
        self.task.abort();
    }
}
