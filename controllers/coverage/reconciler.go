package coverage

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	sources "sigs.k8s.io/controller-runtime/pkg/source"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/coverage"
)

const (
	// DefaultInterval is the time between two evaluations: pods and claims that come
	// and go are in the metrics after it at the latest.
	DefaultInterval = time.Minute

	// shortestInterval is kept also when many backups end.
	shortestInterval = 5 * time.Second

	// syncInterval is how soon stores are looked at again that are not full yet.
	syncInterval = 200 * time.Millisecond
)

// Reconciler measures the coverage of a cluster by one installation.
// SetupWithManager checks that every field is set.
type Reconciler struct {
	// Client reads podkeep's own kinds from the cache.
	Client client.Client

	// Reader reads the ConfigMaps of policies.
	Reader client.Reader

	// Watcher watches what is kept of the cluster's objects.
	Watcher client.WithWatch

	Clock    clock.PassiveClock
	Registry prometheus.Registerer

	// Namespace is the install namespace.
	Namespace string

	// ServerDefault is the server's --default-volumes-to-fs-backup.
	ServerDefault bool

	// Interval is the time between two evaluations; 0 means DefaultInterval.
	Interval time.Duration

	collector collector
	stores    stores
	last      time.Time // of the last evaluation; one worker reads and writes it
}

// stores are what is kept of the cluster's objects.
type stores struct {
	pods       *store[*coverage.Pod]
	claims     *store[*coverage.Claim]
	volumes    *store[namedVolume]
	namespaces *store[namedNamespace]
	snapshots  *store[coverage.Snapshot] // nil where the cluster does not know the kind
}

type namedVolume struct {
	name   string
	volume *coverage.PersistentVolume
}

type namedNamespace struct {
	name      string
	namespace coverage.Namespace
}

// +kubebuilder:rbac:groups="",resources=pods;persistentvolumeclaims;persistentvolumes;namespaces,verbs=list;watch,roleName=podkeep-server
// +kubebuilder:rbac:groups=snapshot.storage.k8s.io,resources=volumesnapshots,verbs=list;watch,roleName=podkeep-server
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=schedules;backups;podvolumebackups,verbs=get;list;watch,roleName=podkeep-server,namespace=velero

// Reconcile computes the metrics anew. There is one request only.
func (r *Reconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	start := r.Clock.Now()
	if wait := r.last.Add(min(shortestInterval, r.interval())).Sub(start); wait > 0 && !r.last.After(start) {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	facts, synced, err := r.observe(ctx, start)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing: %w", err)
	}
	if !synced {
		return ctrl.Result{RequeueAfter: syncInterval}, nil
	}
	t := total(facts)
	t.took = r.Clock.Since(start)
	r.collector.newest.Store(t)
	r.last = start
	return ctrl.Result{RequeueAfter: r.interval()}, nil
}

func (r *Reconciler) interval() time.Duration {
	if r.Interval <= 0 {
		return DefaultInterval
	}
	return r.Interval
}

// observe gathers the facts. synced is false until the stores have seen the cluster.
// Objects of caches are not copied: nobody changes them.
func (r *Reconciler) observe(ctx context.Context, now time.Time) (f coverage.Facts, synced bool, err error) {
	f = coverage.Facts{Now: now, InstallNamespace: r.Namespace, ServerDefault: r.ServerDefault}
	if !r.fromStores(&f) {
		return f, false, nil
	}
	schedules, backups, volumes := &velerov1.ScheduleList{}, &velerov1.BackupList{}, &velerov1.PodVolumeBackupList{}
	for _, list := range []client.ObjectList{schedules, backups, volumes} {
		if err := r.Client.List(ctx, list, client.InNamespace(r.Namespace), client.UnsafeDisableDeepCopy); err != nil {
			return f, false, fmt.Errorf("listing %T: %w", list, err)
		}
	}
	f.Schedules, f.Backups, f.PodVolumeBackups = schedules.Items, backups.Items, volumes.Items
	f.Policies, err = r.policies(ctx, f.Schedules)
	return f, true, err
}

