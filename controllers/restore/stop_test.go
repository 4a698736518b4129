package restore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

const volumeArchive = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: a}
---
apiVersion: v1
kind: Pod
metadata: {name: db-0, namespace: a}
spec:
  containers: [{name: app, image: x, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, emptyDir: {}}]
---
apiVersion: v1
kind: Pod
metadata: {name: db-1, namespace: a}
spec:
  containers: [{name: app, image: x, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, emptyDir: {}}]
---
apiVersion: velero.io/v1
kind: PodVolumeBackup
metadata: {name: v0, namespace: velero}
spec: {pod: {kind: Pod, namespace: a, name: db-0}, volume: data, uploaderType: kopia, backupStorageLocation: default, node: node1, repoIdentifier: ""}
status: {phase: Completed, snapshotID: "0123"}
---
apiVersion: velero.io/v1
kind: PodVolumeBackup
metadata: {name: v1, namespace: velero}
spec: {pod: {kind: Pod, namespace: a, name: db-1}, volume: data, uploaderType: kopia, backupStorageLocation: default, node: node1, repoIdentifier: ""}
status: {phase: Completed, snapshotID: "0124"}
`

// cancelRestore asks a restore to stop, as the client does.
func (w *world) cancelRestore(t *testing.T, r *velerov1.Restore) {
	t.Helper()
	before := r.DeepCopy()
	if r.Annotations == nil {
		r.Annotations = map[string]string{}
	}
	r.Annotations[velerov1.CancelRequestedByAnnotation] = "ann"
	w.Expect(w.client.Patch(t.Context(), r, client.MergeFrom(before))).To(Succeed())
}

// fills are the volume restores of a restore.
func (w *world) fills(t *testing.T, r *velerov1.Restore) []velerov1.PodVolumeRestore {
	t.Helper()
	list := &velerov1.PodVolumeRestoreList{}
	w.Expect(w.client.List(t.Context(), list, client.InNamespace("velero"), client.MatchingLabels{velerov1.RestoreUIDLabel: string(r.UID)})).To(Succeed())
	return list.Items
}

// agent does to a volume restore what a node agent does.
func (w *world) agent(t *testing.T, v *velerov1.PodVolumeRestore, phase velerov1.PodVolumeRestorePhase) {
	t.Helper()
	before := v.DeepCopy()
	v.Status.Phase, v.Status.Node = phase, "node1"
	w.Expect(w.client.Patch(t.Context(), v, client.MergeFrom(before))).To(Succeed())
}

func testCancelBeforeStart(t *testing.T, w *world) {
	t.Helper()
	r := w.run(t, "too-early", "no-such-backup", func(r *velerov1.Restore) {
		r.Annotations = map[string]string{velerov1.CancelRequestedByAnnotation: "ann"}
	})

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseFailed))
	w.Expect(r.Status.FailureReason).To(Equal("canceled by ann"))
	w.Expect(r).To(haveCondition(velerov1.ConditionCompleted, velerov1.ReasonCanceled))
}

func testCancelVolumes(t *testing.T, w *world) {
	t.Helper()
	w.backup(t, "cancel", volumeArchive)
	r := w.run(t, "cancel", "cancel", into("cancel"))
	fills := w.fills(t, r)
	w.Expect(fills).To(HaveLen(2))
	w.agent(t, &fills[0], velerov1.PodVolumeRestorePhaseInProgress)

	w.cancelRestore(t, r)
	result := w.reconcile(t, r)

	w.Expect(result.RequeueAfter).To(BeNumerically(">", time.Minute), "it waits for the mover, not for the volume that nobody moves")
	w.Expect(r.IsFinished()).To(BeFalse())
	moving := w.fills(t, r)[0]
	if moving.Status.Node == "" {
		moving = w.fills(t, r)[1]
	}
	w.Expect(moving.Spec.Cancel).To(BeTrue())
	w.agent(t, &moving, velerov1.PodVolumeRestorePhaseCanceled)
	w.reconcile(t, r)
	for _, v := range w.fills(t, r) {
		w.Expect(v.IsFinished()).To(BeTrue())
		w.Expect(v.Status.Message).To(Equal("canceled by ann"))
	}

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseFailed))
	w.Expect(r.Status.FailureReason).To(Equal("canceled by ann"))
	w.Expect(r.Status.CompletionTimestamp).NotTo(BeNil())
	found := results(t, w, "cancel").Errors
	w.Expect(found.Velero).To(ConsistOf(" message: /canceled by ann"))
	w.Expect(found.Namespaces["cancel"]).To(HaveLen(2), "each pod that will not start is named")
	w.Expect(w.restored(t, "cancel")).To(HaveKey("v1/Pod"))
	ns := &corev1.Namespace{}
	w.get(t, ns, "", "cancel")
	w.Expect(ns.Labels).NotTo(HaveKey(velerov1.RestoringLabel))
}

// testCancelCrowd cancels a restore whose pods cannot be scheduled. Each of its
// volumes costs one write, and its pods are not asked for.
func testCancelCrowd(t *testing.T, w *world) {
	t.Helper()
	const waiting = 300
	w.backup(t, "crowd", volumeArchive)
	r := w.run(t, "crowd", "crowd", into("crowd"))
	first := w.fills(t, r)[0]
	for n := range waiting {
		v := first.DeepCopy()
		v.ResourceVersion, v.UID, v.Name = "", "", fmt.Sprintf("crowd-%03d", n)
		v.Spec.Pod.Name = v.Name
		w.Expect(w.client.Create(t.Context(), v)).To(Succeed())
	}
	w.reconciler.Clock = testingclock.NewFakePassiveClock(time.Now().Add(2 * podLookInterval)) // its pods are looked at by now
	var patches, lists atomic.Int64
	w.intercept(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if _, ok := obj.(*velerov1.PodVolumeRestore); ok {
				patches.Add(1)
			}
			return c.Patch(ctx, obj, patch, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if _, ok := list.(*corev1.PodList); ok {
				lists.Add(1)
			}
			return c.List(ctx, list, opts...)
		},
	})

	w.cancelRestore(t, r)
	w.reconcile(t, r)

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseFailed), "%+v", r.Status)
	w.Expect(patches.Load()).To(BeEquivalentTo(waiting+2), "one for each volume")
	w.Expect(lists.Load()).To(BeZero(), "nobody asks what a restore waits for that is being stopped")
	w.Expect(w.fills(t, r)).To(HaveEach(HaveField("Status.Phase", velerov1.PodVolumeRestorePhaseCanceled)), "no node agent was there to say so")
	w.Expect(r.Status.Errors).To(Equal(waiting + 3))
}

func testCancelPass(t *testing.T, w *world) {
	t.Helper()
	var text strings.Builder
	text.WriteString("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}")
	for n := range 100 {
		fmt.Fprintf(&text, "\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c-%03d, namespace: a}", n)
	}
	w.backup(t, "cancelpass", text.String())
	r := w.restore(t, "cancelpass", into("cancelpass"), func(r *velerov1.Restore) { r.Spec.BackupName = "cancelpass" })
	fast := testingclock.NewFakeClock(time.Now())
	w.reconciler.Clock = fast
	var written atomic.Int64
	w.intercept(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
		if obj.GetObjectKind().GroupVersionKind().Kind == "ConfigMap" {
			if written.Add(1) == 20 {
				other := r.DeepCopy()
				w.Expect(c.Get(ctx, client.ObjectKeyFromObject(r), other)).To(Succeed())
				before := other.DeepCopy()
				other.Annotations = map[string]string{velerov1.CancelRequestedByAnnotation: "ann"}
				w.Expect(c.Patch(ctx, other, client.MergeFrom(before))).To(Succeed())
			}
			fast.Step(100 * time.Millisecond)
		}
		return c.Create(ctx, obj, opts...)
	}})

	w.reconcile(t, r)
	w.reconcile(t, r)

	w.Expect(written.Load()).To(BeNumerically("<", 60), "the pass ended early")
	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseFailed), "%+v", r.Status)
	w.Expect(r.Status.FailureReason).To(Equal("canceled by ann"))
	w.Expect(r.Status.Progress.TotalItems).To(BeEquivalentTo(101))
	w.Expect(r.Status.Progress.ItemsRestored).To(BeNumerically(">", 0))
	w.Expect(len(w.restored(t, "cancelpass")["v1/ConfigMap"])).To(BeNumerically(">=", 20), "what was made is told")
}

func testDeletion(t *testing.T, w *world) {
	t.Helper()
	w.backup(t, "deletion", volumeArchive)
	r := w.run(t, "deletion", "deletion", into("deletion"))
	fills := w.fills(t, r)
	w.agent(t, &fills[0], velerov1.PodVolumeRestorePhaseInProgress)
	w.agent(t, &fills[1], velerov1.PodVolumeRestorePhaseCompleted)

	w.Expect(w.client.Delete(t.Context(), r)).To(Succeed())
	w.reconcile(t, r)

	w.Expect(r.Finalizers).To(ContainElement(velerov1.RestoreExternalResourcesFinalizer), "the mover has not stopped")
	fills = w.fills(t, r)
	for n := range fills {
		if !fills[n].IsFinished() {
			w.Expect(fills[n].Spec.Cancel).To(BeTrue())
			w.agent(t, &fills[n], velerov1.PodVolumeRestorePhaseCanceled)
		}
	}
	w.reconcile(t, r)

	w.Expect(apierrors.IsNotFound(w.client.Get(t.Context(), client.ObjectKeyFromObject(r), r))).To(BeTrue())
	keys, err := w.store.List(t.Context(), layout.RestorePrefix("deletion"))
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(keys).To(BeEmpty())
	ns := &corev1.Namespace{}
	w.get(t, ns, "", "deletion")
	w.Expect(ns.Labels).NotTo(HaveKey(velerov1.RestoringLabel))
}

func testSecondPass(t *testing.T, w *world) {
	t.Helper()
	w.backup(t, "again", strings.ReplaceAll(sampleArchive, "NAME", "again")+"\n---"+volumeArchive)
	r := w.restore(t, "again", func(r *velerov1.Restore) {
		r.Spec.BackupName, r.Spec.NamespaceMapping = "again", map[string]string{"a": "a-again", "b": "b-again"}
		r.Status.Progress = &velerov1.RestoreProgress{TotalItems: 1} // as of a pass that took long enough to write it
	})
	w.webhook = func(context.Context, *corev1.Pod) (*corev1.Pod, error) {
		return nil, apierrors.NewInternalError(errors.New(`failed calling webhook "gate.podkeep.io": refused`))
	}
	w.reconcile(t, r)
	w.Expect(r).To(haveCondition(velerov1.ConditionItemsRestored, velerov1.ReasonWebhookUnavailable))
	w.webhook = w.gate
	var creates, gets atomic.Int64
	w.intercept(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			switch obj.GetObjectKind().GroupVersionKind().Kind {
			case "ConfigMap", "Secret", "ClusterRole", "StorageClass":
				creates.Add(1)
			}
			return c.Create(ctx, obj, opts...)
		},
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			switch obj.GetObjectKind().GroupVersionKind().Kind {
			case "ConfigMap", "Secret", "ClusterRole", "StorageClass":
				gets.Add(1)
			}
			return c.Get(ctx, key, obj, opts...)
		},
	})

	w.reconcile(t, r)

	w.Expect(r).To(haveCondition(velerov1.ConditionVolumesMoved, velerov1.ReasonWaitingForVolumes))
	w.Expect(creates.Load()).To(BeZero(), "they are there")
	w.Expect(gets.Load()).To(BeZero())
	w.Expect(w.fills(t, r)).To(HaveLen(2))
	w.Expect(w.restored(t, "again")).To(HaveKeyWithValue("rbac.authorization.k8s.io/v1/ClusterRole", []string{"again(created)"}), "it was, by this restore")
	role := &rbacv1.ClusterRole{}
	w.get(t, role, "", "again")
}

func testTerminating(t *testing.T, w *world) {
	t.Helper()
	w.backup(t, "terminating", volumeArchive)
	var once sync.Once
	w.intercept(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
		if obj.GetObjectKind().GroupVersionKind().Kind == "Pod" {
			once.Do(func() {
				w.Expect(c.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "terminating"}})).To(Succeed())
			})
		}
		return c.Create(ctx, obj, opts...)
	}})
	r := w.run(t, "terminating", "terminating", into("terminating"))

	w.Expect(r).To(haveCondition(velerov1.ConditionItemsRestored, velerov1.ReasonNamespaceTerminating), "%+v", r.Status)

	ns := &corev1.Namespace{}
	w.get(t, ns, "", "terminating")
	ns.Spec.Finalizers = nil
	_, err := w.clientset.CoreV1().Namespaces().Finalize(t.Context(), ns, metav1.UpdateOptions{})
	w.Expect(err).NotTo(HaveOccurred(), "no controller does it here")
	w.reconcile(t, r)

	w.Expect(r).To(haveCondition(velerov1.ConditionVolumesMoved, velerov1.ReasonWaitingForVolumes), "%+v", r.Status)
	w.Expect(w.restored(t, "terminating")).To(HaveKeyWithValue("v1/Namespace", []string{"terminating(created)"}))
}

func testCrowded(t *testing.T, w *world) {
	t.Helper()
	pod := func(name string) string {
		return `
