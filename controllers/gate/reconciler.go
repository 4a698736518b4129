package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/gatedpods"
	"github.com/podkeep/podkeep/internal/hold"
)

// eventRestoreFailed is the reason of the event on a pod whose gate never opens.
const eventRestoreFailed = "RestoreFailed"

// Reconciler tells the pods of the restores of one install what they need not, or
// need never, wait for.
type Reconciler struct {
	// Client reads velero.io objects from the cache and patches pods.
	Client client.Client

	// Reader reads from the API server: what a pod is told cannot be taken back, so it
	// is decided from there.
	Reader client.Reader

	// Pods are the pods with a gate, of the whole cluster.
	Pods *gatedpods.Pods

	Clock    clock.PassiveClock
	Recorder events.EventRecorder

	// Namespace is that of the install. Restores of others are not known here, and
	// their pods not told anything.
	Namespace string
}

// +kubebuilder:rbac:groups=velero.io,resources=restores;podvolumerestores,verbs=get;list;watch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;patch,roleName=podkeep-server
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=get,roleName=podkeep-server
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch,roleName=podkeep-server

// Reconcile looks at the pods of one restore. The name of the request is its UID.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	restore := types.UID(req.Name)
	o, err := r.observeCached(ctx, restore)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing: %w", err)
	}
	s := plan(o)
	if len(s.notices) > 0 || len(s.look) > 0 {
		if s, err = r.planLive(ctx, restore); err != nil {
			return ctrl.Result{}, fmt.Errorf("observing: %w", err)
		}
	}
	if err := r.act(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: s.after}, nil
}

// observeCached reads what is in caches. It decides nothing.
func (r *Reconciler) observeCached(ctx context.Context, restore types.UID) (observed, error) {
	o := observed{now: r.Clock.Now()}
	pods, err := r.Pods.Of(ctx, restore)
	if err != nil {
		return o, err
	}
	if o.pods = hold.PodsOf(pods, restore); len(o.pods) == 0 {
		return o, nil
	}
	return o, r.observeRestore(ctx, r.Client, restore, &o)
}

// planLive decides from what the API server has.
func (r *Reconciler) planLive(ctx context.Context, restore types.UID) (step, error) {
	o := observed{now: r.Clock.Now()}
	pods, err := r.Pods.From(ctx, r.Reader, restore)
	if err != nil {
		return step{}, err
	}
	o.pods = hold.PodsOf(pods, restore)
	if err := r.observeRestore(ctx, r.Reader, restore, &o); err != nil {
		return step{}, err
	}
	s := plan(o)
	if len(s.look) == 0 {
		return s, nil
	}
	o.claims = map[types.NamespacedName]bool{}
	for _, key := range s.look {
		claim := &corev1.PersistentVolumeClaim{}
		if err := r.Reader.Get(ctx, key, claim); client.IgnoreNotFound(err) != nil {
			return step{}, fmt.Errorf("getting PersistentVolumeClaim %s: %w", key, err)
		}
		o.claims[key] = claim.Annotations[velerov1.FilledByAnnotation] == string(restore)
	}
	return plan(o), nil
}

// observeRestore reads the restore and its volumes.
func (r *Reconciler) observeRestore(ctx context.Context, reader client.Reader, uid types.UID, o *observed) error {
	restores := &velerov1.RestoreList{}
	if err := reader.List(ctx, restores, client.InNamespace(r.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing Restores: %w", err)
	}
	for i := range restores.Items {
		if restores.Items[i].UID == uid {
			o.restore = &restores.Items[i]
		}
	}
	fills := &velerov1.PodVolumeRestoreList{}
	err := reader.List(ctx, fills, client.InNamespace(r.Namespace), client.UnsafeDisableDeepCopy,
		client.MatchingLabels{velerov1.RestoreUIDLabel: string(uid)})
	if err != nil {
		return fmt.Errorf("listing PodVolumeRestores: %w", err)
	}
	o.fills = fills.Items
	return nil
}

// act tells the pods. One that is gone needs no telling.
func (r *Reconciler) act(ctx context.Context, s step) error {
	var errs []error
	for _, n := range s.notices {
		errs = append(errs, r.tell(ctx, n))
	}
	return errors.Join(errs...)
}

func (r *Reconciler) tell(ctx context.Context, n notice) error {
	annotations := map[string]string{}
	if n.restored != nil {
		annotations[velerov1.RestoredVolumesAnnotation] = strings.Join(n.restored, ",")
	}
	if n.failed != "" {
		annotations[velerov1.RestoreFailedAnnotation] = n.failed
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": n.pod.UID, "annotations": annotations, // refused when another pod has the name by now
	}})
	if err != nil {
		return fmt.Errorf("encoding a notice: %w", err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: n.pod.Namespace, Name: n.pod.Name, UID: n.pod.UID}}
	if err := r.Client.Patch(ctx, pod, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return ignoreGone(fmt.Errorf("telling pod %s/%s: %w", n.pod.Namespace, n.pod.Name, err))
	}
	log := ctrl.LoggerFrom(ctx).WithValues("Pod", n.pod.Namespace+"/"+n.pod.Name)
	if n.failed == "" {
		log.Info("Told pod not to wait", "volumes", n.restored)
		return nil
	}
	log.Info("Told pod that it waits in vain", "reason", n.failed)
	r.Recorder.Eventf(pod, nil, corev1.EventTypeWarning, eventRestoreFailed, "EndWait", "%s", n.failed)
	return nil
}