func (r *Reconciler) fromStores(f *coverage.Facts) (synced bool) {
	var full [5]bool
	var volumes []namedVolume
	var namespaces []namedNamespace
	f.Pods, full[0] = r.stores.pods.list()
	f.Claims, full[1] = r.stores.claims.list()
	volumes, full[2] = r.stores.volumes.list()
	namespaces, full[3] = r.stores.namespaces.list()
	full[4] = true
	if r.stores.snapshots != nil {
		f.Snapshots, full[4] = r.stores.snapshots.list()
	}
	f.Volumes = make(map[string]*coverage.PersistentVolume, len(volumes))
	for _, v := range volumes {
		f.Volumes[v.name] = v.volume
	}
	f.Namespaces = make(map[string]coverage.Namespace, len(namespaces))
	for _, n := range namespaces {
		f.Namespaces[n.name] = n.namespace
	}
	return full == [5]bool{true, true, true, true, true}
}

// policies reads the ConfigMaps that schedules name: a few, by their names.
func (r *Reconciler) policies(ctx context.Context, schedules []velerov1.Schedule) (map[string]coverage.Policy, error) {
	policies := map[string]coverage.Policy{}
	for i := range schedules {
		ref := schedules[i].Spec.Template.ResourcePolicy
		if ref == nil {
			continue
		}
		if _, known := policies[ref.Name]; known {
			continue
		}
		config := &corev1.ConfigMap{}
		err := r.Reader.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: ref.Name}, config)
		switch {
		case apierrors.IsNotFound(err):
			policies[ref.Name] = coverage.NewPolicy(nil)
		case err != nil:
			return nil, fmt.Errorf("getting resource policies %s: %w", ref.Name, err)
		default:
			policies[ref.Name] = coverage.NewPolicy(config)
		}
	}
	return policies, nil
}

// SetupWithManager registers the metrics and all that fills them, on the leader only.
// It returns an error when a field is missing.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	missing := map[string]bool{
		"Client": r.Client == nil, "Reader": r.Reader == nil, "Watcher": r.Watcher == nil, "Clock": r.Clock == nil,
		"Registry": r.Registry == nil, "Namespace": r.Namespace == "",
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		if missing[name] {
			return fmt.Errorf("setting up coverage controller: field %s is not set", name)
		}
	}
	if err := r.Registry.Register(&r.collector); err != nil {
		return fmt.Errorf("registering the metrics of coverage: %w", err)
	}
	if err := r.addStores(mgr); err != nil {
		return err
	}
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetNamespace() == r.Namespace })
	everything := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{}}
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("coverage").
		WatchesRawSource(sources.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			queue.Add(reconcile.Request{})
			return nil
		})).
		Watches(&velerov1.Backup{}, everything, builder.WithPredicates(ours, backupBeginsOrEnds())).
		Watches(&velerov1.Schedule{}, everything, builder.WithPredicates(ours, scheduleChanges())).
		Complete(r)
}

// snapshotKind is the kind of snapshots, in clusters that have it.
var snapshotKind = schema.GroupVersionKind{Group: "snapshot.storage.k8s.io", Version: "v1", Kind: "VolumeSnapshot"}

