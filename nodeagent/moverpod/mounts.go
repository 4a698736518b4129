package moverpod

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/moverparts"
	"github.com/podkeep/podkeep/internal/wire"
)

// Where the slot is in a mover. The rest is in internal/moverparts.
const (
	slotName = "slot"
	slotFile = moverparts.InputsDir + "/" + slotName
)

// mountsOf returns all volumes of the mover, in a fixed order.
func mountsOf(t Template, m Mover) (moverparts.Mounts, error) {
	var all moverparts.Mounts
	all.AddMount("volume", directory(m.HostPath), corev1.VolumeMount{
		MountPath:        VolumePath(m.UID),
		ReadOnly:         m.Kind == wire.KindBackup,
		MountPropagation: ptr.To(corev1.MountPropagationHostToContainer),
	})
	all.Add("cache", moverparts.CacheDir, cacheVolume(t, m))
	all.Add("tmp", moverparts.TemporaryDir, moverparts.EmptyDir())
	all.AddInput(slotInfo())
	all.AddPassword(&t.RepositoryPassword)
	return all, all.AddLocation(m.Location, credentialsOf(t, m.Location))
}

// memoryCacheLimitMB bounds a cache in memory. kopia uses a fifth of it for
// metadata, which is enough for the folders of some millions of files, and a mover
// caches nothing else.
const memoryCacheLimitMB = 512

// cachesInMemory reports whether the mover's cache is in memory. kopia syncs every
// file of its cache to disk: with an empty cache, as each mover has it, that was
// three quarters of the syncs of an unchanged backup and a quarter of its time. A
// limit that somebody set, of the cache or of the mover's memory, speaks against it.
func cachesInMemory(t Template, m Mover) bool {
	return m.CacheLimitMB == 0 && t.Resources.Limits.Memory().IsZero()
}

func cacheVolume(t Template, m Mover) corev1.VolumeSource {
	v := moverparts.EmptyDir()
	if cachesInMemory(t, m) {
		v.EmptyDir.Medium = corev1.StorageMediumMemory
	}
	return v
}

func cacheLimitMB(t Template, m Mover) int64 {
	if cachesInMemory(t, m) {
		return memoryCacheLimitMB
	}
	return m.CacheLimitMB
}

// credentialsOf returns the location's own credentials, else the install's.
func credentialsOf(t Template, bsl *velerov1.BackupStorageLocation) *corev1.SecretKeySelector {
	if bsl.Spec.Credential != nil {
		return bsl.Spec.Credential
	}
	return t.Credentials
}

// directory is a directory of the node that must exist: a missing one would be
// created, and its emptiness be backed up.
func directory(hostPath string) corev1.VolumeSource {
	return corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{
		Path: hostPath, Type: ptr.To(corev1.HostPathDirectory),
	}}
}

// slotInfo shows the mover its slot annotation, now and when it changes.
func slotInfo() corev1.VolumeProjection {
	return corev1.VolumeProjection{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{
		Path:     slotName,
		FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['" + velerov1.SlotAnnotation + "']"},
	}}}}
}
