package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// The journeys, their budgets and what real Velero took for them on this kind of
// machine (design §9).
const (
	journeyPods        = 10
	journeyVolumeBytes = 1 << 20

	mostBackupSeconds    = 9
	mostRestoreSeconds   = 10
	veleroBackupSeconds  = 52.8
	veleroRestoreSeconds = 61.0
	mostOfVelero         = 1.0 / 6
)

// timed is one journey with what happened on it.
type timed struct {
	took     time.Duration
	busy     float64 // share of the machine's processor time that was used, by anybody
	timeline *timeline
}

// measureJourneys backs a namespace up and restores it, with default settings.
func (b *bench) measureJourneys(ctx context.Context) error {
	c, err := b.cluster()
	if err != nil {
		return err
	}
	var backups, restores []timed
	for i := range b.runs {
		b.progress("journeys: run %d of %d", i+1, b.runs)
		j := &journey{cluster: c, settings: b.settings, namespace: "bench-" + rand.String(5)}
		backup, restore, err := j.run(ctx)
		if err = errors.Join(err, j.remove(context.WithoutCancel(ctx))); err != nil {
			return err
		}
		b.progress("journeys: backup %.1f s, restore %.1f s", backup.took.Seconds(), restore.took.Seconds())
		backups, restores = append(backups, backup), append(restores, restore)
	}
	what := fmt.Sprintf("%d pods × %d MiB", journeyPods, journeyVolumeBytes>>20)
	b.report.add(
		journeyRow("back up "+what, backups, mostBackupSeconds, veleroBackupSeconds),
		journeyRow("restore "+what, restores, mostRestoreSeconds, veleroRestoreSeconds))
	b.report.note(middle(backups).timeline.text("Where the time of the backup went (the median run; seconds since the Backup was created)"))
	b.report.note(middle(restores).timeline.text("Where the time of the restore went (the median run; seconds since the Restore was created)"))
	return nil
}

func journeyRow(what string, journeys []timed, mostSeconds, veleroSeconds float64) row {
	took := spreadOf(secondsOf(journeys, func(t timed) time.Duration { return t.took }))
	return row{
		what:      what,
		measured:  took.format(1, " s"),
		yardstick: fmt.Sprintf("%.1f s (Velero, measured earlier)", veleroSeconds),
		ratio:     fmt.Sprintf("%.3f", took.median/veleroSeconds),
		budget:    fmt.Sprintf("≤ %.0f s, ≤ %.3f ×", mostSeconds, mostOfVelero),
		verdict:   judge(limit{took.median, mostSeconds}, limit{took.median / veleroSeconds, mostOfVelero}),
		detail:    fmt.Sprintf("the machine's processors were %.0f %% busy", 100*middle(journeys).busy),
	}
}

// middle is the journey whose time is the median, the slower of two.
func middle(journeys []timed) timed {
	sorted := slices.SortedFunc(slices.Values(journeys), func(a, b timed) int { return int(a.took - b.took) })
	return sorted[len(sorted)/2]
}

// journey is one application that is backed up and restored.
type journey struct {
	cluster   *suite.Cluster
	settings  settings
	namespace string
	backup    *velerov1.Backup
	restore   *velerov1.Restore
}

func (j *journey) run(ctx context.Context) (backup, restore timed, err error) {
	if err := j.start(ctx); err != nil {
		return backup, restore, fmt.Errorf("starting the application: %w", err)
	}
	j.backup = suite.NewBackup(j.namespace)
	if backup, err = j.time(ctx, j.backup); err != nil {
		return backup, restore, err
	}
	if err := j.deleteNamespace(ctx); err != nil {
		return backup, restore, err
	}
	j.restore = suite.NewRestore(j.backup, "")
	if restore, err = j.time(ctx, j.restore); err != nil {
		return backup, restore, err
	}
	return backup, restore, j.expectData(ctx)
}

func (j *journey) time(ctx context.Context, request client.Object) (timed, error) {
	s := &stopwatch{cluster: j.cluster, timeline: newTimeline(), request: request}
	if err := rest(ctx); err != nil {
		return timed{}, err
	}
	before, err := readProcessors()
	if err != nil {
		return timed{}, err
	}
	took, err := s.time(ctx, j.namespace)
	if err != nil {
		return timed{}, fmt.Errorf("%w\n%s", err, s.timeline.text("What was seen until then:"))
	}
	after, err := readProcessors()
	return timed{took, after.busySince(before), s.timeline}, err
}

// rest waits until the machine has done with what came before: the kubelet takes
// pods down for seconds after their objects are gone. It does not wait for ever,
// because a machine may be busy with what is not ours.
func rest(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, mostRest)
	defer cancel()
	for calm := 0; calm < calmLooks; {
		before, err := readProcessors()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookInterval):
		}
		after, err := readProcessors()
		if err != nil {
			return err
		}
		if calm++; after.busySince(before) > calmShare {
			calm = 0
		}
	}
	return nil
}

