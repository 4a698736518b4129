package backup

import (
	"context"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hookrun"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/podexec"
)

// fakeCommands remembers what was run, as "pod: words", and says how it ends.
type fakeCommands struct {
	mu  sync.Mutex
	ran []string
	run func(context.Context, podexec.Command) (podexec.Output, error)
}

func (f *fakeCommands) Run(ctx context.Context, c podexec.Command) (podexec.Output, error) {
	f.mu.Lock()
	f.ran = append(f.ran, c.Pod+": "+strings.Join(c.Args, " "))
	f.mu.Unlock()
	if f.run == nil {
		return podexec.Output{}, nil
	}
	return f.run(ctx, c)
}

// hookedItems are a pod with hooks and two volumes, as read by the backup, and the
// same pod for the commands.
func hookedItems(mods ...func(*corev1.Pod)) ([]runtime.Object, *corev1.Pod) {
	u := runningPod("app", "web-0")
	pod := &corev1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.(*unstructured.Unstructured).Object, pod); err != nil {
		panic(err)
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[velerov1.PreBackupHookCommandAnnotation] = "freeze"
	pod.Annotations[velerov1.PostBackupHookCommandAnnotation] = `["thaw", "now"]`
	for _, mod := range mods {
		mod(pod)
	}
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
	if err != nil {
		panic(err)
	}
	changed := &unstructured.Unstructured{Object: raw}
	changed.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	items := append([]runtime.Object{item("v1", "Namespace", "", "app"), changed}, boundClaim("app", "db", "pv-db")...)
	return items, pod
}

func newHookWorld(t *testing.T, mods ...func(*corev1.Pod)) *world {
	t.Helper()
	items, pod := hookedItems(mods...)
	w := newWorld(t, items...)
	w.g.Expect(w.client.Create(t.Context(), pod)).To(Succeed())
	return w
}

// reconcileHooks reconciles all records n times.
func (w *world) reconcileHooks(ctx context.Context, n int) {
	for range n {
		for _, cm := range w.records(ctx) {
			_, err := newHookReconciler(w.reconciler).Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&cm)})
			w.g.Expect(err).NotTo(HaveOccurred())
		}
	}
}

func (w *world) records(ctx context.Context) []corev1.ConfigMap {
	list := &corev1.ConfigMapList{}
	w.g.Expect(w.client.List(ctx, list, client.HasLabels{velerov1.HooksLabel})).To(Succeed())
	return list.Items
}

// readyVolumes plays the node agent, for which the hooks are the last obstacle.
func (w *world) readyVolumes(ctx context.Context) {
	w.reconcileHooks(ctx, 1) // lets it
	for _, v := range w.volumes(ctx) {
		meta.SetStatusCondition(&v.Status.Conditions, metav1.Condition{
			Type: velerov1.ConditionCompleted, Status: metav1.ConditionUnknown, Reason: velerov1.ReasonWaitingForHooks,
		})
		w.g.Expect(w.client.Update(ctx, &v)).To(Succeed())
	}
}

func (w *world) held(ctx context.Context) int {
	n := 0
	for _, v := range w.volumes(ctx) {
		if v.Annotations[velerov1.HoldAnnotation] != "" {
			n++
		}
	}
	return n
}

func TestHooksFromStartToEnd(t *testing.T) {
	t.Parallel()
	w := newHookWorld(t)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))
	b := w.steps(ctx, untilCollected)
	g.Expect(b.Status.HookStatus).NotTo(BeNil())
	g.Expect(w.held(ctx)).To(Equal(2))

	w.reconcileHooks(ctx, 2)
	g.Expect(w.commands.ran).To(BeEmpty(), "it is not the block's turn")
	w.steps(ctx, 1)
	w.reconcileHooks(ctx, 2)
	g.Expect(w.commands.ran).To(BeEmpty(), "the volumes are not ready")
	for _, v := range w.volumes(ctx) {
		g.Expect(v.Annotations).To(HaveKeyWithValue(velerov1.HoldAnnotation, velerov1.HoldData), "but they may be")
	}

	w.readyVolumes(ctx)
	w.reconcileHooks(ctx, 1)
	g.Expect(w.commands.ran).To(Equal([]string{"web-0: freeze"}))
	g.Expect(w.held(ctx)).To(Equal(2))
	w.reconcileHooks(ctx, 3)
	g.Expect(w.held(ctx)).To(BeZero(), "the volumes may move")
	g.Expect(w.commands.ran).To(HaveLen(1))

	w.restartServer()
	w.reconcileHooks(ctx, 2)
	g.Expect(w.commands.ran).To(HaveLen(1), "a new server does not freeze again")
	w.endVolumes(ctx, velerov1.PodVolumeBackupPhaseCompleted, "")
	b = w.steps(ctx, 1)
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseInProgress), "the post hook has not been run")
	w.reconcileHooks(ctx, 2)
	g.Expect(w.commands.ran).To(Equal([]string{"web-0: freeze", "web-0: thaw now"}))

	b = w.steps(ctx, 1)
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	g.Expect(b.Status.HookStatus).To(Equal(&velerov1.HookStatus{HooksAttempted: 2}))
	w.reconcileHooks(ctx, 1)
	g.Expect(w.records(ctx)).To(BeEmpty())
}

