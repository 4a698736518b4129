package gate

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hold"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestPlan(t *testing.T) {
	t.Parallel()
	waiting := hold.Pod{Namespace: "shop", Name: "other", UID: "q", Volumes: []hold.Volume{{Name: "data", Claim: "claim"}, {Name: "logs", Claim: "logs"}}}
	told := waiting
	told.Told = []string{"logs"}
	tests := map[string]struct {
		restore    *velerov1.Restore
		pod        hold.Pod
		fills      []velerov1.PodVolumeRestore
		claims     map[types.NamespacedName]bool
		want       []notice
		wantFailed string
		wantLook   int
	}{
		"nothing is restored: nothing is said": {restore: restore(""), pod: waiting, fills: fills("", "")},
		"what is restored is said":             {restore: restore(""), pod: waiting, fills: fills(velerov1.PodVolumeRestorePhaseCompleted, ""), want: []notice{{pod: waiting, restored: []string{"data"}}}},
		"what was said before is said again with it": {
			restore: restore(""), pod: told, fills: fills(velerov1.PodVolumeRestorePhaseCompleted, ""), want: []notice{{pod: told, restored: []string{"data", "logs"}}},
		},
		"a restore that was canceled":                                         {restore: restore("canceled\nby ann"), pod: waiting, fills: fills("", ""), wantFailed: "restore again is over: canceled by ann"},
		"a restore that was deleted, and nobody knows whose claims those are": {pod: waiting, wantLook: 2},
		"a restore that was deleted": {
			pod: waiting, claims: map[types.NamespacedName]bool{{Namespace: "shop", Name: "claim"}: true, {Namespace: "shop", Name: "logs"}: false}, wantFailed: "the restore was deleted",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			s := plan(observed{now: t0, restore: tc.restore, pods: []hold.Pod{tc.pod}, fills: tc.fills, claims: tc.claims})

			g.Expect(s.look).To(HaveLen(tc.wantLook))
			if tc.wantFailed == "" {
				g.Expect(s.notices).To(Equal(tc.want))
				return
			}
			g.Expect(s.notices).To(HaveLen(1))
			g.Expect(s.notices[0].failed).To(And(ContainSubstring(tc.wantFailed), Not(ContainSubstring("\n"))))
		})
	}
}

// restore is one whose items are there; with a reason it has failed.
func restore(failure string) *velerov1.Restore {
	r := &velerov1.Restore{ObjectMeta: metav1.ObjectMeta{Name: "again", UID: "restore-uid"}}
	r.Status.Conditions = []metav1.Condition{{Type: velerov1.ConditionItemsRestored, Status: metav1.ConditionTrue}}
	if failure != "" {
		r.Status.Phase, r.Status.FailureReason = velerov1.RestorePhaseFailed, failure
	}
	return r
}

// fills are the volume restores of the claims, through another pod.
func fills(data, logs velerov1.PodVolumeRestorePhase) []velerov1.PodVolumeRestore {
	var all []velerov1.PodVolumeRestore
	for _, f := range []struct {
		claim string
		phase velerov1.PodVolumeRestorePhase
	}{{"claim", data}, {"logs", logs}} {
		v := velerov1.PodVolumeRestore{ObjectMeta: metav1.ObjectMeta{Name: f.claim, Annotations: map[string]string{velerov1.PVCNameAnnotation: f.claim}}}
		v.Spec.Pod = corev1.ObjectReference{Namespace: "shop", Name: "p", UID: "p"}
		v.Spec.Volume, v.Status.Phase = f.claim, f.phase
		all = append(all, v)
	}
	return all
}
