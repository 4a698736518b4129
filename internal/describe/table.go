package describe

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// TableOptions say what a table shows besides its own columns.
type TableOptions struct {
	Now          time.Time
	LabelColumns []string // keys of labels, each a column of its own
	ShowLabels   bool     // all labels in a last column
}

// table is rows under headings. An empty table has no text at all.
type table struct {
	options  TableOptions
	headings []string
	rows     [][]string
}

func newTable(options TableOptions, headings ...string) *table {
	t := &table{options: options, headings: headings}
	for _, key := range options.LabelColumns {
		t.headings = append(t.headings, strings.ToUpper(key[strings.LastIndex(key, "/")+1:]))
	}
	if options.ShowLabels {
		t.headings = append(t.headings, "LABELS")
	}
	return t
}

func (t *table) row(of map[string]string, cells ...string) {
	for _, key := range t.options.LabelColumns {
		cells = append(cells, of[key])
	}
	if t.options.ShowLabels {
		cells = append(cells, cmp.Or(labels.Set(of).String(), none))
	}
	t.rows = append(t.rows, cells)
}

func (t *table) String() string {
	if len(t.rows) == 0 {
		return ""
	}
	var text strings.Builder
	out := tabwriter.NewWriter(&text, 6, 4, 3, ' ', 0)
	for _, row := range append([][]string{t.headings}, t.rows...) {
		// Writing to a strings.Builder cannot fail.
		_, _ = fmt.Fprintln(out, strings.Join(row, "\t"))
	}
	_ = out.Flush()
	return trimLines(text.String())
}

// BackupTable returns the table of "backup get".
func BackupTable(list []velerov1.Backup, options TableOptions) string {
	t := newTable(options, "NAME", "STATUS", "ERRORS", "WARNINGS", "CREATED", "EXPIRES", "STORAGE LOCATION", "QUEUE POSITION", "SELECTOR")
	byName(list, func(b *velerov1.Backup) string { return b.Name })
	for i := range list {
		b := &list[i]
		t.row(b.Labels, b.Name, backupStatusWord(b), strconv.Itoa(b.Status.Errors), strconv.Itoa(b.Status.Warnings),
			cellTime(b.Status.StartTimestamp), expiry(expiration(b), options.Now), b.Spec.StorageLocation,
			queuePosition(b), selectorText(b.Spec.LabelSelector))
	}
	return t.String()
}

func queuePosition(b *velerov1.Backup) string {
	if b.Status.QueuePosition == 0 {
		return ""
	}
	return strconv.Itoa(b.Status.QueuePosition)
}

// expiration is when the backup may be removed; before it has started, what its
// TTL amounts to; zero when it has none.
func expiration(b *velerov1.Backup) time.Time {
	switch {
	case b.Status.Expiration != nil:
		return b.Status.Expiration.Time
	case b.Spec.TTL.Duration > 0:
		return b.CreationTimestamp.Add(b.Spec.TTL.Duration)
	default:
		return time.Time{}
	}
}

// backupStatusWord is the phase, with a word for objects nobody has looked at.
func backupStatusWord(b *velerov1.Backup) string {
	switch {
	case b.DeletionTimestamp != nil:
		return string(velerov1.BackupPhaseDeleting)
	case b.Status.Phase == "":
		return string(velerov1.BackupPhaseNew)
	default:
		return string(b.Status.Phase)
	}
}

// RestoreTable returns the table of "restore get".
func RestoreTable(list []velerov1.Restore, options TableOptions) string {
	t := newTable(options, "NAME", "BACKUP", "STATUS", "STARTED", "COMPLETED", "ERRORS", "WARNINGS", "CREATED", "SELECTOR")
	byName(list, func(r *velerov1.Restore) string { return r.Name })
	for i := range list {
		r := &list[i]
		t.row(r.Labels, r.Name, r.Spec.BackupName, restoreStatusWord(r),
			cellTime(r.Status.StartTimestamp), cellTime(r.Status.CompletionTimestamp),
			strconv.Itoa(r.Status.Errors), strconv.Itoa(r.Status.Warnings),
			cellTime(&r.CreationTimestamp), selectorText(r.Spec.LabelSelector))
	}
	return t.String()
}

func restoreStatusWord(r *velerov1.Restore) string {
	if r.Status.Phase == "" {
		return string(velerov1.RestorePhaseNew)
	}
	return string(r.Status.Phase)
}

