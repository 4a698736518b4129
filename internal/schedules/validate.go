package schedules

import (
	"fmt"

	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Validate returns the timetable, and what is wrong with the schedule. Each problem
// names its field, its value and what is allowed. What the template says beyond its
// labels and its ttl is checked by each backup.
func Validate(s *velerov1.Schedule) (Timetable, []string) {
	var problems []string
	timetable, err := Parse(s.Spec.Schedule)
	if err != nil {
		problems = append(problems, fmt.Sprintf(
			"spec.schedule: Invalid value: %q: %v; must be five cron fields, or a descriptor such as @daily or @every 6h, after an optional CRON_TZ=<zone>",
			s.Spec.Schedule, err))
	}
	if len(s.Name) > MaxNameLength {
		problems = append(problems, fmt.Sprintf("metadata.name: Invalid value: %q: must have at most %d bytes, so that backups can be named after it",
			s.Name, MaxNameLength))
	}
	path := field.NewPath("spec", "template", "metadata", "labels")
	for _, err := range metav1validation.ValidateLabels(s.Spec.Template.Metadata.Labels, path) {
		problems = append(problems, err.Error())
	}
	if s.Spec.Template.TTL.Duration < 0 {
		problems = append(problems, fmt.Sprintf("spec.template.ttl: Invalid value: %q: must not be negative", s.Spec.Template.TTL.Duration))
	}
	return timetable, problems
}
