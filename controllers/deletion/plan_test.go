package deletion

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/outcome"
)

var t0 = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func at(d time.Duration) metav1.Time { return metav1.Time{Time: t0.Add(d)} }

type requestMod func(*velerov1.DeleteBackupRequest)

// request asks for the removal of the backup nightly; nobody has looked at it yet.
func request(mods ...requestMod) *velerov1.DeleteBackupRequest {
	r := &velerov1.DeleteBackupRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "nightly-x", CreationTimestamp: at(0)},
		Spec:       velerov1.DeleteBackupRequestSpec{BackupName: "nightly"},
	}
	for _, m := range mods {
		m(r)
	}
	return r
}

func inPhase(phase velerov1.DeleteBackupRequestPhase) requestMod {
	return func(r *velerov1.DeleteBackupRequest) { r.Status.Phase = phase }
}

func named(name string, created time.Duration) requestMod {
	return func(r *velerov1.DeleteBackupRequest) { r.Name, r.CreationTimestamp = name, at(created) }
}

// done says which parts are removed.
func done(conditions ...string) requestMod {
	return func(r *velerov1.DeleteBackupRequest) {
		taken(r)
		for _, c := range conditions {
			r.Status.Conditions = append(r.Status.Conditions, metav1.Condition{Type: c, Status: metav1.ConditionTrue})
		}
	}
}

// failing says that something has failed since then.
func failing(since time.Duration) requestMod {
	return func(r *velerov1.DeleteBackupRequest) {
		taken(r)
		r.Status.Conditions = append(r.Status.Conditions, metav1.Condition{
			Type: velerov1.ConditionCompleted, Status: metav1.ConditionFalse, Reason: velerov1.ReasonStorageUnavailable,
			Message: "no answer", LastTransitionTime: at(since),
		})
	}
}

var (
	taken     = inPhase(velerov1.DeleteBackupRequestPhaseInProgress)
	processed = inPhase(velerov1.DeleteBackupRequestPhaseProcessed)
)

type backupMod func(*velerov1.Backup)

// completed is a backup that has data.
func completed(mods ...backupMod) *velerov1.Backup {
	start := at(-time.Hour)
	b := &velerov1.Backup{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "nightly"},
		Spec:       velerov1.BackupSpec{StorageLocation: "default"},
		Status:     velerov1.BackupStatus{Phase: velerov1.BackupPhaseCompleted, StartTimestamp: &start},
	}
	for _, m := range mods {
		m(b)
	}
	return b
}

func phase(p velerov1.BackupPhase) backupMod {
	return func(b *velerov1.Backup) { b.Status.Phase = p }
}

func neverStarted(b *velerov1.Backup) { b.Status.StartTimestamp = nil }

func asked(b *velerov1.Backup) {
	b.Annotations = map[string]string{velerov1.CancelRequestedByAnnotation: "somebody"}
}

func bsl(mods ...func(*velerov1.BackupStorageLocation)) *velerov1.BackupStorageLocation {
	l := &velerov1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Name: "default"},
		Status:     velerov1.BackupStorageLocationStatus{Phase: velerov1.BackupStorageLocationPhaseAvailable},
	}
	for _, m := range mods {
		m(l)
	}
	return l
}

func readOnly(l *velerov1.BackupStorageLocation) {
	l.Spec.AccessMode = velerov1.BackupStorageLocationAccessModeReadOnly
}

func unavailable(l *velerov1.BackupStorageLocation) {
	l.Status.Phase = velerov1.BackupStorageLocationPhaseUnavailable
}

func restores(deleting bool, names ...string) []velerov1.Restore {
	var list []velerov1.Restore
	for _, name := range names {
		r := velerov1.Restore{ObjectMeta: metav1.ObjectMeta{Name: name}}
		r.Status.Phase = velerov1.RestorePhaseInProgress
		if deleting {
			t := at(0)
			r.DeletionTimestamp = &t
		}
		list = append(list, r)
	}
	return list
}

