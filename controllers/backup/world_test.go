package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"path"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/version"
	fakediscovery "k8s.io/client-go/discovery/fake"
	fakedynamic "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/archive"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/objectstore"
)

// world is a cluster and a bucket in memory and in a directory. It stands in for
// real ones where a test must break them at a certain moment; that a backup works
// with a real API server and a real bucket is tested by tests/e2e.
type world struct {
	g          *WithT
	client     client.WithWatch
	dynamic    *fakedynamic.FakeDynamicClient
	store      *breakableStore
	reconciler *Reconciler
	clock      *testingclock.FakePassiveClock
	scratch    string
	commands   *fakeCommands
}

// breakableStore is a real store whose Put fails while err is set, after the next
// goodPuts calls, and until goodAt when that is set.
type breakableStore struct {
	objectstore.Store
	err      error
	goodPuts int
	goodAt   time.Time
	clock    clock.PassiveClock
	puts     []string
}

func (s *breakableStore) Put(ctx context.Context, key string, body io.Reader) error {
	if s.err != nil && s.goodPuts <= 0 && (s.goodAt.IsZero() || s.clock.Now().Before(s.goodAt)) {
		return s.err
	}
	s.goodPuts--
	s.puts = append(s.puts, key)
	return s.Store.Put(ctx, key, body)
}

// Store implements Locations.
func (w *world) Store(context.Context, string) (objectstore.Store, *velerov1.BackupStorageLocation, error) {
	return w.store, nil, nil
}

// servedLists is what discovery of the world returns.
func servedLists() []*metav1.APIResourceList {
	all := metav1.Verbs{"create", "delete", "get", "list", "patch", "update", "watch"}
	return []*metav1.APIResourceList{
		{GroupVersion: "v1", APIResources: []metav1.APIResource{
			{Name: "pods", Kind: "Pod", SingularName: "pod", ShortNames: []string{"po"}, Namespaced: true, Verbs: all},
			{Name: "persistentvolumeclaims", Kind: "PersistentVolumeClaim", ShortNames: []string{"pvc"}, Namespaced: true, Verbs: all},
			{Name: "persistentvolumes", Kind: "PersistentVolume", ShortNames: []string{"pv"}, Verbs: all},
			{Name: "serviceaccounts", Kind: "ServiceAccount", Namespaced: true, Verbs: all},
			{Name: "namespaces", Kind: "Namespace", Verbs: all},
			{Name: "configmaps", Kind: "ConfigMap", Namespaced: true, Verbs: all},
			{Name: "bindings", Kind: "Binding", Namespaced: true, Verbs: metav1.Verbs{"create"}},
		}},
		{GroupVersion: "apps/v1", APIResources: []metav1.APIResource{
			{Name: "replicasets", Kind: "ReplicaSet", Namespaced: true, Verbs: all},
		}},
		{GroupVersion: "rbac.authorization.k8s.io/v1", APIResources: []metav1.APIResource{
			{Name: "clusterroles", Kind: "ClusterRole", Verbs: all},
			{Name: "clusterrolebindings", Kind: "ClusterRoleBinding", Verbs: all},
		}},
		{GroupVersion: "scheduling.k8s.io/v1", APIResources: []metav1.APIResource{{Name: "priorityclasses", Kind: "PriorityClass", Verbs: all}}},
		{GroupVersion: "apiextensions.k8s.io/v1", APIResources: []metav1.APIResource{
			{Name: "customresourcedefinitions", Kind: "CustomResourceDefinition", ShortNames: []string{"crd"}, Verbs: all},
		}},
		{GroupVersion: "example.com/v1", APIResources: []metav1.APIResource{{Name: "widgets", Kind: "Widget", Namespaced: true, Verbs: all}}},
	}
}