func TestFailingHooks(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		onError string
		phase   velerov1.PodVolumeBackupPhase
	}{
		"Fail keeps the volumes out":              {"Fail", velerov1.PodVolumeBackupPhaseFailed},
		"Continue takes them":                     {"Continue", velerov1.PodVolumeBackupPhaseCompleted},
		"nothing said takes them, as Velero does": {"", velerov1.PodVolumeBackupPhaseCompleted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newHookWorld(t, func(p *corev1.Pod) { p.Annotations[velerov1.PreBackupHookOnErrorAnnotation] = tc.onError })
			g, ctx := w.g, t.Context()
			w.commands.run = func(_ context.Context, c podexec.Command) (podexec.Output, error) {
				if c.Args[0] == "freeze" {
					return podexec.Output{Stderr: "no such\ndevice"}, &podexec.ExitError{Code: 1}
				}
				return podexec.Output{}, nil
			}
			w.create(ctx, newBackup(ofApp))
			w.steps(ctx, untilCollected+1)
			w.readyVolumes(ctx)
			w.reconcileHooks(ctx, 3)
			w.endVolumes(ctx, velerov1.PodVolumeBackupPhaseCompleted, "")
			w.reconcileHooks(ctx, 3)
			b := w.steps(ctx, 1)

			g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhasePartiallyFailed), "%+v", b.Status)
			g.Expect(b.Status.HookStatus).To(Equal(&velerov1.HookStatus{HooksAttempted: 2, HooksFailed: 1}))
			g.Expect(w.commands.ran).To(Equal([]string{"web-0: freeze", "web-0: thaw now"}), "who failed to freeze is thawed")
			for _, v := range w.volumes(ctx) {
				g.Expect(v.Status.Phase).To(Equal(tc.phase))
				if tc.phase == velerov1.PodVolumeBackupPhaseFailed {
					g.Expect(v.Status.Message).To(ContainSubstring("the pre hook in container web failed: command ended with exit code 1"))
				}
			}
			var results layout.Results
			w.stored(ctx, layout.BackupResults("nightly"), &results)
			g.Expect(results.Errors.Namespaces["app"]).To(ContainElement(And(
				ContainSubstring("pre hook in container web of pod app/web-0 did not succeed"), ContainSubstring("stderr: no such device"))))
		})
	}
}

// A server that dies while a command runs leaves a record that says so.
func TestInterruptedPreHookIsNotRunAgain(t *testing.T) {
	t.Parallel()
	w := newHookWorld(t)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))
	w.steps(ctx, untilCollected+1)
	w.readyVolumes(ctx)
	w.commands.run = func(context.Context, podexec.Command) (podexec.Output, error) { panic("killed") }
	func() {
		defer func() { g.Expect(recover()).To(Equal("killed")) }()
		w.reconcileHooks(ctx, 1)
	}()

	w.restartServer()
	w.commands.run = nil
	w.reconcileHooks(ctx, 3)
	w.endVolumes(ctx, velerov1.PodVolumeBackupPhaseCompleted, "")
	w.reconcileHooks(ctx, 3)
	b := w.steps(ctx, 1)

	g.Expect(w.commands.ran).To(Equal([]string{"web-0: freeze", "web-0: thaw now"}))
	g.Expect(b.Status.HookStatus).To(Equal(&velerov1.HookStatus{HooksAttempted: 2, HooksFailed: 1}))
}

func TestDeletedBackupIsThawed(t *testing.T) {
	t.Parallel()
	w := newHookWorld(t)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))
	w.steps(ctx, untilCollected+1)
	w.readyVolumes(ctx)
	w.reconcileHooks(ctx, 2)
	g.Expect(w.commands.ran).To(HaveLen(1))

	g.Expect(w.client.Delete(ctx, w.backup(ctx))).To(Succeed())
	for _, cm := range w.records(ctx) {
		g.Expect(w.client.Delete(ctx, &cm)).To(Succeed(), "as the garbage collector does")
	}
	w.reconcileHooks(ctx, 3)

	g.Expect(w.commands.ran).To(Equal([]string{"web-0: freeze", "web-0: thaw now"}))
	g.Expect(w.records(ctx)).To(BeEmpty())
}

func TestCanceledBackupIsThawed(t *testing.T) {
	t.Parallel()
	w := newHookWorld(t)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))
	w.steps(ctx, untilCollected+1)
	w.readyVolumes(ctx)
	w.reconcileHooks(ctx, 2)

	b := w.backup(ctx)
	b.Annotations[velerov1.CancelRequestedByAnnotation] = "somebody"
	g.Expect(w.client.Update(ctx, b)).To(Succeed())
	w.reconcileHooks(ctx, 3)

	g.Expect(w.commands.ran).To(Equal([]string{"web-0: freeze", "web-0: thaw now"}), "before the volumes have ended")
}

