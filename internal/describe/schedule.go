package describe

import (
	"cmp"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// scheduleEnabled is the phase of a schedule that is in force.
const scheduleEnabled = string(velerov1.SchedulePhaseEnabled)

// ScheduleInput is what the cluster knows of a schedule.
type ScheduleInput struct {
	Look
	Schedule *velerov1.Schedule
}

// Page returns the page of "schedule describe".
func (in ScheduleInput) Page() string {
	s, p := in.Schedule, newPage(in.Look)
	phase := scheduleStatusWord(s)
	p.metadata(&s.ObjectMeta)
	p.gap()
	p.line("Phase:\t%s", p.phase(phase, phase))
	p.conditions(s.Status.Conditions)
	p.policies(&s.Spec.Template)
	p.validationErrors(s.Status.ValidationErrors)
	p.gap()
	p.line("Paused:\t%t", s.Spec.Paused)
	p.gap()
	p.field("Schedule", s.Spec.Schedule)
	p.line("Backup Template:")
	p.prefix = "\t"
	p.backupSpec(&s.Spec.Template)
	p.prefix = ""
	p.gap()
	p.line("Last Backup:\t%s", lastBackup(s))
	return p.String()
}

// Values returns "schedule describe -o json", which Velero does not have, with
// keys that are like those of a backup.
func (in ScheduleInput) Values() map[string]any {
	s := in.Schedule
	v := values{
		"metadata": metadataValues(&s.ObjectMeta),
		"phase":    scheduleStatusWord(s),
		"paused":   s.Spec.Paused,
		"schedule": s.Spec.Schedule,
		"template": backupSpecValues(&s.Spec.Template),
		"status":   values{"lastBackup": lastBackup(s), "lastSkipped": optionalTime(s.Status.LastSkipped)},
	}
	if len(s.Status.Conditions) > 0 {
		v["conditions"] = s.Status.Conditions
	}
	if len(s.Status.ValidationErrors) > 0 {
		v["validationErrors"] = s.Status.ValidationErrors
	}
	return v
}

func scheduleStatusWord(s *velerov1.Schedule) string {
	return cmp.Or(string(s.Status.Phase), string(velerov1.SchedulePhaseNew))
}

func lastBackup(s *velerov1.Schedule) string {
	if s.Status.LastBackup.IsZero() {
		return never
	}
	return s.Status.LastBackup.String()
}
