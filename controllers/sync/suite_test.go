package sync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/crd"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/objectstore"
)

// apiServer is an API server without controllers.
func apiServer(t *testing.T) *rest.Config {
	t.Helper()
	if _, ok := os.LookupEnv("KUBEBUILDER_ASSETS"); !ok {
		t.Skip("KUBEBUILDER_ASSETS does not name a folder with kube-apiserver and etcd, so syncs are not tried on an API server")
	}
	g := NewWithT(t)
	crds, err := crd.All()
	g.Expect(err).NotTo(HaveOccurred())
	env := &envtest.Environment{CRDs: crds}
	config, err := env.Start()
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(env.Stop()).To(Succeed()) })
	config.QPS, config.Burst = 200, 400
	return config
}

// cluster is an installation in a namespace of its own, with a location "default"
// in a folder.
type cluster struct {
	*WithT
	client     client.WithWatch
	bucket     *bucket
	clock      *clocktesting.FakePassiveClock
	recorder   *events.FakeRecorder
	reconciler *Reconciler

	// beforeCreate may refuse what the sync creates.
	beforeCreate func(client.Object) error
}

// bucket is a folder that the test may break.
type bucket struct {
	objectstore.Store
	dir      string
	listErr  error
	afterGet func(key string) // runs after each Get
}

// CommonPrefixes implements objectstore.Store.
func (b *bucket) CommonPrefixes(ctx context.Context, prefix string) ([]string, error) {
	if b.listErr != nil {
		return nil, b.listErr
	}
	return b.Store.CommonPrefixes(ctx, prefix)
}

// Get implements objectstore.Store.
func (b *bucket) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	body, err := b.Store.Get(ctx, key)
	if b.afterGet != nil {
		b.afterGet(key)
	}
	return body, err
}

// Open implements opener.
func (c *cluster) Open(context.Context, *velerov1.BackupStorageLocation) (objectstore.Store, string, error) {
	return c.bucket, "", nil
}

func newCluster(t *testing.T, config *rest.Config) *cluster {
	t.Helper()
	c := &cluster{WithT: NewWithT(t), clock: clocktesting.NewFakePassiveClock(time.Now()), recorder: events.NewFakeRecorder(100)}
	scheme := runtime.NewScheme()
	c.Expect(errors.Join(clientgoscheme.AddToScheme(scheme), velerov1.AddToScheme(scheme))).To(Succeed())
	plain, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	c.Expect(err).NotTo(HaveOccurred())
	c.client = plain
	broken := interceptor.NewClient(plain, interceptor.Funcs{
		Create: func(ctx context.Context, inner client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			if c.beforeCreate != nil {
				if err := c.beforeCreate(obj); err != nil {
					return err
				}
			}
			return inner.Create(ctx, obj, opts...)
		},
	})
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "velero-"}}
	c.Expect(plain.Create(t.Context(), ns)).To(Succeed())

	c.bucket = &bucket{dir: t.TempDir()}
	c.bucket.Store, err = objectstore.Open(t.Context(), location.Location{
		Provider: location.ProviderFilesystem, Config: map[string]string{location.ConfigFilesystemPath: c.bucket.dir},
	})
	c.Expect(err).NotTo(HaveOccurred())
	c.reconciler = &Reconciler{Client: broken, Reader: plain, Access: c, Clock: c.clock, Recorder: c.recorder, Namespace: ns.Name}
	c.addLocation(t, "default")
	return c
}

// addLocation adds one that can be used.
func (c *cluster) addLocation(t *testing.T, name string) {
	t.Helper()
	c.Expect(c.client.Create(t.Context(), &velerov1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.reconciler.Namespace, Name: name},
		Spec: velerov1.BackupStorageLocationSpec{
			Provider: "filesystem", Config: map[string]string{location.ConfigFilesystemPath: "/backups"},
			StorageType: velerov1.StorageType{ObjectStorage: &velerov1.ObjectStorageLocation{}},
		},
		Status: velerov1.BackupStorageLocationStatus{Phase: velerov1.BackupStorageLocationPhaseAvailable},
	})).To(Succeed())
}

// sync lets the period pass and syncs once. It returns the condition Synced.
func (c *cluster) sync(t *testing.T) *metav1.Condition {
	t.Helper()
	condition, err := c.trySync(t, "default")
	c.Expect(err).NotTo(HaveOccurred())
	return condition
}

func (c *cluster) trySync(t *testing.T, name string) (*metav1.Condition, error) {
	t.Helper()
	c.clock.SetTime(c.clock.Now().Add(DefaultPeriod))
	key := client.ObjectKey{Namespace: c.reconciler.Namespace, Name: name}
	_, err := c.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: key})
	l := &velerov1.BackupStorageLocation{}
	c.Expect(c.client.Get(t.Context(), key, l)).To(Succeed())
	return meta.FindStatusCondition(l.Status.Conditions, velerov1.ConditionSynced), err
}

func (c *cluster) location(t *testing.T) *velerov1.BackupStorageLocation {
	t.Helper()
	l := &velerov1.BackupStorageLocation{}
	c.Expect(c.client.Get(t.Context(), client.ObjectKey{Namespace: c.reconciler.Namespace, Name: "default"}, l)).To(Succeed())
	return l
}

// backups are those in the cluster, by name.
func (c *cluster) backups(t *testing.T) map[string]velerov1.Backup {
	t.Helper()
	list := &velerov1.BackupList{}
	c.Expect(c.client.List(t.Context(), list, client.InNamespace(c.reconciler.Namespace))).To(Succeed())
	byName := map[string]velerov1.Backup{}
	for _, b := range list.Items {
		byName[b.Name] = b
	}
	return byName
}

// volumes are those in the cluster, by name.
func (c *cluster) volumes(t *testing.T) map[string]velerov1.PodVolumeBackup {
	t.Helper()
	list := &velerov1.PodVolumeBackupList{}
	c.Expect(c.client.List(t.Context(), list, client.InNamespace(c.reconciler.Namespace))).To(Succeed())
	byName := map[string]velerov1.PodVolumeBackup{}
	for _, v := range list.Items {
		byName[v.Name] = v
	}
	return byName
}

// store puts a backup and its volumes into the bucket.
func (c *cluster) store(t *testing.T, b *velerov1.Backup, volumes ...*velerov1.PodVolumeBackup) {
	t.Helper()
	data, err := layout.EncodeBackup(b)
	c.Expect(err).NotTo(HaveOccurred())
	c.put(t, layout.BackupMetadata(b.Name), string(data))
	var zipped strings.Builder
	c.Expect(layout.EncodeJSONGzip(&zipped, volumes)).To(Succeed())
	c.put(t, layout.BackupPodVolumeBackups(b.Name), zipped.String())
}

func (c *cluster) put(t *testing.T, key, content string) {
	t.Helper()
	c.Expect(c.bucket.Put(t.Context(), key, strings.NewReader(content))).To(Succeed())
}

// erase removes a backup from the bucket.
func (c *cluster) erase(t *testing.T, name string) {
	t.Helper()
	keys, err := c.bucket.List(t.Context(), layout.BackupPrefix(name))
	c.Expect(err).NotTo(HaveOccurred())
	for _, key := range keys {
		c.Expect(c.bucket.Delete(t.Context(), key)).To(Succeed())
	}
}

// told returns the events since the last call.
func (c *cluster) told() string {
	var all []string
	for {
		select {
		case e := <-c.recorder.Events:
			all = append(all, e)
		default:
			return fmt.Sprint(all)
		}
	}
}
