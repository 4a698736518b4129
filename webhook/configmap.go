package webhook

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/podkeep/podkeep/internal/gateconfig"
)

const (
	// eventInvalidValue is the reason of an event on a ConfigMap of the gate with a
	// value that is not used.
	eventInvalidValue = "InvalidValue"

	// eventAmbiguous is the reason of an event on each of several ConfigMaps of the
	// gate.
	eventAmbiguous = "AmbiguousConfiguration"

	// eventAction is what podkeep did when it found the problem.
	eventAction = "ReadGateConfiguration"
)

// ConfigMapReconciler says with events on the ConfigMaps of the gate what in them
// is not used. It does so apart from admissions, which must have no side effects.
//
// An event is emitted when a ConfigMap appears or changes, that is, once for each
// resourceVersion, and again when the webhook starts.
type ConfigMapReconciler struct {
	Client   client.Client
	Recorder events.EventRecorder

	// Image is the default image of the gate.
	Image string
}

// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch,roleName=podkeep-webhook,namespace=velero
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch,roleName=podkeep-webhook,namespace=velero

// Reconcile emits the events of one ConfigMap.
func (r *ConfigMapReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	configMaps, err := listGateConfigMaps(ctx, r.Client, req.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	_, problems := gateconfig.Parse(configMaps, r.Image)
	for i := range configMaps {
		if configMaps[i].Name == req.Name {
			r.report(&configMaps[i], problems)
		}
	}
	return ctrl.Result{}, nil
}

func (r *ConfigMapReconciler) report(configMap *corev1.ConfigMap, problems []gateconfig.Problem) {
	for _, p := range problems {
		reason := eventInvalidValue
		if p.Key == "" {
			reason = eventAmbiguous
		}
		r.Recorder.Eventf(configMap, nil, corev1.EventTypeWarning, reason, eventAction, "%s", note(p))
	}
}

// maxNoteBytes is the longest note of an event (k8s.io/api/events/v1, Event).
const maxNoteBytes = 1024

// note is a problem as the text of an event, cut where the API would refuse it.
func note(p gateconfig.Problem) string {
	text := p.String()
	if len(text) <= maxNoteBytes {
		return text
	}
	return strings.ToValidUTF8(text[:maxNoteBytes-len("…")], "") + "…"
}

// SetupWithManager registers the reconciler. It runs in every replica that leads
// and in all of them when the manager elects no leader.
func (r *ConfigMapReconciler) SetupWithManager(mgr ctrl.Manager) error {
	err := ctrl.NewControllerManagedBy(mgr).
		Named("gate-configmap").
		For(&corev1.ConfigMap{}, builder.WithPredicates(predicate.ResourceVersionChangedPredicate{})).
		Complete(r)
	if err != nil {
		return fmt.Errorf("setting up the reconciler of the gate's ConfigMaps: %w", err)
	}
	return nil
}
