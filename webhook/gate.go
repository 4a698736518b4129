package webhook

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/injector"
	"github.com/podkeep/podkeep/internal/gateconfig"
)

// gateFacts is what the decision on a pod is made from that waits for data, or may.
type gateFacts struct {
	pod       *corev1.Pod
	namespace string // the pod itself may leave it out

	// restore is the restore that the pod's label names. nil: it does not exist, or
	// the pod has no such label.
	restore *velerov1.Restore

	// awaited are the volumes of the pod that any restore is not done with.
	awaited []awaitedVolume

	config       gateconfig.Config
	installation string // install namespace
}

// decideGate decides whether a pod waits, for which volumes, and whether it may be
// created at all. Each case is one row of the table in docs/webhook.md.
func decideGate(f gateFacts) verdict {
	name := f.pod.Labels[velerov1.RestoreNameLabel]
	isOwn := f.restore != nil && !f.restore.IsFinished()
	hold := holdOf(f, isOwn)
	missing := injector.MissingVolumes(f.pod, hold.listed)
	switch {
	case isMirror(f.pod):
		return admit(reasonMirrorPod)
	case len(missing) > 0:
		return deny(reasonUnknownVolume, "restore %q fills volumes that the pod does not have: %s; correct the annotation %s",
			f.restore.Name, list(missing), velerov1.RestoreVolumesAnnotation)
	case hold.other != nil:
		return deny(reasonClaimRestoring, "restore %q and restore %q fill volumes of the pod (%s), which can wait for one of them only; the pod is "+
			"admitted when the data of one is in place; controllers try again on their own", hold.restore.Name, hold.other.restore.Name, hold.other.name)
	case hold.incomplete != nil:
		return deny(reasonClaimIncomplete, "restore %q has left claim %q without all of its data; restore it again, or accept it as it is with: "+
			"kubectl -n %s label pvc %s %s-", hold.incomplete.incomplete, hold.incomplete.claim, f.namespace, hold.incomplete.claim, velerov1.RestoreIncompleteLabel)
	case hold.restore != nil:
		pod, _ := injector.Gate(f.pod, injector.GateRequest{
			RestoreUID: hold.restore.UID, Volumes: hold.volumes, Config: f.config, Installation: f.installation,
		})
		return verdict{pod: pod, reason: hold.reason}
	case name == "":
		return admit(reasonClaimFree)
	case f.restore == nil:
		v := ungated(f.pod, reasonRestoreNotFound)
		v.warnings = []string{fmt.Sprintf("podkeep: restore %q of the label %s does not exist; the pod starts without waiting for data",
			name, velerov1.RestoreNameLabel)}
		return v
	case !isOwn:
		v := ungated(f.pod, reasonRestoreFinished)
		v.warnings = []string{fmt.Sprintf("podkeep: restore %q is finished (%s); the pod starts without waiting for data",
			f.restore.Name, f.restore.Status.Phase)}
		return v
	default:
		pod, _ := injector.Gate(f.pod, injector.GateRequest{RestoreUID: f.restore.UID, Config: f.config})
		return verdict{pod: pod, reason: reasonNothingToRestore}
	}
}

// podHold is what keeps a pod.
type podHold struct {
	restore *velerov1.Restore // that the pod waits for; nil: none
	volumes []string          // that it waits for
	reason  reason            // of the wait
	listed  []string          // those that the restore of its label has listed

	other      *awaitedVolume // one that a second restore fills
	incomplete *awaitedVolume // one that nobody fills and that lacks data
}

// holdOf puts together what the restore of the pod's label fills, and what any
// restore fills.
func holdOf(f gateFacts, isOwn bool) podHold {
	var h podHold
	if isOwn {
		if h.listed = restoreVolumes(f.pod); len(h.listed) > 0 {
			h.restore, h.volumes, h.reason = f.restore, slices.Clone(h.listed), reasonGated
		}
	}
	for i := range f.awaited {
		switch v := &f.awaited[i]; {
		case slices.Contains(h.listed, v.name):
		case v.restore == nil:
			h.incomplete = v
		case h.restore == nil:
			h.restore, h.volumes, h.reason = v.restore, []string{v.name}, reasonHeld
		case h.restore.UID == v.restore.UID:
			h.volumes = append(h.volumes, v.name)
		default:
			h.other = v
		}
	}
	return h
}

func ungated(pod *corev1.Pod, r reason) verdict {
	out, _ := injector.Ungate(pod)
	return verdict{pod: out, reason: r}
}

// gateHandler answers for pods that carry the label of a restore.
type gateHandler struct {
	cache client.Reader // restores, pod volume restores and ConfigMaps of namespace, claims, namespaces (metadata)
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
	volumes, err := h.awaiting().of(ctx, r)
	if err != nil {
		return verdict{}, err
	}
	return decideGate(gateFacts{pod: r.pod, namespace: r.namespace, restore: restore, awaited: volumes, config: config, installation: h.namespace}), nil
}

func (h *gateHandler) awaiting() *awaiting {
	return &awaiting{cache: h.cache, live: h.live, namespace: h.namespace}
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
