package explain

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/filter"
	"github.com/podkeep/podkeep/internal/selection"
)

var (
	podKind = filter.Resource{
		GroupResource: schema.GroupResource{Resource: "pods"}, Kind: "Pod", Singular: "pod", ShortNames: []string{"po"}, Namespaced: true,
	}
	claimKind = filter.Resource{
		GroupResource: schema.GroupResource{Resource: "persistentvolumeclaims"}, Kind: "PersistentVolumeClaim", Singular: "persistentvolumeclaim",
		ShortNames: []string{"pvc"}, Namespaced: true,
	}
)

// notInBackup says why the backup does not come to the pod, or does not take its
// claims, whatever the rules say of its volumes.
func notInBackup(s Subject, settings Settings) []Warning {
	filters := filter.ForBackup(settings.spec())
	filters.Policy = settings.Policies.Filter()
	f := filter.New(filters, filter.NewCatalog([]filter.Resource{podKind, claimKind}))
	warn := func(volume, what, why string) Warning {
		return Warning{Problem: ProblemNotInBackup, Volume: volume, Text: fmt.Sprintf("%s is not in the backup: %s", what, why)}
	}
	if why := podExclusion(s, f); why != "" {
		return []Warning{warn("", "the pod", why)}
	}
	var all []Warning
	allClaims := f.Resource(claimKind)
	for _, v := range s.Facts.Pod.Spec.Volumes {
		name, ok := selection.ClaimName(s.Facts.Pod, v)
		claim, exists := s.Facts.Claims[name]
		switch {
		case !ok:
		case !allClaims.Included:
			all = append(all, warn(v.Name, "claim "+name, string(allClaims.Reason)))
		case exists && claim.Labels[velerov1.ExcludeFromBackupLabel] == "true":
			all = append(all, warn(v.Name, "claim "+name, "it has the label "+velerov1.ExcludeFromBackupLabel+"=true"))
		case exists && claim.Annotations[velerov1.SkipFromBackupAnnotation] == "true":
			all = append(all, warn(v.Name, "claim "+name, "it has the annotation "+velerov1.SkipFromBackupAnnotation+"=true"))
		}
	}
	return all
}

func podExclusion(s Subject, f *filter.Filter) string {
	pod := s.Facts.Pod
	namespace, kind, labels := f.Namespace(s.Namespace), f.Resource(podKind), f.Labels(pod.Labels)
	switch {
	case !namespace.Included:
		return fmt.Sprintf("namespace %s: %s", s.Namespace, namespace.Reason)
	case s.Facts.Namespace != nil && s.Facts.Namespace.Labels[velerov1.ExcludeFromBackupLabel] == "true":
		return fmt.Sprintf("namespace %s has the label %s=true", s.Namespace, velerov1.ExcludeFromBackupLabel)
	case !kind.Included:
		return string(kind.Reason)
	case pod.Labels[velerov1.ExcludeFromBackupLabel] == "true":
		return "it has the label " + velerov1.ExcludeFromBackupLabel + "=true"
	case pod.Annotations[velerov1.SkipFromBackupAnnotation] == "true":
		return "it has the annotation " + velerov1.SkipFromBackupAnnotation + "=true"
	case !labels.Included:
		return string(labels.Reason)
	default:
		return ""
	}
}

// claimExists says whether the volume has a claim that can be annotated.
func claimExists(s Subject, v corev1.Volume) (name string, exists bool) {
	name, _ = selection.ClaimName(s.Facts.Pod, v)
	claim, found := s.Facts.Claims[name]
	return name, found && claim.UID != ""
}
