package volumestop

import (
	"context"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

var now = time.Unix(1_800_000_000, 0)

func TestStopping(t *testing.T) {
	t.Parallel()
	accepted := metav1.Time{Time: now.Add(-time.Minute)}
	tests := map[string]struct {
		volume func(*velerov1.PodVolumeRestore)
		// meanwhile is what a node agent writes before this does.
		meanwhile func(*velerov1.PodVolumeRestore)
		wantPhase velerov1.PodVolumeRestorePhase
		told      bool
		patches   int
	}{
		"one that waits is ended with one write": {
			wantPhase: velerov1.PodVolumeRestorePhaseCanceled, told: true, patches: 1,
		},
		"one that waits and was told is ended, because nobody else would": {
			volume:    func(v *velerov1.PodVolumeRestore) { v.Spec.Cancel = true },
			wantPhase: velerov1.PodVolumeRestorePhaseCanceled, told: true, patches: 1,
		},
		"one that moves is told": {
			volume: func(v *velerov1.PodVolumeRestore) {
				v.Status.Phase, v.Status.AcceptedTimestamp = velerov1.PodVolumeRestorePhaseInProgress, &accepted
			},
			wantPhase: velerov1.PodVolumeRestorePhaseInProgress, told: true, patches: 1,
		},
		"one whose node agent has just looked at it is told": {
			volume: func(v *velerov1.PodVolumeRestore) { v.Status.Node = "n1" }, told: true, patches: 1,
		},
		"one that is taken meanwhile is told": {
			meanwhile: func(v *velerov1.PodVolumeRestore) {
				v.Status.Phase, v.Status.Node = velerov1.PodVolumeRestorePhaseAccepted, "n1"
			},
			wantPhase: velerov1.PodVolumeRestorePhaseAccepted, told: true, patches: 2,
		},
		"one that was told is left to its node agent": {
			volume: func(v *velerov1.PodVolumeRestore) {
				v.Spec.Cancel, v.Status.Phase = true, velerov1.PodVolumeRestorePhaseCanceling
			},
			wantPhase: velerov1.PodVolumeRestorePhaseCanceling, told: true,
		},
		"one that has ended stays": {
			volume:    func(v *velerov1.PodVolumeRestore) { v.Status.Phase = velerov1.PodVolumeRestorePhaseCompleted },
			wantPhase: velerov1.PodVolumeRestorePhaseCompleted,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			c, patches := newClient(t)
			seen := &velerov1.PodVolumeRestore{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "r-1"}}
			if tc.volume != nil {
				tc.volume(seen)
			}
			g.Expect(c.Create(t.Context(), seen)).To(Succeed())
			if tc.meanwhile != nil {
				other := seen.DeepCopy()
				tc.meanwhile(other)
				g.Expect(c.Update(t.Context(), other)).To(Succeed())
			}

			g.Expect(All(t.Context(), c, []*velerov1.PodVolumeRestore{seen}, Request{Why: "canceled by ann", Now: now})).To(Succeed())

			v := &velerov1.PodVolumeRestore{}
			g.Expect(c.Get(t.Context(), client.ObjectKeyFromObject(seen), v)).To(Succeed())
			g.Expect(v.Status.Phase).To(Equal(tc.wantPhase))
			g.Expect(v.Spec.Cancel).To(Equal(tc.told))
			g.Expect(*patches).To(Equal(tc.patches))
			if tc.wantPhase == velerov1.PodVolumeRestorePhaseCanceled {
				g.Expect(v.Status.Message).To(Equal("canceled by ann"))
				g.Expect(v.Status.CompletionTimestamp.Time).To(BeTemporally("==", now))
				g.Expect(v.Status.Conditions).To(ConsistOf(HaveField("Reason", velerov1.ReasonCanceled)))
			}
		})
	}
}

func TestOneThatIsGoneKeepsNoOtherFromStopping(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	c, _ := newClient(t)
	volumes := []*velerov1.PodVolumeBackup{{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "gone", ResourceVersion: "1"}}}
	for i := range 40 {
		v := &velerov1.PodVolumeBackup{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: fmt.Sprintf("b-%d", i)}}
		g.Expect(c.Create(t.Context(), v)).To(Succeed())
		volumes = append(volumes, v)
	}

	g.Expect(All(t.Context(), c, volumes, Request{Why: "enough", Now: now})).To(Succeed())

	list := &velerov1.PodVolumeBackupList{}
	g.Expect(c.List(t.Context(), list)).To(Succeed())
	g.Expect(list.Items).To(HaveLen(40))
	g.Expect(list.Items).To(HaveEach(HaveField("Status.Phase", velerov1.PodVolumeBackupPhaseCanceled)))
	g.Expect(volumes[1].Spec.Cancel).To(BeFalse(), "what was passed in may belong to a cache")
}

func newClient(t *testing.T) (client.Client, *int) {
	t.Helper()
	scheme := runtime.NewScheme()
	NewWithT(t).Expect(velerov1.AddToScheme(scheme)).To(Succeed())
	patches := new(int)
	return fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if obj.GetName() == "r-1" {
				*patches++
			}
			return c.Patch(ctx, obj, patch, opts...)
		},
	}).Build(), patches
}
