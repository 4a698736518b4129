package restore

import (
	"context"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/podexec"
)

// fakeCommands remembers what was run, as "pod: words", and says how it ends.
type fakeCommands struct {
	mu  sync.Mutex
	ran []string
	err error
}

func (f *fakeCommands) Run(_ context.Context, c podexec.Command) (podexec.Output, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ran = append(f.ran, c.Pod+": "+strings.Join(c.Args, " "))
	return podexec.Output{}, f.err
}

// reconcileHooks reconciles all records n times.
func (w *world) reconcileHooks(t *testing.T, n int) {
	t.Helper()
	for range n {
		list := &corev1.ConfigMapList{}
		w.Expect(w.client.List(t.Context(), list, client.HasLabels{velerov1.HooksLabel})).To(Succeed())
		for _, cm := range list.Items {
			_, err := newHookReconciler(w.reconciler).Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&cm)})
			w.Expect(err).NotTo(HaveOccurred())
		}
	}
}

// startPod does what a kubelet does.
func (w *world) startPod(t *testing.T, namespace, name string) {
	t.Helper()
	pod := &corev1.Pod{}
	w.Expect(w.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, pod)).To(Succeed())
	pod.Status.Phase = corev1.PodRunning
	for _, c := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		})
	}
	w.Expect(w.client.Status().Update(t.Context(), pod)).To(Succeed())
}

func withHooks(r *velerov1.Restore) {
	r.Spec.Hooks.Resources = []velerov1.RestoreResourceHookSpec{{
		Name: "load", IncludedNamespaces: []string{"shop"}, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}},
		PostHooks: []velerov1.RestoreResourceHook{
			{Init: &velerov1.InitRestoreHook{InitContainers: []runtime.RawExtension{{Raw: []byte(`{"name":"before","image":"i","command":["x"]}`)}}}},
			{Exec: &velerov1.ExecRestoreHook{Command: []string{"load", "it"}, OnError: velerov1.HookErrorModeFail}},
		},
	}}
}

func TestLifeWithHooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.restore(t, "hooked", withHooks, func(r *velerov1.Restore) { r.Spec.NamespaceMapping = map[string]string{"shop": "copy"} })
	w.reconcile(t, r)

	pod := &corev1.Pod{}
	w.Expect(w.client.Get(t.Context(), client.ObjectKey{Namespace: "copy", Name: "db-0"}, pod)).To(Succeed())
	var names []string
	for _, c := range pod.Spec.InitContainers {
		names = append(names, c.Name)
	}
	w.Expect(names).To(HaveExactElements("restore-wait", "before"))
	w.Expect(r.Status.HookStatus).NotTo(BeNil())

	w.endVolumes(t, velerov1.PodVolumeRestorePhaseCompleted)
	w.reconcile(t, r)
	w.reconcileHooks(t, 2)
	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseInProgress))
	w.Expect(r).To(haveCondition(velerov1.ConditionVolumesMoved, velerov1.ReasonWaitingForHooks))
	w.Expect(w.commands.ran).To(BeEmpty(), "the container does not run yet")

	w.startPod(t, "copy", "db-0")
	w.reconcileHooks(t, 2)
	w.Expect(w.commands.ran).To(Equal([]string{"db-0: load it"}))
	w.reconcile(t, r)

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%s", results(t, w, "hooked"))
	w.Expect(r.Status.HookStatus).To(Equal(&velerov1.HookStatus{HooksAttempted: 1}))
	w.reconcileHooks(t, 1)
	list := &corev1.ConfigMapList{}
	w.Expect(w.client.List(t.Context(), list, client.HasLabels{velerov1.HooksLabel})).To(Succeed())
	w.Expect(list.Items).To(BeEmpty())
}

func TestLifeWithAHookOfAPodThatNeverStarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.restore(t, "hopeless", withHooks)
	w.reconcile(t, r)
	w.endVolumes(t, velerov1.PodVolumeRestorePhaseFailed)
	w.reconcileHooks(t, 3)
	w.reconcile(t, r)
	w.reconcile(t, r)

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhasePartiallyFailed))
	w.Expect(w.commands.ran).To(BeEmpty())
	w.Expect(results(t, w, "hopeless").Errors.Namespaces["shop"]).To(ContainElement(ContainSubstring("was not run error: /volume")))
}

func TestLifeWithModifiers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Expect(w.client.Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "changes"},
		Data: map[string]string{"rules": `
version: v1
resourceModifierRules:
- conditions: {groupResource: deployments.apps, namespaces: [shop]}
  patches: [{operation: replace, path: /spec/replicas, value: "0"}]
- conditions: {groupResource: configmaps, resourceNameRegex: ^settings$}
  mergePatches: [{patchData: '{"data": {"added": "yes"}, "metadata": {"labels": null}}'}]
- conditions: {groupResource: services}
  patches: [{operation: remove, path: /spec/none}]
`},
	})).To(Succeed())
	refer := func(name string) func(*velerov1.Restore) {
		return func(r *velerov1.Restore) {
			r.Spec.ResourceModifier = &corev1.TypedLocalObjectReference{Kind: "configmap", Name: name}
			r.Spec.NamespaceMapping = map[string]string{"shop": "copy"}
		}
	}

	none := w.restore(t, "none", refer("missing"))
	w.reconcile(t, none)
	w.Expect(none.Status.ValidationErrors).To(ConsistOf(ContainSubstring(`spec.resourceModifier.name: Not found: "missing"`)))

	r := w.restore(t, "changed", refer("changes"))
	w.reconcile(t, r)
	deployment := &appsv1.Deployment{}
	w.Expect(w.client.Get(t.Context(), client.ObjectKey{Namespace: "copy", Name: "web"}, deployment)).To(Succeed())
	w.Expect(deployment.Spec.Replicas).To(HaveValue(BeZero()))
	settings := &corev1.ConfigMap{}
	w.Expect(w.client.Get(t.Context(), client.ObjectKey{Namespace: "copy", Name: "settings"}, settings)).To(Succeed())
	w.Expect(settings.Data).To(HaveKeyWithValue("added", "yes"))
	w.Expect(settings.Labels).To(HaveKeyWithValue(velerov1.RestoreNameLabel, "changed"), "no rule takes the restore's labels off")
	w.endVolumes(t, velerov1.PodVolumeRestorePhaseCompleted)
	w.reconcile(t, r)

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhasePartiallyFailed))
	w.Expect(results(t, w, "changed").Errors.Namespaces["copy"]).To(ConsistOf(
		SatisfyAll(ContainSubstring("resource: /services name: /web"), ContainSubstring("resourceModifierRules[2].patches"))))
	w.Expect(w.client.Get(t.Context(), client.ObjectKey{Namespace: "copy", Name: "web"}, &corev1.Service{})).To(Succeed(), "it is restored without the rule")
}