func TestPlan(t *testing.T) {
	t.Parallel()
	deleting := completed(phase(velerov1.BackupPhaseDeleting))
	all := done(velerov1.ConditionSnapshotsDeleted, velerov1.ConditionObjectsDeleted)
	for name, tc := range map[string]struct {
		o           observed
		wantAction  action
		wantMessage string
		wantAfter   time.Duration
	}{
		"one that goes away is left": {
			o: observed{request: request(func(r *velerov1.DeleteBackupRequest) { d := at(0); r.DeletionTimestamp = &d })}, wantAction: actNothing,
		},
		"a processed one is kept for a day": {
			o: observed{request: request(processed), now: t0.Add(time.Hour)}, wantAction: actNothing, wantAfter: 23 * time.Hour,
		},
		"a processed one is removed after a day": {o: observed{request: request(processed), now: t0.Add(24 * time.Hour)}, wantAction: actRemoveRequest},
		"one that goes on is not too old":        {o: observed{request: request(taken), backup: completed(), location: bsl(), now: t0.Add(48 * time.Hour)}, wantAction: actMarkDeleting, wantAfter: goOn},
		"no name": {
			o:          observed{request: request(func(r *velerov1.DeleteBackupRequest) { r.Spec.BackupName = "" })},
			wantAction: actRefuse, wantMessage: "spec.backupName is required",
		},
		"an older one does it": {
			o: observed{
				request: request(), backup: completed(), location: bsl(),
				others: []velerov1.DeleteBackupRequest{*request(named("a", -time.Second))},
			},
			wantAction: actNothing, wantAfter: lookAgain,
		},
		"of two at once the first by name does it": {
			o: observed{
				request: request(), backup: completed(), location: bsl(),
				others: []velerov1.DeleteBackupRequest{*request(named("z", 0)), *request(named("b", -time.Hour), processed)},
			},
			wantAction: actTake, wantAfter: goOn,
		},
		"no such backup":                   {o: observed{request: request()}, wantAction: actRefuse, wantMessage: "backup not found"},
		"the backup is gone":               {o: observed{request: request(taken)}, wantAction: actRemoveRequests},
		"the location does not exist":      {o: observed{request: request(), backup: completed()}, wantAction: actRefuse, wantMessage: "backup storage location default not found"},
		"the location goes in the middle":  {o: observed{request: request(taken), backup: deleting}, wantAction: actRefuse, wantMessage: "backup storage location default not found"},
		"the location must not be written": {o: observed{request: request(), backup: completed(), location: bsl(readOnly)}, wantAction: actRefuse, wantMessage: "cannot delete backup because backup storage location default is currently in read-only mode"},
		"the location is unavailable":      {o: observed{request: request(), backup: completed(), location: bsl(unavailable)}, wantAction: actRefuse, wantMessage: "cannot delete backup because backup storage location default is currently in Unavailable state"},
		"the location fails in the middle": {
			o: observed{request: request(taken), backup: deleting, location: bsl(unavailable)}, wantAction: actNothing,
			wantMessage: "Waiting for backup storage location default", wantAfter: locationRetry,
		},
		"the location fails for long": {
			o:          observed{request: request(failing(-5 * time.Minute)), backup: deleting, location: bsl(unavailable)},
			wantAction: actRefuse, wantMessage: "cannot delete backup because backup storage location default is currently in Unavailable state",
		},
		"a backup that never started needs no location": {o: observed{request: request(), backup: completed(neverStarted, phase("FailedValidation"))}, wantAction: actTake, wantAfter: goOn},
		"a running backup is asked to stop":             {o: observed{request: request(taken), backup: completed(phase("InProgress")), location: bsl()}, wantAction: actCancelBackup, wantMessage: "Waiting for the backup to stop", wantAfter: lookAgain},
		"a queued backup is asked to stop":              {o: observed{request: request(taken), backup: completed(phase("Queued"), neverStarted)}, wantAction: actCancelBackup, wantMessage: "Waiting for the backup to stop", wantAfter: lookAgain},
		"its end is waited for":                         {o: observed{request: request(taken), backup: completed(phase("InProgress"), asked), location: bsl()}, wantAction: actNothing, wantMessage: "Waiting for the backup to stop", wantAfter: lookAgain},
		"a read-only location stops no running backup":  {o: observed{request: request(), backup: completed(phase("InProgress")), location: bsl(readOnly)}, wantAction: actRefuse, wantMessage: "cannot delete backup because backup storage location default is currently in read-only mode"},
		"what Velero left unfinished runs nowhere":      {o: observed{request: request(taken), backup: completed(phase("Finalizing")), location: bsl()}, wantAction: actMarkDeleting, wantAfter: goOn},
		"a restore that reads the backup is waited for": {
			o:          observed{request: request(taken), backup: completed(), location: bsl(), restores: restores(false, "b", "a")},
			wantAction: actNothing, wantAfter: lookAgain,
			wantMessage: "Waiting for the end of restores that read the backup: a, b; stop one with: podkeep restore cancel NAME",
		},
		"also one that began while the backup was marked": {
			o:          observed{request: request(taken), backup: deleting, location: bsl(), restores: restores(false, "a")},
			wantAction: actNothing, wantAfter: lookAgain,
			wantMessage: "Waiting for the end of restores that read the backup: a; stop one with: podkeep restore cancel NAME",
		},
		"a restore is waited for as long as it takes": {
			o:          observed{request: request(failing(-time.Hour)), backup: completed(), location: bsl(), restores: restores(false, "a")},
			wantAction: actNothing, wantAfter: lookAgain,
			wantMessage: "Waiting for the end of restores that read the backup: a; stop one with: podkeep restore cancel NAME",
		},
		"not for one that is being deleted": {
			o: observed{request: request(taken), backup: completed(), location: bsl(), restores: restores(true, "a")}, wantAction: actMarkDeleting, wantAfter: goOn,
		},
		"nor for one that has ended, or that Velero has left": {
			o: observed{request: request(taken), backup: completed(), location: bsl(), restores: []velerov1.Restore{
				{Status: velerov1.RestoreStatus{Phase: velerov1.RestorePhasePartiallyFailed}}, {Status: velerov1.RestoreStatus{Phase: velerov1.RestorePhaseFinalizing}},
			}}, wantAction: actMarkDeleting, wantAfter: goOn,
		},
		"nor for one of a backup that never had data": {
			o: observed{request: request(taken), backup: completed(neverStarted, phase("FailedValidation")), restores: restores(false, "a")}, wantAction: actMarkDeleting, wantAfter: goOn,
		},
		"snapshots go first": {o: observed{request: request(taken), backup: deleting, location: bsl()}, wantAction: actDeleteSnapshots, wantAfter: goOn},
		"then objects":       {o: observed{request: request(done(velerov1.ConditionSnapshotsDeleted)), backup: deleting, location: bsl()}, wantAction: actDeleteObjects, wantAfter: goOn},
		"then restores":      {o: observed{request: request(all), backup: deleting, location: bsl(), restores: append(restores(true, "a"), restores(false, "b")...)}, wantAction: actDeleteRestores, wantAfter: lookAgain},
		"until they are gone": {
			o:          observed{request: request(all), backup: deleting, location: bsl(), restores: restores(true, "b", "a")},
			wantAction: actNothing, wantMessage: "Waiting until restores are gone: a, b", wantAfter: lookAgain,
		},
		"then the backup":                         {o: observed{request: request(all), backup: deleting, location: bsl()}, wantAction: actDeleteBackup, wantAfter: goOn},
		"a backup that never started has no data": {o: observed{request: request(taken), backup: completed(neverStarted, phase("Deleting"))}, wantAction: actDeleteBackup, wantAfter: goOn},
		"what fails is tried again":               {o: observed{request: request(failing(-5*time.Minute + time.Second)), backup: deleting, location: bsl()}, wantAction: actDeleteSnapshots, wantAfter: goOn},
		"until it has failed for long":            {o: observed{request: request(failing(-5 * time.Minute)), backup: deleting, location: bsl()}, wantAction: actRefuse, wantMessage: "no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			if tc.o.now.IsZero() {
				tc.o.now = t0
			}
			tc.o.retryTimeout = 5 * time.Minute

			got := plan(tc.o)

			g.Expect(got.action).To(Equal(tc.wantAction))
			g.Expect(got.message).To(Equal(tc.wantMessage))
			g.Expect(got.after).To(Equal(tc.wantAfter))
		})
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	o := func(r *velerov1.DeleteBackupRequest) observed {
		return observed{request: r, backup: completed(func(b *velerov1.Backup) { b.UID = "b-1" }), now: t0}
	}
	t.Run("what is refused is processed", func(t *testing.T) {
		t.Parallel()
		g := NewWithT(t)
		r := request()
		report(o(r), step{action: actRefuse, reason: velerov1.ReasonBackupNotFound, message: textNotFound}, nil)
		g.Expect(r.Status.Phase).To(Equal(velerov1.DeleteBackupRequestPhaseProcessed))
		g.Expect(r.Status.Errors).To(Equal([]string{"backup not found"}))
	})
	t.Run("what is taken has Velero's labels", func(t *testing.T) {
		t.Parallel()
		g := NewWithT(t)
		r := request()
		report(o(r), step{action: actTake, reason: velerov1.ReasonDeleting}, nil)
		g.Expect(r.Status.Phase).To(Equal(velerov1.DeleteBackupRequestPhaseInProgress))
		g.Expect(r.Labels).To(Equal(map[string]string{"velero.io/backup-name": "nightly", "velero.io/backup-uid": "b-1"}))
	})
	t.Run("only people can repair it", func(t *testing.T) {
		t.Parallel()
		g := NewWithT(t)
		r := request(taken)
		report(o(r), step{action: actDeleteSnapshots, reason: velerov1.ReasonDeleting}, outcome.Terminalf(velerov1.ReasonRepositoryPasswordWrong, "wrong\npassword"))
		g.Expect(r.Status.Phase).To(Equal(velerov1.DeleteBackupRequestPhaseProcessed))
		g.Expect(r.Status.Errors).To(Equal([]string{"wrong password"}))
		g.Expect(isDone(r, velerov1.ConditionSnapshotsDeleted)).To(BeFalse())
	})
	t.Run("a failure counts from its beginning, and ends with a success", func(t *testing.T) {
		t.Parallel()
		g := NewWithT(t)
		r := request(taken)
		first := o(r)
		report(first, step{action: actDeleteSnapshots, reason: velerov1.ReasonDeleting}, errors.New("no answer"))
		later := first
		later.now = t0.Add(time.Minute)
		report(later, step{action: actDeleteSnapshots, reason: velerov1.ReasonDeleting}, errors.New("still no answer"))
		g.Expect(r.Status.Phase).To(Equal(velerov1.DeleteBackupRequestPhaseInProgress))
		g.Expect(failure(r).LastTransitionTime.Time).To(Equal(t0))
		g.Expect(failure(r).Message).To(Equal("still no answer"))

		report(later, step{action: actDeleteSnapshots, reason: velerov1.ReasonDeleting}, nil)

		g.Expect(failure(r)).To(BeNil())
		g.Expect(isDone(r, velerov1.ConditionSnapshotsDeleted)).To(BeTrue())
	})
}

