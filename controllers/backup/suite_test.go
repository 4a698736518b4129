package backup

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/crd"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/objectstore"
)

// apiServer is shared by the tests: each has an install namespace of its own.
var apiServer struct {
	once   sync.Once
	config *rest.Config
	stop   func() error
	err    error
}

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	code := m.Run()
	if apiServer.stop != nil {
		if err := apiServer.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
		}
	}
	os.Exit(code)
}

func startAPIServer(t *testing.T) *rest.Config {
	t.Helper()
	if _, ok := os.LookupEnv("KUBEBUILDER_ASSETS"); !ok {
		t.Skip("KUBEBUILDER_ASSETS does not name a folder with kube-apiserver and etcd, so backups are not tried on an API server")
	}
	apiServer.once.Do(func() {
		crds, err := crd.All()
		if err != nil {
			apiServer.err = err
			return
		}
		env := &envtest.Environment{CRDs: crds}
		apiServer.config, apiServer.err = env.Start()
		apiServer.stop = env.Stop
	})
	NewWithT(t).Expect(apiServer.err).NotTo(HaveOccurred())
	return apiServer.config
}

// install is podkeep's server on a real API server, without node agents: those
// are the test's. Requests for items and uploads can be held up and counted.
type install struct {
	*WithT

	client    client.Client
	config    *rest.Config
	namespace string // of the install
	app       string // a namespace with an application
	options   Options
	store     *heldStore
	requests  *heldTransport
}

// heldStore is a real store whose Put waits while the key matches.
type heldStore struct {
	objectstore.Store
	hold gate
}

func (s *heldStore) Put(ctx context.Context, key string, body io.Reader) error {
	if err := s.hold.pass(ctx, path.Base(key)); err != nil {
		return err
	}
	return s.Store.Put(ctx, key, body)
}

// heldTransport holds up lists of items of a kind, and counts the lists of each.
type heldTransport struct {
	rest http.RoundTripper
	hold gate

	mu    sync.Mutex // guards lists
	lists map[string]int
}

func (h *heldTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet && r.URL.Query().Has("limit") {
		kind := path.Base(r.URL.Path)
		if !r.URL.Query().Has("continue") {
			h.mu.Lock()
			h.lists[kind]++
			h.mu.Unlock()
		}
		if err := h.hold.pass(r.Context(), kind); err != nil {
			return nil, err
		}
	}
	return h.rest.RoundTrip(r)
}

// gate holds up what has a certain name.
type gate struct {
	mu     sync.Mutex // guards all below
	name   string
	opened chan struct{}
	held   int
}

// close holds up what is called name from now on.
func (g *gate) close(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()

	g.name, g.opened = name, make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()

	close(g.opened)
	g.name, g.held = "", 0
}

func (g *gate) pass(ctx context.Context, name string) error {
	g.mu.Lock()
	opened, hold := g.opened, g.name != "" && strings.HasSuffix(name, g.name)
	if hold {
		g.held++
	}
	g.mu.Unlock()
	if !hold {
		return nil
	}
	select {
	case <-opened:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// waiting is how many have come to the gate since it was closed.
func (g *gate) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()

	return g.held
}

// newInstall has a location, a node agent, and an application with a running pod
// of two volumes. Its server is not started yet.
func newInstall(t *testing.T) *install {
	t.Helper()
	cfg := rest.CopyConfig(startAPIServer(t))
	cfg.QPS, cfg.Burst = 200, 400
	in := &install{WithT: NewWithT(t), config: cfg, options: Options{ScratchDir: t.TempDir()}}
	scheme := runtime.NewScheme()
	in.Expect(errors.Join(clientgoscheme.AddToScheme(scheme), velerov1.AddToScheme(scheme))).To(Succeed())
	var err error
	in.client, err = client.New(cfg, client.Options{Scheme: scheme})
	in.Expect(err).NotTo(HaveOccurred())
	store, err := objectstore.Open(t.Context(), location.Location{
		Provider: location.ProviderFilesystem, Config: map[string]string{location.ConfigFilesystemPath: t.TempDir()},
	})
	in.Expect(err).NotTo(HaveOccurred())
	in.store = &heldStore{Store: store}

	in.namespace, in.app = in.newNamespace(t, "install-"), in.newNamespace(t, "app-")
	in.create(t, &velerov1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: in.namespace, Name: "default"},
		Spec: velerov1.BackupStorageLocationSpec{Provider: "filesystem", StorageType: velerov1.StorageType{
			ObjectStorage: &velerov1.ObjectStorageLocation{Bucket: "b"},
		}},
	})
	in.runPod(t, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: in.namespace, Name: "node-agent", Labels: map[string]string{nodeAgentRoleLabel: nodeAgentRole}},
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "a", Image: "a"}}},
	})
	in.runPod(t, in.appPod(in.app, "web-0"))
	return in
}

func (in *install) newNamespace(t *testing.T, prefix string) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix}}
	in.create(t, ns)
	return ns.Name
}

func (in *install) create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		in.Expect(in.client.Create(t.Context(), o)).To(Succeed(), o.GetName())
	}
}

// appPod has two emptyDirs, and asks for both.
func (in *install) appPod(ns, name string) *corev1.Pod {
	empty := corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: ns, Name: name, Annotations: map[string]string{velerov1.VolumesToBackupAnnotation: "data,cache"},
		},
		Spec: corev1.PodSpec{
			NodeName:   "node-1",
			Volumes:    []corev1.Volume{{Name: "data", VolumeSource: empty}, {Name: "cache", VolumeSource: empty}},
			Containers: []corev1.Container{{Name: "a", Image: "a", VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/d"}, {Name: "cache", MountPath: "/c"}}}},
		},
	}
}

