package movement

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/podvolume"
)

// World reads what both kinds need to know before a mover can be made. It decides
// nothing. Fields are set before use and not changed after.
type World struct {
	Client    client.Client // its cache holds the pods of the node, repositories and locations
	Reader    client.Reader // reads from the API: claims and persistent volumes are not worth a cache
	Namespace string        // of the install

	HostPods     fs.FS  // the kubelet's pods directory
	HostPodsPath string // where that is on the node
}

// Pod returns the pod, or nil when it does not exist or has another UID than the
// one in ref. A pod that the cache does not have is asked for once more, because
// a cache may be slow but is never wrong about what it has.
func (w World) Pod(ctx context.Context, ref corev1.ObjectReference) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	name := client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}
	err := w.Client.Get(ctx, name, pod)
	if apierrors.IsNotFound(err) || (err == nil && pod.UID != ref.UID) {
		err = w.Reader.Get(ctx, name, pod)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("getting pod %s: %w", name, err)
	case pod.UID != ref.UID:
		return nil, nil
	default:
		return pod, nil
	}
}

// HostPath returns the directory of a pod's volume on the node. Its errors are
// those of internal/podvolume (see VolumeObstacle) or of the API.
func (w World) HostPath(ctx context.Context, pod *corev1.Pod, volume string) (string, error) {
	facts := podvolume.Facts{Pod: pod, Volume: volume}
	if name := podvolume.ClaimName(pod, volume); name != "" {
		if err := w.addClaim(ctx, name, &facts); err != nil {
			return "", err
		}
	}
	dir, err := podvolume.Directory(facts)
	if err != nil {
		return "", err
	}
	found, err := podvolume.Find(w.HostPods, podvolume.HostUID(pod), dir)
	if err != nil {
		return "", err
	}
	return path.Join(w.HostPodsPath, found), nil
}

// addClaim reads the claim, its persistent volume and the drivers that may be
// behind it, as far as they exist.
func (w World) addClaim(ctx context.Context, name string, facts *podvolume.Facts) error {
	claim := &corev1.PersistentVolumeClaim{}
	ok, err := w.read(ctx, client.ObjectKey{Namespace: facts.Pod.Namespace, Name: name}, claim)
	if err != nil || !ok {
		return err
	}
	facts.Claim = claim
	pv := &corev1.PersistentVolume{}
	ok, err = w.read(ctx, client.ObjectKey{Name: claim.Spec.VolumeName}, pv)
	if err != nil || !ok {
		return err
	}
	facts.PersistentVolume = pv
	facts.CSIDrivers = map[string]bool{}
	for _, driver := range podvolume.DriverNames(pv) {
		if facts.CSIDrivers[driver], err = w.read(ctx, client.ObjectKey{Name: driver}, &storagev1.CSIDriver{}); err != nil {
			return err
		}
	}
	return nil
}

// read reports whether the object exists.
func (w World) read(ctx context.Context, key client.ObjectKey, obj client.Object) (bool, error) {
	if key.Name == "" {
		return false, nil
	}
	err := w.Reader.Get(ctx, key, obj)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("getting %T %s: %w", obj, key, err)
	}
	return true, nil
}

// Destination reads location and repository into d, which names them. Velero
// finds a repository by its labels, not by its name.
func (w World) Destination(ctx context.Context, d *Destination) error {
	bsl := &velerov1.BackupStorageLocation{}
	key := client.ObjectKey{Namespace: w.Namespace, Name: d.LocationName}
	err := w.Client.Get(ctx, key, bsl)
	if apierrors.IsNotFound(err) {
		err = w.Reader.Get(ctx, key, bsl)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("getting backup storage location %s: %w", d.LocationName, err)
	}
	d.Location = bsl

	repositories := &velerov1.BackupRepositoryList{}
	err = w.Client.List(ctx, repositories, client.InNamespace(w.Namespace), client.MatchingLabels{
		velerov1.VolumeNamespaceLabel: velerov1.ValidLabelValue(d.Namespace),
		velerov1.StorageLocationLabel: velerov1.ValidLabelValue(d.LocationName),
		velerov1.RepositoryTypeLabel:  velerov1.BackupRepositoryTypeKopia,
	})
	if err != nil {
		return fmt.Errorf("listing repositories: %w", err)
	}
	if n := len(repositories.Items); n > 1 {
		return fmt.Errorf("%d repositories for namespace %s in location %s", n, d.Namespace, d.LocationName)
	}
	if len(repositories.Items) == 1 {
		d.Repository = &repositories.Items[0]
	}
	return nil
}

// VolumeObstacle turns an error of HostPath into an obstacle, or returns nil for
// an error that a new try may not have.
func VolumeObstacle(err error) *Obstacle {
	switch {
	case errors.Is(err, podvolume.ErrNotFound), errors.Is(err, podvolume.ErrAmbiguous):
		return &Obstacle{Terminal: true, Reason: velerov1.ReasonVolumeNotFound, Message: err.Error()}
	case errors.Is(err, podvolume.ErrBlockVolume):
		return &Obstacle{Terminal: true, Reason: velerov1.ReasonInvalidSpec, Message: err.Error()}
	default:
		return nil
	}
}

// IsEnded reports whether all containers of the pod have ended for good, after
// which the kubelet takes its volumes away.
func IsEnded(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}