func TestWarningsOfHooksAreInTheResults(t *testing.T) {
	t.Parallel()
	w := newHookWorld(t, func(p *corev1.Pod) {
		p.Annotations[velerov1.PreBackupHookTimeoutAnnotation] = "soon"
		p.Annotations[velerov1.PostBackupHookContainerAnnotation] = "none"
	})
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))
	w.steps(ctx, untilCollected+1)
	w.readyVolumes(ctx)
	w.reconcileHooks(ctx, 3)
	w.endVolumes(ctx, velerov1.PodVolumeBackupPhaseCompleted, "")
	w.reconcileHooks(ctx, 3)
	b := w.steps(ctx, 1)

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhasePartiallyFailed))
	var results layout.Results
	w.stored(ctx, layout.BackupResults("nightly"), &results)
	g.Expect(results.Warnings.Namespaces["app"]).To(ContainElement(ContainSubstring("pre.hook.backup.velero.io/timeout")))
	g.Expect(results.Errors.Namespaces["app"]).To(ContainElement(ContainSubstring("must be a container of the pod that stays up, one of: web")))
}

func TestBlockWithoutVolumesRunsItsHooks(t *testing.T) {
	t.Parallel()
	w := newHookWorld(t, func(p *corev1.Pod) { delete(p.Annotations, velerov1.VolumesToBackupAnnotation) })
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))
	w.steps(ctx, untilCollected+1)
	g.Expect(w.volumes(ctx)).To(BeEmpty())
	w.reconcileHooks(ctx, 3)
	b := w.steps(ctx, 1)

	g.Expect(w.commands.ran).To(Equal([]string{"web-0: freeze", "web-0: thaw now"}))
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted))
}

// A claim that a pod with hooks shares with one without is moved between the hooks.
func TestSharedClaimIsMovedBetweenTheHooks(t *testing.T) {
	t.Parallel()
	items, pod := hookedItems()
	other := runningPod("app", "a-first")
	w := newWorld(t, append(items, other)...)
	g, ctx := w.g, t.Context()
	g.Expect(w.client.Create(ctx, pod)).To(Succeed())
	w.create(ctx, newBackup(ofApp))
	w.steps(ctx, untilCollected)

	records := w.records(ctx)
	g.Expect(records).To(HaveLen(1))
	for _, v := range w.volumes(ctx) {
		g.Expect(v.Annotations).To(HaveKeyWithValue(velerov1.HookRecordAnnotation, records[0].Name), v.Spec.Pod.Name)
	}
}

// A collection that is interrupted is done again, and comes to the same records.
func TestCollectingTwice(t *testing.T) {
	t.Parallel()
	for name, withRecord := range map[string]bool{"after the record was made": true, "before the record was made": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newHookWorld(t)
			g, ctx := w.g, t.Context()
			w.create(ctx, newBackup(ofApp))
			w.steps(ctx, untilCollected)
			if !withRecord {
				for _, cm := range w.records(ctx) {
					cm.Finalizers = nil
					g.Expect(w.client.Update(ctx, &cm)).To(Succeed())
					g.Expect(w.client.Delete(ctx, &cm)).To(Succeed())
				}
			}
			b := w.backup(ctx)
			before := b.DeepCopy()
			meta.RemoveStatusCondition(&b.Status.Conditions, velerov1.ConditionItemsCollected)
			b.Status.HookStatus = nil
			g.Expect(w.client.Patch(ctx, b, client.MergeFrom(before))).To(Succeed())
			w.restartServer()
			b = w.steps(ctx, 1)

			g.Expect(isCollected(b)).To(BeTrue())
			g.Expect(b.Status.HookStatus).NotTo(BeNil())
			records := w.records(ctx)
			g.Expect(records).To(HaveLen(1))
			g.Expect(w.volumes(ctx)).To(HaveLen(2))
			g.Expect(w.held(ctx)).To(Equal(2))
			g.Expect(hookrun.Open(&records[0]).Record.Volumes).To(HaveLen(2), "the record knows all volumes")
		})
	}
}

// The list of ConfigMaps that a backup needs for their own sake is not to be the
// third or fourth.
func TestRecordsAreLookedForOnlyWhereThereAreAny(t *testing.T) {
	t.Parallel()
	w := newHookWorld(t)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))
	hooked := w.steps(ctx, untilCollected)
	r := newHookReconciler(w.reconciler)
	lists := 0
	r.Reader = interceptor.NewClient(w.client, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			lists++
			return c.List(ctx, list, opts...)
		},
	})

	g.Expect(r.recordsOf(ctx, hooked)).To(HaveLen(1))
	g.Expect(lists).To(Equal(1))
	plain := hooked.DeepCopy()
	plain.Status.HookStatus = nil
	g.Expect(r.recordsOf(ctx, plain)).To(BeEmpty())
	g.Expect(lists).To(Equal(1))
	plain.Status.Conditions = nil
	g.Expect(r.recordsOf(ctx, plain)).To(HaveLen(1), "the server may have died before it could say so")
}
