package webhook

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/injector"
	"github.com/podkeep/podkeep/internal/podfacts"
	"github.com/podkeep/podkeep/internal/podfacts/live"
	"github.com/podkeep/podkeep/internal/selection"
	"github.com/podkeep/podkeep/webhook/validation"
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
	v.warnings = validation.ForAuthor(selection.Warnings(in, decisions))
	return v
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
	facts, err := podfacts.Gather(ctx, live.Source{Reader: h.cache}, r.pod, r.namespace)
	switch {
	case err != nil:
		return verdict{}, err
	case facts.Namespace == nil:
		// The cache is behind. A stamp from a guess would be recomputed by the
		// backup, and so is a stamp that is missing.
		return admit(reasonNamespaceUnknown), nil
	default:
		return decideStamp(facts.Input(podfacts.Settings{ServerDefault: h.serverDefault})), nil
	}
}
