package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/minio/minio-go/v7"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/tests/suite"
)

// volumeSample is a backup with many volumes on nodes that do not exist.
type volumeSample struct {
	volumes     int
	took        time.Duration // from the first volume's end to the backup's
	serverCPU   time.Duration // meanwhile
	agentCPU    time.Duration
	serverBytes int64 // resident before the first ends
	agentBytes  int64
	reconciles  reconciles
	next        time.Duration // from the backup's end to that of the next one in the queue
}

// measureVolumes makes fake nodes, and backups with more and more volumes on them.
func (s *scale) measureVolumes(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.removeNodes(context.WithoutCancel(ctx))) }()
	s.progress("scale: making %d nodes", s.nodes)
	if err := each(ctx, 0, s.nodes, s.createNode); err != nil {
		return fmt.Errorf("making nodes: %w", err)
	}
	alone, err := s.backUpAlone(ctx)
	if err != nil {
		return err
	}
	var samples []volumeSample
	for _, volumes := range s.volumes {
		sample, err := s.moveVolumes(ctx, volumes)
		if err != nil {
			return err
		}
		s.progress("scale: %d volumes ended in %.1f s", volumes, sample.took.Seconds())
		samples = append(samples, sample)
	}
	for _, sample := range samples {
		s.report.add(sample.rows(s.nodes, alone)...)
	}
	if first, last := samples[0], samples[len(samples)-1]; len(samples) > 1 {
		growth := last.perVolume() / first.perVolume()
		s.report.add(row{
			what:     fmt.Sprintf("server's processor time per volume, %d against %d", last.volumes, first.volumes),
			measured: fmt.Sprintf("%.2f ms", last.perVolume()), yardstick: fmt.Sprintf("%.2f ms", first.perVolume()),
			ratio: fmt.Sprintf("%.2f", growth), budget: fmt.Sprintf("≤ %.0f ×", scaleMostGrowth), verdict: judge(limit{growth, scaleMostGrowth}),
		})
	}
	return nil
}

// perVolume is the server's processor time in milliseconds.
func (v volumeSample) perVolume() float64 { return 1000 * v.serverCPU.Seconds() / float64(v.volumes) }

func (v volumeSample) rows(nodes int, alone time.Duration) []row {
	what := fmt.Sprintf("%d volumes on %d nodes", v.volumes, nodes)
	return []row{
		{
			what: what + ": all end, and the backup", measured: fmt.Sprintf("%.1f s", v.took.Seconds()),
			detail: fmt.Sprintf("processor: server %.1f s, node agent %.1f s; %d reconciles of %.1f ms", v.serverCPU.Seconds(), v.agentCPU.Seconds(),
				v.reconciles.count, 1000*v.reconciles.mean().Seconds()),
		},
		{
			what: what + ": memory", measured: fmt.Sprintf("server %.0f MB, node agent %.0f MB", float64(v.serverBytes)/megabytes, float64(v.agentBytes)/megabytes),
			budget: fmt.Sprintf("≤ %.0f MB", scaleMostBytes/megabytes), verdict: judge(limit{float64(v.serverBytes), scaleMostBytes}),
		},
		{
			what: what + ": the next backup in the queue, after it", measured: fmt.Sprintf("%.1f s", v.next.Seconds()), yardstick: fmt.Sprintf("%.1f s (alone)", alone.Seconds()),
			ratio: fmt.Sprintf("%.2f", v.next.Seconds()/alone.Seconds()),
		},
	}
}

func (s *scale) node(i int) string { return fmt.Sprintf("%s-node-%04d", s.run, i) }

// fakePodCIDR is in the range of the test cluster's pods and not the real node's.
// A node that has one is not looked after by the controller of addresses, which
// has few and would try again for ever.
const fakePodCIDR = "10.244.3.0/24"

// createNode makes a node that nothing is scheduled to, no DaemonSet included: its
// system is none. It looks like one that was lost long ago, so that the controller
// of nodes has nothing to write on it.
func (s *scale) createNode(ctx context.Context, i int) error {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: s.node(i), Labels: s.labels()},
		Spec: corev1.NodeSpec{
			Unschedulable: true, PodCIDR: fakePodCIDR, PodCIDRs: []string{fakePodCIDR},
			Taints: []corev1.Taint{
				{Key: scaleLabel, Effect: corev1.TaintEffectNoExecute},
				{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule},
				{Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoSchedule},
				{Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoExecute},
			},
		},
	}
	for _, c := range []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: c, Status: corev1.ConditionUnknown, Reason: "NodeStatusUnknown"})
	}
	n.Labels[corev1.LabelOSStable] = "none"
	return s.cluster.Client.Create(ctx, n)
}

func (s *scale) removeNodes(ctx context.Context) error {
	s.progress("scale: removing the nodes")
	return each(ctx, 0, s.nodes, func(ctx context.Context, i int) error {
		return client.IgnoreNotFound(s.cluster.Client.Delete(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: s.node(i)}}))
	})
}

