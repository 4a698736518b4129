// Package backup reconciles the PodVolumeBackups of one node.
//
// One reconcile is observe → plan → act → report. Only observe and act talk to
// the cluster; plan is pure. It decides what is special about backups, which is
// when a mover can be made, and leaves the rest to nodeagent/movement. The data
// is moved by mover pods, never here. State table: docs/node-agent.md.
package backup

import (
	"fmt"
	"path"

	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/nodeagent/movement"
)

// parallelFilesKey is the key of spec.uploaderSettings for the number of files
// that are read at once (velero-facts §4.9.3).
const parallelFilesKey = "ParallelFilesUpload"

// sourceRoot begins the path of every kopia source, as in Velero 1.17 and later.
const sourceRoot = "snapshot-pod-volume/kopia"

// observed is all that plan may look at. observe fills it, nobody changes it
// after.
type observed struct {
	backup *velerov1.PodVolumeBackup
	facts  movement.Facts

	pod *corev1.Pod // nil when it is gone

	// Set when sourceAsked, which they are while there is no mover that runs.
	sourceAsked bool
	destination movement.Destination
	hostPath    string
	volume      *movement.Obstacle // why there is no hostPath
}

// plan decides the next step. Rows that concern the mover are those of
// movement.Plan.
func plan(o observed) movement.Step {
	f := o.facts
	f.Durable = isClaim(o.backup)
	f.Gone = gone(o, f.Durable)
	if o.sourceAsked {
		f.Blocked = blocked(o)
	}
	step := movement.Plan(f)
	if step.Outcome == movement.Completed && f.Mover.Result.SnapshotID == "" {
		return movement.Step{Action: movement.ActFinish, Outcome: movement.Failed, Reason: velerov1.ReasonMoverFailed,
			Message: fmt.Sprintf("mover pod %s reported success without a snapshot", f.Mover.Name)}
	}
	return step
}

// gone says that a volume went away with its pod while a mover read it, so that a
// snapshot of it may lack files without anybody having noticed. A claim stays, and
// stays mounted in the mover.
func gone(o observed, durable bool) *movement.Obstacle {
	if durable || o.facts.Mover == nil {
		return nil
	}
	return podObstacle(o)
}

// blocked returns the first reason why no mover can be made. The order is that of
// docs/node-agent.md.
func blocked(o observed) *movement.Obstacle {
	if t := o.backup.Spec.UploaderType; t != "" && t != velerov1.BackupRepositoryTypeKopia {
		return invalid(fmt.Sprintf("spec.uploaderType: Unsupported value: %q: supported values: %q",
			t, velerov1.BackupRepositoryTypeKopia))
	}
	if _, err := movement.Setting(o.backup.Spec.UploaderSettings, parallelFilesKey); err != nil {
		return invalid(err.Error())
	}
	if obstacle := podObstacle(o); obstacle != nil {
		return obstacle
	}
	if obstacle := movement.ObstacleOf(o.destination, o.facts.Now); obstacle != nil {
		return obstacle
	}
	if o.volume != nil {
		return o.volume
	}
	return held(o.backup)
}

// held is the last obstacle: hooks are run before the volume is moved, and others
// go first, because no pod is frozen for them.
func held(b *velerov1.PodVolumeBackup) *movement.Obstacle {
	if b.Annotations[velerov1.HoldAnnotation] != velerov1.HoldAll {
		return nil
	}
	return &movement.Obstacle{Reason: velerov1.ReasonWaitingForSlot, Message: "volumes without hooks, and those of other hooks, go first"}
}

func podObstacle(o observed) *movement.Obstacle {
	switch {
	case o.pod == nil:
		return podGone("the pod does not exist any more")
	case movement.IsEnded(o.pod):
		return podGone(fmt.Sprintf("the pod has ended (%s) and its volumes are not mounted any more", o.pod.Status.Phase))
	case o.pod.DeletionTimestamp != nil && !hasRunningContainer(o.pod):
		return podGone("the pod is being deleted and its containers have ended")
	default:
		return nil
	}
}

// hasRunningContainer reports whether the kubelet still keeps the pod's volumes
// for a container.
func hasRunningContainer(pod *corev1.Pod) bool {
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for _, s := range statuses {
			if s.State.Running != nil {
				return true
			}
		}
	}
	return false
}

func podGone(message string) *movement.Obstacle {
	return &movement.Obstacle{Terminal: true, Reason: velerov1.ReasonPodGone, Message: message}
}

func invalid(message string) *movement.Obstacle {
	return &movement.Obstacle{Terminal: true, Reason: velerov1.ReasonInvalidSpec, Message: message}
}

// isClaim reports whether the volume is a claim, which outlives its pod.
func isClaim(b *velerov1.PodVolumeBackup) bool {
	return b.Annotations[velerov1.PVCNameAnnotation] != "" || b.Labels[velerov1.PVCUIDLabel] != ""
}

// taskOf returns what the mover is to do. spec.uploaderSettings were checked by
// blocked.
func taskOf(b *velerov1.PodVolumeBackup, compression string) *wire.Backup {
	volume := b.Spec.Volume
	if claim := b.Annotations[velerov1.PVCNameAnnotation]; claim != "" {
		volume = claim
	}
	parallel, _ := movement.Setting(b.Spec.UploaderSettings, parallelFilesKey)
	return &wire.Backup{
		SourcePath:    path.Join(sourceRoot, b.Spec.Pod.Namespace, b.Spec.Pod.Name, volume),
		Identity:      b.Annotations[velerov1.VolumeIdentityAnnotation],
		ParallelFiles: parallel,
		Compression:   compression,
	}
}