// The machine is at rest when its processors were busy for less than calmShare of
// the time in calmLooks looks one after the other.
const (
	calmShare    = 0.3
	calmLooks    = 3
	lookInterval = 500 * time.Millisecond
	mostRest     = 20 * time.Second
)

func podName(i int) string        { return fmt.Sprintf("app-%d", i) }
func podContent(i int) []byte     { return suite.Random(uint64(100+i), journeyVolumeBytes) }
func contentOf(dir string) string { return filepath.Join(dir, "content") }

// start runs the application and fills its volumes.
func (j *journey) start(ctx context.Context) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: j.namespace}}
	if err := j.cluster.Client.Create(ctx, ns); err != nil {
		return err
	}
	for i := range journeyPods {
		if err := j.createPod(ctx, suite.Pod(j.namespace, podName(i))); err != nil {
			return err
		}
	}
	pods, err := j.runningPods(ctx)
	if err != nil {
		return err
	}
	for i := range journeyPods {
		dir := j.cluster.EmptyDir(pods[podName(i)], "data")
		if err := os.WriteFile(contentOf(dir), podContent(i), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// createPod waits for the service account of a new namespace.
func (j *journey) createPod(ctx context.Context, pod *corev1.Pod) error {
	return wait.PollUntilContextTimeout(ctx, pollInterval, suite.Short, true, func(ctx context.Context) (bool, error) {
		err := j.cluster.Client.Create(ctx, pod)
		if apierrors.IsForbidden(err) {
			return false, nil
		}
		return err == nil, err
	})
}

const pollInterval = 200 * time.Millisecond

// runningPods returns the application's pods, by name, once all of them run.
func (j *journey) runningPods(ctx context.Context) (map[string]corev1.Pod, error) {
	running := map[string]corev1.Pod{}
	err := wait.PollUntilContextTimeout(ctx, pollInterval, suite.Long, true, func(ctx context.Context) (bool, error) {
		list := &corev1.PodList{}
		if err := j.cluster.Client.List(ctx, list, client.InNamespace(j.namespace)); err != nil {
			return false, err
		}
		clear(running)
		for _, p := range list.Items {
			if p.Status.Phase == corev1.PodRunning {
				running[p.Name] = p
			}
		}
		return len(running) == journeyPods, nil
	})
	if err != nil {
		return nil, fmt.Errorf("%d of %d pods run: %w", len(running), journeyPods, err)
	}
	return running, nil
}

// expectData checks that the journey ended well: a benchmark must not praise a
// restore that lost data.
func (j *journey) expectData(ctx context.Context) error {
	pods, err := j.runningPods(ctx)
	if err != nil {
		return err
	}
	for i := range journeyPods {
		file := contentOf(j.cluster.EmptyDir(pods[podName(i)], "data"))
		got, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, podContent(i)) {
			return fmt.Errorf("%s was not restored as it was", file)
		}
	}
	return nil
}

// deleteNamespace returns when the namespace is gone.
func (j *journey) deleteNamespace(ctx context.Context) error {
	key := client.ObjectKey{Name: j.namespace}
	return wait.PollUntilContextTimeout(ctx, pollInterval, suite.Long, true, func(ctx context.Context) (bool, error) {
		ns := &corev1.Namespace{}
		err := j.cluster.Client.Get(ctx, key, ns)
		if err == nil && ns.DeletionTimestamp.IsZero() {
			err = j.cluster.Client.Delete(ctx, ns)
		}
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
}

// remove removes all that the journey left in the cluster and in storage.
func (j *journey) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, suite.Long)
	defer cancel()
	failed := []error{j.deleteNamespace(ctx)}
	in := client.InNamespace(suite.Namespace)
	prefixes := []string{"kopia/" + j.namespace + "/"}
	if j.restore != nil {
		label := client.MatchingLabels{velerov1.RestoreNameLabel: velerov1.ValidLabelValue(j.restore.Name)}
		failed = append(failed, client.IgnoreNotFound(j.cluster.Client.Delete(ctx, j.restore)),
			j.cluster.Client.DeleteAllOf(ctx, &velerov1.PodVolumeRestore{}, in, label))
		prefixes = append(prefixes, "restores/"+j.restore.Name+"/")
	}
	if j.backup != nil {
		label := client.MatchingLabels{velerov1.BackupNameLabel: velerov1.ValidLabelValue(j.backup.Name)}
		prefixes = append(prefixes, "backups/"+j.backup.Name+"/")
		failed = append(failed, client.IgnoreNotFound(j.cluster.Client.Delete(ctx, j.backup)),
			j.cluster.Client.DeleteAllOf(ctx, &velerov1.PodVolumeBackup{}, in, label))
	}
	failed = append(failed, j.cluster.Client.DeleteAllOf(ctx, &velerov1.BackupRepository{}, in,
		client.MatchingLabels{velerov1.VolumeNamespaceLabel: velerov1.ValidLabelValue(j.namespace)}))
	bucket, err := j.settings.gateway()
	failed = append(failed, err)
	for _, p := range prefixes {
		failed = append(failed, bucket.removeObjects(ctx, p))
	}
	return errors.Join(failed...)
}