// newSmallBackup is a backup of a namespace that every cluster has, with next to
// nothing in it.
func (s *scale) newSmallBackup(name string) *velerov1.Backup {
	return &velerov1.Backup{
		ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: s.run + "-small-" + name},
		Spec:       velerov1.BackupSpec{IncludedNamespaces: []string{"kube-public"}},
	}
}

// backUpAlone times a small backup while nothing else goes on.
func (s *scale) backUpAlone(ctx context.Context) (took time.Duration, err error) {
	b := s.newSmallBackup("alone")
	defer func() { err = errors.Join(err, s.removeBackup(context.WithoutCancel(ctx), b)) }()
	start := time.Now()
	if err := s.cluster.Client.Create(ctx, b); err != nil {
		return 0, err
	}
	err = s.finished(ctx, b)
	return time.Since(start), err
}

// moveVolumes makes a backup that has been collected and waits for its volumes,
// and then ends them one by one as node agents would.
func (s *scale) moveVolumes(ctx context.Context, volumes int) (sample volumeSample, err error) {
	b := s.newWaitingBackup(volumes)
	defer func() { err = errors.Join(err, s.removeWaiting(context.WithoutCancel(ctx), b, volumes)) }()
	s.progress("scale: making %d volumes", volumes)
	if err := s.prepareWaiting(ctx, b, volumes); err != nil {
		return sample, fmt.Errorf("making a backup with %d volumes: %w", volumes, err)
	}
	s.progress("scale: ending %d volumes", volumes)
	sample.volumes = volumes
	next := s.newSmallBackup(fmt.Sprint(volumes))
	defer func() { err = errors.Join(err, s.removeBackup(context.WithoutCancel(ctx), next)) }()
	if err := s.cluster.Client.Create(ctx, next); err != nil {
		return sample, err
	}
	before, err := s.readCosts(ctx)
	if err != nil {
		return sample, err
	}
	agent, err := readMemory(s.agent)
	if err != nil {
		return sample, err
	}
	sample.serverBytes, sample.agentBytes = before.memory.resident, agent.resident
	start := time.Now()
	if err := each(ctx, 0, volumes, func(ctx context.Context, i int) error { return s.endVolume(ctx, b, i) }); err != nil {
		return sample, err
	}
	if err := s.finished(ctx, b); err != nil {
		return sample, err
	}
	sample.took = time.Since(start)
	after, err := s.readCosts(ctx)
	if err != nil {
		return sample, err
	}
	err = s.finished(ctx, next)
	sample.next = time.Since(start) - sample.took
	sample.serverCPU, sample.agentCPU = after.cpu-before.cpu, after.agentCPU-before.agentCPU
	sample.reconciles = after.metrics.reconciles.since(before.metrics.reconciles)
	return sample, err
}

// newWaitingBackup is a backup that nobody acts on yet: its phase is another
// controller's.
func (s *scale) newWaitingBackup(volumes int) *velerov1.Backup {
	now := metav1.Now()
	return &velerov1.Backup{
		ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: fmt.Sprintf("%s-volumes-%d", s.run, volumes), Labels: s.labels()},
		Spec:       velerov1.BackupSpec{IncludedNamespaces: []string{s.run}, StorageLocation: "default", TTL: metav1.Duration{Duration: time.Hour}},
		Status: velerov1.BackupStatus{
			Version: velerov1.BackupVersion, FormatVersion: velerov1.BackupFormatVersion, Phase: velerov1.BackupPhaseFinalizing,
			StartTimestamp: &now, Expiration: &metav1.Time{Time: now.Add(time.Hour)}, Progress: &velerov1.BackupProgress{},
			Conditions: []metav1.Condition{
				{Type: velerov1.ConditionItemsCollected, Status: metav1.ConditionTrue, Reason: velerov1.ReasonSucceeded, LastTransitionTime: now},
				{Type: velerov1.ConditionVolumesMoved, Status: metav1.ConditionUnknown, Reason: velerov1.ReasonWaitingForVolumes, LastTransitionTime: now},
			},
		},
	}
}

// prepareWaiting leaves the world as the server does between the end of collecting
// and the first volume's: interim files in the bucket, PodVolumeBackups, and a
// backup that waits for them.
func (s *scale) prepareWaiting(ctx context.Context, b *velerov1.Backup, volumes int) error {
	if err := s.putInterimFiles(ctx, b.Name); err != nil {
		return err
	}
	if err := s.cluster.Client.Create(ctx, b); err != nil {
		return err
	}
	err := each(ctx, 0, volumes, func(ctx context.Context, i int) error {
		return s.cluster.Client.Create(ctx, s.newVolume(b, i))
	})
	if err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, pollInterval, suite.Short, true, func(ctx context.Context) (bool, error) {
		if err := s.cluster.Client.Get(ctx, client.ObjectKeyFromObject(b), b); err != nil {
			return false, err
		}
		before := b.DeepCopy()
		b.Status.Phase = velerov1.BackupPhaseInProgress
		err := s.cluster.Client.Patch(ctx, b, client.MergeFrom(before))
		return err == nil, client.IgnoreNotFound(err)
	})
}

