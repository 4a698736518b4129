package restore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/crd"
	"github.com/podkeep/podkeep/injector"
	"github.com/podkeep/podkeep/internal/gateconfig"
	"github.com/podkeep/podkeep/internal/gatedpods"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/objectstore"
)

// world is an API server without controllers and nodes, and a bucket that real
// Velero wrote. The webhook and the node agent are the test's.
type world struct {
	*WithT
	plain      client.WithWatch // the API server without the webhook
	clientset  kubernetes.Interface
	client     client.Client
	store      objectstore.Store
	reconciler *Reconciler
	commands   *fakeCommands

	// webhook stands in for the restore gate; it may fail or do nothing.
	webhook func(context.Context, *corev1.Pod) (*corev1.Pod, error)
}

// Store implements Locations.
func (w *world) Store(context.Context, string) (objectstore.Store, *velerov1.BackupStorageLocation, error) {
	return w.store, nil, nil
}

// newWorld starts an API server. It has the backup shop-1 of the fixture, not yet
// a restore of it.
func newWorld(t *testing.T) *world {
	t.Helper()
	if _, ok := os.LookupEnv("KUBEBUILDER_ASSETS"); !ok {
		t.Skip("KUBEBUILDER_ASSETS does not name a folder with kube-apiserver and etcd, so restores are not tried on an API server")
	}
	w := &world{WithT: NewWithT(t), commands: &fakeCommands{}}
	bucket := unpackFixture(t)
	config := startAPIServer(t, w.WithT)
	scheme := runtime.NewScheme()
	w.Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	w.Expect(velerov1.AddToScheme(scheme)).To(Succeed())
	plain, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	w.Expect(err).NotTo(HaveOccurred())
	w.plain = plain
	w.clientset, err = kubernetes.NewForConfig(config)
	w.Expect(err).NotTo(HaveOccurred())

	w.store, err = objectstore.Open(t.Context(), location.Location{
		Provider: location.ProviderFilesystem, Config: map[string]string{location.ConfigFilesystemPath: bucket},
	})
	w.Expect(err).NotTo(HaveOccurred())
	w.webhook = w.gate
	w.reconciler = &Reconciler{
		Discovery: w.clientset.Discovery(), Commands: w.commands, Locations: w, Clock: clock.RealClock{}, Namespace: "velero",
		Options: Options{ScratchDir: t.TempDir()},
	}
	w.intercept(interceptor.Funcs{})
	w.Expect(w.reconciler.prepare()).To(Succeed())
	w.importBackup(t, bucket)
	return w
}

// part is a world of its own on the same API server and bucket.
func (w *world) part(t *testing.T) *world {
	t.Helper()
	p := &world{WithT: NewWithT(t), plain: w.plain, clientset: w.clientset, store: w.store}
	p.webhook = p.gate
	p.reconciler = &Reconciler{
		Discovery: w.reconciler.Discovery, Locations: p, Clock: clock.RealClock{}, Namespace: "velero", Options: w.reconciler.Options,
	}
	p.intercept(interceptor.Funcs{})
	return p
}

// intercept lets a test see and spoil requests, before the webhook does.
func (w *world) intercept(funcs interceptor.Funcs) {
	w.client = interceptor.NewClient(interceptor.NewClient(w.plain, interceptor.Funcs{Create: w.create}), funcs)
	w.reconciler.Client, w.reconciler.Reader = w.client, w.client
	w.reconciler.Pods = &gatedpods.Pods{Reader: w.plain, Namespace: "velero"}
}

func requestFor(r *velerov1.Restore) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKeyFromObject(r)}
}

func startAPIServer(t *testing.T, g *WithT) *rest.Config {
	t.Helper()
	crds, err := crd.All()
	g.Expect(err).NotTo(HaveOccurred())
	env := &envtest.Environment{CRDs: crds}
	config, err := env.Start()
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(env.Stop()).To(Succeed()) })
	config.QPS, config.Burst = 200, 400
	return config
}

