package watchdog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	crmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// DefaultInterval is the time between two scans. One of 5 000 pods is ten requests
// for metadata, and none when no namespace has a policy and nothing is restored.
const DefaultInterval = 30 * time.Second

// pageSize is how many pods one request returns.
const pageSize = 500

// Reconciler scans the cluster from time to time.
type Reconciler struct {
	// Client reads velero.io objects from the cache, and patches and deletes.
	Client client.Client

	// Reader reads from the API server what is not worth a cache.
	Reader client.Reader

	Clock    clock.PassiveClock
	Recorder events.EventRecorder

	// Namespace is that of the install.
	Namespace string

	// ServerDefault is --default-volumes-to-fs-backup, which the webhook has too.
	ServerDefault bool

	// Interval is the time between two scans; 0 means DefaultInterval.
	Interval time.Duration

	// Metrics is where metrics are registered; nil means controller-runtime's registry.
	Metrics prometheus.Registerer

	metrics *metrics
}

// SetupWithManager registers the reconciler. It returns an error when a field is
// missing.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	if err := r.prepare(); err != nil {
		return err
	}
	first := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.AddAfter(reconcile.Request{NamespacedName: types.NamespacedName{Name: "scan"}}, r.Interval)
		return nil
	})
	return ctrl.NewControllerManagedBy(mgr).Named("watchdog").WatchesRawSource(first).Complete(r)
}

func (r *Reconciler) prepare() error {
	missing := map[string]bool{
		"Client": r.Client == nil, "Reader": r.Reader == nil, "Clock": r.Clock == nil, "Recorder": r.Recorder == nil, "Namespace": r.Namespace == "",
	}
	for _, field := range slices.Sorted(maps.Keys(missing)) {
		if missing[field] {
			return fmt.Errorf("setting up watchdog: field %s is not set", field)
		}
	}
	if r.Interval == 0 {
		r.Interval = DefaultInterval
	}
	if r.Metrics == nil {
		r.Metrics = crmetrics.Registry
	}
	var err error
	if r.metrics, err = newMetrics(r.Metrics); err != nil {
		return fmt.Errorf("registering the watchdog's metrics: %w", err)
	}
	return nil
}

// +kubebuilder:rbac:groups=velero.io,resources=restores,verbs=get;list;watch;patch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=podvolumerestores,verbs=get;list;watch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;patch,roleName=podkeep-server
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;patch;delete,roleName=podkeep-server
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims;persistentvolumes,verbs=get;list,roleName=podkeep-server
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch,roleName=podkeep-server

// Reconcile makes one scan. The name of the request does not matter.
func (r *Reconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	o, err := r.observe(ctx)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing: %w", err)
	}
	s := plan(o)
	err = r.act(ctx, o, s)

	r.metrics.pods.WithLabelValues(problemNoStamp).Set(float64(len(s.stamp)))
	r.metrics.pods.WithLabelValues(problemNoGate).Set(float64(len(s.recreate) + len(s.report)))
	r.metrics.lastScan.Set(float64(r.Clock.Now().Unix()))
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: r.Interval}, nil
}

// observe reads the cluster. It decides nothing.
func (r *Reconciler) observe(ctx context.Context) (observed, error) {
	o := observed{installNamespace: r.Namespace, policies: map[string]string{}, fills: map[types.UID][]velerov1.PodVolumeRestore{}}
	var err error
	if o.policies, err = r.labelled(ctx, velerov1.FSBackupLabel); err != nil {
		return o, err
	}
	if len(o.policies) > 0 {
		if o.stampable, err = r.stampable(ctx); err != nil {
			return o, err
		}
	}
	marks, err := r.labelled(ctx, velerov1.RestoringLabel)
	if err != nil || len(marks) == 0 {
		return o, err
	}
	if err := r.observeRestores(ctx, &o); err != nil {
		return o, err
	}
	for name, mark := range marks {
		ns, err := r.restoringNamespace(ctx, name, mark)
		if err != nil {
			return o, err
		}
		o.restoring = append(o.restoring, ns)
	}
	return o, nil
}

