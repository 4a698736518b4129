package webhook

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/selection"
)

// reason says why a pod was treated as it was. Reasons are API: they label the
// metric podkeep_webhook_decisions_total and are never renamed.
type reason string

const (
	// reasonMirrorPod is a pod that only shows what a kubelet runs.
	reasonMirrorPod reason = "MirrorPod"

	// reasonStamped is a pod whose annotations carry its selection.
	reasonStamped reason = "Stamped"

	// reasonNamespaceUnknown is a pod in a namespace that is not in the cache yet.
	reasonNamespaceUnknown reason = "NamespaceUnknown"

	// reasonGated is a pod that waits for its volumes.
	reasonGated reason = "Gated"

	// reasonNothingToRestore is a pod of an active restore that fills none of its
	// volumes.
	reasonNothingToRestore reason = "NothingToRestore"

	// reasonRestoreNotFound is a pod of a restore that does not exist.
	reasonRestoreNotFound reason = "RestoreNotFound"

	// reasonRestoreFinished is a pod of a restore that is over.
	reasonRestoreFinished reason = "RestoreFinished"

	// reasonUnknownVolume is a pod that lacks a volume its restore will fill.
	reasonUnknownVolume reason = "UnknownVolume"

	// reasonClaimFree is a pod none of whose claims is being restored.
	reasonClaimFree reason = "ClaimFree"

	// reasonHeld is a pod that no restore made and that waits for one all the same.
	reasonHeld reason = "Held"

	// reasonClaimIncomplete is a pod with a claim that a restore has left without all
	// of its data.
	reasonClaimIncomplete reason = "ClaimIncomplete"

	// reasonClaimRestoring is a pod whose volumes two restores fill.
	reasonClaimRestoring reason = "ClaimRestoring"

	// reasonError is a request that could not be judged.
	reasonError reason = "Error"
)

// verdict is what is answered to one request.
type verdict struct {
	// pod is the pod that is admitted. nil means that it is admitted as it is, or
	// that it is denied.
	pod *corev1.Pod

	denied  bool
	reason  reason
	message string // why it is denied, for people

	warnings []string // shown by kubectl and in logs of controllers

	decisions []selection.Decision // on volumes, for the metric
}

// admit admits a pod as it is.
func admit(r reason) verdict { return verdict{reason: r} }

// deny refuses a pod. The message says what to do.
func deny(r reason, format string, args ...any) verdict {
	return verdict{denied: true, reason: r, message: fmt.Sprintf(format, args...)}
}

// isMirror says whether the pod is the image of a static pod.
func isMirror(pod *corev1.Pod) bool {
	_, ok := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return ok
}

// restoreVolumes are the volumes that the pod's restore will fill.
func restoreVolumes(pod *corev1.Pod) []string {
	return selection.ParseList(pod.Annotations[velerov1.RestoreVolumesAnnotation])
}

// list joins names for a message.
func list(names []string) string { return strings.Join(names, ", ") }