// importBackup creates what the sync of backups would.
func (w *world) importBackup(t *testing.T, bucket string) {
	t.Helper()
	w.Expect(w.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "velero"}})).To(Succeed())
	w.Expect(w.client.Create(t.Context(), &velerov1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "default"},
		Spec: velerov1.BackupStorageLocationSpec{Provider: "filesystem", StorageType: velerov1.StorageType{
			ObjectStorage: &velerov1.ObjectStorageLocation{Bucket: "b"},
		}},
	})).To(Succeed())
	file, err := os.Open(filepath.Join(bucket, layout.BackupMetadata("shop-1")))
	w.Expect(err).NotTo(HaveOccurred())
	backup, err := layout.DecodeBackup(file)
	w.Expect(errors.Join(err, file.Close())).To(Succeed())
	backup.ResourceVersion, backup.UID = "", ""
	w.Expect(w.client.Create(t.Context(), backup)).To(Succeed())
}

// create lets the webhook of the test see pods, as the API server would.
func (w *world) create(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok || u.GroupVersionKind() != podKind {
		return c.Create(ctx, obj, opts...)
	}
	pod, err := toPod(u)
	if err != nil {
		return err
	}
	if pod, err = w.webhook(ctx, pod); err != nil {
		return err
	}
	if u.Object, err = runtime.DefaultUnstructuredConverter.ToUnstructured(pod); err != nil {
		return err
	}
	return c.Create(ctx, u, opts...)
}

// gate is what podkeep's webhook does.
func (w *world) gate(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	restore := &velerov1.Restore{}
	key := client.ObjectKey{Namespace: "velero", Name: pod.Labels[velerov1.RestoreNameLabel]}
	if err := w.client.Get(ctx, key, restore); err != nil {
		return nil, err
	}
	config, _ := gateconfig.Parse(nil, "example.com/podkeep:1")
	var volumes []string
	if names := pod.Annotations[velerov1.RestoreVolumesAnnotation]; names != "" {
		volumes = splitNames(names)
	}
	gated, _ := injector.Gate(pod, injector.GateRequest{RestoreUID: restore.UID, Volumes: volumes, Config: config, Installation: "velero"})
	return gated, nil
}

// restore creates a Restore of the backup.
func (w *world) restore(t *testing.T, name string, mods ...func(*velerov1.Restore)) *velerov1.Restore {
	t.Helper()
	r := &velerov1.Restore{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: name},
		Spec:       velerov1.RestoreSpec{BackupName: "shop-1"},
	}
	for _, mod := range mods {
		mod(r)
	}
	w.Expect(w.client.Create(t.Context(), r)).To(Succeed())
	return r
}

// reconcile takes steps until one waits for something.
func (w *world) reconcile(t *testing.T, r *velerov1.Restore) ctrl.Result {
	t.Helper()
	for {
		before := r.ResourceVersion
		result, err := w.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(r)})
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(client.IgnoreNotFound(w.client.Get(t.Context(), client.ObjectKeyFromObject(r), r))).To(Succeed())
		if result.RequeueAfter > 0 || r.ResourceVersion == before {
			return result
		}
	}
}

// endVolumes does what node agents do.
func (w *world) endVolumes(t *testing.T, phase velerov1.PodVolumeRestorePhase) []string {
	t.Helper()
	list := &velerov1.PodVolumeRestoreList{}
	w.Expect(w.client.List(t.Context(), list, client.InNamespace("velero"))).To(Succeed())
	var volumes []string
	for _, v := range list.Items {
		before := v.DeepCopy()
		v.Status.Phase, v.Status.Node, v.Status.Message = phase, "node1", "as told"
		v.Status.CompletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
		w.Expect(w.client.Patch(t.Context(), &v, client.MergeFrom(before))).To(Succeed())
		volumes = append(volumes, volumeName(&v))
	}
	return volumes
}
