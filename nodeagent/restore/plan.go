// Package restore reconciles the PodVolumeRestores of one node.
//
// One reconcile is observe → plan → act → report. Only observe and act talk to
// the cluster; plan is pure. It decides what is special about restores, which is
// whose they are and when the pod waits for its volume, and leaves the rest to
// nodeagent/movement. The marker that lets the pod go on is written by the mover.
// State table: docs/node-agent.md.
package restore

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/nodeagent/movement"
)

// Keys of spec.uploaderSettings (velero-facts §4.9.3).
const (
	parallelFilesKey = "ParallelFilesDownload"
	sparseFilesKey   = "WriteSparseFiles"
)

// GateName is the name of the init container that holds a pod until its volumes
// are restored (velero-facts §7.1).
const GateName = "restore-wait"

// observed is all that plan may look at. observe fills it, nobody changes it
// after.
type observed struct {
	restore *velerov1.PodVolumeRestore
	facts   movement.Facts

	pod *corev1.Pod // nil when it is gone

	// Set when sourceAsked, which they are while there is no mover that runs.
	sourceAsked bool
	destination movement.Destination
	hostPath    string
	volume      *movement.Obstacle // why there is no hostPath
}

// isOurs reports whether the agent of this node acts: it has taken the restore
// already, or the pod is on the node. A restore that nobody has taken is canceled
// by anybody, because its pod may never get a node.
func isOurs(r *velerov1.PodVolumeRestore, node string, podIsHere bool) bool {
	switch {
	case r.IsFinished():
		return true // for its finalizer
	case r.Status.Node != "":
		return r.Status.Node == node
	default:
		return podIsHere || r.Spec.Cancel || r.DeletionTimestamp != nil
	}
}

// plan decides the next step. Rows that concern the mover are those of
// movement.Plan.
func plan(o observed) movement.Step {
	f := o.facts
	f.Durable = o.restore.Labels[velerov1.PVCUIDLabel] != ""
	if f.Mover != nil {
		f.Gone = podObstacle(o)
	}
	if o.sourceAsked {
		f.Blocked = blocked(o)
	}
	return movement.Plan(f)
}

// blocked returns the first reason why no mover can be made. The order is that of
// docs/node-agent.md.
func blocked(o observed) *movement.Obstacle {
	if err := checkSpec(o.restore); err != nil {
		return &movement.Obstacle{Terminal: true, Reason: velerov1.ReasonInvalidSpec, Message: err.Error()}
	}
	if obstacle := podObstacle(o); obstacle != nil {
		return obstacle
	}
	if obstacle := gateObstacle(o.pod); obstacle != nil {
		return obstacle
	}
	if obstacle := movement.ObstacleOf(o.destination, o.facts.Now); obstacle != nil {
		return obstacle
	}
	return o.volume
}

func checkSpec(r *velerov1.PodVolumeRestore) error {
	if t := r.Spec.UploaderType; t != "" && t != velerov1.BackupRepositoryTypeKopia {
		return fmt.Errorf("spec.uploaderType: Unsupported value: %q: supported values: %q", t, velerov1.BackupRepositoryTypeKopia)
	}
	if r.Spec.SnapshotID == "" {
		return fmt.Errorf("spec.snapshotID: Required value: must name a snapshot")
	}
	if restoreUID(r) == "" {
		return fmt.Errorf("metadata.ownerReferences: Required value: must name the Restore, whose UID is that of the marker")
	}
	if _, err := sparseFiles(r); err != nil {
		return err
	}
	_, err := movement.Setting(r.Spec.UploaderSettings, parallelFilesKey)
	return err
}

func podObstacle(o observed) *movement.Obstacle {
	switch {
	case o.pod == nil:
		return podGone("the pod was deleted, or replaced by another of the same name")
	case movement.IsEnded(o.pod):
		return podGone(fmt.Sprintf("the pod has ended (%s) and cannot take its volumes", o.pod.Status.Phase))
	case o.pod.DeletionTimestamp != nil:
		return podGone("the pod is being deleted")
	default:
		return nil
	}
}

func podGone(message string) *movement.Obstacle {
	return &movement.Obstacle{Terminal: true, Reason: velerov1.ReasonPodGone, Message: message}
}

// gateObstacle waits until the gate runs, since only then are the pod's volumes
// mounted. A gate that is not the first container is Velero's business as usual.
func gateObstacle(pod *corev1.Pod) *movement.Obstacle {
	for _, s := range pod.Status.InitContainerStatuses {
		if s.Name == GateName && s.State.Running != nil {
			return nil
		}
	}
	if pod.Status.Phase == corev1.PodRunning {
		return &movement.Obstacle{Terminal: true, Reason: velerov1.ReasonGateMissing,
			Message: fmt.Sprintf("the pod runs and does not wait for its volumes: init container %s is missing or has ended", GateName)}
	}
	return &movement.Obstacle{Reason: velerov1.ReasonWaitingForPod,
		Message: fmt.Sprintf("waiting for init container %s of the pod to run", GateName)}
}

// restoreUID returns the UID of the Restore: that of the controlling owner, or of
// the only one.
func restoreUID(r *velerov1.PodVolumeRestore) types.UID {
	if owner := metav1.GetControllerOf(r); owner != nil {
		return owner.UID
	}
	if len(r.OwnerReferences) == 1 {
		return r.OwnerReferences[0].UID
	}
	return ""
}

func sparseFiles(r *velerov1.PodVolumeRestore) (bool, error) {
	text := r.Spec.UploaderSettings[sparseFilesKey]
	if text == "" {
		return false, nil
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("spec.uploaderSettings[%s]: Invalid value: %q: must be true or false", sparseFilesKey, text)
	}
	return v, nil
}

// taskOf returns what the mover is to do. The spec was checked by blocked.
func taskOf(r *velerov1.PodVolumeRestore) *wire.Restore {
	parallel, _ := movement.Setting(r.Spec.UploaderSettings, parallelFilesKey)
	sparse, _ := sparseFiles(r)
	return &wire.Restore{
		SnapshotID:    r.Spec.SnapshotID,
		RestoreUID:    string(restoreUID(r)),
		ParallelFiles: parallel,
		SparseFiles:   sparse,
	}
}
