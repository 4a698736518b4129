package webhook

import (
	"context"
)

// guardHandler answers for pods that no restore made, in namespaces in which one
// is active. It decides as the gate does.
type guardHandler struct {
	*gateHandler
}

// +kubebuilder:rbac:groups=velero.io,resources=podvolumerestores,verbs=get;list;watch,roleName=podkeep-webhook,namespace=velero
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=get;list;watch,roleName=podkeep-webhook

// judge gathers the facts on one pod and decides. Nearly all pods have nothing to
// wait for, so the settings of the gate are read only for those that do.
func (h *guardHandler) judge(ctx context.Context, r review) (verdict, error) {
	if isMirror(r.pod) {
		return admit(reasonMirrorPod), nil
	}
	volumes, err := h.awaiting().of(ctx, r)
	if err != nil {
		return verdict{}, err
	}
	f := gateFacts{pod: r.pod, namespace: r.namespace, awaited: volumes, installation: h.namespace}
	if len(volumes) > 0 {
		if f.config, err = h.config(ctx); err != nil {
			return verdict{}, err
		}
	}
	return decideGate(f), nil
}