apiVersion: v1
kind: Pod
metadata:
  name: ` + name + `
  namespace: a
  labels: {app: web}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: "1", controller: true}]
spec:
  containers: [{name: app, image: x, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, emptyDir: {}}]
---
apiVersion: velero.io/v1
kind: PodVolumeBackup
metadata: {name: ` + name + `, namespace: velero}
spec: {pod: {kind: Pod, namespace: a, name: ` + name + `}, volume: data, uploaderType: kopia, backupStorageLocation: default, node: node1, repoIdentifier: ""}
status: {phase: Completed, snapshotID: "0123"}`
	}
	w.backup(t, "crowded", pod("web-1")+"\n---"+pod("web-2"))
	for _, u := range objects(w.WithT, `
apiVersion: v1
kind: Namespace
metadata: {name: crowded}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web, namespace: crowded}
spec: {replicas: 2, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app, image: x}]}}}
`) {
		w.Expect(w.client.Create(t.Context(), u)).To(Succeed())
	}
	set := &unstructured.Unstructured{}
	set.SetAPIVersion("apps/v1")
	set.SetKind("ReplicaSet")
	w.get(t, set, "crowded", "web")
	w.Expect(unstructured.SetNestedField(set.Object, int64(1), "status", "replicas")).To(Succeed())
	w.Expect(w.client.Status().Update(t.Context(), set)).To(Succeed())

	r := w.run(t, "crowded", "crowded", into("crowded"))

	w.Expect(w.restored(t, "crowded")).To(HaveKeyWithValue("v1/Pod", []string{"crowded/web-1(created)", "crowded/web-2(skipped)"}), "one is missing")
	w.Expect(w.fills(t, r)).To(HaveLen(1))
	w.Expect(results(t, w, "crowded").Warnings.Namespaces["crowded"]).To(ConsistOf(
		And(ContainSubstring("name: /web-2"), ContainSubstring(`ReplicaSet "web" is in the cluster and has all its pods`))))
}

func testManyVolumes(t *testing.T, w *world) {
	t.Helper()
	const pods = 60
	var text strings.Builder
	text.WriteString("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}")
	for n := range pods {
		text.WriteString(strings.ReplaceAll(`