// newWorld has a location, a node agent on node-1, and the items.
func newWorld(t *testing.T, items ...runtime.Object) *world {
	t.Helper()
	g := NewWithT(t)
	scheme := runtime.NewScheme()
	g.Expect(corev1.AddToScheme(scheme)).To(Succeed())
	g.Expect(velerov1.AddToScheme(scheme)).To(Succeed())
	g.Expect(appsv1.AddToScheme(scheme)).To(Succeed())

	w := &world{g: g, clock: testingclock.NewFakePassiveClock(t0), scratch: t.TempDir(), commands: &fakeCommands{}}
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		&velerov1.BackupStorageLocation{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "default"}},
		&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "node-agent-x", Labels: map[string]string{"role": "node-agent"}},
			Spec:       corev1.PodSpec{NodeName: "node-1"}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
		},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: "cluster-uid"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "private", Labels: map[string]string{velerov1.ExcludeFromBackupLabel: "true"}}},
	).Build()
	lists := map[schema.GroupVersionResource]string{}
	for _, l := range servedLists() {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		g.Expect(err).NotTo(HaveOccurred())
		for _, r := range l.APIResources {
			lists[gv.WithResource(r.Name)] = r.Kind + "List"
		}
	}
	items = append(items, item("v1", "Namespace", "", "private", withLabel(velerov1.ExcludeFromBackupLabel, "true")))
	w.dynamic = fakedynamic.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists, items...)
	store, err := objectstore.Open(t.Context(), location.Location{
		Provider: location.ProviderFilesystem, Config: map[string]string{location.ConfigFilesystemPath: t.TempDir()},
	})
	g.Expect(err).NotTo(HaveOccurred())
	w.store = &breakableStore{Store: store}
	w.restartServer()
	return w
}

// restartServer forgets all that a server keeps in memory.
func (w *world) restartServer() {
	w.reconciler = &Reconciler{
		Client: w.client, Reader: w.client, Dynamic: w.dynamic, Locations: w, Clock: w.clock, Namespace: "velero", Commands: w.commands,
		Recorder: events.NewFakeRecorder(100),
		Options:  Options{ScratchDir: w.scratch},
		Discovery: &fakediscovery.FakeDiscovery{
			Fake:               &clienttesting.Fake{Resources: servedLists()},
			FakedServerVersion: &version.Info{GitVersion: "v1.36.3", Major: "1", Minor: "36"},
		},
	}
	w.g.Expect(w.reconciler.prepare()).To(Succeed())
}

func (w *world) create(ctx context.Context, b *velerov1.Backup) {
	b.ResourceVersion = ""
	w.g.Expect(w.client.Create(ctx, b)).To(Succeed())
}

// reconcile takes one step, after the queue has taken one.
func (w *world) reconcile(ctx context.Context) (ctrl.Result, error) {
	_, err := w.reconciler.queue().Reconcile(ctx, ctrl.Request{})
	w.g.Expect(err).NotTo(HaveOccurred())
	return w.reconciler.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKey{Namespace: "velero", Name: "nightly"}})
}

// steps reconciles n times.
func (w *world) steps(ctx context.Context, n int) *velerov1.Backup {
	for range n {
		_, err := w.reconcile(ctx)
		w.g.Expect(err).NotTo(HaveOccurred())
	}
	return w.backup(ctx)
}

func (w *world) backup(ctx context.Context) *velerov1.Backup {
	b := &velerov1.Backup{}
	w.g.Expect(w.client.Get(ctx, client.ObjectKey{Namespace: "velero", Name: "nightly"}, b)).To(Succeed())
	return b
}

func (w *world) volumes(ctx context.Context) []velerov1.PodVolumeBackup {
	list := &velerov1.PodVolumeBackupList{}
	w.g.Expect(w.client.List(ctx, list)).To(Succeed())
	return list.Items
}

// endVolumes plays the node agent.
func (w *world) endVolumes(ctx context.Context, phase velerov1.PodVolumeBackupPhase, message string) {
	for _, v := range w.volumes(ctx) {
		if v.IsFinished() {
			continue
		}
		v.Status.Phase, v.Status.Message, v.Status.SnapshotID = phase, message, "snapshot-"+v.Spec.Volume
		v.Status.Progress.TotalBytes = 42
		v.Status.CompletionTimestamp = &metav1.Time{Time: w.clock.Now()}
		v.Finalizers = []string{velerov1.PodVolumeFinalizer}
		w.g.Expect(w.client.Update(ctx, &v)).To(Succeed())
	}
}

