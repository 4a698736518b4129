package progressview

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/describe"
)

var update = flag.Bool("update", false, "write the golden files; never in CI")

var start = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

// at is a time after the start.
func at(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

func expectGolden(t *testing.T, file, got string) {
	t.Helper()
	g := NewWithT(t)
	file = filepath.Join("testdata", file)
	if *update {
		g.Expect(os.WriteFile(file, []byte(got), 0o600)).To(Succeed())
	}

	want, err := os.ReadFile(file)

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got).To(Equal(string(want)))
}

const (
	mebibyte = 1 << 20
	gibibyte = 1 << 30
)

// moving is a volume of 1 GiB of which a part is done.
func moving(pod, volume string, done int64) describe.Volume {
	return describe.Volume{
		Pod: pod, Volume: volume, Phase: describe.PhaseInProgress, Started: start,
		BytesDone: done, BytesTotal: gibibyte, Why: describe.Why{Reason: velerov1.ReasonMoving},
	}
}

func waiting(pod, volume, reason string) describe.Volume {
	return describe.Volume{Pod: pod, Volume: volume, Phase: describe.PhaseNew, Why: describe.Why{Reason: reason}}
}

func completed(pod, volume string) describe.Volume {
	return describe.Volume{
		Pod: pod, Volume: volume, Phase: describe.PhaseCompleted, Finished: true, Started: start, Completed: at(41),
		BytesDone: gibibyte, BytesTotal: gibibyte, IncrementalBytes: 3 * mebibyte, SkippedFiles: 2,
	}
}

func failed(pod, volume, message string) describe.Volume {
	return describe.Volume{Pod: pod, Volume: volume, Phase: describe.PhaseFailed, Finished: true, Message: message}
}

func shop(volumes ...describe.Volume) State {
	return State{
		Title: "Backup shop-1", Phase: "InProgress", Why: describe.Why{Reason: velerov1.ReasonWaitingForVolumes},
		ItemsDone: 312, ItemsTotal: 312, Volumes: volumes,
	}
}

func mixed() State {
	return shop(
		failed("shop/db-0", "data", "opening repository shop/default: repository password is wrong"),
		moving("shop/web-0", "data", 512*mebibyte),
		completed("shop/web-1", "data"),
		waiting("shop/web-2", "data", velerov1.ReasonWaitingForSlot),
		moving("shop/web-6d4b75cb6d-hx7bk-with-a-long-name", "uploads", 10*mebibyte),
	)
}

// measured is a meter that has seen a state move for 4 seconds, each moving
// volume with 20 MiB per second.
func measured(s State) *Meter {
	m := NewMeter()
	before := s
	before.Volumes = append([]describe.Volume(nil), s.Volumes...)
	for i := range before.Volumes {
		before.Volumes[i].BytesDone -= 80 * mebibyte
	}
	m.Observe(at(0), before)
	m.Observe(at(4), s)
	return m
}

func many(n int) State {
	var volumes []describe.Volume
	for i := range n {
		pod := fmt.Sprintf("shop/web-%02d", i)
		switch i % 4 {
		case 0:
			volumes = append(volumes, completed(pod, "data"))
		case 1:
			volumes = append(volumes, waiting(pod, "data", velerov1.ReasonWaitingForSlot))
		case 2:
			volumes = append(volumes, moving(pod, "data", 512*mebibyte))
		default:
			volumes = append(volumes, failed(pod, "data", "volume not found"))
		}
	}
	return shop(volumes...)
}

func TestStateOfABackup(t *testing.T) {
	t.Parallel()
	b := &velerov1.Backup{ObjectMeta: metav1.ObjectMeta{Name: "shop-1", Namespace: "velero", CreationTimestamp: metav1.Time{Time: start}}}
	tests := map[string]struct {
		status velerov1.BackupStatus
		now    time.Time
		want   State
	}{
		"a new backup": {now: at(9), want: State{Title: "Backup shop-1", Phase: "New", Volumes: []describe.Volume{}}},
		"a backup that nobody takes says so": {
			now: at(10),
			want: State{Title: "Backup shop-1", Phase: "New", Volumes: []describe.Volume{}, Why: describe.Why{
				Reason: "NotTaken", Message: "no server has taken it; look for one with: kubectl get pods -n velero", Problem: true,
			}},
		},
		"items and reason": {
			now: at(60),
			status: velerov1.BackupStatus{
				Phase:      velerov1.BackupPhaseInProgress,
				Progress:   &velerov1.BackupProgress{TotalItems: 10, ItemsBackedUp: 3},
				Conditions: []metav1.Condition{{Type: velerov1.ConditionCompleted, Status: metav1.ConditionUnknown, Reason: velerov1.ReasonCollecting}},
			},
			want: State{
				Title: "Backup shop-1", Phase: "InProgress", Volumes: []describe.Volume{}, ItemsDone: 3, ItemsTotal: 10,
				Why: describe.Why{Reason: velerov1.ReasonCollecting},
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			backup := b.DeepCopy()
			backup.Status = tc.status

			got := Of(describe.RunOf(backup, []describe.Volume{}), tc.now)

			g.Expect(got).To(Equal(tc.want))
		})
	}
}

func TestStateOfARestoreHasSizesOfSnapshots(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := &velerov1.Restore{ObjectMeta: metav1.ObjectMeta{Name: "r"}}
	volume := velerov1.PodVolumeRestore{Spec: velerov1.PodVolumeRestoreSpec{
		Volume: "data", SnapshotSize: 7, Pod: corev1.ObjectReference{Namespace: "shop", Name: "web-0"},
	}}

	got := Of(describe.RunOf(r, describe.Volumes([]any{&volume})), start)

	g.Expect(got.Volumes).To(HaveLen(1))
	g.Expect(got.Volumes[0].Name()).To(Equal("shop/web-0 data"))
	g.Expect(got.Volumes[0].BytesTotal).To(Equal(int64(7)))
}