---
apiVersion: v1
kind: Pod
metadata: {name: web-NAME, namespace: a}
spec:
  containers: [{name: app, image: x, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, emptyDir: {}}]
---
apiVersion: velero.io/v1
kind: PodVolumeBackup
metadata: {name: v-NAME, namespace: velero}
spec: {pod: {kind: Pod, namespace: a, name: web-NAME}, volume: data, uploaderType: kopia, backupStorageLocation: default, node: node1, repoIdentifier: ""}
status: {phase: Completed, snapshotID: "0123"}`, "NAME", fmt.Sprintf("%03d", n)))
	}
	w.backup(t, "many", text.String())
	r := w.run(t, "many", "many", into("many"))
	fills := w.fills(t, r)
	w.Expect(fills).To(HaveLen(pods))
	w.reconciler.Clock = testingclock.NewFakePassiveClock(time.Now().Add(time.Minute))
	var requests atomic.Int64
	w.intercept(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			requests.Add(1)
			return c.Get(ctx, key, obj, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			requests.Add(1)
			return c.List(ctx, list, opts...)
		},
	})

	for range 20 { // as many events as volumes, and all of them are still waiting
		_, err := w.reconciler.Reconcile(t.Context(), requestFor(r))
		w.Expect(err).NotTo(HaveOccurred())
	}

	w.Expect(requests.Load()).To(BeNumerically("<=", 20*4+3), "a few requests for each event, whatever the number of volumes")
	w.get(t, r, "velero", "many")
	w.Expect(r).To(haveCondition(velerov1.ConditionVolumesMoved, velerov1.ReasonWaitingForVolumes))
	w.Expect(r.Status.Conditions).To(ContainElement(HaveField("Message", ContainSubstring("is not scheduled"))))
}

func testTwoRestores(t *testing.T, w *world) {
	t.Helper()
	w.backup(t, "two", volumeArchive)
	first := w.run(t, "two-first", "two", into("two"))
	pod := &corev1.Pod{}
	w.get(t, pod, "two", "db-1")
	w.Expect(w.client.Delete(t.Context(), pod, client.GracePeriodSeconds(0))).To(Succeed())
	second := w.run(t, "two-second", "two", into("two"))
	w.Expect(w.fills(t, second)).To(HaveLen(1), "the pod that was missing")

	fills := w.fills(t, first)
	for n := range fills {
		w.agent(t, &fills[n], velerov1.PodVolumeRestorePhaseCompleted)
	}
	w.reconcile(t, first)

	w.Expect(first.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%s", results(t, w, "two-first"))
	ns := &corev1.Namespace{}
	w.get(t, ns, "", "two")
	w.Expect(ns.Labels).To(HaveKeyWithValue(velerov1.RestoringLabel, "two-second"), "the other restore is not done")

	w.cancelRestore(t, second)
	w.reconcile(t, second)
	w.get(t, ns, "", "two")
	w.Expect(ns.Labels).NotTo(HaveKey(velerov1.RestoringLabel))
}