// addStores adds what fills the stores. A cluster that learns of snapshots later is
// asked for them after the next start of the server.
func (r *Reconciler) addStores(mgr ctrl.Manager) error {
	_, err := r.Watcher.RESTMapper().RESTMapping(snapshotKind.GroupKind(), snapshotKind.Version)
	switch {
	case err == nil:
		r.stores.snapshots = newStore(keepSnapshot)
	case !meta.IsNoMatchError(err):
		return fmt.Errorf("asking whether the cluster knows VolumeSnapshots: %w", err)
	}
	r.stores.pods, r.stores.claims = newStore(keepPod), newStore(keepClaim)
	r.stores.volumes, r.stores.namespaces = newStore(keepVolume), newStore(keepNamespace)

	namespaces := &metav1.PartialObjectMetadata{}
	namespaces.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	snapshots := &unstructured.Unstructured{}
	snapshots.SetGroupVersionKind(snapshotKind)
	fillers := []manager.RunnableFunc{
		func(ctx context.Context) error {
			return fill(ctx, r.stores.pods, r.source(&corev1.Pod{}, &corev1.PodList{}))
		},
		func(ctx context.Context) error {
			return fill(ctx, r.stores.claims, r.source(&corev1.PersistentVolumeClaim{}, &corev1.PersistentVolumeClaimList{}))
		},
		func(ctx context.Context) error {
			return fill(ctx, r.stores.volumes, r.source(&corev1.PersistentVolume{}, &corev1.PersistentVolumeList{}))
		},
		func(ctx context.Context) error {
			return fill(ctx, r.stores.namespaces, r.source(namespaces, metadataList(namespaces)))
		},
	}
	if r.stores.snapshots != nil {
		fillers = append(fillers, func(ctx context.Context) error {
			return fill(ctx, r.stores.snapshots, r.source(snapshots, unstructuredList(snapshots)))
		})
	}
	for _, f := range fillers {
		if err := mgr.Add(f); err != nil {
			return fmt.Errorf("adding a watch: %w", err)
		}
	}
	return nil
}

func (r *Reconciler) source(object client.Object, list client.ObjectList) source {
	return source{client: r.Watcher, object: object, list: func() client.ObjectList {
		empty, ok := list.DeepCopyObject().(client.ObjectList)
		if !ok {
			panic(fmt.Sprintf("a copy of %T is none", list)) // cannot happen
		}
		return empty
	}}
}

func metadataList(of *metav1.PartialObjectMetadata) *metav1.PartialObjectMetadataList {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(listKind(of.GroupVersionKind()))
	return list
}

func unstructuredList(of *unstructured.Unstructured) *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(listKind(of.GroupVersionKind()))
	return list
}

func listKind(item schema.GroupVersionKind) schema.GroupVersionKind {
	return item.GroupVersion().WithKind(item.Kind + "List")
}

func keepPod(o client.Object) (*coverage.Pod, bool) {
	p, ok := o.(*corev1.Pod)
	if !ok {
		return nil, false
	}
	kept := coverage.NewPod(p)
	return kept, kept != nil
}

func keepClaim(o client.Object) (*coverage.Claim, bool) {
	c, ok := o.(*corev1.PersistentVolumeClaim)
	if !ok {
		return nil, false
	}
	return coverage.NewClaim(c), true
}

func keepVolume(o client.Object) (namedVolume, bool) {
	v, ok := o.(*corev1.PersistentVolume)
	if !ok {
		return namedVolume{}, false
	}
	return namedVolume{name: v.Name, volume: coverage.NewPersistentVolume(v)}, true
}

// keepNamespace keeps those that say something.
func keepNamespace(o client.Object) (namedNamespace, bool) {
	n := namedNamespace{name: o.GetName(), namespace: coverage.NewNamespace(o)}
	return n, n.namespace != (coverage.Namespace{})
}

func keepSnapshot(o client.Object) (coverage.Snapshot, bool) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return coverage.Snapshot{}, false
	}
	return coverage.NewSnapshot(u)
}

// backupBeginsOrEnds drops the progress of backups.
func backupBeginsOrEnds() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, okBefore := e.ObjectOld.(*velerov1.Backup)
		after, okAfter := e.ObjectNew.(*velerov1.Backup)
		return !okBefore || !okAfter || before.Status.Phase != after.Status.Phase
	}}
}

func scheduleChanges() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, okBefore := e.ObjectOld.(*velerov1.Schedule)
		after, okAfter := e.ObjectNew.(*velerov1.Schedule)
		return !okBefore || !okAfter || before.Status.Phase != after.Status.Phase || !equality.Semantic.DeepEqual(before.Spec, after.Spec)
	}}
}
