package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/json"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// review is a request about one pod, decoded.
type review struct {
	pod       *corev1.Pod
	namespace string // the pod itself may leave it out
}

// judge gathers facts on the pod of a review and decides. It does not change the
// pod.
type judge func(ctx context.Context, r review) (verdict, error)

// handler is the transport around a judge: decode, judge, patch, count.
type handler struct {
	name    string // label of the metrics
	judge   judge
	metrics *metrics

	// failsOpen admits as it is a pod that cannot be judged. The API server takes an
	// error in an answer for a refusal, whatever the failurePolicy: that is for
	// webhooks that do not answer.
	failsOpen bool
}

// errNotAPod is a request that the configuration of the webhook does not ask for.
var errNotAPod = errors.New("not a pod")

// Handle answers one request. An error is answered as one, and the failurePolicy
// of the webhook says what becomes of the pod.
func (h *handler) Handle(ctx context.Context, req admission.Request) admission.Response {
	r, err := decode(req)
	if err != nil {
		return h.failed(ctx, http.StatusBadRequest, err)
	}
	v, err := h.judge(ctx, r)
	if err != nil {
		return h.failed(ctx, http.StatusInternalServerError, fmt.Errorf("podkeep: %w", err))
	}
	h.metrics.observe(h.name, v)
	log(ctx, v)
	return respond(r.pod, v)
}

// failed is the answer to a request that could not be judged.
func (h *handler) failed(ctx context.Context, code int32, err error) admission.Response {
	v := verdict{denied: !h.failsOpen, reason: reasonError, message: err.Error()}
	h.metrics.observe(h.name, v)
	log(ctx, v)
	if h.failsOpen {
		ctrl.LoggerFrom(ctx).Error(err, "Admitted pod as it is")
		return admission.Allowed("")
	}
	return admission.Errored(code, err)
}

// decode reads the pod of a request.
func decode(req admission.Request) (review, error) {
	if req.Kind.Group != corev1.GroupName || req.Kind.Kind != "Pod" || req.Operation == admissionv1.Delete {
		return review{}, fmt.Errorf("%s of a %s: %w", req.Operation, req.Kind.Kind, errNotAPod)
	}
	pod := &corev1.Pod{}
	if err := json.Unmarshal(req.Object.Raw, pod); err != nil {
		return review{}, fmt.Errorf("decoding pod %s/%s: %w", req.Namespace, req.Name, err)
	}
	return review{pod: pod, namespace: req.Namespace}, nil
}

// respond turns a verdict into the answer.
func respond(pod *corev1.Pod, v verdict) admission.Response {
	if v.denied {
		return admission.Denied("podkeep: " + v.message)
	}
	resp := admission.Allowed("")
	resp.Warnings = v.warnings
	if v.pod != nil {
		resp.Patches = podPatch(pod, v.pod)
	}
	return resp
}

// log says what was decided. Denials change what happens in the cluster, so they
// are always said.
func log(ctx context.Context, v verdict) {
	l := ctrl.LoggerFrom(ctx)
	if v.denied {
		l.Info("Denied pod", "reason", v.reason, "message", v.message)
		return
	}
	l.V(1).Info("Admitted pod", "reason", v.reason)
}

// logConstructor names the pod in log lines, and nothing else of the request.
func logConstructor(base logr.Logger, req *admission.Request) logr.Logger {
	if req == nil {
		return base
	}
	return base.WithValues("namespace", req.Namespace, "name", req.Name, "operation", req.Operation)
}