func TestSnapshotsOf(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	volume := func(namespace, id, uploader string) velerov1.PodVolumeBackup {
		v := velerov1.PodVolumeBackup{Spec: velerov1.PodVolumeBackupSpec{UploaderType: uploader}, Status: velerov1.PodVolumeBackupStatus{SnapshotID: id}}
		v.Spec.Pod.Namespace = namespace
		return v
	}

	got, left := snapshotsOf([]velerov1.PodVolumeBackup{
		volume("shop", "2", "kopia"), volume("shop", "1", "kopia"), volume("shop", "2", "kopia"), volume("blog", "3", ""),
		volume("shop", "", "kopia"), volume("shop", "r", "restic"), volume("../other", "4", "kopia"), volume("", "5", "kopia"),
	})

	g.Expect(got).To(Equal(map[string][]string{"shop": {"1", "2"}, "blog": {"3"}}))
	g.Expect(left).To(ConsistOf(ContainSubstring("restic snapshot r"), ContainSubstring("../other"), ContainSubstring(`""`)))
}

func TestJoinedGoesOnWhileSomethingMaySucceed(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	terminal, retried := outcome.Terminalf("X", "terminal"), errors.New("retried")

	g.Expect(joined([]error{nil, nil})).To(Succeed())
	g.Expect(outcome.IsTerminal(joined([]error{terminal, nil}))).To(BeTrue())
	g.Expect(outcome.IsTerminal(joined([]error{terminal, retried}))).To(BeFalse())
}
