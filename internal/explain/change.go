package explain

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/selection"
)

// kindPod is the kind of a subject that is a pod itself.
const kindPod = "Pod"

// change says how people get the other verdict, as a command where there is one.
func change(s Subject, settings Settings, v corev1.Volume, d selection.Decision) string {
	switch d.Reason {
	case selection.ReasonVolumePolicyFSBackup, selection.ReasonVolumePolicySkip, selection.ReasonVolumePolicySnapshot, selection.ReasonVolumePolicyCustom:
		return "change the policy in " + settings.PoliciesFrom
	case selection.ReasonExcludedByClaim, selection.ReasonIncludedByClaim:
		return wish(s, v, opposite(d))
	case selection.ReasonExcludedByPod:
		return lists(s, velerov1.VolumesToExcludeAnnotation, without(s.Facts.Pod, velerov1.VolumesToExcludeAnnotation, v.Name))
	case selection.ReasonIncludedByPod:
		return lists(s, velerov1.VolumesToBackupAnnotation, without(s.Facts.Pod, velerov1.VolumesToBackupAnnotation, v.Name))
	case selection.ReasonNamespacePolicy:
		if s.Facts.NamespacePolicy() == velerov1.FSBackupOff {
			return fmt.Sprintf("kubectl label namespace %s %s- (while it is off, nothing of the namespace is backed up)", s.Namespace, velerov1.FSBackupLabel)
		}
		return ask(s, v, d)
	case selection.ReasonBackupDefault, selection.ReasonServerDefault:
		return ask(s, v, d)
	default:
		return impossible[d.Reason]
	}
}

// impossible says what helps where no setting does.
var impossible = map[selection.Reason]string{
	selection.ReasonManagedByKubernetes: "nothing to do: back up the Secret or ConfigMap itself",
	selection.ReasonHostPathUnsupported: "use a claim on a local or network volume",
	selection.ReasonBlockVolume:         "use volume snapshots, or a claim with a file system",
	selection.ReasonNotMounted:          "mount it in a container",
}

// opposite is what the claim must ask for.
func opposite(d selection.Decision) string {
	if d.Included {
		return velerov1.ClaimExclude
	}
	return velerov1.ClaimInclude
}

// ask overrules a default: by the claim where there is one, because that holds for
// every pod that mounts it; else by a list of the pod.
func ask(s Subject, v corev1.Volume, d selection.Decision) string {
	_, named := selection.ClaimName(s.Facts.Pod, v)
	if named || v.Ephemeral != nil {
		return wish(s, v, opposite(d))
	}
	annotation := velerov1.VolumesToBackupAnnotation
	if d.Included {
		annotation = velerov1.VolumesToExcludeAnnotation
	}
	return lists(s, annotation, with(s.Facts.Pod, annotation, v.Name))
}

// wish annotates the claim.
func wish(s Subject, v corev1.Volume, value string) string {
	annotation := velerov1.ClaimFSBackupAnnotation + "=" + value
	name, exists := claimExists(s, v)
	switch {
	case exists:
		return fmt.Sprintf("kubectl annotate pvc -n %s %s %s --overwrite", s.Namespace, name, annotation)
	case v.Ephemeral != nil:
		return fmt.Sprintf("give the volumeClaimTemplate of volume %s the annotation %s", v.Name, annotation)
	default:
		return fmt.Sprintf("give claim %s the annotation %s", name, annotation)
	}
}

// lists sets one of the pod's lists of volumes. A pod that is made from a template
// would lose it with the next pod.
func lists(s Subject, annotation string, names []string) string {
	value := strings.Join(names, ",")
	var where string
	switch {
	case s.Owner != "":
		where = "the pod template of " + s.Owner
	case s.Kind != kindPod:
		where = "the pod template of " + s.Kind + " " + s.Name
	case s.Live && value == "":
		return fmt.Sprintf("kubectl annotate pod -n %s %s %s-", s.Namespace, s.Name, annotation)
	case s.Live:
		return fmt.Sprintf("kubectl annotate pod -n %s %s %s=%s --overwrite", s.Namespace, s.Name, annotation, value)
	default:
		where = "the pod"
	}
	if value == "" {
		return fmt.Sprintf("in %s, remove the annotation %s", where, annotation)
	}
	return fmt.Sprintf("in %s, set the annotation %s: %s", where, annotation, value)
}

func with(pod *corev1.Pod, annotation, name string) []string {
	return append(selection.ParseList(pod.Annotations[annotation]), name)
}

func without(pod *corev1.Pod, annotation, name string) []string {
	return slices.DeleteFunc(selection.ParseList(pod.Annotations[annotation]), func(n string) bool { return n == name })
}
