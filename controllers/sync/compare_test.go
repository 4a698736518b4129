package sync

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

type backupMod func(*velerov1.Backup)

// backup is a Backup that has come from location "default".
func backup(mods ...backupMod) *velerov1.Backup {
	b := &velerov1.Backup{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "nightly", UID: "here", Labels: map[string]string{velerov1.StorageLocationLabel: "default"}},
		Spec:       velerov1.BackupSpec{StorageLocation: "default"},
		Status:     velerov1.BackupStatus{Phase: velerov1.BackupPhaseCompleted},
	}
	for _, m := range mods {
		m(b)
	}
	return b
}

func inPhase(p velerov1.BackupPhase) backupMod {
	return func(b *velerov1.Backup) { b.Status.Phase = p }
}

func inLocation(name string) backupMod {
	return func(b *velerov1.Backup) {
		b.Spec.StorageLocation, b.Labels = name, map[string]string{velerov1.StorageLocationLabel: name}
	}
}

func named(name string) backupMod { return func(b *velerov1.Backup) { b.Name = name } }

func goingAway(b *velerov1.Backup) { b.DeletionTimestamp = &metav1.Time{Time: t0} }

func syncing(b *velerov1.Backup) {
	b.Annotations = map[string]string{velerov1.SyncingAnnotation: "true"}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		folders  []string
		backups  []*velerov1.Backup
		deleting string
		recorded string // default: the place
		place    string // default: "p"

		want        fate // of "nightly"; "" means no verdict
		wantVisible bool
		wantPlace   string // default: the place
	}{
		"neither here nor there is nothing":          {},
		"a stored backup comes":                      {folders: []string{"nightly"}, want: fateImport},
		"one with a name that no object can have":    {folders: []string{"Nightly_1"}},
		"one that is being deleted does not":         {folders: []string{"nightly"}, deleting: "nightly", want: fateSkip},
		"a Backup that is stored stays":              {folders: []string{"nightly"}, backups: []*velerov1.Backup{backup()}, want: fateKeep},
		"one whose volumes are missing gets them":    {folders: []string{"nightly"}, backups: []*velerov1.Backup{backup(syncing)}, want: fateComplete},
		"but not while it goes away":                 {folders: []string{"nightly"}, backups: []*velerov1.Backup{backup(syncing, goingAway)}, want: fateKeep},
		"one that is new has no location yet":        {folders: []string{"nightly"}, backups: []*velerov1.Backup{backup(inPhase(""), inLocation(""))}, want: fateKeep},
		"the name is taken by another location":      {folders: []string{"nightly"}, backups: []*velerov1.Backup{backup(inLocation("other"))}, want: fateSkip, wantVisible: true},
		"a Backup that is gone from the bucket goes": {backups: []*velerov1.Backup{backup()}, want: fateRemove},
		"so does a partially failed one":             {backups: []*velerov1.Backup{backup(inPhase("PartiallyFailed"))}, want: fateRemove},
		"one that is being made stays":               {backups: []*velerov1.Backup{backup(inPhase("InProgress"))}, want: fateKeep},
		"one that failed stays":                      {backups: []*velerov1.Backup{backup(inPhase("Failed"))}, want: fateKeep},
		"one that was refused stays":                 {backups: []*velerov1.Backup{backup(inPhase("FailedValidation"))}, want: fateKeep},
		"one that is being deleted stays":            {backups: []*velerov1.Backup{backup(inPhase("Deleting"))}, want: fateKeep},
		"so does one that goes away":                 {backups: []*velerov1.Backup{backup(goingAway)}, want: fateKeep},
		"one without the label stays":                {backups: []*velerov1.Backup{backup(func(b *velerov1.Backup) { b.Labels = nil })}, want: fateKeep},
		"one of another location is not looked at":   {backups: []*velerov1.Backup{backup(inLocation("other"))}},

		"in another place nothing goes": {backups: []*velerov1.Backup{backup()}, recorded: "before", want: fateHold, wantVisible: true, wantPlace: "before"},
		"in an empty place nothing goes": {backups: []*velerov1.Backup{backup()}, recorded: "p", place: "p-empty",
			want: fateHold, wantVisible: true, wantPlace: "p"},
		"an empty place that was empty before is believed": {backups: []*velerov1.Backup{backup()}, recorded: "p-empty", place: "p-empty", want: fateRemove},
		"a confirmed place is believed":                    {backups: []*velerov1.Backup{backup()}, recorded: "here", want: fateRemove},
		"another place that has everything is believed":    {folders: []string{"nightly"}, backups: []*velerov1.Backup{backup()}, recorded: "before", want: fateKeep},
		"an unknown place is not believed":                 {backups: []*velerov1.Backup{backup()}, recorded: "-", want: fateHold, wantVisible: true, wantPlace: "-"},
		"an unknown place with one of them is, next time": {folders: []string{"other"}, backups: []*velerov1.Backup{backup(), backup(named("other"))}, recorded: "-",
			want: fateHold},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			w := world{location: "default", folders: tc.folders, deleting: map[string]bool{tc.deleting: true}, place: "p", recorded: "p"}
			for _, b := range tc.backups {
				w.backups = append(w.backups, *b)
			}
			if tc.place != "" {
				w.place = tc.place
			}
			if tc.recorded != "" {
				w.recorded = tc.recorded
			}
			if w.recorded == "-" {
				w.recorded = ""
			}
			if tc.wantPlace == "" {
				tc.wantPlace = w.place
			}
			if tc.wantPlace == "-" {
				tc.wantPlace = ""
			}

			verdicts := compare(w)

			var got verdict
			for _, v := range verdicts {
				if v.name == "nightly" {
					got = v
				}
			}
			g.Expect(got.fate).To(Equal(tc.want))
			g.Expect(got.visible).To(Equal(tc.wantVisible))
			g.Expect(nextPlace(w, verdicts)).To(Equal(tc.wantPlace))
		})
	}
}

// Nothing is removed that has a folder, and nothing comes that has a Backup.
func TestCompareAgreesWithItself(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	phases := []velerov1.BackupPhase{"", "New", "InProgress", "Completed", "PartiallyFailed", "Failed", "Deleting", "Finalizing"}
	for _, p := range phases {
		for _, recorded := range []string{"", "p", "q", "here"} {
			for _, folders := range [][]string{nil, {"nightly"}, {"other"}, {"nightly", "other"}} {
				w := world{location: "default", folders: folders, backups: []velerov1.Backup{*backup(inPhase(p))}, place: "p", recorded: recorded}
				for _, v := range compare(w) {
					stored := v.name == "other" || len(folders) == 2 || (len(folders) == 1 && folders[0] == v.name)
					g.Expect(v.fate).NotTo(BeEmpty())
					if v.fate == fateRemove || v.fate == fateHold {
						g.Expect(stored).To(BeFalse())
					}
					if v.fate == fateImport {
						g.Expect(v.name).To(Equal("other"))
					}
				}
			}
		}
	}
}

func TestInvalidFolderIsSkipped(t *testing.T) {
	t.Parallel()
	got := compare(world{location: "default", folders: []string{"Nightly_1"}})

	g := NewWithT(t)
	g.Expect(got).To(HaveLen(1))
	g.Expect(got[0].fate).To(Equal(fateSkip))
	g.Expect(got[0].visible).To(BeTrue())
}
