package webhook

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/selection"
)

// guardFacts is what the decision on a pod in a restoring namespace is made from.
type guardFacts struct {
	pod *corev1.Pod

	// restoring has, for each of the pod's claims that is being restored, the name
	// of the restore.
	restoring map[string]string
}

// decideGuard decides whether a pod that no restore made may start in a namespace
// that is being restored. Each case is one row of the table in docs/webhook.md.
func decideGuard(f guardFacts) verdict {
	claims := slices.Sorted(maps.Keys(f.restoring))
	switch {
	case isMirror(f.pod):
		return admit(reasonMirrorPod)
	case len(claims) == 0:
		return admit(reasonClaimFree)
	default:
		return deny(reasonClaimRestoring, "claim %q is being restored by restore %q; the pod is admitted when the data is in place; "+
			"controllers try again on their own", claims[0], f.restoring[claims[0]])
	}
}

// guardHandler answers for pods that no restore made, in namespaces in which one
// is active.
type guardHandler struct {
	cache client.Reader // claims, and pod volume restores of namespace
	live  client.Reader // the API server itself

	namespace string // of the install
}

// +kubebuilder:rbac:groups=velero.io,resources=podvolumerestores,verbs=get;list;watch,roleName=podkeep-webhook,namespace=velero
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=get;list;watch,roleName=podkeep-webhook

// judge gathers the facts on one pod and decides.
func (h *guardHandler) judge(ctx context.Context, r review) (verdict, error) {
	f := guardFacts{pod: r.pod, restoring: map[string]string{}}
	for _, v := range r.pod.Spec.Volumes {
		name, ok := selection.ClaimName(r.pod, v)
		if !ok {
			continue
		}
		restore, err := h.restoreOf(ctx, types.NamespacedName{Namespace: r.namespace, Name: name})
		if err != nil {
			return verdict{}, err
		}
		if restore != "" {
			f.restoring[name] = restore
		}
	}
	return decideGuard(f), nil
}

// restoreOf returns the name of the restore that fills a claim, "" when none
// does.
func (h *guardHandler) restoreOf(ctx context.Context, claim types.NamespacedName) (string, error) {
	uid, err := h.uidOf(ctx, claim)
	if err != nil || uid == "" {
		return "", err
	}
	restores := &velerov1.PodVolumeRestoreList{}
	err = h.cache.List(ctx, restores, client.InNamespace(h.namespace), client.MatchingLabels{velerov1.PVCUIDLabel: string(uid)})
	if err != nil {
		return "", fmt.Errorf("listing the restores of claim %s: %w", claim, err)
	}
	for i := range restores.Items {
		if !restores.Items[i].IsFinished() {
			return restores.Items[i].Labels[velerov1.RestoreNameLabel], nil
		}
	}
	return "", nil
}

// uidOf returns the UID of a claim, "" when it does not exist. A claim that is
// not in the cache may just have been restored, so the API server is asked once.
func (h *guardHandler) uidOf(ctx context.Context, claim types.NamespacedName) (types.UID, error) {
	for _, reader := range []client.Reader{h.cache, h.live} {
		c := &corev1.PersistentVolumeClaim{}
		err := reader.Get(ctx, claim, c)
		switch {
		case err == nil:
			return c.UID, nil
		case !apierrors.IsNotFound(err):
			return "", fmt.Errorf("getting claim %s: %w", claim, err)
		}
	}
	return "", nil
}
