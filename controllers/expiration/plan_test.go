package expiration

import (
	"errors"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

var t0 = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

type mod func(*velerov1.Backup)

// expired is a backup whose time was over an hour ago.
func expired(mods ...mod) *velerov1.Backup {
	b := &velerov1.Backup{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "nightly", UID: "b-1"},
		Spec:       velerov1.BackupSpec{StorageLocation: "default"},
		Status:     velerov1.BackupStatus{Phase: velerov1.BackupPhaseCompleted, Expiration: &metav1.Time{Time: t0.Add(-time.Hour)}},
	}
	for _, m := range mods {
		m(b)
	}
	return b
}

func expiresIn(d time.Duration) mod {
	return func(b *velerov1.Backup) { b.Status.Expiration = &metav1.Time{Time: t0.Add(d)} }
}

func phase(p velerov1.BackupPhase) mod { return func(b *velerov1.Backup) { b.Status.Phase = p } }

// requests has one in each of these phases.
func requests(phases ...velerov1.DeleteBackupRequestPhase) []velerov1.DeleteBackupRequest {
	var list []velerov1.DeleteBackupRequest
	for _, p := range phases {
		list = append(list, velerov1.DeleteBackupRequest{Status: velerov1.DeleteBackupRequestStatus{Phase: p}})
	}
	return list
}

func bsl(phase velerov1.BackupStorageLocationPhase, mode velerov1.BackupStorageLocationAccessMode) *velerov1.BackupStorageLocation {
	return &velerov1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "default"},
		Spec:       velerov1.BackupStorageLocationSpec{AccessMode: mode, Provider: "aws", StorageType: velerov1.StorageType{ObjectStorage: &velerov1.ObjectStorageLocation{Bucket: "b"}}},
		Status:     velerov1.BackupStorageLocationStatus{Phase: phase},
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	good := bsl(velerov1.BackupStorageLocationPhaseAvailable, "")
	for name, tc := range map[string]struct {
		o    observed
		want step
	}{
		"one that goes away is left":             {observed{backup: expired(func(b *velerov1.Backup) { b.DeletionTimestamp = &metav1.Time{Time: t0} }), location: good}, step{action: actNothing}},
		"one without an end is kept":             {observed{backup: expired(func(b *velerov1.Backup) { b.Status.Expiration = nil }), location: good}, step{action: actNothing}},
		"one that runs is not stopped":           {observed{backup: expired(phase("InProgress")), location: good}, step{action: actNothing}},
		"it waits exactly until its end":         {observed{backup: expired(expiresIn(time.Minute))}, step{action: actNothing, after: time.Minute}},
		"but looks from time to time":            {observed{backup: expired(expiresIn(720 * time.Hour))}, step{action: actNothing, after: time.Hour}},
		"its end is now":                         {observed{backup: expired(expiresIn(0)), location: good}, step{action: actRequest, after: time.Hour}},
		"it is being removed":                    {observed{backup: expired(), location: good, requests: requests("InProgress")}, step{action: actNothing, after: time.Hour}},
		"a failed removal is tried again":        {observed{backup: expired(phase("Deleting")), location: good, requests: requests("Processed")}, step{action: actRequest, after: time.Hour}},
		"a removal that was begun goes on":       {observed{backup: expired(expiresIn(time.Minute), phase("Deleting")), location: good, requests: requests("")}, step{action: actNothing, after: time.Minute}},
		"one that failed is for people":          {observed{backup: expired(expiresIn(time.Minute), phase("Deleting")), location: good, requests: requests("Processed")}, step{action: actNothing, after: time.Minute}},
		"a removal that was forgotten goes on":   {observed{backup: expired(expiresIn(time.Minute), phase("Deleting")), location: good}, step{action: actRequest, after: time.Hour}},
		"also of one without an end":             {observed{backup: expired(phase("Deleting"), func(b *velerov1.Backup) { b.Status.Expiration = nil }), location: good}, step{action: actRequest, after: time.Hour}},
		"a failed backup goes, too":              {observed{backup: expired(phase("Failed")), location: good}, step{action: actRequest, after: time.Hour}},
		"what Velero left unfinished goes":       {observed{backup: expired(phase("Finalizing")), location: good}, step{action: actRequest, after: time.Hour}},
		"the location cannot be read":            {observed{backup: expired(), locationErr: errors.New("no")}, step{action: actLabel, failure: "BSLCannotGet", after: time.Hour}},
		"the location does not exist":            {observed{backup: expired()}, step{action: actLabel, failure: "BSLNotFound", after: time.Hour}},
		"the location must not be written":       {observed{backup: expired(), location: bsl("Available", "ReadOnly")}, step{action: actLabel, failure: "BSLReadOnly", after: time.Hour}},
		"the location is unavailable":            {observed{backup: expired(), location: bsl("Unavailable", "")}, step{action: actLabel, failure: "BSLUnavailable", after: time.Hour}},
		"the location has not been looked at":    {observed{backup: expired(), location: bsl("", "")}, step{action: actLabel, failure: "BSLUnavailable", after: time.Hour}},
		"read-only is said before it is checked": {observed{backup: expired(), location: bsl("Unavailable", "ReadOnly")}, step{action: actLabel, failure: "BSLReadOnly", after: time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.o.now, tc.o.frequency = t0, time.Hour
			NewWithT(t).Expect(plan(tc.o)).To(Equal(tc.want))
		})
	}
}

func TestRequestName(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	name := func(after time.Duration, mods ...mod) string {
		b := expired(append(mods, expiresIn(0))...)
		return requestName(observed{backup: b, now: t0.Add(after), frequency: time.Hour})
	}

	g.Expect(name(0)).To(Equal("nightly-expired-20261122080000"))
	g.Expect(name(59 * time.Minute)).To(Equal(name(0)))
	g.Expect(name(61 * time.Minute)).To(Equal("nightly-expired-20261122090000"))
	g.Expect(requestName(observed{
		backup: expired(expiresIn(time.Hour), func(b *velerov1.Backup) { b.CreationTimestamp = metav1.Time{Time: t0.Add(-90 * time.Minute)} }),
		now:    t0, frequency: time.Hour,
	})).To(Equal("nightly-forgotten-20261122073000"))
	g.Expect(len(name(0, func(b *velerov1.Backup) { b.Name = strings.Repeat("n", 253) }))).To(BeNumerically("<=", 253))
}
