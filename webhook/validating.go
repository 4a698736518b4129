package webhook

import (
	"context"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/configmaps"
	"github.com/podkeep/podkeep/internal/podfacts"
	"github.com/podkeep/podkeep/internal/podfacts/live"
	"github.com/podkeep/podkeep/internal/workloads"
	"github.com/podkeep/podkeep/webhook/validation"
)

// reasonUnchecked is a request that could not be judged.
const reasonUnchecked = validation.Reason(reasonError)

// validator is the transport around a decision of package validation: judge, answer,
// count. It refuses only what the decision refuses. What goes wrong in here is
// admitted with a warning: the API server would take an error for a refusal, also of
// a webhook that fails open.
type validator struct {
	name    string // label of the metrics
	judge   func(ctx context.Context, req *admissionv1.AdmissionRequest) (validation.Verdict, error)
	metrics *metrics
}

// Handle answers one request.
func (h *validator) Handle(ctx context.Context, req admission.Request) admission.Response {
	v, err := h.judge(ctx, &req.AdmissionRequest)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Admitted unchecked")
		v = validation.Verdict{Reason: reasonUnchecked, Warnings: validation.Warnings([]string{"not checked: " + err.Error()})}
	}
	h.metrics.observe(h.name, verdict{denied: v.Denied(), reason: reason(v.Reason)})
	resp := admission.Allowed("")
	if v.Denied() {
		ctrl.LoggerFrom(ctx).Info("Refused", "reason", v.Reason, "message", v.Message())
		resp = refused(v.Message())
	}
	resp.Warnings = v.Warnings
	return resp
}

// refused is the answer of an API server to a value that it cannot take, which
// clients show as such and do not repeat.
func refused(message string) admission.Response {
	resp := admission.Denied(message)
	resp.Result.Code, resp.Result.Reason = http.StatusUnprocessableEntity, metav1.StatusReasonInvalid
	return resp
}

// configMapValidator judges ConfigMaps of the install namespace.
type configMapValidator struct {
	cache     client.Reader // ConfigMaps of the gate
	namespace string        // of the install
	names     configmaps.Names
}

func (h *configMapValidator) judge(ctx context.Context, req *admissionv1.AdmissionRequest) (validation.Verdict, error) {
	if req.Kind.Group != corev1.GroupName || req.Kind.Kind != "ConfigMap" || req.Namespace != h.namespace || req.Operation == admissionv1.Delete {
		return validation.Verdict{Reason: validation.ReasonNotOurs}, nil
	}
	f := validation.ConfigMapFacts{New: &corev1.ConfigMap{}, Names: h.names}
	if err := json.Unmarshal(req.Object.Raw, f.New); err != nil {
		return validation.Verdict{}, fmt.Errorf("decoding ConfigMap %s: %w", req.Name, err)
	}
	if len(req.OldObject.Raw) > 0 {
		f.Old = &corev1.ConfigMap{}
		if err := json.Unmarshal(req.OldObject.Raw, f.Old); err != nil {
			return validation.Verdict{}, fmt.Errorf("decoding the old ConfigMap %s: %w", req.Name, err)
		}
	}
	others, err := listGateConfigMaps(ctx, h.cache, h.namespace)
	if err != nil {
		return validation.Verdict{}, err
	}
	for i := range others {
		if others[i].Name != f.New.Name {
			f.Others = append(f.Others, others[i].Name)
		}
	}
	return validation.ConfigMap(f), nil
}

// resourceValidator judges objects of velero.io in the install namespace.
type resourceValidator struct{ namespace string }

func (h *resourceValidator) judge(_ context.Context, req *admissionv1.AdmissionRequest) (validation.Verdict, error) {
	if req.Kind.Group != velerov1.GroupName || req.Namespace != h.namespace || req.Operation == admissionv1.Delete {
		return validation.Verdict{Reason: validation.ReasonNotOurs}, nil
	}
	return validation.Resource(validation.ResourceFacts{Kind: req.Kind.Kind, New: req.Object.Raw, Old: req.OldObject.Raw})
}

// authorAdviser warns the authors of pods and workloads.
type authorAdviser struct {
	cache client.Reader // namespaces (metadata), claims and volumes

	serverDefault bool
}

func (h *authorAdviser) judge(ctx context.Context, req *admissionv1.AdmissionRequest) (validation.Verdict, error) {
	kind := schema.GroupKind{Group: req.Kind.Group, Kind: req.Kind.Kind}
	if !workloads.Known(kind) || req.Operation == admissionv1.Delete {
		return validation.Verdict{Reason: validation.ReasonNotOurs}, nil
	}
	template, err := workloads.Decode(kind, req.Object.Raw)
	if err != nil {
		return validation.Verdict{}, err
	}
	// A namespace that is not in the cache yet counts as one without a policy.
	facts, err := podfacts.Gather(ctx, live.Source{Reader: h.cache}, template.Pod, req.Namespace)
	if err != nil {
		return validation.Verdict{}, err
	}
	return validation.Author(template, facts.Input(podfacts.Settings{ServerDefault: h.serverDefault})), nil
}
