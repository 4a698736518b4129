package webhook

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/injector"
	"github.com/podkeep/podkeep/internal/gateconfig"
)

// gateFacts is what the decision on a restored pod is made from.
type gateFacts struct {
	pod *corev1.Pod

	// restore is the restore that the pod's label names. nil: it does not exist.
	restore *velerov1.Restore

	config gateconfig.Config
}

// decideGate decides whether a pod that carries the label of a restore waits, and
// for which volumes. Each case is one row of the table in docs/webhook.md.
func decideGate(f gateFacts) verdict {
	if isMirror(f.pod) {
		return admit(reasonMirrorPod)
	}
	name := f.pod.Labels[velerov1.RestoreNameLabel]
	volumes := restoreVolumes(f.pod)
	missing := injector.MissingVolumes(f.pod, volumes)
	switch {
	case f.restore == nil:
		v := ungated(f.pod, reasonRestoreNotFound)
		v.warnings = []string{fmt.Sprintf("podkeep: restore %q of the label %s does not exist; the pod starts without waiting for data",
			name, velerov1.RestoreNameLabel)}
		return v
	case f.restore.IsFinished():
		v := ungated(f.pod, reasonRestoreFinished)
		v.warnings = []string{fmt.Sprintf("podkeep: restore %q is finished (%s); the pod starts without waiting for data",
			f.restore.Name, f.restore.Status.Phase)}
		return v
	case len(missing) > 0:
		return deny(reasonUnknownVolume, "restore %q fills volumes that the pod does not have: %s; correct the annotation %s",
			f.restore.Name, list(missing), velerov1.RestoreVolumesAnnotation)
	}
	pod, _ := injector.Gate(f.pod, injector.GateRequest{RestoreUID: f.restore.UID, Volumes: volumes, Config: f.config})
	if len(volumes) == 0 {
		return verdict{pod: pod, reason: reasonNothingToRestore}
	}
	return verdict{pod: pod, reason: reasonGated}
}

func ungated(pod *corev1.Pod, r reason) verdict {
	out, _ := injector.Ungate(pod)
	return verdict{pod: out, reason: r}
}

// gateHandler answers for pods that carry the label of a restore.
type gateHandler struct {
	cache client.Reader // restores and ConfigMaps of namespace
	live  client.Reader // the API server itself

	namespace string // of the install
	image     string // default image of the gate
}

// +kubebuilder:rbac:groups=velero.io,resources=restores,verbs=get;list;watch,roleName=podkeep-webhook,namespace=velero
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=list;watch,roleName=podkeep-webhook,namespace=velero

// judge gathers the facts on one pod and decides.
func (h *gateHandler) judge(ctx context.Context, r review) (verdict, error) {
	restore, err := h.restoreOf(ctx, r.pod)
	if err != nil {
		return verdict{}, err
	}
	config, err := h.config(ctx)
	if err != nil {
		return verdict{}, err
	}
	return decideGate(gateFacts{pod: r.pod, restore: restore, config: config}), nil
}

// restoreOf returns the restore that the pod's label names, nil when there is
// none.
//
// The cache may be behind. When it does not know the restore, or believes that it
// is over although the pod is made to wait, the API server is asked once: a
// restore may have been created a moment ago, or again under the same name.
func (h *gateHandler) restoreOf(ctx context.Context, pod *corev1.Pod) (*velerov1.Restore, error) {
	label := pod.Labels[velerov1.RestoreNameLabel]
	restore, err := findRestore(ctx, h.cache, h.namespace, label)
	if err != nil {
		return nil, fmt.Errorf("finding restore %q: %w", label, err)
	}
	if restore != nil && (!restore.IsFinished() || len(restoreVolumes(pod)) == 0) {
		return restore, nil
	}
	restore, err = findRestore(ctx, h.live, h.namespace, label)
	if err != nil {
		return nil, fmt.Errorf("reading restore %q from the API: %w", label, err)
	}
	return restore, nil
}

// findRestore returns the restore with this value of the restore-name label, nil
// when there is none. Only a value of full length can be the short form of a
// longer name, so only then all restores are looked at.
func findRestore(ctx context.Context, reader client.Reader, namespace, label string) (*velerov1.Restore, error) {
	if len(label) < validation.LabelValueMaxLength {
		restore := &velerov1.Restore{}
		err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: label}, restore)
		switch {
		case apierrors.IsNotFound(err):
			return nil, nil
		case err != nil:
			return nil, err
		}
		return restore, nil
	}
	restores := &velerov1.RestoreList{}
	if err := reader.List(ctx, restores, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	for i := range restores.Items {
		if velerov1.ValidLabelValue(restores.Items[i].Name) == label {
			return &restores.Items[i], nil
		}
	}
	return nil, nil
}

// config reads the gate's ConfigMaps. Their problems are reported elsewhere; the
// gate is injected in any case.
func (h *gateHandler) config(ctx context.Context) (gateconfig.Config, error) {
	configMaps, err := listGateConfigMaps(ctx, h.cache, h.namespace)
	if err != nil {
		return gateconfig.Config{}, err
	}
	c, _ := gateconfig.Parse(configMaps, h.image)
	return c, nil
}

func listGateConfigMaps(ctx context.Context, reader client.Reader, namespace string) ([]corev1.ConfigMap, error) {
	configMaps := &corev1.ConfigMapList{}
	err := reader.List(ctx, configMaps, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: gateconfig.Selector()})
	if err != nil {
		return nil, fmt.Errorf("listing ConfigMaps of the gate: %w", err)
	}
	return configMaps.Items, nil
}
