package restore

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/objectstore"
)

func splitNames(names string) []string { return strings.Split(names, ",") }

// TestLife restores a backup of real Velero on an API server, in parts that build
// on each other.
func TestLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.restore(t, "first")

	w.webhook = func(context.Context, *corev1.Pod) (*corev1.Pod, error) {
		return nil, apierrors.NewInternalError(errors.New(`failed calling webhook "gate.podkeep.io": refused`))
	}
	result := w.reconcile(t, first)

	w.Expect(result.RequeueAfter).To(Equal(minPassInterval))
	w.Expect(first).To(SatisfyAll(haveCondition(velerov1.ConditionItemsRestored, velerov1.ReasonWebhookUnavailable)))
	w.Expect(names(t, w, &appsv1.StatefulSetList{})).To(BeEmpty(), "it would make a pod of its own")
	ns := &corev1.Namespace{}
	w.Expect(w.client.Get(t.Context(), client.ObjectKey{Name: "shop"}, ns)).To(Succeed())
	w.Expect(ns.Labels).To(HaveKeyWithValue(velerov1.RestoringLabel, "first"))

	w.webhook = w.gate
	w.reconcile(t, first)

	w.Expect(first).To(haveCondition(velerov1.ConditionVolumesMoved, velerov1.ReasonWaitingForVolumes))
	w.Expect(first.Status.Progress).To(HaveValue(Equal(velerov1.RestoreProgress{TotalItems: 16, ItemsRestored: 16})))
	w.Expect(names(t, w, &corev1.PodList{})).To(ConsistOf("db-0", "web-df4544bbc-8tlg2"))
	w.Expect(names(t, w, &appsv1.StatefulSetList{})).To(ConsistOf("db"))
	w.Expect(names(t, w, &velerov1.BackupRepositoryList{})).To(ConsistOf("shop-default-kopia"))
	claim := &corev1.PersistentVolumeClaim{}
	w.Expect(w.client.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "data-db-0"}, claim)).To(Succeed())
	w.Expect(claim.Spec.VolumeName).To(Equal("shop-data"), "a local volume is restored and stays with its claim")
	w.Expect(claim.Annotations).To(HaveKeyWithValue(velerov1.FilledByAnnotation, string(first.UID)), "pods on it wait from now on")

	w.Expect(w.endVolumes(t, velerov1.PodVolumeRestorePhaseCompleted)).To(
		ConsistOf("shop/db-0 data", "shop/db-0 scratch", "shop/web-df4544bbc-8tlg2 content"))
	w.reconcile(t, first)

	w.Expect(first.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%s", results(t, w, "first"))
	w.Expect(first.Status.Errors).To(BeZero())
	var list layout.ResourceList
	w.Expect(readJSON(t.Context(), w.store, layout.RestoreResourceList("first"), &list)).To(Succeed())
	w.Expect(list).To(HaveKeyWithValue("v1/Pod", []string{"shop/db-0(created)", "shop/web-df4544bbc-8tlg2(created)"}))
	w.Expect(list).To(HaveKeyWithValue("v1/ConfigMap", []string{"shop/kube-root-ca.crt(skipped)", "shop/settings(created)"}))
	var infos layout.RestoreVolumeInfoList
	w.Expect(readJSON(t.Context(), w.store, layout.RestoreVolumeInfo("first"), &infos)).To(Succeed())
	w.Expect(infos).To(HaveLen(1))
	w.Expect(infos[0].PVName).To(Equal("shop-data"))
	keys, err := w.store.List(t.Context(), layout.RestorePrefix("first"))
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(keys).To(HaveLen(5))
	w.Expect(w.client.Get(t.Context(), client.ObjectKey{Name: "shop"}, ns)).To(Succeed())
	w.Expect(ns.Labels).NotTo(HaveKey(velerov1.RestoringLabel))

	again := w.restore(t, "again")
	w.reconcile(t, again)

	w.Expect(again.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted))
	w.Expect(again.Status.Warnings).To(Equal(2), "both pods were there, so their volumes are not restored: %s", results(t, w, "again"))

	w.Expect(w.client.Delete(t.Context(), first)).To(Succeed())
	w.reconcile(t, first)

	w.Expect(apierrors.IsNotFound(w.client.Get(t.Context(), client.ObjectKeyFromObject(first), first))).To(BeTrue())
	keys, err = w.store.List(t.Context(), layout.RestorePrefix("first"))
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(keys).To(BeEmpty())
}