// labelled returns the namespaces with a label, and its values.
func (r *Reconciler) labelled(ctx context.Context, key string) (map[string]string, error) {
	list := metadataList("Namespace")
	if err := r.Reader.List(ctx, list, client.HasLabels{key}); err != nil {
		return nil, fmt.Errorf("listing namespaces with the label %s: %w", key, err)
	}
	values := map[string]string{}
	for _, ns := range list.Items {
		if ns.DeletionTimestamp == nil {
			values[ns.Name] = ns.Labels[key]
		}
	}
	return values, nil
}

// stampable returns the metadata of all pods that have not ended. Of each only what
// is looked at is kept.
func (r *Reconciler) stampable(ctx context.Context) ([]metav1.PartialObjectMetadata, error) {
	running := fields.AndSelectors(fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)),
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed)))
	var all []metav1.PartialObjectMetadata
	page := ""
	for {
		list := metadataList("Pod")
		if err := r.Reader.List(ctx, list, client.Limit(pageSize), client.Continue(page), client.MatchingFieldsSelector{Selector: running}); err != nil {
			return nil, fmt.Errorf("listing pods: %w", err)
		}
		for _, m := range list.Items {
			all = append(all, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
				Namespace: m.Namespace, Name: m.Name, UID: m.UID, DeletionTimestamp: m.DeletionTimestamp, Annotations: stampOf(m.Annotations),
			}})
		}
		if page = list.Continue; page == "" {
			return all, nil
		}
	}
}

// stampOf keeps the annotations by which it is decided whether a pod has a stamp.
func stampOf(annotations map[string]string) map[string]string {
	kept := map[string]string{}
	for _, key := range []string{velerov1.SelectedVolumesAnnotation, velerov1.SelectionInputsAnnotation, corev1.MirrorPodAnnotationKey} {
		if _, ok := annotations[key]; ok {
			kept[key] = ""
		}
	}
	return kept
}

// observeRestores reads the restores that go on.
func (r *Reconciler) observeRestores(ctx context.Context, o *observed) error {
	restores := &velerov1.RestoreList{}
	if err := r.Client.List(ctx, restores, client.InNamespace(r.Namespace)); err != nil {
		return fmt.Errorf("listing Restores: %w", err)
	}
	for _, restore := range restores.Items {
		if restore.IsFinished() {
			continue
		}
		fills := &velerov1.PodVolumeRestoreList{}
		if err := r.Client.List(ctx, fills, client.InNamespace(r.Namespace), client.MatchingLabels{velerov1.RestoreUIDLabel: string(restore.UID)}); err != nil {
			return fmt.Errorf("listing PodVolumeRestores: %w", err)
		}
		o.restores = append(o.restores, restore)
		o.fills[restore.UID] = fills.Items
	}
	return nil
}

func (r *Reconciler) restoringNamespace(ctx context.Context, name, mark string) (restoringNamespace, error) {
	ns := restoringNamespace{name: name, mark: mark}
	pods := &corev1.PodList{}
	if err := r.Reader.List(ctx, pods, client.InNamespace(name)); err != nil {
		return ns, fmt.Errorf("listing pods of namespace %s: %w", name, err)
	}
	claims := metadataList("PersistentVolumeClaim")
	if err := r.Reader.List(ctx, claims, client.InNamespace(name)); err != nil {
		return ns, fmt.Errorf("listing claims of namespace %s: %w", name, err)
	}
	ns.pods, ns.claims = pods.Items, claims.Items
	return ns, nil
}

// metadataList is an empty list of the metadata of a kind of the core group.
func metadataList(kind string) *metav1.PartialObjectMetadataList {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: kind + "List"})
	return list
}

// act carries out what was planned. What fails is tried again, and does not keep the
// rest from being done.
func (r *Reconciler) act(ctx context.Context, o observed, s step) error {
	var errs []error
	for _, pod := range s.stamp {
		errs = append(errs, r.stamp(ctx, pod))
	}
	for _, p := range s.recreate {
		errs = append(errs, r.recreate(ctx, p))
	}
	errs = append(errs, r.report(ctx, o, s.report))
	for _, ns := range s.unmark {
		errs = append(errs, r.unmark(ctx, ns))
	}
	return errors.Join(errs...)
}
