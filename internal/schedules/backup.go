package schedules

import (
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// nameTimeLayout is the time in the name of a backup.
const nameTimeLayout = "20060102150405"

// MaxNameLength is how long the name of a Schedule may be, so that the names of
// its backups are valid (253 bytes, less a hyphen and the time).
const MaxNameLength = 253 - 1 - len(nameTimeLayout)

// BackupName is the name of the backup of a schedule at a time.
func BackupName(schedule string, at time.Time) string {
	return schedule + "-" + at.UTC().Format(nameTimeLayout)
}

// NewBackup returns the backup of a schedule at a time. Its labels are those of
// the template, or, when that has none, of the schedule; its annotations are the
// schedule's, without what kubectl keeps for itself.
func NewBackup(s *velerov1.Schedule, at time.Time) *velerov1.Backup {
	labels := maps.Clone(s.Spec.Template.Metadata.Labels)
	if len(labels) == 0 {
		labels = maps.Clone(s.Labels)
	}
	if labels == nil {
		labels = map[string]string{}
	}
	labels[velerov1.ScheduleNameLabel] = velerov1.ValidLabelValue(s.Name)
	annotations := maps.Clone(s.Annotations)
	delete(annotations, corev1.LastAppliedConfigAnnotation)

	b := &velerov1.Backup{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   s.Namespace,
			Name:        BackupName(s.Name, at),
			Labels:      labels,
			Annotations: annotations,
		},
		Spec: *s.Spec.Template.DeepCopy(),
	}
	if ptr.Deref(s.Spec.UseOwnerReferencesInBackup, false) {
		b.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: velerov1.SchemeGroupVersion.String(),
			Kind:       "Schedule",
			Name:       s.Name,
			UID:        s.UID,
			Controller: ptr.To(true),
		}}
	}
	return b
}