func (in *install) runPod(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	in.create(t, pod)
	pod.Status.Phase = corev1.PodRunning
	in.Expect(in.client.Status().Update(t.Context(), pod)).To(Succeed())
}

// Store implements Locations.
func (in *install) Store(context.Context, string) (objectstore.Store, *velerov1.BackupStorageLocation, error) {
	return in.store, nil, nil
}

// startServer runs the controllers until stop is called, or the test ends.
func (in *install) startServer(t *testing.T) (stop func()) {
	t.Helper()
	cfg := rest.CopyConfig(in.config)
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme:                  in.client.Scheme(),
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		Cache:                   cache.Options{DefaultNamespaces: map[string]cache.Config{in.namespace: {}}},
		Controller:              config.Controller{SkipNameValidation: ptr.To(true)},
		GracefulShutdownTimeout: ptr.To(10 * time.Second),
	})
	in.Expect(err).NotTo(HaveOccurred())
	in.requests = &heldTransport{lists: map[string]int{}}
	items := rest.CopyConfig(in.config)
	items.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		in.requests.rest = rt
		return in.requests
	})
	dyn, err := dynamic.NewForConfig(items)
	in.Expect(err).NotTo(HaveOccurred())
	disc, err := discovery.NewDiscoveryClientForConfig(cfg)
	in.Expect(err).NotTo(HaveOccurred())
	in.Expect((&Reconciler{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Dynamic: dyn, Discovery: disc, Commands: &fakeCommands{}, Locations: in, Clock: clock.RealClock{},
		Recorder: events.NewFakeRecorder(1000), Namespace: in.namespace, Options: in.options,
	}).SetupWithManager(mgr)).To(Succeed())

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		in.Expect(<-done).To(Succeed())
	})
	t.Cleanup(stop)
	return stop
}

// startBackup creates a backup of the application.
func (in *install) startBackup(t *testing.T, name string, mods ...func(*velerov1.Backup)) *velerov1.Backup {
	t.Helper()
	b := &velerov1.Backup{
		ObjectMeta: metav1.ObjectMeta{Namespace: in.namespace, Name: name},
		Spec:       velerov1.BackupSpec{IncludedNamespaces: []string{in.app}},
	}
	for _, mod := range mods {
		mod(b)
	}
	in.create(t, b)
	return b
}

// Bounds of a test that fails.
const (
	within = 30 * time.Second
	tick   = 20 * time.Millisecond
)

// eventually waits until the backup is as it should be.
func (in *install) eventually(t *testing.T, b *velerov1.Backup, should func(g Gomega)) {
	t.Helper()
	in.Eventually(func(g Gomega) {
		g.Expect(in.client.Get(t.Context(), client.ObjectKeyFromObject(b), b)).To(Succeed())
		should(g)
	}, within, tick).Should(Succeed(), func() string { return fmt.Sprintf("%+v", b.Status) })
}

func (in *install) eventuallyPhase(t *testing.T, b *velerov1.Backup, phase velerov1.BackupPhase) {
	t.Helper()
	in.eventually(t, b, func(g Gomega) { g.Expect(b.Status.Phase).To(Equal(phase)) })
}

func (in *install) volumes(t *testing.T) []velerov1.PodVolumeBackup {
	t.Helper()
	list := &velerov1.PodVolumeBackupList{}
	in.Expect(in.client.List(t.Context(), list, client.InNamespace(in.namespace))).To(Succeed())
	return list.Items
}

// moveVolumes plays node agents until the test ends: data moves when
// shouldMove says so, and stops when it is canceled.
func (in *install) moveVolumes(t *testing.T, shouldMove func(*velerov1.PodVolumeBackup) bool) {
	t.Helper()
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(done)
		for ticker := time.NewTicker(tick); ; {
			select {
			case <-ctx.Done():
				ticker.Stop()
				return
			case <-ticker.C:
			}
			list := &velerov1.PodVolumeBackupList{}
			_ = in.client.List(ctx, list, client.InNamespace(in.namespace))
			for i := range list.Items {
				_ = in.moveVolume(ctx, &list.Items[i], shouldMove)
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func (in *install) moveVolume(ctx context.Context, v *velerov1.PodVolumeBackup, shouldMove func(*velerov1.PodVolumeBackup) bool) error {
	before := v.DeepCopy()
	switch {
	case v.IsFinished():
		return nil
	case v.Spec.Cancel:
		v.Status.Phase, v.Status.Message = velerov1.PodVolumeBackupPhaseCanceled, "canceled on request"
	case shouldMove(v):
		v.Status.Phase, v.Status.SnapshotID = velerov1.PodVolumeBackupPhaseCompleted, "snapshot"
	default:
		return nil
	}
	return in.client.Patch(ctx, v, client.MergeFrom(before))
}

func all(*velerov1.PodVolumeBackup) bool  { return true }
func none(*velerov1.PodVolumeBackup) bool { return false }

func (in *install) cancel(t *testing.T, b *velerov1.Backup) {
	t.Helper()
	before := b.DeepCopy()
	b.Annotations = with(b.Annotations, velerov1.CancelRequestedByAnnotation, "ann")
	in.Expect(in.client.Patch(t.Context(), b, client.MergeFrom(before))).To(Succeed())
}

// logOf is the log of a backup in the bucket; "" when there is none.
func (in *install) logOf(t *testing.T, backup string) string {
	t.Helper()
	body, err := in.store.Get(t.Context(), layout.BackupLog(backup))
	if errors.Is(err, objectstore.ErrNotFound) {
		return ""
	}
	in.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = body.Close() }()
	zr, err := gzip.NewReader(body)
	in.Expect(err).NotTo(HaveOccurred())
	text, err := io.ReadAll(zr)
	in.Expect(err).NotTo(HaveOccurred())
	return string(text)
}
