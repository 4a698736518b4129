package webhook

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/injector"
	"github.com/podkeep/podkeep/internal/selection"
)

// decideStamp stamps a pod with the selection of its volumes and warns of what
// its author should know. It never denies.
func decideStamp(in selection.Input) verdict {
	if isMirror(in.Pod) {
		return admit(reasonMirrorPod)
	}
	decisions := selection.Decide(in)
	v := verdict{
		pod:       injector.Stamp(in.Pod, decisions, selection.InputsHash(in)),
		reason:    reasonStamped,
		decisions: decisions,
	}
	if unknown := selection.UnknownVolumes(in.Pod); len(unknown) > 0 {
		v.warnings = append(v.warnings, fmt.Sprintf("podkeep: the pod has no volumes named %s; correct its annotations %s and %s",
			list(unknown), velerov1.VolumesToBackupAnnotation, velerov1.VolumesToExcludeAnnotation))
	}
	for _, w := range selection.UnknownWishes(in) {
		v.warnings = append(v.warnings, fmt.Sprintf("podkeep: claim %s of volume %s has the annotation %s=%s, which has no effect; set it to %s or %s",
			w.Claim, w.Volume, velerov1.ClaimFSBackupAnnotation, w.Value, velerov1.ClaimInclude, velerov1.ClaimExclude))
	}
	for _, d := range selection.Impossible(in, decisions) {
		v.warnings = append(v.warnings, fmt.Sprintf("podkeep: volume %s cannot be backed up (%s): %s", d.Volume, d.Reason, remedies[d.Reason]))
	}
	return v
}

// remedies say why a volume can never be backed up and what helps.
var remedies = map[selection.Reason]string{
	selection.ReasonManagedByKubernetes: "Kubernetes fills it anew in every pod; back up the Secret or ConfigMap itself",
	selection.ReasonHostPathUnsupported: "it is a directory of the node; use a PersistentVolumeClaim on a local or network volume, or list it in " +
		velerov1.VolumesToExcludeAnnotation,
	selection.ReasonBlockVolume: "it is a raw device without a file system; use volume snapshots, or list it in " + velerov1.VolumesToExcludeAnnotation,
	selection.ReasonNotMounted:  "no container mounts it; mount it or remove it from " + velerov1.VolumesToBackupAnnotation,
}

// selectionHandler answers for pods in namespaces with a policy.
type selectionHandler struct {
	cache client.Reader // namespaces (metadata), claims and volumes

	serverDefault bool
}

// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch,roleName=podkeep-webhook
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims;persistentvolumes,verbs=get;list;watch,roleName=podkeep-webhook

// judge gathers the facts on one pod and decides.
func (h *selectionHandler) judge(ctx context.Context, r review) (verdict, error) {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := h.cache.Get(ctx, types.NamespacedName{Name: r.namespace}, namespace)
	switch {
	case apierrors.IsNotFound(err):
		// The cache is behind. A stamp from a guess would be recomputed by the
		// backup, and so is a stamp that is missing.
		return admit(reasonNamespaceUnknown), nil
	case err != nil:
		return verdict{}, fmt.Errorf("getting namespace %s: %w", r.namespace, err)
	}
	claims, err := h.claimsOf(ctx, r)
	if err != nil {
		return verdict{}, err
	}
	return decideStamp(selection.Input{
		Pod:             r.pod,
		Claims:          claims,
		NamespacePolicy: namespace.Labels[velerov1.FSBackupLabel],
		ServerDefault:   h.serverDefault,
	}), nil
}

// claimsOf returns the facts of the pod's claims that exist by now.
func (h *selectionHandler) claimsOf(ctx context.Context, r review) (map[string]selection.ClaimFacts, error) {
	claims := map[string]selection.ClaimFacts{}
	for _, v := range r.pod.Spec.Volumes {
		name, ok := selection.ClaimName(r.pod, v)
		if !ok {
			continue
		}
		claim := &corev1.PersistentVolumeClaim{}
		err := h.cache.Get(ctx, types.NamespacedName{Namespace: r.namespace, Name: name}, claim)
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return nil, fmt.Errorf("getting claim %s/%s: %w", r.namespace, name, err)
		}
		facts, err := h.factsOf(ctx, claim)
		if err != nil {
			return nil, err
		}
		claims[name] = facts
	}
	return claims, nil
}

func (h *selectionHandler) factsOf(ctx context.Context, claim *corev1.PersistentVolumeClaim) (selection.ClaimFacts, error) {
	if claim.Spec.VolumeName == "" {
		return selection.ClaimFactsOf(claim, nil), nil
	}
	volume := &corev1.PersistentVolume{}
	err := h.cache.Get(ctx, types.NamespacedName{Name: claim.Spec.VolumeName}, volume)
	switch {
	case apierrors.IsNotFound(err):
		return selection.ClaimFactsOf(claim, nil), nil
	case err != nil:
		return selection.ClaimFacts{}, fmt.Errorf("getting persistent volume %s: %w", claim.Spec.VolumeName, err)
	}
	return selection.ClaimFactsOf(claim, volume), nil
}
