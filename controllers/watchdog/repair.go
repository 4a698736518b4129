package watchdog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/podfacts"
	"github.com/podkeep/podkeep/internal/podfacts/live"
	"github.com/podkeep/podkeep/internal/selection"
)

// Reasons and action of the watchdog's events.
const (
	eventStartedBeforeRestore = "StartedBeforeRestore"
	eventRecreated            = "RecreatedForRestore"
	eventAction               = "Watch"
)

// stamp gives a pod the annotations that the webhook would have given it.
func (r *Reconciler) stamp(ctx context.Context, key podKey) error {
	pod := &corev1.Pod{}
	if err := r.Reader.Get(ctx, key.NamespacedName, pod); err != nil || pod.UID != key.uid {
		return client.IgnoreNotFound(err)
	}
	facts, err := podfacts.Gather(ctx, live.Source{Reader: r.Reader}, pod, pod.Namespace)
	if err != nil || facts.Namespace == nil {
		return err
	}
	in := facts.Input(podfacts.Settings{ServerDefault: r.ServerDefault})
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": pod.UID, "annotations": selection.Stamp(selection.Decide(in), selection.InputsHash(in)),
	}})
	if err != nil {
		return fmt.Errorf("encoding a stamp: %w", err)
	}
	if err := r.Client.Patch(ctx, pod, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return ignoreGone(fmt.Errorf("stamping pod %s: %w", key, err))
	}
	ctrl.LoggerFrom(ctx).Info("Stamped pod that the webhook has missed", "Pod", key.String())
	r.metrics.repairs.WithLabelValues(repairStamped).Inc()
	return nil
}

// recreate deletes a pod that nothing has started of, so that its controller makes
// another one, which the webhook holds.
func (r *Reconciler) recreate(ctx context.Context, p ungatedPod) error {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.uid}}
	if err := r.Client.Delete(ctx, pod, client.Preconditions{UID: &p.uid}); err != nil {
		return ignoreGone(fmt.Errorf("deleting pod %s: %w", p.podKey, err))
	}
	message := fmt.Sprintf("deleted before it started, because it did not wait until volumes %s are restored; its controller makes another one",
		strings.Join(p.volumes, ", "))
	ctrl.LoggerFrom(ctx).Info("Deleted pod without gate", "Pod", p.String(), "volumes", p.volumes)
	r.Recorder.Eventf(pod, nil, corev1.EventTypeWarning, eventRecreated, eventAction, "%s", message)
	r.metrics.repairs.WithLabelValues(repairRecreated).Inc()
	return nil
}

// report says of pods that they started without their data: once on the pod, and in
// the results of the restore.
func (r *Reconciler) report(ctx context.Context, o observed, pods []ungatedPod) error {
	var errs []error
	for i := range o.restores {
		restore := &o.restores[i]
		known := selection.ParseList(restore.Annotations[velerov1.UngatedPodsAnnotation])
		all := slices.Clone(known)
		for _, p := range pods {
			if p.restore == restore.UID && !slices.Contains(known, p.String()) {
				all = append(all, p.String())
				r.warn(restore.Name, p)
			}
		}
		if len(all) == len(known) {
			continue
		}
		slices.Sort(all)
		before := restore.DeepCopy()
		metav1.SetMetaDataAnnotation(&restore.ObjectMeta, velerov1.UngatedPodsAnnotation, strings.Join(slices.Compact(all), ","))
		if err := r.Client.Patch(ctx, restore, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			errs = append(errs, fmt.Errorf("noting pods on restore %s: %w", restore.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Reconciler) warn(restore string, p ungatedPod) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.uid}}
	r.Recorder.Eventf(pod, nil, corev1.EventTypeWarning, eventStartedBeforeRestore, eventAction,
		"uses volumes %s, which restore %s has not filled yet, and was not held by the webhook; delete the pod when the restore has ended",
		strings.Join(p.volumes, ", "), restore)
	r.metrics.repairs.WithLabelValues(repairReported).Inc()
}

// unmark takes the mark of a restore that is over off a namespace.
func (r *Reconciler) unmark(ctx context.Context, name string) error {
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:null}}}`, velerov1.RestoringLabel)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := r.Client.Patch(ctx, ns, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return ignoreGone(fmt.Errorf("taking the label %s off namespace %s: %w", velerov1.RestoringLabel, name, err))
	}
	ctrl.LoggerFrom(ctx).Info("Took the mark of a restore that is over off a namespace", "Namespace", name)
	r.metrics.repairs.WithLabelValues(repairUnmarked).Inc()
	return nil
}

// ignoreGone drops the error of an object that does not exist any more, or whose
// name another one has.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