// LocationTable returns the table of "backup-location get".
func LocationTable(list []velerov1.BackupStorageLocation, options TableOptions) string {
	t := newTable(options, "NAME", "PROVIDER", "BUCKET/PREFIX", "PHASE", "LAST VALIDATED", "ACCESS MODE", "DEFAULT")
	byName(list, func(l *velerov1.BackupStorageLocation) string { return l.Name })
	for i := range list {
		l := &list[i]
		t.row(l.Labels, l.Name, l.Spec.Provider, bucketAndPrefix(l), cmp.Or(string(l.Status.Phase), "Unknown"),
			cellTime(l.Status.LastValidationTime),
			cmp.Or(string(l.Spec.AccessMode), string(velerov1.BackupStorageLocationAccessModeReadWrite)), defaultMark(l))
	}
	return t.String()
}

func bucketAndPrefix(l *velerov1.BackupStorageLocation) string {
	s := l.Spec.ObjectStorage
	switch {
	case s == nil:
		return ""
	case s.Prefix == "":
		return s.Bucket
	default:
		return s.Bucket + "/" + s.Prefix
	}
}

func defaultMark(l *velerov1.BackupStorageLocation) string {
	if l.Spec.Default {
		return "true"
	}
	return ""
}

// RepositoryTable returns the table of "repo get".
func RepositoryTable(list []velerov1.BackupRepository, options TableOptions) string {
	t := newTable(options, "NAME", "STATUS", "LAST MAINTENANCE")
	byName(list, func(r *velerov1.BackupRepository) string { return r.Name })
	for i := range list {
		r := &list[i]
		last := never
		if !r.Status.LastMaintenanceTime.IsZero() {
			last = r.Status.LastMaintenanceTime.String()
		}
		t.row(r.Labels, r.Name, cmp.Or(string(r.Status.Phase), string(velerov1.BackupRepositoryPhaseNew)), last)
	}
	return t.String()
}

// ScheduleTable returns the table of "schedule get".
func ScheduleTable(list []velerov1.Schedule, options TableOptions) string {
	t := newTable(options, "NAME", "STATUS", "CREATED", "SCHEDULE", "BACKUP TTL", "LAST BACKUP", "SELECTOR", "PAUSED")
	byName(list, func(s *velerov1.Schedule) string { return s.Name })
	for i := range list {
		s := &list[i]
		t.row(s.Labels, s.Name, scheduleStatusWord(s), cellTime(&s.CreationTimestamp), s.Spec.Schedule,
			s.Spec.Template.TTL.Duration.String(), expiry(timeOf(s.Status.LastBackup), options.Now),
			selectorText(s.Spec.Template.LabelSelector), strconv.FormatBool(s.Spec.Paused))
	}
	return t.String()
}

// SnapshotLocationTable returns the table of "snapshot-location get".
func SnapshotLocationTable(list []velerov1.VolumeSnapshotLocation, options TableOptions) string {
	t := newTable(options, "NAME", "PROVIDER")
	byName(list, func(l *velerov1.VolumeSnapshotLocation) string { return l.Name })
	for i := range list {
		t.row(list[i].Labels, list[i].Name, list[i].Spec.Provider)
	}
	return t.String()
}

// PluginTable returns the table of "plugin get".
func PluginTable(list []velerov1.PluginInfo) string {
	t := newTable(TableOptions{}, "NAME", "KIND")
	for _, p := range slices.SortedFunc(slices.Values(list), func(a, b velerov1.PluginInfo) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	}) {
		t.row(nil, p.Name, p.Kind)
	}
	return t.String()
}

func cellTime(t *metav1.Time) string {
	if t.IsZero() {
		return "n/a"
	}
	return t.String()
}

// scheduledName is a name that ends in the time it was made at.
var scheduledName = regexp.MustCompile(`^(.+)-(\d{14})$`)

// byName sorts by name; names that differ only in a time at their end go from
// the newest to the oldest.
func byName[T any](list []T, name func(*T) string) {
	slices.SortStableFunc(list, func(a, b T) int { return compareNames(name(&a), name(&b)) })
}

func compareNames(a, b string) int {
	ma, mb := scheduledName.FindStringSubmatch(a), scheduledName.FindStringSubmatch(b)
	if ma != nil && mb != nil && ma[1] == mb[1] {
		return cmp.Compare(mb[2], ma[2])
	}
	return cmp.Compare(a, b)
}
