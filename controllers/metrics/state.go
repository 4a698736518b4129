package metrics

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/schedules"
)

// world is what the metrics of the state are made from.
type world struct {
	backups   []velerov1.Backup
	restores  int
	schedules []velerov1.Schedule
	locations []velerov1.BackupStorageLocation
	now       time.Time
}

// sample is one value of a metric.
type sample struct {
	metric string
	label  string // "" with metrics that have none
	value  float64
}

// samples are the values of all metrics of the state.
func samples(w world) []sample {
	all := []sample{{metric: backupTotal, value: float64(len(w.backups))}, {metric: restoreTotal, value: float64(w.restores)}}
	names := map[string]bool{"": true}
	for i := range w.schedules {
		names[w.schedules[i].Name] = true
		all = append(all, intervalOf(&w.schedules[i], w.now)...)
	}
	latest, succeeded := lastBackups(w.backups)
	for name := range latest {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		all = append(all, ofSchedule(name, latest[name])...)
		if b := succeeded[name]; b != nil {
			all = append(all, sample{backupLastSuccess, name, float64(b.Status.CompletionTimestamp.Unix())})
		}
	}
	for i := range w.locations {
		value := float64(valueFailure)
		if w.locations[i].Status.Phase == velerov1.BackupStorageLocationPhaseAvailable {
			value = valueOK
		}
		all = append(all, sample{locationStatus, w.locations[i].Name, value})
	}
	return all
}

// ofSchedule are the values about the last backup of a schedule; nil means that it
// has none, which is no failure.
func ofSchedule(name string, last *velerov1.Backup) []sample {
	if last == nil {
		return []sample{{backupLastStatus, name, valueOK}}
	}
	status := float64(valueFailure)
	if last.Status.Phase == velerov1.BackupPhaseCompleted {
		status = valueOK
	}
	all := []sample{{backupLastStatus, name, status}, {backupItemErrors, name, float64(last.Status.Errors)}}
	if p := last.Status.Progress; p != nil {
		all = append(all, sample{backupItems, name, float64(p.TotalItems)})
	}
	return all
}

// lastBackups returns, by schedule, the finished backup that ended last, and the
// completed one.
func lastBackups(backups []velerov1.Backup) (latest, succeeded map[string]*velerov1.Backup) {
	latest, succeeded = map[string]*velerov1.Backup{}, map[string]*velerov1.Backup{}
	keep := func(in map[string]*velerov1.Backup, b *velerov1.Backup) {
		name := scheduleOf(b)
		if other := in[name]; other == nil || other.Status.CompletionTimestamp.Before(b.Status.CompletionTimestamp) {
			in[name] = b
		}
	}
	for i := range backups {
		b := &backups[i]
		if !b.IsFinished() || b.Status.CompletionTimestamp == nil {
			continue
		}
		keep(latest, b)
		if b.Status.Phase == velerov1.BackupPhaseCompleted {
			keep(succeeded, b)
		}
	}
	return latest, succeeded
}

// intervalOf is the time between the next two backups of a schedule. One with an
// expression that cannot be read says so itself.
func intervalOf(s *velerov1.Schedule, now time.Time) []sample {
	timetable, err := schedules.Parse(s.Spec.Schedule)
	if err != nil {
		return nil
	}
	first := timetable.Next(now)
	second := timetable.Next(first)
	if first.IsZero() || second.IsZero() {
		return nil
	}
	return []sample{{scheduleInterval, s.Name, second.Sub(first).Seconds()}}
}

// state is a collector of the metrics of the state.
type state struct {
	reader    client.Reader // a cache
	namespace string
	clock     clock.PassiveClock
	ready     func() bool // reports whether the cache can be read
	descs     map[string]*prometheus.Desc
}

func newState(r client.Reader, namespace string, clk clock.PassiveClock, ready func() bool) *state {
	s := &state{reader: r, namespace: namespace, clock: clk, ready: ready, descs: map[string]*prometheus.Desc{}}
	for _, m := range []struct {
		name, help string
		labels     []string
	}{
		{backupTotal, "Backups that there are.", nil},
		{restoreTotal, "Restores that there are.", nil},
		{backupLastSuccess, "When the last backup completed, in seconds since 1970.", []string{labelSchedule}},
		{backupLastStatus, "1 when the last backup completed or there is none, 0 when it failed or has errors.", []string{labelSchedule}},
		{backupItems, "Items of the last backup.", []string{labelSchedule}},
		{backupItemErrors, "Errors of the last backup.", []string{labelSchedule}},
		{locationStatus, "1 when the storage location is available.", []string{labelLocation}},
		{scheduleInterval, "Time between the next two backups of the schedule.", []string{labelSchedule}},
	} {
		s.descs[m.name] = prometheus.NewDesc(m.name, m.help, m.labels, nil)
	}
	return s
}

// Describe implements prometheus.Collector.
func (s *state) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range s.descs {
		descs <- d
	}
}

// Collect implements prometheus.Collector. A cache that is not filled yet has
// nothing to say, which is better than that there are no backups.
func (s *state) Collect(metrics chan<- prometheus.Metric) {
	if !s.ready() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout) //nolint:forbidigo // a scrape brings no context
	defer cancel()
	w, err := s.read(ctx)
	if err != nil {
		ctrl.Log.Info("Leaving out metrics of backups", "reason", err.Error())
		return
	}
	for _, v := range samples(w) {
		var labels []string
		if v.metric != backupTotal && v.metric != restoreTotal {
			labels = []string{v.label}
		}
		metrics <- prometheus.MustNewConstMetric(s.descs[v.metric], prometheus.GaugeValue, v.value, labels...)
	}
}

// collectTimeout bounds a read of the cache, which takes milliseconds.
const collectTimeout = 5 * time.Second

func (s *state) read(ctx context.Context) (world, error) {
	w := world{now: s.clock.Now()}
	backups, restores := &velerov1.BackupList{}, &velerov1.RestoreList{}
	timetables, locations := &velerov1.ScheduleList{}, &velerov1.BackupStorageLocationList{}
	for _, list := range []client.ObjectList{backups, restores, timetables, locations} {
		if err := s.reader.List(ctx, list, client.InNamespace(s.namespace), client.UnsafeDisableDeepCopy); err != nil {
			return w, err
		}
	}
	w.backups, w.restores, w.schedules, w.locations = backups.Items, len(restores.Items), timetables.Items, locations.Items
	return w, nil
}