func (s *scale) putInterimFiles(ctx context.Context, backup string) error {
	bucket, err := s.gateway()
	if err != nil {
		return err
	}
	storage, err := bucket.client()
	if err != nil {
		return err
	}
	var log bytes.Buffer
	if err := gzip.NewWriter(&log).Close(); err != nil {
		return err
	}
	files := map[string]*bytes.Buffer{layout.BackupLog(backup): &log, layout.BackupResults(backup): {}, layout.BackupVolumeInfo(backup): {}}
	failed := []error{
		layout.EncodeJSONGzip(files[layout.BackupResults(backup)], layout.Results{}),
		layout.EncodeJSONGzip(files[layout.BackupVolumeInfo(backup)], layout.VolumeInfoList{}),
	}
	for key, content := range files {
		_, err := storage.PutObject(ctx, bucket.Bucket, key, content, int64(content.Len()), minio.PutObjectOptions{})
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

func (s *scale) volumeName(b *velerov1.Backup, i int) string {
	return fmt.Sprintf("%s-%05d", b.Name, i)
}

// newVolume is the request for a volume on a fake node.
func (s *scale) newVolume(b *velerov1.Backup, i int) *velerov1.PodVolumeBackup {
	v := &velerov1.PodVolumeBackup{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: suite.Namespace, Name: s.volumeName(b, i),
			Labels: map[string]string{
				velerov1.BackupNameLabel: velerov1.ValidLabelValue(b.Name), velerov1.BackupUIDLabel: string(b.UID), scaleLabel: s.run,
			},
			Annotations:     map[string]string{velerov1.PVCNameAnnotation: fmt.Sprintf("data-app-%d", i)},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(b, velerov1.SchemeGroupVersion.WithKind("Backup"))},
		},
		Spec: velerov1.PodVolumeBackupSpec{
			Node:   s.node(i % max(1, s.nodes)),
			Pod:    corev1.ObjectReference{Kind: "Pod", Namespace: s.run, Name: fmt.Sprintf("app-%d", i), UID: types.UID(fmt.Sprintf("uid-%d", i))},
			Volume: "data", BackupStorageLocation: b.Spec.StorageLocation, UploaderType: velerov1.BackupRepositoryTypeKopia,
			Tags: map[string]string{"backup": b.Name, "ns": s.run, "volume": "data"},
		},
		Status: velerov1.PodVolumeBackupStatus{Phase: velerov1.PodVolumeBackupPhaseNew},
	}
	v.OwnerReferences[0].BlockOwnerDeletion = nil
	return v
}

// endVolume ends a volume as its node agent would.
func (s *scale) endVolume(ctx context.Context, b *velerov1.Backup, i int) error {
	now := time.Now().UTC().Format(time.RFC3339)
	patch := fmt.Sprintf(`{"status":{"phase":"Completed","snapshotID":"%032x","startTimestamp":%q,"completionTimestamp":%q,"progress":{"totalBytes":1,"bytesDone":1}}}`, i, now, now)
	v := &velerov1.PodVolumeBackup{ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: s.volumeName(b, i)}}
	return s.cluster.Client.Patch(ctx, v, client.RawPatch(types.MergePatchType, []byte(patch)))
}

// removeWaiting removes a backup and its volumes, and waits until they are gone:
// the next sample must not be measured beside them. The volumes go one by one: a
// request for all of them would take longer than the API server allows.
func (s *scale) removeWaiting(ctx context.Context, b *velerov1.Backup, volumes int) error {
	s.progress("scale: removing %d volumes", volumes)
	bucket, err := s.gateway()
	if err != nil {
		return err
	}
	err = bucket.removeObjects(ctx, "backups/"+b.Name+"/") // or the sync would make them again
	if err != nil {
		return err
	}
	err = each(ctx, 0, volumes, func(ctx context.Context, i int) error {
		v := &velerov1.PodVolumeBackup{ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: s.volumeName(b, i)}}
		return client.IgnoreNotFound(s.cluster.Client.Delete(ctx, v))
	})
	if err != nil {
		return err
	}
	if err := client.IgnoreNotFound(s.cluster.Client.Delete(ctx, b)); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, time.Second, scaleTimeout, true, func(ctx context.Context) (bool, error) {
		left := &velerov1.PodVolumeBackupList{}
		err := s.cluster.Client.List(ctx, left, client.InNamespace(suite.Namespace), client.MatchingLabels(s.labels()), client.Limit(1))
		if apierrors.IsTooManyRequests(err) {
			return false, nil
		}
		return len(left.Items) == 0, err
	})
}