func TestLifeWithoutGate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.webhook = func(_ context.Context, p *corev1.Pod) (*corev1.Pod, error) { return p, nil }
	r := w.restore(t, "unguarded", func(r *velerov1.Restore) { r.Spec.NamespaceMapping = map[string]string{"shop": "copy"} })

	w.reconcile(t, r)

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhasePartiallyFailed))
	w.Expect(names(t, w, &corev1.PodList{})).To(BeEmpty(), "they would have started without data")
	w.Expect(names(t, w, &appsv1.StatefulSetList{})).To(BeEmpty())
	w.Expect(names(t, w, &appsv1.ReplicaSetList{})).To(BeEmpty())
	w.Expect(names(t, w, &appsv1.DeploymentList{})).To(BeEmpty())
	w.Expect(names(t, w, &velerov1.PodVolumeRestoreList{})).To(BeEmpty())
	w.Expect(results(t, w, "unguarded").Errors.Namespaces).To(HaveKeyWithValue("copy", HaveLen(5)))
}

func TestLifeWithAFailedVolume(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.restore(t, "unlucky")
	w.reconcile(t, r)
	w.endVolumes(t, velerov1.PodVolumeRestorePhaseFailed)

	w.reconcile(t, r)
	w.reconcile(t, r)

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhasePartiallyFailed))
	w.Expect(r.Status.Errors).To(Equal(3))
	w.Expect(results(t, w, "unlucky").Errors.Namespaces["shop"]).To(ContainElement(SatisfyAll(
		ContainSubstring("name: /db-0 message: /volume data is not restored"),
		ContainSubstring("pod volume restore failed: as told; pod shop/db-0 does not start"),
	)))
	claim, ns := &corev1.PersistentVolumeClaim{}, &corev1.Namespace{}
	w.get(t, claim, "shop", "data-db-0")
	w.Expect(claim.Labels).To(HaveKeyWithValue(velerov1.RestoreIncompleteLabel, "unlucky"), "pods are kept off what is not all there")
	w.get(t, ns, "", "shop")
	w.Expect(ns.Labels).To(HaveKeyWithValue(velerov1.RestoringLabel, "unlucky"), "by the webhook, which looks at namespaces with this label")
}

func TestLifeWithoutStorage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.restore(t, "waiting")
	good := w.store
	w.store = unavailable{good}

	result := w.reconcile(t, r)

	w.Expect(result.RequeueAfter).To(Equal(storageRetryInterval))
	w.Expect(r).To(haveCondition(velerov1.ConditionUploaded, velerov1.ReasonStorageUnavailable))

	w.store = good
	w.reconcile(t, r)

	w.Expect(meta.FindStatusCondition(r.Status.Conditions, velerov1.ConditionUploaded)).To(BeNil())
	w.Expect(r).To(haveCondition(velerov1.ConditionVolumesMoved, velerov1.ReasonWaitingForVolumes))
}

// unavailable is a store whose server is down.
type unavailable struct{ objectstore.Store }

func (unavailable) Get(context.Context, string) (io.ReadCloser, error) {
	return nil, objectstore.ErrUnavailable
}

func haveCondition(typ, reason string) OmegaMatcher {
	return WithTransform(func(r *velerov1.Restore) string {
		if c := meta.FindStatusCondition(r.Status.Conditions, typ); c != nil {
			return c.Reason
		}
		return ""
	}, Equal(reason))
}

func results(t *testing.T, w *world, restore string) layout.Results {
	t.Helper()
	var r layout.Results
	w.Expect(readJSON(t.Context(), w.store, layout.RestoreResults(restore), &r)).To(Succeed())
	return r
}

func names(t *testing.T, w *world, list client.ObjectList) []string {
	t.Helper()
	w.Expect(w.client.List(t.Context(), list)).To(Succeed())
	var all []string
	w.Expect(meta.EachListItem(list, func(o runtime.Object) error {
		accessor, err := meta.Accessor(o)
		all = append(all, accessor.GetName())
		return err
	})).To(Succeed())
	return all
}
