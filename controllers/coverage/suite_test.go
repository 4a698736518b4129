package coverage

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/crd"
)

// world is an API server, and a server that measures it each half second.
type world struct {
	*WithT
	client   client.WithWatch
	registry *prometheus.Registry
	lists    chan string // kinds that the server has listed or watched anew
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if _, ok := os.LookupEnv("KUBEBUILDER_ASSETS"); !ok {
		t.Skip("KUBEBUILDER_ASSETS does not name a folder with kube-apiserver and etcd, so coverage is not tried on an API server")
	}
	w := &world{WithT: NewWithT(t), registry: prometheus.NewRegistry(), lists: make(chan string, 1000)}
	crds, err := crd.All()
	w.Expect(err).NotTo(HaveOccurred())
	env := &envtest.Environment{CRDs: crds}
	config, err := env.Start()
	w.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { w.Expect(env.Stop()).To(Succeed()) })
	scheme := runtime.NewScheme()
	w.Expect(errors.Join(clientgoscheme.AddToScheme(scheme), velerov1.AddToScheme(scheme))).To(Succeed())
	w.client, err = client.NewWithWatch(config, client.Options{Scheme: scheme})
	w.Expect(err).NotTo(HaveOccurred())
	for _, name := range []string{"velero", "shop", "gone"} {
		w.Expect(w.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"},
		Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{"velero": {}}},
	})
	w.Expect(err).NotTo(HaveOccurred())
	r := &Reconciler{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Watcher: w.counting(), Clock: clock.RealClock{}, Registry: w.registry,
		Namespace: "velero", Interval: 500 * time.Millisecond,
	}
	w.Expect(r.SetupWithManager(mgr)).To(Succeed())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		w.Expect(<-ended).To(Succeed())
	})
	return w
}

// counting notes each list and each watch.
func (w *world) counting() client.WithWatch {
	return interceptor.NewClient(w.client, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			gvk, err := c.GroupVersionKindFor(list)
			w.lists <- "list " + gvk.Kind
			return errors.Join(err, c.List(ctx, list, opts...))
		},
	})
}

// value is that of a series; -1 when there is none.
func (w *world) value(metric string, labels ...string) float64 {
	families, err := w.registry.Gather()
	w.Expect(err).NotTo(HaveOccurred())
	for _, family := range families {
		if family.GetName() != metric {
			continue
		}
		for _, m := range family.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			matches := true
			for i := 0; i < len(labels); i += 2 {
				matches = matches && have[labels[i]] == labels[i+1]
			}
			if matches {
				return m.GetGauge().GetValue()
			}
		}
	}
	return -1
}

func (w *world) volumes(namespace, verdict, reason string) func() float64 {
	return func() float64 {
		return w.value(MetricVolumes, LabelNamespace, namespace, LabelVerdict, verdict, LabelReason, reason)
	}
}

func (w *world) create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		w.Expect(w.client.Create(t.Context(), o)).To(Succeed(), o.GetName())
	}
}

// boundClaim makes a claim with data: the API server makes it without a volume, and
// nobody here binds it.
func (w *world) boundClaim(t *testing.T, namespace, name string) *corev1.PersistentVolumeClaim {
	t.Helper()
	c := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
	w.create(t, c)
	c.Status.Phase = corev1.ClaimBound
	w.Expect(w.client.Status().Update(t.Context(), c)).To(Succeed())
	return c
}

// TestMetricsFollowTheCluster goes through the life of a volume. Its parts depend on
// each other.
func TestMetricsFollowTheCluster(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.Eventually(func() float64 { return w.value(MetricEvaluated) }, "30s").Should(BeNumerically(">", 0), "also in an empty cluster")

	data := w.boundClaim(t, "shop", "data")
	w.boundClaim(t, "gone", "other")
	w.Eventually(w.volumes("shop", "Unprotected", "ClaimNotMounted"), "30s").Should(BeEquivalentTo(1))
	w.Eventually(w.volumes("gone", "Unprotected", "ClaimNotMounted"), "30s").Should(BeEquivalentTo(1))

	p := pod("web", corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
	}})
	p.Spec.NodeName = "n1"
	w.create(t, p)
	p.Status.Phase = corev1.PodRunning
	w.Expect(w.client.Status().Update(ctx, p)).To(Succeed())
	w.Eventually(w.volumes("shop", "Unprotected", "NoSchedule"), "30s").Should(BeEquivalentTo(1))
	w.Expect(w.volumes("shop", "Unprotected", "ClaimNotMounted")()).To(BeEquivalentTo(-1), "series that no volume has are gone")

	s := &velerov1.Schedule{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "nightly"},
		Spec: velerov1.ScheduleSpec{
			Schedule: "@every 24h", Template: velerov1.BackupSpec{IncludedNamespaces: []string{"shop"}, DefaultVolumesToFsBackup: ptr.To(true)},
		},
	}
	w.create(t, s)
	w.Eventually(w.volumes("shop", "Pending", "FirstBackupDue"), "30s").Should(BeEquivalentTo(1))

	started := metav1.NewTime(time.Now().Truncate(time.Second))
	b := &velerov1.Backup{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "b"},
		Status:     velerov1.BackupStatus{Phase: velerov1.BackupPhaseCompleted, StartTimestamp: &started},
	}
	w.create(t, b)
	w.create(t, &velerov1.PodVolumeBackup{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "velero", Name: "b-1", Labels: map[string]string{velerov1.BackupUIDLabel: string(b.UID), velerov1.PVCUIDLabel: string(data.UID)},
		},
		Status: velerov1.PodVolumeBackupStatus{Phase: velerov1.PodVolumeBackupPhaseCompleted},
	})
	w.Eventually(w.volumes("shop", "Protected", "FileSystemBackup"), "30s").Should(BeEquivalentTo(1))
	w.Expect(w.value(MetricOldestBackup, LabelNamespace, "shop")).To(BeEquivalentTo(started.Unix()))
	w.Expect(w.value(MetricDuration)).To(BeNumerically(">=", 0))

	w.Expect(w.client.Delete(ctx, &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "gone", Name: "other"}})).To(Succeed())
	other := &corev1.PersistentVolumeClaim{}
	w.Expect(w.client.Get(ctx, client.ObjectKey{Namespace: "gone", Name: "other"}, other)).To(Succeed())
	other.Finalizers = nil // of the controller that is not here
	w.Expect(w.client.Update(ctx, other)).To(Succeed())
	w.Eventually(func() float64 { return w.value(MetricVolumes, LabelNamespace, "gone") }, "30s").Should(BeEquivalentTo(-1))

	w.Expect(w.lists).NotTo(Receive(), "the server streams the cluster, and asks for no lists of its own")
}
