package movement

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestObstacleOf(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		destination func(*Destination)
		after       time.Duration
		want        *Obstacle
		wantMessage string
	}{
		"repository ready": {},
		"location does not exist": {
			destination: func(d *Destination) { d.Location = nil },
			want:        &Obstacle{Terminal: true, Reason: velerov1.ReasonLocationNotFound}, wantMessage: `"default" does not exist`,
		},
		"location that cannot be used": {
			destination: func(d *Destination) { d.Location.Spec.Provider = "tape" },
			want:        &Obstacle{Terminal: true, Reason: velerov1.ReasonInvalidSpec}, wantMessage: "spec.provider: Unsupported value",
		},
		"location that must not be written": {
			destination: func(d *Destination) {
				d.Writes = true
				d.Location.Spec.AccessMode = velerov1.BackupStorageLocationAccessModeReadOnly
			},
			want: &Obstacle{Terminal: true, Reason: velerov1.ReasonLocationReadOnly}, wantMessage: "read-only",
		},
		"location that must not be written is read": {
			destination: func(d *Destination) {
				d.Location.Spec.AccessMode = velerov1.BackupStorageLocationAccessModeReadOnly
			},
		},
		"repository not there yet": {
			destination: func(d *Destination) { d.Repository = nil },
			want:        &Obstacle{Reason: velerov1.ReasonWaitingForRepository, After: 10 * time.Minute}, wantMessage: "does not exist yet",
		},
		"repository being prepared": {
			destination: func(d *Destination) { d.Repository.Status.Phase = velerov1.BackupRepositoryPhaseNew }, after: time.Minute,
			want: &Obstacle{Reason: velerov1.ReasonWaitingForRepository, After: 9 * time.Minute}, wantMessage: "is being prepared",
		},
		"repository never prepared": {
			destination: func(d *Destination) { d.Repository.Status.Phase = "" }, after: 10 * time.Minute,
			want: &Obstacle{Terminal: true, Reason: velerov1.ReasonRepositoryNotReady}, wantMessage: "is the server running?",
		},
		"repository with another password": {
			destination: notReady(velerov1.ReasonRepositoryPasswordWrong, t0), after: 15 * time.Second,
			want: &Obstacle{Terminal: true, Reason: velerov1.ReasonRepositoryPasswordWrong}, wantMessage: "is not ready: because",
		},
		"repository whose password may just have been put right": {
			destination: notReady(velerov1.ReasonRepositoryPasswordWrong, t0), after: 5 * time.Second,
			want: &Obstacle{Reason: velerov1.ReasonWaitingForRepository, After: 10 * time.Second}, wantMessage: "because",
		},
		"repository whose storage does not answer": {
			destination: notReady(velerov1.ReasonStorageUnavailable, t0.Add(-time.Hour)), after: 10 * time.Second,
			want: &Obstacle{Reason: velerov1.ReasonWaitingForRepository, After: 50 * time.Second}, wantMessage: "because",
		},
		"repository whose storage stopped answering a moment ago": {
			destination: notReady(velerov1.ReasonStorageUnavailable, t0.Add(time.Hour)), after: time.Hour,
			want: &Obstacle{Reason: velerov1.ReasonWaitingForRepository, After: time.Minute}, wantMessage: "because",
		},
		"repository whose storage does not answer for a minute": {
			destination: notReady(velerov1.ReasonStorageUnavailable, t0.Add(-time.Hour)), after: time.Minute,
			want: &Obstacle{Terminal: true, Reason: velerov1.ReasonStorageUnavailable}, wantMessage: "because",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			d := destination()
			if tc.destination != nil {
				tc.destination(&d)
			}

			got := ObstacleOf(d, t0.Add(tc.after))

			if tc.want == nil {
				g.Expect(got).To(BeNil())
				return
			}
			g.Expect(got.Message).To(ContainSubstring(tc.wantMessage))
			got.Message = ""
			g.Expect(got).To(Equal(tc.want))
		})
	}
}

func destination() Destination {
	bsl := &velerov1.BackupStorageLocation{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	bsl.Spec.Provider = "aws"
	bsl.Spec.ObjectStorage = &velerov1.ObjectStorageLocation{Bucket: "backups"}
	repository := &velerov1.BackupRepository{ObjectMeta: metav1.ObjectMeta{Name: "shop-default-kopia"}}
	repository.Status.Phase = velerov1.BackupRepositoryPhaseReady
	return Destination{LocationName: "default", Location: bsl, Namespace: "shop", Repository: repository, Since: t0}
}

func notReady(reason string, since time.Time) func(*Destination) {
	return func(d *Destination) {
		d.Repository.Status.Phase = velerov1.BackupRepositoryPhaseNotReady
		d.Repository.Status.Message = "because"
		d.Repository.Status.Conditions = []metav1.Condition{{
			Type: velerov1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, LastTransitionTime: metav1.NewTime(since),
		}}
	}
}
