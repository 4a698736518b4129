// Package injector turns a pod into another pod: with the restore gate that holds
// it until its volumes are restored, without gates of earlier restores, or with
// the stamp of its volume selection.
//
// It is pure: the webhook does the I/O and decides which of these a pod needs.
// Every function returns a copy and leaves its argument alone, and applying it to
// its own result changes nothing. The container is that of Velero
// (velero-facts §7.1), so that Velero's helper can be used as its image; how its
// security context and resources differ, and why, is in docs/webhook.md.
package injector

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/gateconfig"
	"github.com/podkeep/podkeep/internal/selection"
)

const (
	// GateName is the name of the injected init container.
	GateName = "restore-wait"

	// legacyGateName is the name that Velero before 1.10 gave it.
	legacyGateName = "restic-wait"

	// MountRoot is the folder of the gate in which each volume has its own.
	MountRoot = "/restores/"

	// DeadlineVariable tells the gate how long it may wait, as a Go duration.
	DeadlineVariable = "RESTORE_WAIT_DEADLINE"

	// namespaceVariable and podVariable say which pod the gate is in. Images of
	// other makers may use them.
	namespaceVariable = "POD_NAMESPACE"
	podVariable       = "POD_NAME"
)

// GateRequest says what the gate of a pod waits for.
type GateRequest struct {
	// RestoreUID names the markers that the gate waits for.
	RestoreUID types.UID

	// Volumes are the pod's volumes that the restore fills. The pod must have all
	// of them (MissingVolumes). None means that the pod needs no gate.
	Volumes []string

	// Config is how the gate looks.
	Config gateconfig.Config

	// Installation is the install namespace of who opens the gate, for the pod's
	// annotation; "" leaves it as it is.
	Installation string
}

// Report says what Gate or Ungate did.
type Report struct {
	// Gated are the volumes that the pod waits for, sorted.
	Gated []string

	// RemovedGates counts gates of earlier restores that were taken out.
	RemovedGates int

	// Kept says that the pod already had exactly the gate it needs.
	Kept bool
}

// Gate returns a copy of pod whose first init container holds it until the
// volumes are restored. Gates that the pod already has are removed: a pod from a
// backup may carry the one of an earlier restore. Without volumes, removing is
// all that is done.
//
// A gate in the right place that already is what it should be is kept with what
// the API server and other webhooks have added to it, so that a second admission
// changes nothing.
//
// The pod also gets what the server finds it by and talks to its gate through:
// a label, the list of volumes, and the volume of the notices.
func Gate(pod *corev1.Pod, req GateRequest) (*corev1.Pod, Report) {
	out := pod.DeepCopy()
	removeAnswers(out)
	if len(req.Volumes) == 0 {
		removeNotices(out)
		delete(out.Labels, velerov1.GatedByLabel)
		return out, Report{RemovedGates: removeGates(out)}
	}

	volumes := slices.Compact(slices.Sorted(slices.Values(req.Volumes)))
	want := newGate(pod, volumes, req)
	addNotices(out)
	out.Labels = with(out.Labels, velerov1.GatedByLabel, string(req.RestoreUID))
	out.Annotations = with(out.Annotations, velerov1.RestoreVolumesAnnotation, strings.Join(volumes, ","))
	if req.Installation != "" {
		out.Annotations[velerov1.InstallationAnnotation] = req.Installation
	}
	if hasOnlyGate(out, want) {
		return out, Report{Gated: volumes, Kept: true}
	}

	removed := removeGates(out)
	out.Spec.InitContainers = slices.Insert(out.Spec.InitContainers, 0, want)
	return out, Report{Gated: volumes, RemovedGates: removed}
}

// Ungate returns a copy of pod without gates and without the list of volumes that
// a restore will fill. It is for pods whose restore is over or unknown: nobody
// would ever open their gate.
func Ungate(pod *corev1.Pod) (*corev1.Pod, Report) {
	out := pod.DeepCopy()
	delete(out.Annotations, velerov1.RestoreVolumesAnnotation)
	removeAnswers(out)
	removeNotices(out)
	delete(out.Labels, velerov1.GatedByLabel)
	return out, Report{RemovedGates: removeGates(out)}
}

// removeAnswers removes what a server has told the gate of another pod, which this
// one may be a copy of.
func removeAnswers(pod *corev1.Pod) {
	delete(pod.Annotations, velerov1.RestoredVolumesAnnotation)
	delete(pod.Annotations, velerov1.RestoreFailedAnnotation)
}

func with(all map[string]string, key, value string) map[string]string {
	if all == nil {
		all = map[string]string{}
	}
	all[key] = value
	return all
}

// Stamp returns a copy of pod with the selection of its volumes in its
// annotations. An older stamp is replaced.
func Stamp(pod *corev1.Pod, decisions []selection.Decision, inputsHash string) *corev1.Pod {
	out := pod.DeepCopy()
	if out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	maps.Copy(out.Annotations, selection.Stamp(decisions, inputsHash))
	return out
}

// MissingVolumes returns those names that are not volumes of the pod, sorted.
func MissingVolumes(pod *corev1.Pod, names []string) []string {
	var missing []string
	for _, name := range names {
		if !slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name }) {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	return slices.Compact(missing)
}

// IsGate reports whether a container is the gate of a restore, by podkeep or by
// any release of Velero.
func IsGate(c corev1.Container) bool { return c.Name == GateName || c.Name == legacyGateName }

// removeGates takes all gates out of the pod and returns how many there were.
func removeGates(pod *corev1.Pod) int {
	before := len(pod.Spec.InitContainers)
	pod.Spec.InitContainers = slices.DeleteFunc(pod.Spec.InitContainers, IsGate)
	return before - len(pod.Spec.InitContainers)
}