// stored decodes a JSON document in the bucket.
func (w *world) stored(ctx context.Context, key string, v any) {
	body, err := w.store.Get(ctx, key)
	w.g.Expect(err).NotTo(HaveOccurred(), key)
	defer func() { _ = body.Close() }()
	w.g.Expect(layout.DecodeJSONGzip(body, v)).To(Succeed(), key)
}

// archived lists the items of the archive, as resource:namespace/name.
func (w *world) archived(ctx context.Context) (map[string]*unstructured.Unstructured, error) {
	body, err := w.store.Get(ctx, layout.BackupContents("nightly"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	extracted, err := archive.Extract(body, w.scratch, archive.Limits{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = extracted.Close() }()
	items := map[string]*unstructured.Unstructured{}
	for _, gr := range extracted.Resources() {
		for ref, err := range extracted.Items(gr) {
			if err != nil {
				return nil, err
			}
			if items[gr.String()+":"+ref.Namespace+"/"+ref.Name], err = ref.Read(); err != nil {
				return nil, err
			}
		}
	}
	return items, nil
}

// order lists the names of the items in the order of the archive.
func (w *world) order(ctx context.Context) []string {
	body, err := w.store.Get(ctx, layout.BackupContents("nightly"))
	w.g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = body.Close() }()
	zr, err := gzip.NewReader(body)
	w.g.Expect(err).NotTo(HaveOccurred())
	var names []string
	for tr := tar.NewReader(zr); ; {
		header, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		w.g.Expect(err).NotTo(HaveOccurred())
		if !strings.Contains(header.Name, "-preferredversion") {
			names = append(names, strings.TrimSuffix(path.Base(header.Name), ".json"))
		}
	}
}

// item is a minimal object.
func item(apiVersion, kind, namespace, name string, mods ...func(map[string]any)) *unstructured.Unstructured {
	o := map[string]any{
		"apiVersion": apiVersion, "kind": kind,
		"metadata": map[string]any{"name": name, "uid": "uid-" + name},
	}
	if namespace != "" {
		o["metadata"].(map[string]any)["namespace"] = namespace
	}
	for _, mod := range mods {
		mod(o)
	}
	return &unstructured.Unstructured{Object: o}
}

func controlledBy(apiVersion, kind, name string, uid types.UID) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, UID: uid, Controller: &yes}}
}

func withLabel(key, value string) func(map[string]any) {
	return func(o map[string]any) { _ = unstructured.SetNestedField(o, value, "metadata", "labels", key) }
}

func withField(value any, path ...string) func(map[string]any) {
	return func(o map[string]any) { _ = unstructured.SetNestedField(o, value, path...) }
}

// boundClaim is a claim with its volume.
func boundClaim(namespace, name, pv string) []runtime.Object {
	return []runtime.Object{
		item("v1", "PersistentVolumeClaim", namespace, name,
			withField(pv, "spec", "volumeName"), withField("Bound", "status", "phase"), withField("x", "spec", "dataSource", "name"),
			withLabel(velerov1.RestoreNameLabel, "r"), withLabel("app", "db")),
		item("v1", "PersistentVolume", "", pv, withField("Delete", "spec", "persistentVolumeReclaimPolicy"), withLabel("zone", "a")),
	}
}

// runningPod mounts the claim "db" as data, and an emptyDir as cache, and asks
// for both.
func runningPod(namespace, name string, mods ...func(*corev1.Pod)) runtime.Object {
	pod := webPod(mods...)
	pod.Namespace, pod.Name = namespace, name
	pod.UID = types.UID("uid-" + name)
	pod.APIVersion, pod.Kind = "v1", "Pod"
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{velerov1.VolumesToBackupAnnotation: "data,cache"}
	}
	o, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
	if err != nil {
		panic(err)
	}
	return &unstructured.Unstructured{Object: o}
}
