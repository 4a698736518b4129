package expiration

import (
	"errors"
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/crd"
)

// TestExpirationOnAnAPIServer follows one backup from before its end.
func TestExpirationOnAnAPIServer(t *testing.T) {
	t.Parallel()
	if _, ok := os.LookupEnv("KUBEBUILDER_ASSETS"); !ok {
		t.Skip("KUBEBUILDER_ASSETS does not name a folder with kube-apiserver and etcd, so expiration is not tried on an API server")
	}
	g := NewWithT(t)
	crds, err := crd.All()
	g.Expect(err).NotTo(HaveOccurred())
	env := &envtest.Environment{CRDs: crds}
	config, err := env.Start()
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(env.Stop()).To(Succeed()) })
	scheme := runtime.NewScheme()
	g.Expect(errors.Join(clientgoscheme.AddToScheme(scheme), velerov1.AddToScheme(scheme))).To(Succeed())
	c, err := client.New(config, client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())
	clk := clocktesting.NewFakePassiveClock(t0)
	r := &Reconciler{Client: c, Clock: clk, Recorder: events.NewFakeRecorder(100), Namespace: "velero"}
	location := bsl(velerov1.BackupStorageLocationPhaseUnavailable, "")
	b := expired(expiresIn(time.Minute), func(b *velerov1.Backup) { b.UID = "" })
	for _, o := range []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "velero"}}, location, b} {
		g.Expect(c.Create(t.Context(), o)).To(Succeed())
	}
	reconcile := func() time.Duration {
		result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(b)})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(c.Get(t.Context(), client.ObjectKeyFromObject(b), b)).To(Succeed())
		return result.RequeueAfter
	}
	requests := func() []velerov1.DeleteBackupRequest {
		list := &velerov1.DeleteBackupRequestList{}
		g.Expect(c.List(t.Context(), list)).To(Succeed())
		return list.Items
	}

	g.Expect(reconcile()).To(Equal(time.Minute))
	g.Expect(requests()).To(BeEmpty())

	clk.SetTime(t0.Add(time.Minute))
	g.Expect(reconcile()).To(Equal(time.Hour))
	g.Expect(b.Labels).To(HaveKeyWithValue("velero.io/gc-failure", "BSLUnavailable"))
	g.Expect(r.ofLocation(t.Context(), location)).To(HaveLen(1), "it is looked at when the location is back")

	location.Status.Phase = velerov1.BackupStorageLocationPhaseAvailable
	g.Expect(c.Update(t.Context(), location)).To(Succeed())
	reconcile()
	g.Expect(b.Labels).NotTo(HaveKey("velero.io/gc-failure"))
	g.Expect(requests()).To(HaveLen(1))
	g.Expect(requests()[0].Spec.BackupName).To(Equal(b.Name))
	g.Expect(requests()[0].Labels).To(HaveKeyWithValue("velero.io/backup-uid", string(b.UID)))

	reconcile()
	g.Expect(requests()).To(HaveLen(1), "once is enough")

	failed := requests()[0]
	failed.Status.Phase = velerov1.DeleteBackupRequestPhaseProcessed
	g.Expect(c.Update(t.Context(), &failed)).To(Succeed())
	reconcile()
	g.Expect(requests()).To(HaveLen(1), "not again at once")
	clk.SetTime(t0.Add(62 * time.Minute))
	reconcile()
	g.Expect(requests()).To(HaveLen(2), "again after an hour")
}
