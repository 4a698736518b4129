// Package podvolume finds the directory of a pod's volume below the kubelet's
// pods directory.
//
// It decides from facts (pod, claim, persistent volume, CSI drivers) what the
// directory is called, and looks in a file system for where it is. It reads no
// API object and mounts nothing; the node agent gathers the facts and mounts
// the result into a mover pod. Rules: velero-facts §6.8. Block volumes are out
// of scope.
package podvolume

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Sentinels of Directory and Find.
var (
	// ErrNotFound is a volume that the pod or the node does not have. The text says
	// what was looked for.
	ErrNotFound = errors.New("volume not found")

	// ErrAmbiguous is a volume name that several plugins of the node use.
	ErrAmbiguous = errors.New("volume has several directories")

	// ErrBlockVolume is a volume without a file system.
	ErrBlockVolume = errors.New("block volumes have no directory")
)

// Annotations of persistent volumes that name the CSI driver behind an in-tree
// volume (k8s.io/component-helpers/storage/volume, AnnDynamicallyProvisioned and
// AnnMigratedTo).
const (
	provisionedByAnnotation = "pv.kubernetes.io/provisioned-by"
	migratedToAnnotation    = "pv.kubernetes.io/migrated-to"
)

// csiMountDir is the directory in which a CSI volume is mounted, below the one
// that carries its name.
const csiMountDir = "mount"

// Facts is all that decides where a volume is.
type Facts struct {
	Pod    *corev1.Pod
	Volume string // name in the pod's spec.volumes

	// Claim and PersistentVolume are set when the volume is a claim (ClaimName)
	// and they exist.
	Claim            *corev1.PersistentVolumeClaim
	PersistentVolume *corev1.PersistentVolume

	// CSIDrivers holds the names of the cluster's CSIDriver objects, at least of
	// those that DriverNames asks for.
	CSIDrivers map[string]bool
}

// ClaimName returns the name of the claim behind a volume of the pod, in the
// pod's namespace, or "" when there is none. The claim of a generic ephemeral
// volume is named after pod and volume.
func ClaimName(pod *corev1.Pod, volume string) string {
	v := findVolume(pod, volume)
	switch {
	case v == nil:
		return ""
	case v.PersistentVolumeClaim != nil:
		return v.PersistentVolumeClaim.ClaimName
	case v.Ephemeral != nil:
		return pod.Name + "-" + v.Name
	default:
		return ""
	}
}

// DriverNames returns the CSI drivers that may be behind an in-tree persistent
// volume. Whether they exist decides where it is mounted.
func DriverNames(pv *corev1.PersistentVolume) []string {
	if pv.Spec.CSI != nil {
		return nil
	}
	var names []string
	for _, key := range []string{provisionedByAnnotation, migratedToAnnotation} {
		// Names of provisioners may have a slash, those of CSIDriver objects may not.
		if name := pv.Annotations[key]; name != "" && len(validation.IsDNS1123Subdomain(name)) == 0 {
			names = append(names, name)
		}
	}
	return names
}

// Directory returns what the volume's directory is called, relative to the
// directory of its plugin: "<name>" or "<name>/mount". It returns ErrNotFound
// when the pod has no such volume or its claim is not bound, and ErrBlockVolume.
func Directory(f Facts) (string, error) {
	v := findVolume(f.Pod, f.Volume)
	if v == nil {
		return "", fmt.Errorf("%w: pod %s/%s has no volume %q", ErrNotFound, f.Pod.Namespace, f.Pod.Name, f.Volume)
	}
	if claim := ClaimName(f.Pod, f.Volume); claim != "" {
		return claimDirectory(f, claim)
	}
	if v.CSI != nil {
		return path.Join(v.Name, csiMountDir), nil
	}
	return v.Name, nil
}

func claimDirectory(f Facts, claim string) (string, error) {
	switch {
	case f.Claim == nil:
		return "", fmt.Errorf("%w: claim %s/%s of volume %q does not exist", ErrNotFound, f.Pod.Namespace, claim, f.Volume)
	case f.Claim.Spec.VolumeName == "":
		return "", fmt.Errorf("%w: claim %s/%s of volume %q is not bound", ErrNotFound, f.Pod.Namespace, claim, f.Volume)
	case f.PersistentVolume == nil:
		return "", fmt.Errorf("%w: persistent volume %s of claim %s/%s does not exist",
			ErrNotFound, f.Claim.Spec.VolumeName, f.Pod.Namespace, claim)
	case isBlock(f.PersistentVolume):
		return "", fmt.Errorf("%w: claim %s/%s of volume %q has volumeMode Block",
			ErrBlockVolume, f.Pod.Namespace, claim, f.Volume)
	case isCSI(f):
		return path.Join(f.PersistentVolume.Name, csiMountDir), nil
	default:
		return f.PersistentVolume.Name, nil
	}
}

func isBlock(pv *corev1.PersistentVolume) bool {
	return pv.Spec.VolumeMode != nil && *pv.Spec.VolumeMode == corev1.PersistentVolumeBlock
}

// isCSI reports whether a CSI driver mounts the volume, also an in-tree volume
// that was migrated to one.
func isCSI(f Facts) bool {
	if f.PersistentVolume.Spec.CSI != nil {
		return true
	}
	for _, name := range DriverNames(f.PersistentVolume) {
		if f.CSIDrivers[name] {
			return true
		}
	}
	return false
}

// HostUID returns the UID under which the kubelet keeps the pod's directory: the
// pod's own, but for a static pod that of its file.
func HostUID(pod *corev1.Pod) types.UID {
	if uid := pod.Annotations[corev1.MirrorPodAnnotationKey]; uid != "" {
		return types.UID(uid)
	}
	return pod.UID
}

// Find looks for the directory in root, which is the kubelet's pods directory,
// and returns its path relative to root: "<uid>/volumes/<plugin>/<dir>". It
// returns ErrNotFound unless there is one, and ErrAmbiguous when there are more.
func Find(root fs.FS, podUID types.UID, dir string) (string, error) {
	volumes := path.Join(string(podUID), "volumes")
	plugins, err := fs.ReadDir(root, volumes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading directory %s of the node's pods: %w", volumes, err)
	}
	var found []string
	for _, plugin := range plugins {
		candidate := path.Join(volumes, plugin.Name(), dir)
		info, err := fs.Stat(root, candidate)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return "", fmt.Errorf("reading directory %s of the node's pods: %w", candidate, err)
		case info.IsDir():
			found = append(found, candidate)
		}
	}
	pattern := path.Join(volumes, "*", dir)
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%w: no directory %s below the node's pods directory", ErrNotFound, pattern)
	case 1:
		return found[0], nil
	default:
		return "", fmt.Errorf("%w: %d directories match %s", ErrAmbiguous, len(found), pattern)
	}
}

func findVolume(pod *corev1.Pod, name string) *corev1.Volume {
	for i := range pod.Spec.Volumes {
		if pod.Spec.Volumes[i].Name == name {
			return &pod.Spec.Volumes[i]
		}
	}
	return nil
}
