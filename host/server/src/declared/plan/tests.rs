use proptest::prelude::*;

use super::*;

fn wanted(digest: &str, manifest_id: &str, continuous: bool) -> Wanted {
    Wanted { tenant: "default".into(), manifest_id: manifest_id.into(), digest: digest.into(), continuous }
}

fn live(inquiry: &str, file: &str, digest: &str, manifest_id: &str) -> Live {
    Live {
        inquiry: inquiry.into(),
        file: file.into(),
        tenant: "default".into(),
        manifest_id: manifest_id.into(),
        digest: digest.into(),
        stopping: false,
    }
}

fn one(file: &str, wanted: Option<Wanted>) -> BTreeMap<String, Option<Wanted>> {
    BTreeMap::from([(file.to_owned(), wanted)])
}

fn last(file: &str, digest: &str, end: End) -> BTreeMap<String, Last> {
    BTreeMap::from([(file.to_owned(), Last { digest: digest.into(), inquiry: "before".into(), end })])
}

fn simple(files: &BTreeMap<String, Option<Wanted>>, live: &[Live], last: &BTreeMap<String, Last>) -> Plan {
    plan(files, live, last, &BTreeSet::new())
}

#[test]
fn a_new_file_is_submitted() {
    let plan = simple(&one("a.yaml", Some(wanted("1", "x", false))), &[], &BTreeMap::new());
    assert_eq!(plan.files["a.yaml"], Standing::Due { after: None });
    assert_eq!(plan.drift, 1);
}

#[test]
fn a_file_that_runs_once_is_not_run_again_however_it_ended() {
    for end in [End::Concluded, End::Cancelled, End::Failed] {
        let plan = simple(&one("a.yaml", Some(wanted("1", "x", false))), &[], &last("a.yaml", "1", end));
        assert_eq!(plan.files["a.yaml"], Standing::Ended("before".into()));
        assert_eq!(plan.drift, 0);
    }
}

#[test]
fn a_continuous_one_begins_again_unless_it_ended_by_itself() {
    let file = one("a.yaml", Some(wanted("1", "x", true)));
    for end in [End::Cancelled, End::Failed] {
        let plan = simple(&file, &[], &last("a.yaml", "1", end));
        assert_eq!(plan.files["a.yaml"], Standing::Due { after: Some("before".into()) });
    }
    let plan = simple(&file, &[], &last("a.yaml", "1", End::Concluded));
    assert_eq!(plan.files["a.yaml"], Standing::Ended("before".into()));
}

#[test]
fn a_text_that_changed_waits_for_the_end_of_the_one_before() {
    let files = one("a.yaml", Some(wanted("2", "x", true)));
    let mut running = live("i", "a.yaml", "1", "x");
    let plan = simple(&files, &[running.clone()], &BTreeMap::new());
    assert_eq!(plan.files["a.yaml"], Standing::Waiting("i".into()));
    assert_eq!(plan.cancel, [("i".to_owned(), "default".to_owned())]);
    running.stopping = true;
    let plan = simple(&files, &[running], &BTreeMap::new());
    assert_eq!(plan.files["a.yaml"], Standing::Waiting("i".into()));
    assert!(plan.cancel.is_empty(), "asked for once");
    assert_eq!(simple(&files, &[], &BTreeMap::new()).files["a.yaml"], Standing::Due { after: None });
}

#[test]
fn a_renamed_file_waits_for_the_end_of_the_old_name() {
    let plan = simple(
        &one("b.yaml", Some(wanted("1", "x", true))),
        &[live("i", "a.yaml", "1", "x")],
        &BTreeMap::new(),
    );
    assert_eq!(plan.files["b.yaml"], Standing::Waiting("i".into()));
    assert_eq!(plan.cancel.len(), 1);
}

#[test]
fn a_file_that_cannot_be_used_leaves_alone_what_runs() {
    let plan = simple(&one("a.yaml", None), &[live("i", "a.yaml", "1", "x")], &BTreeMap::new());
    assert_eq!(plan.files["a.yaml"], Standing::Broken(Some("i".into())));
    assert!(plan.cancel.is_empty());
    assert_eq!(plan.drift, 0);
}

#[test]
fn a_manifest_id_belongs_to_the_file_that_runs_and_else_to_the_first() {
    let files = BTreeMap::from([
        ("a.yaml".to_owned(), Some(wanted("1", "x", true))),
        ("b.yaml".to_owned(), Some(wanted("2", "x", true))),
    ]);
    let plan = simple(&files, &[], &BTreeMap::new());
    assert_eq!(plan.files["a.yaml"], Standing::Due { after: None });
    assert_eq!(plan.files["b.yaml"], Standing::Duplicate { of: "a.yaml".into() });
    let plan = simple(&files, &[live("i", "b.yaml", "2", "x")], &BTreeMap::new());
    assert_eq!(plan.files["a.yaml"], Standing::Duplicate { of: "b.yaml".into() });
    assert_eq!(plan.files["b.yaml"], Standing::Running("i".into()));
    assert!(plan.cancel.is_empty());
}

#[test]
fn another_tenant_may_have_the_same_manifest_id() {
    let mut other = wanted("2", "x", false);
    other.tenant = "lab".into();
    let files = BTreeMap::from([
        ("a.yaml".to_owned(), Some(wanted("1", "x", false))),
        ("b.yaml".to_owned(), Some(other)),
    ]);
    let plan = simple(&files, &[], &BTreeMap::new());
    assert_eq!(plan.files["b.yaml"], Standing::Due { after: None });
}

#[test]
fn what_is_held_is_drift_and_not_submitted() {
    let held = BTreeSet::from(["a.yaml".to_owned()]);
    let plan = plan(&one("a.yaml", Some(wanted("1", "x", true))), &[], &BTreeMap::new(), &held);
    assert_eq!(plan.files["a.yaml"], Standing::Held);
    assert_eq!(plan.drift, 1);
}

/// A host that does what plans say, with inquiries that end when they are asked to.
#[derive(Default)]
struct World {
    files: BTreeMap<String, Option<Wanted>>,
    live: Vec<Live>,
    last: BTreeMap<String, Last>,
    submissions: Vec<(String, String, Option<InquiryId>)>,
    next: usize,
}

/// What may happen to it.
#[derive(Debug, Clone)]
enum Happening {
    Write {
        file: u8,
        text: u8,
    },
    Break {
        file: u8,
    },
    Remove {
        file: u8,
    },
    /// Somebody cancels an inquiry.
    Cancel {
        which: usize,
    },
    /// An inquiry ends by itself.
    End {
        which: usize,
        failed: bool,
    },
    /// A plan is made and done.
    Reconcile,
}

/// A text says all of a manifest: its id and whether it is continuous.
fn text(number: u8) -> Wanted {
    wanted(&number.to_string(), &format!("id{}", number % 3), number.is_multiple_of(2))
}

impl World {
    fn end(&mut self, position: usize, end: End) {
        let ended = self.live.remove(position);
        self.last.insert(ended.file.clone(), Last { digest: ended.digest, inquiry: ended.inquiry, end });
    }

    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Write { file, text: number } => {
                self.files.insert(format!("{file}.yaml"), Some(text(*number)));
            }
            Happening::Break { file } => {
                self.files.insert(format!("{file}.yaml"), None);
            }
            Happening::Remove { file } => {
                self.files.remove(&format!("{file}.yaml"));
            }
            Happening::Cancel { which } if !self.live.is_empty() => {
                let position = which % self.live.len();
                self.live[position].stopping = true;
            }
            Happening::End { which, failed } if !self.live.is_empty() => {
                let position = which % self.live.len();
                let end = match (self.live[position].stopping, failed) {
                    (true, _) => End::Cancelled,
                    (false, true) => End::Failed,
                    (false, false) => End::Concluded,
                };
                self.end(position, end);
            }
            Happening::Reconcile => self.reconcile(),
            Happening::Cancel { .. } | Happening::End { .. } => {}
        }
    }

    fn reconcile(&mut self) {
        let plan = simple(&self.files, &self.live, &self.last);
        for (inquiry, _) in &plan.cancel {
            let asked = self.live.iter_mut().find(|live| live.inquiry == *inquiry).expect("it is live");
            assert!(!asked.stopping, "asked for once");
            let file = self.files.get(&asked.file);
            assert_ne!(file, Some(&None), "a broken file never ends what runs");
            asked.stopping = true;
        }
        for (file, standing) in &plan.files {
            let Standing::Due { after } = standing else { continue };
            let wanted = self.files[file].clone().expect("only a file that can be run is due");
            let conflict =
                self.live.iter().any(|live| live.manifest_id == wanted.manifest_id || live.file == *file);
            assert!(!conflict, "submitting would be refused, the id is in use");
            let submission = (file.clone(), wanted.digest.clone(), after.clone());
            if !wanted.continuous {
                let again =
                    self.submissions.iter().rev().take_while(|(_, digest, _)| *digest == wanted.digest);
                assert!(
                    again.filter(|earlier| **earlier == submission).count() == 0,
                    "run twice: {submission:?}"
                );
            }
            self.submissions.push(submission);
            self.next += 1;
            self.live.push(Live {
                inquiry: self.next.to_string(),
                file: file.clone(),
                tenant: wanted.tenant,
                manifest_id: wanted.manifest_id,
                digest: wanted.digest,
                stopping: false,
            });
        }
    }

    /// Everything that was asked to end ends.
    fn settle(&mut self) {
        while let Some(position) = self.live.iter().position(|live| live.stopping) {
            self.end(position, End::Cancelled);
        }
    }
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (0..4u8, 0..12u8).prop_map(|(file, text)| Happening::Write { file, text }),
        1 => (0..4u8).prop_map(|file| Happening::Break { file }),
        1 => (0..4u8).prop_map(|file| Happening::Remove { file }),
        1 => any::<usize>().prop_map(|which| Happening::Cancel { which }),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, failed)| Happening::End { which, failed }),
        4 => Just(Happening::Reconcile),
    ]
}

proptest! {
    #[test]
    fn whatever_happened_a_few_looks_bring_what_is_declared(happenings in prop::collection::vec(happening(), 0..60)) {
        let mut world = World::default();
        for happening in &happenings {
            world.happen(happening);
        }
        for _ in 0..4 {
            world.reconcile();
            world.settle();
        }
        let plan = simple(&world.files, &world.live, &world.last);
        prop_assert_eq!(plan.drift, 0, "{:?}", plan);
        prop_assert!(plan.cancel.is_empty());
        for live in &world.live {
            match world.files.get(&live.file) {
                None => prop_assert!(false, "{live:?} runs without a file"),
                Some(Some(wanted)) => prop_assert_eq!(&wanted.digest, &live.digest),
                Some(None) => {}
            }
        }
        for (file, standing) in &plan.files {
            let runs = world.live.iter().filter(|live| live.file == *file).count();
            match standing {
                Standing::Running(_) => prop_assert_eq!(runs, 1),
                Standing::Broken(inquiry) => prop_assert_eq!(runs, usize::from(inquiry.is_some())),
                Standing::Ended(_) | Standing::Duplicate { .. } => prop_assert_eq!(runs, 0),
                other => prop_assert!(false, "{file} is {other:?}"),
            }
        }
    }
}
